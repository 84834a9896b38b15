"""What each command that is one line becomes: a function from its line and its words to an
instruction.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from valueagents.envs.choice_game.expressions import (
    Expression,
    ExpressionReader,
    compiled,
    constant,
    join,
)
from valueagents.envs.choice_game.statements import (
    Achieve,
    AskInput,
    Assign,
    Break,
    Bug,
    CheckAchievements,
    Ending,
    Finish,
    Go,
    Instruction,
    PageBreak,
    Params,
    Return,
    Reuse,
    Roll,
    Say,
    SetReuse,
)
from valueagents.envs.choice_game.templates import template
from valueagents.envs.choice_game.values import ScriptError, printed

_ASSIGNING = frozenset(("+", "-", "*", "/", "%", "^", "&", "#", "%+", "%-", "modulo"))


class JumpTarget(NamedTuple):
    """Where a jump leads whose names are written out: checked when all scenes are read."""

    line: int
    scene: str | None
    label: str | None


Made = tuple[Instruction, JumpTarget | None]
CommandMaker = Callable[[int, str], Made]


def _set(line: int, words: str) -> Made:
    reader = ExpressionReader(words)
    name = reader.reference()
    if reader.token.spelling.lower() in _ASSIGNING:
        operator = reader.take().spelling.lower()
        value = reader.continued(
            join(operator, lambda lookup: lookup(str(name(lookup))), reader.value())
        )
    else:
        value = reader.expression()
    reader.end()
    return Assign(line, "set", name, value), None


def _declare(kind: Literal["temp", "create"]) -> CommandMaker:
    def make(line: int, words: str) -> Made:
        reader = ExpressionReader(words)
        name = reader.reference()
        if reader.at_end and kind == "create":
            raise ScriptError(f"*create {words} gives no value; write *create {words} 0")
        value = None if reader.at_end else reader.expression()
        reader.end()
        return Assign(line, kind, name, value), None

    return make


def _go(*, scene: bool, returns: bool) -> CommandMaker:
    def make(line: int, words: str) -> Made:
        scene_name, rest = _name(words) if scene else (None, words)
        label, rest = _name(rest) if rest or not scene else (None, "")
        reader = ExpressionReader(rest)
        arguments = []
        while not reader.at_end:
            arguments.append(reader.value())
        known = JumpTarget(line, _static(scene_name), _static(label))
        go = Go(line, _expression(scene_name), _expression(label), tuple(arguments), returns)
        return go, (
            known
            if known.scene is not None or (scene_name is None and known.label is not None)
            else None
        )

    return make


_Name = str | Expression | None


def _name(words: str) -> tuple[str | Expression, str]:
    """The name of a scene or label, written out or to be computed (`{…}`, `name[…]`), and what
    follows it.
    """
    first, _, rest = words.partition(" ")
    if not first:
        raise ScriptError("it does not say where to go")
    if first.startswith("{") or "[" in first:
        reader = ExpressionReader(words)
        return reader.reference(), reader.rest()
    return first.lower(), rest.strip()


def _static(name: _Name) -> str | None:
    return name if isinstance(name, str) else None


def _expression(name: _Name) -> Expression | None:
    return constant(name) if isinstance(name, str) else name


def _ask_text(line: int, words: str) -> Made:
    reader = ExpressionReader(words)
    name = reader.reference()
    reader.end()
    return AskInput(line, name, None, None), None


def _between(words: str) -> tuple[Expression, Expression, Expression]:
    """A variable and the two ends of a range."""
    reader = ExpressionReader(words)
    parts = reader.reference(), reader.value(), reader.value()
    reader.end()
    return parts


def _print(line: int, words: str) -> Made:
    value = compiled(words)
    return Say(line, lambda lookup: printed(value(lookup))), None


def _titled(kind: type[PageBreak] | type[Finish], text: str) -> CommandMaker:
    return lambda line, words: (kind(line, template(words or text)), None)


def _reuse(reuse: Reuse) -> CommandMaker:
    def make(line: int, words: str) -> Made:
        if words:
            raise ScriptError(f"an option stands outside a *choice: {words!r}")
        return SetReuse(line, reuse), None

    return make


def _nothing(line: int, words: str) -> Made:
    return Instruction(line), None


def _end(line: int, words: str) -> Made:
    return Ending(line), None


SILENT = (
    "title", "author", "image", "text_image", "sound", "link", "link_button", "share_this_game",
    "more_games", "subscribe", "advertisement", "stat_chart", "ifid", "feedback", "looplimit",
    "save_checkpoint", "product", "youtube",
)  # fmt: skip
"""Commands of the language that show, sell or measure something and change nothing in the story."""

WITH_ROWS = frozenset(("stat_chart",))

COMMANDS: dict[str, CommandMaker] = {
    "set": _set,
    "temp": _declare("temp"),
    "create": _declare("create"),
    "goto": _go(scene=False, returns=False),
    "gosub": _go(scene=False, returns=True),
    "goto_scene": _go(scene=True, returns=False),
    "gosub_scene": _go(scene=True, returns=True),
    "return": lambda line, words: (Return(line), None),
    "finish": _titled(Finish, "Next chapter"),
    "page_break": _titled(PageBreak, "Next"),
    "delay_break": lambda line, words: (PageBreak(line, template("Next")), None),
    "ending": _end,
    "delay_ending": _end,
    "restart": _end,
    "input_text": _ask_text,
    "input_number": lambda line, words: (AskInput(line, *_between(words)), None),
    "rand": lambda line, words: (Roll(line, *_between(words)), None),
    "achieve": lambda line, words: (Achieve(line, words.lower()), None),
    "check_achievements": lambda line, words: (CheckAchievements(line), None),
    "params": lambda line, words: (Params(line, tuple(words.lower().split())), None),
    "print": _print,
    "line_break": lambda line, words: (Break(line, "\n"), None),
    "hide_reuse": _reuse("hide"),
    "disable_reuse": _reuse("disable"),
    "allow_reuse": _reuse("allow"),
    "bug": lambda line, words: (Bug(line, template(words)), None),
    **dict.fromkeys(SILENT, _nothing),
}
