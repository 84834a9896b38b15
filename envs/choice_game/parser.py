"""From the lines of a scene to its instructions, by indent.

Whatever can be wrong with a script without playing it is a DataError here that names scene and
line: an unknown command, an indent that fits nothing, an open brace, an expression that is none, a
label that stands twice.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn, cast

from valueagents.envs.choice_game import commands
from valueagents.envs.choice_game.expressions import Expression, compiled, constant
from valueagents.envs.choice_game.lines import Line, place, without_comments
from valueagents.envs.choice_game.scene import Achievement, Scene
from valueagents.envs.choice_game.statements import (
    GLUE,
    Break,
    Choose,
    Entry,
    Fall,
    Finish,
    Instruction,
    Jump,
    JumpUnless,
    Reuse,
    Say,
)
from valueagents.envs.choice_game.templates import template
from valueagents.envs.choice_game.values import ScriptError, truth
from valueagents.errors import DataError, unknown_name

MAX_NESTING = 60
_REUSE = {"allow_reuse": "allow", "hide_reuse": "hide", "disable_reuse": "disable"}
_ELSEIF = ("elseif", "elsif")
_STRUCTURE = (
    "if",
    *_ELSEIF,
    "else",
    "choice",
    "fake_choice",
    "label",
    "scene_list",
    "achievement",
    "comment",
)


def parse_scene(name: str, lines: list[Line]) -> Scene:
    """The scene of these lines. Raises DataError with scene and line."""
    return _Parser(name, lines).parse()


class _Parser:
    """Reads lines in order; `_at` is the next one."""

    def __init__(self, name: str, lines: list[Line]) -> None:
        self._lines = without_comments(lines)
        self._scene = Scene(name)
        self._at = 0
        self._nesting = 0

    def parse(self) -> Scene:
        if (first := self._next_filled()) is not None:
            if first.indent:
                self._fail(first, "the first line must not be indented")
            self._block(0)
        self._emit(Finish(GLUE, template("Next chapter")))
        return self._scene

    # Blocks

    def _block(self, indent: int) -> None:
        """Emit the lines of one block, up to the line that is indented less."""
        self._nesting += 1
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if self._nesting > MAX_NESTING:
                self._fail(line, f"blocks nest deeper than {MAX_NESTING}")
            if not line.text:
                self._at += 1
                self._emit(Break(GLUE, "\n\n"))
                continue
            if line.indent < indent:
                break
            if line.indent > indent:
                self._fail(
                    line,
                    f"indented by {line.indent} where {indent} is expected; nothing above opens a"
                    " block",
                )
            self._at += 1
            self._guarded(line, lambda line=line: self._line(line))  # type: ignore[misc]
        self._nesting -= 1

    def _line(self, line: Line) -> None:
        command, rest = line.command
        if line.text.startswith("#"):
            raise ScriptError("an option stands outside a *choice")
        if not command:
            self._emit(Say(line.number, template(line.text)))
        elif command == "if":
            self._conditional(line, rest)
        elif command in (*_ELSEIF, "else"):
            raise ScriptError(f"*{command} has no *if above it at its indent")
        elif command in ("choice", "fake_choice"):
            self._choice(line, rest.split(), fake=command == "fake_choice")
        elif command == "label":
            self._label(line, rest)
        elif command == "comment":
            self._scene.values[line.number] = line.values or ""
            self._emit(Instruction(line.number))
        elif command == "scene_list":
            self._scene.scene_list = [
                (row.number, row.text.split()[-1].lower()) for row in self._indented(line)
            ]
            self._emit(Instruction(line.number))
        elif command == "achievement":
            self._achievement(line, rest)
        else:
            self._command(line, command, rest)

    def _command(self, line: Line, command: str, rest: str) -> None:
        if command not in commands.COMMANDS:
            known = [f"*{name}" for name in (*commands.COMMANDS, *_STRUCTURE)]
            remedy = "If the line is prose, do not begin it with a star; italics are [i]…[/i]."
            raise ScriptError(unknown_name("command", f"*{command}", known, remedy=remedy))
        if command in commands.WITH_ROWS:
            self._indented(line)
        statement, target = commands.COMMANDS[command](line.number, rest)
        if target is not None:
            self._scene.targets.append(target)
        self._emit(statement)

    def _label(self, line: Line, name: str) -> None:
        label = name.lower()
        if not label or " " in label:
            raise ScriptError(f"a label is one word, not {name!r}")
        if label in self._scene.labels:
            raise ScriptError(
                f"the label {name!r} is there twice, first on line {self._scene.label_lines[label]}"
            )
        self._scene.labels[label] = len(self._scene.statements)
        self._scene.label_lines[label] = line.number
        self._emit(Instruction(line.number))

    def _achievement(self, line: Line, rest: str) -> None:
        match = re.fullmatch(r"(\w+)\s+(visible|hidden)\s+(\d{1,9})\s+(.+)", rest)
        if match is None:
            raise ScriptError(
                "*achievement wants a name, visible or hidden, points and a title, not"
                f" {rest[:80]!r}"
            )
        self._scene.achievements[match[1].lower()] = Achievement(
            int(match[3]), match[4], match[2] == "visible"
        )
        self._indented(line)
        self._emit(Instruction(line.number))

    def _indented(self, line: Line) -> list[Line]:
        """Take the lines that are indented more than this one."""
        rows = []
        while (row := self._next_filled()) is not None and row.indent > line.indent:
            rows.append(self._take())
        return rows

    # Conditions

    def _conditional(self, line: Line, condition: str) -> None:
        """*if with its *elseif and *else: every branch ends with a jump past them all."""
        exits = []
        branch: Line | None = line
        text: str | None = condition
        while branch is not None:
            test = None
            if text is not None:
                test = (self._emit(Instruction(branch.number)), branch, compiled(text))
            else:
                self._emit(Instruction(branch.number))
            self._block(self._deeper(branch))
            exits.append(self._emit(Instruction(GLUE)))
            if test is not None:
                at, owner, expression = test
                self._scene.statements[at] = JumpUnless(
                    owner.number, expression, len(self._scene.statements)
                )
            branch, text = self._further_branch(line) if text is not None else (None, None)
        for at in exits:
            self._scene.statements[at] = Jump(GLUE, len(self._scene.statements))

    def _further_branch(self, line: Line) -> tuple[Line | None, str | None]:
        """The *elseif (with its condition) or *else (with None) that goes on with an *if, taken."""
        following = self._next_filled()
        if (
            following is None
            or following.indent != line.indent
            or following.command[0] not in (*_ELSEIF, "else")
        ):
            return None, None
        command, rest = self._take().command
        if command == "else":
            if rest:
                self._fail(following, f"nothing may follow *else, not {rest!r}; write *elseif")
            return following, None
        return following, rest

    def _deeper(self, line: Line) -> int:
        """The indent of the block that a line opens."""
        following = self._next_filled()
        if following is None or following.indent <= line.indent:
            self._fail(line, f"nothing is indented under {line.text!r}")
        return following.indent

    # Choices

    def _choice(self, line: Line, groups: list[str], *, fake: bool) -> None:
        at = self._emit(Instruction(line.number))
        falls: list[int] = []
        entries = self._entries(self._deeper(line), (), max(1, len(groups)), falls, fake)
        if not entries:
            raise ScriptError(f"*{line.command[0]} has no options")
        end = len(self._scene.statements)
        for fall in falls:
            self._scene.statements[fall] = replace(
                cast(Fall, self._scene.statements[fall]), target=end
            )
        self._scene.statements[at] = Choose(line.number, tuple(entries))
        self._scene.widest_menu = max(self._scene.widest_menu, _leaves(entries))

    def _entries(
        self, indent: int, guards: tuple[Expression, ...], groups: int, falls: list[int], fake: bool
    ) -> list[Entry]:
        """The options at one indent, those inside *if blocks among them."""
        entries: list[Entry] = []
        while (line := self._next_filled()) is not None and line.indent >= indent:
            if line.indent > indent:
                self._fail(
                    line,
                    f"indented by {line.indent} where the options of this choice have {indent}",
                )
            self._take()
            self._guarded(
                line,
                lambda line=line: entries.extend(self._entry(line, guards, groups, falls, fake)),  # type: ignore[misc]
            )
        return entries

    def _entry(
        self, line: Line, guards: tuple[Expression, ...], groups: int, falls: list[int], fake: bool
    ) -> list[Entry]:
        """One option, or those of an *if block."""
        reuse: Reuse | None = None
        selectable: Expression | None = None
        text = line.text
        while not text.startswith("#"):
            command, rest = Line(line.number, line.indent, text).command
            if command in _REUSE:
                reuse, text = cast(Reuse, _REUSE[command]), rest
                continue
            if command not in ("if", "selectable_if"):
                hint = (
                    "indent it under its option" if command == "comment" else "options begin with #"
                )
                raise ScriptError(f"{text!r} stands where an option should; {hint}")
            condition, text = _split_condition(rest)
            if not text:
                return self._entries_under_if(line, condition, guards, groups, falls, fake)
            if command == "if":
                guards = (*guards, compiled(condition))
            else:
                selectable = compiled(condition)
        said = template(text[1:].strip())
        self._scene.option_lines.add(line.number)
        target = len(self._scene.statements)
        if groups > 1:
            children = self._entries(self._deeper(line), (), groups - 1, falls, fake)
            return [Entry(line.number, said, guards, selectable, reuse, target, tuple(children))]
        following = self._next_filled()
        if following is not None and following.indent > line.indent:
            self._block(following.indent)
        falls.append(self._emit(Fall(GLUE, 0, line.number, fake)))
        return [Entry(line.number, said, guards, selectable, reuse, target)]

    def _entries_under_if(
        self,
        line: Line,
        condition: str,
        guards: tuple[Expression, ...],
        groups: int,
        falls: list[int],
        fake: bool,
    ) -> list[Entry]:
        entries: list[Entry] = []
        refused: tuple[Expression, ...] = guards
        branch: Line | None = line
        text: str | None = condition
        while branch is not None:
            test = constant(True) if text is None else compiled(text)
            entries += self._entries(self._deeper(branch), (*refused, test), groups, falls, fake)
            refused = (*refused, _negated(test))
            branch, text = self._further_branch(line) if text is not None else (None, None)
        return entries

    # Small things

    def _next_filled(self) -> Line | None:
        """The next line that is not blank, left where it is."""
        at = self._filled_at()
        return self._lines[at] if at < len(self._lines) else None

    def _take(self) -> Line:
        """The next line that is not blank; blank lines before it are passed over."""
        at = self._filled_at()
        self._at = at + 1
        return self._lines[at]

    def _filled_at(self) -> int:
        at = self._at
        while at < len(self._lines) and not self._lines[at].text:
            at += 1
        return at

    def _emit(self, statement: Instruction) -> int:
        self._scene.statements.append(statement)
        return len(self._scene.statements) - 1

    def _guarded(self, line: Line, act: Callable[[], None]) -> None:
        try:
            act()
        except ScriptError as error:
            raise DataError(f"{place(self._scene.name, line.number)}: {error}") from error

    def _fail(self, line: Line, problem: str) -> NoReturn:
        raise DataError(f"{place(self._scene.name, line.number)}: {problem}")


def _leaves(entries: list[Entry] | tuple[Entry, ...]) -> int:
    return sum(_leaves(entry.children) if entry.children else 1 for entry in entries)


def _negated(test: Expression) -> Expression:
    return lambda lookup: not truth(test(lookup))


def _split_condition(text: str) -> tuple[str, str]:
    """A condition and the option after it: the first ` #` or ` *` outside quotes and brackets that
    begins a new thing.

    Inside brackets `#` and `*` are operators, so `*if ((name#1) = "A") #Sign` is read as meant.
    """
    depth, quoted = 0, False
    for at, character in enumerate(text):
        if character == '"' and text[at - 1 : at] != "\\":
            quoted = not quoted
        elif quoted:
            continue
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif (
            depth == 0
            and at
            and (character == "#" or re.match(r"\*(\w+_reuse|selectable_if|if)\b", text[at:]))
        ):
            if character == "#" and not text[at - 1].isspace() and text[at - 1] != ")":
                continue  # name#1
            return text[:at].strip(), text[at:]
    return text, ""
