"""From the rows of a *choice to its options."""

import re
from typing import cast

from valueagents.envs.choice_game.expressions import Expression, Lookup, compiled
from valueagents.envs.choice_game.lines import Line, split_condition
from valueagents.envs.choice_game.scene import Scene
from valueagents.envs.choice_game.statements import Choose, Entry, Reuse, located
from valueagents.envs.choice_game.templates import is_constant, label, template
from valueagents.envs.choice_game.values import ScriptError, Value, printed, truth

_REUSE = {"allow_reuse": "allow", "hide_reuse": "hide", "disable_reuse": "disable"}
_WEIGHT = re.compile(r"\([^()]*\)\s*(.*)")
Guards = tuple[Expression, ...]


def parse_menu(scene: Scene, at: int) -> Choose:
    """The menu of a *choice line. Raises ScriptError, with its line, if it has no options.

    What is wrong with one option is an error when the menu is offered, and noted in the scene.
    """
    line, end = scene.lines[at], scene.block_end(at)
    rows = scene.rows_under(at)
    if not rows:
        following = scene.filled(at + 1)
        number = following.number if following else scene.number(len(scene.lines))
        raise ScriptError(
            f"*{line.command[0]} has no options: nothing is indented under it", number
        )
    for each in scene.lines[at + 1 : end]:
        if each.text and each.fault:
            raise ScriptError(each.fault, each.number)
    groups = max(1, len(line.command[1].split()))
    entries = _entries(scene, at, (), groups)
    last = scene.menu_rows(at, groups)[-1]
    return Choose(
        tuple(entries),
        scene.number(end),
        fake=line.command[0] == "fake_choice",
        bodiless=scene.number(last) if scene.block_end(last) == scene.filled_at(last + 1) else None,
    )


def _entries(scene: Scene, at: int, guards: Guards, groups: int) -> list[Entry]:
    """The options under a line, those inside *if blocks among them."""
    entries: list[Entry] = []
    refused: Guards = ()  # the conditions of the branches above an *elseif or *else, negated
    for row in scene.rows_under(at):
        line = scene.lines[row]
        command, words = line.command
        if command == "comment":
            continue
        try:
            if not scene.opens_rows(row):
                entries.append(_entry(scene, row, guards, groups))
                continue
            condition = branch_test(command, words)
            test = () if condition is None else (located(condition, line.number),)
        except ScriptError as error:
            scene.mistakes[error.line or line.number] = str(error)
            entries.append(_broken(line, guards, error))
            continue
        refused = () if command == "if" else refused
        entries += _entries(scene, row, (*guards, *refused, *test), groups)
        refused = (*refused, *(_negated(each) for each in test))
    return entries


def branch_test(command: str, words: str) -> Expression | None:
    """The condition of an *if or *elseif, None of an *else.

    Raises ScriptError for one that is none.
    """
    if command != "else":
        return compiled(words)
    if words:
        raise ScriptError(f"nothing may follow *else, not {words!r}; write *elseif")
    return None


def _broken(line: Line, guards: Guards, error: ScriptError) -> Entry:
    """An option that cannot be offered."""

    def fail(lookup: Lookup) -> Value:
        raise ScriptError(str(error), error.line or line.number)

    return Entry(line.number, "", (*guards, fail), None, None, 0)


def _entry(scene: Scene, row: int, guards: Guards, groups: int) -> Entry:
    """One option. Raises ScriptError for a row that is none."""
    line = scene.lines[row]
    text, number = line.text.strip(), line.number
    reuse: Reuse | None = None
    selectable: Expression | None = None
    computed: Expression | None = None
    while not text.startswith("#") and computed is None:
        command, rest = Line(number, line.indent, text).command
        if command in _REUSE:
            reuse, text = cast(Reuse, _REUSE[command]), rest
        elif command == "random_weight" and (match := _WEIGHT.fullmatch(rest)):
            text = match[1]
        elif command == "print":
            computed = compiled(rest)
        elif command in ("if", "selectable_if") and (parts := split_condition(rest))[1]:
            condition, text = located(compiled(parts[0]), number), parts[1]
            if command == "if":
                guards = (*guards, condition)
            else:
                selectable = condition
        else:
            raise ScriptError(f"{text!r} stands where an option should; options begin with #")
    words = text[1:].strip()
    said: str | Expression
    if computed is not None:
        said = located(_computed(computed), number)
    else:
        said = label(words) if is_constant(words) else located(template(words), number)
    children: list[Entry] = []
    if groups > 1:
        if not scene.rows_under(row):
            raise ScriptError(f"nothing is indented under {text!r}, in a choice of several groups")
        children = _entries(scene, row, (), groups - 1)
    return Entry(number, said, guards, selectable, reuse, row + 1, tuple(children))


def _computed(expression: Expression) -> Expression:
    """The text of an option that `*print` computes, without its `#`."""

    def text(lookup: Lookup) -> str:
        words = printed(expression(lookup)).strip()
        if not words.startswith("#"):
            raise ScriptError(f"{words!r} stands where an option should; options begin with #")
        return words[1:].strip()

    return text


def _negated(test: Expression) -> Expression:
    return lambda lookup: not truth(test(lookup))
