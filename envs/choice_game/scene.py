"""A scene: its lines, its labels, and the instructions that lines become when they are reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from valueagents.envs.choice_game.lines import Line, split_condition
from valueagents.envs.choice_game.statements import Instruction, JumpTarget
from valueagents.envs.choice_game.values import ScriptError

CONDITIONS = ("if", "elseif", "elsif", "else")
MENUS = ("choice", "fake_choice")
WITH_ROWS = ("scene_list", "achievement", "stat_chart", "restore_game", "goto_random_scene")
"""Commands whose indented lines are data."""


@dataclass(frozen=True, slots=True)
class Achievement:
    """What *achievement declares."""

    points: int
    title: str
    visible: bool


class Scene:
    """Lines by place, which counts from 0 and is not a line's number.

    `code` holds the instructions of the lines read so far, and that of the scene's end; `mistakes`
    what was wrong with them, by line number; `targets` where their jumps lead; `problem` is what
    keeps the scene from being entered, with its line.
    """

    def __init__(self, name: str, lines: Sequence[Line], *, unreadable: str | None = None) -> None:
        self.name = name
        self.lines = lines
        self.code: list[Instruction | None] = [None] * (len(lines) + 1)
        self.mistakes: dict[int, str] = {}
        self.targets: dict[int, JumpTarget] = {}
        self.problem = (1, unreadable) if unreadable else None
        self.labels: dict[str, int] = {}
        for at, line in enumerate(lines):
            if line.text[:6].lower() == "*label":
                self._add_label(at, line)

    def _add_label(self, at: int, line: Line) -> None:
        command, rest = line.command
        label = rest.lower()
        if command != "label":
            return
        if len(label.split()) > 1:
            self.problem = self.problem or (line.number, f"a label is one word, not {rest!r}")
        elif label in self.labels:
            first = self.lines[self.labels[label]].number
            self.problem = self.problem or (
                line.number,
                f"the label {rest!r} is there twice, first on line {first}",
            )
        else:
            self.labels[label] = at

    def number(self, at: int) -> int:
        """The number of the line at a place; of the line after the last, at the end."""
        if at < len(self.lines):
            return self.lines[at].number
        return self.lines[-1].number + 1 if self.lines else 1

    @cached_property
    def _filled(self) -> list[int]:
        """For each place, that of the next line that is not blank, itself included."""
        following = [len(self.lines)] * (len(self.lines) + 1)
        for at in range(len(self.lines) - 1, -1, -1):
            following[at] = at if self.lines[at].text else following[at + 1]
        return following

    def filled(self, at: int) -> Line | None:
        """The next line that is not blank, from this place on."""
        place = self.filled_at(at)
        return self.lines[place] if place < len(self.lines) else None

    def filled_at(self, at: int) -> int:
        """Its place; that of the scene's end if there is none."""
        return self._filled[at]

    def block_end(self, at: int) -> int:
        """The place after the lines that are indented more than the line at this one."""
        indent, inner = self.lines[at].indent, self._filled[at + 1]
        while inner < len(self.lines) and self.lines[inner].indent > indent:
            inner = self._filled[inner + 1]
        return inner

    def branch_end(self, at: int, *, in_else: bool = False) -> int:
        """The place that a false *if goes to: its *elseif, its *else, or the line after its block.

        Comments between branches are passed over, with what is indented under them. Raises
        ScriptError, with its line, for what the block lacks.
        """
        indent, end = self.lines[at].indent, self.block_end(at)
        first = self.filled(at + 1)
        if first is None or first.indent <= indent:
            number = first.number if first else self.number(len(self.lines))
            raise ScriptError(f"nothing is indented under {self.lines[at].text.strip()!r}", number)
        for line in self.lines[at + 1 : end]:
            if line.text and line.fault:
                raise ScriptError(line.fault, line.number)
            if line.text and line.indent < first.indent:
                raise ScriptError(
                    f"indented by {line.indent}, less than the block's first line and more than"
                    " its *if",
                    line.number,
                )
        if not in_else:
            while end < len(self.lines) and self._is_comment(end, indent):
                end = self.block_end(end)
        return end

    def _is_comment(self, at: int, indent: int) -> bool:
        line = self.lines[at]
        return line.indent == indent and line.command[0] == "comment"

    @cached_property
    def rows(self) -> dict[int, tuple[int, bool]]:
        """The lines that are options of a menu, or *if lines between them: place -> where the menu
        ends, and whether an option may walk out of it.
        """
        found: dict[int, tuple[int, bool]] = {}
        for at, line in enumerate(self.lines):
            if line.text.startswith("*") and line.command[0] in MENUS:
                owner = self.block_end(at), line.command[0] == "fake_choice"
                groups = max(1, len(line.command[1].split()))
                found.update(dict.fromkeys(self.menu_rows(at, groups), owner))
        return found

    def rows_under(self, at: int) -> list[int]:
        """The places of the options under a line, and of the conditions between them.

        A row is a line that stands at most as far right as the row before it; what stands further
        right is a row's own block.
        """
        found: list[int] = []
        row, end = self._filled[at + 1], self.block_end(at)
        while row < end:
            found.append(row)
            row = self.block_end(row)
        return found

    def menu_rows(self, at: int, groups: int) -> list[int]:
        """All rows of a menu of so many groups, in order."""
        found: list[int] = []
        for row in self.rows_under(at):
            found.append(row)
            if self.opens_rows(row):
                found += self.menu_rows(row, groups)
            elif groups > 1:
                found += self.menu_rows(row, groups - 1)
        return found

    def opens_rows(self, row: int) -> bool:
        """True if a row is a condition of the rows under it, not of an option of its own."""
        command, rest = self.lines[row].command
        return command in CONDITIONS and not split_condition(rest)[1]

    @cached_property
    def data(self) -> frozenset[int]:
        """The places of the rows of commands whose indented lines are data, and never run."""
        return frozenset(
            row
            for at, line in enumerate(self.lines)
            if line.text.startswith("*") and line.command[0] in WITH_ROWS
            for row in range(at + 1, self.block_end(at))
        )

    @cached_property
    def too_deep(self) -> frozenset[int]:
        """The places of lines that stand further right than the line before them, which opens no
        block.
        """
        found: list[int] = []
        before, opened = 0, False  # how far right the script stands, and whether it may go further
        for at, line in enumerate(self.lines):
            if not line.text or at in self.data:
                continue
            command, deeper = line.command[0], line.indent > before and not opened
            if deeper and command == "comment" and at not in self.rows:
                continue
            if deeper and at not in self.rows:
                found.append(at)
            before, opened = line.indent, at in self.rows or command in (*CONDITIONS, *MENUS)
        return frozenset(found)

    @cached_property
    def top(self) -> int:
        """The place after the lines that declare the game: its variables, scenes, achievements."""
        at = self.filled_at(0)
        while at < len(self.lines) and self.lines[at].command[0] in DECLARING:
            with_rows = self.lines[at].command[0] in WITH_ROWS
            at = self.block_end(at) if with_rows else self._filled[at + 1]
        return at

    @property
    def widest_menu(self) -> int:
        """More options than this no menu of the scene has."""
        widest = 1
        for at, line in enumerate(self.lines):
            if line.text.startswith("*") and line.command[0] in MENUS:
                rows = self.menu_rows(at, max(1, len(line.command[1].split())))
                widest = max(widest, sum("#" in self.lines[row].text for row in rows))
        return widest


DECLARING = (
    "create", "create_array", "scene_list", "title", "author", "comment", "achievement", "product",
    "ifid", "bug",
)  # fmt: skip
"""Commands of the top of the scene startup."""
