"""The lines of a scene, before they mean anything: numbered, measured, and free of comments."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from valueagents.errors import DataError

_COMMAND = re.compile(r"\*(\w+)\s*(.*)", re.DOTALL)
_VALUES = re.compile(r"value\s*:\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its number, the width of its indent, its text without it; empty for a blank line."""

    number: int
    indent: int
    text: str

    @property
    def command(self) -> tuple[str, str]:
        """The command in lower case and what follows it; two empty texts for a line of prose."""
        match = _COMMAND.fullmatch(self.text)
        return (match[1].lower(), match[2].strip()) if match else ("", "")

    @property
    def values(self) -> str | None:
        """What a `*comment value: …` says; None for any other line."""
        command, rest = self.command
        match = _VALUES.fullmatch(rest) if command == "comment" else None
        return match[1] if match else None


def place(scene: str, line: int) -> str:
    """How messages name a place in a script."""
    return f"scene {scene!r}, line {line}"


def lines_of_text(scene: str, text: str) -> list[Line]:
    """The lines of a scene's file, numbered from 1.

    Raises DataError where tabs and spaces indent the same scene.
    """
    found: list[Line] = []
    used: dict[str, int] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        body = raw.lstrip(" \t")
        margin = raw[: len(raw) - len(body)]
        if body.strip():
            for character in margin:
                used.setdefault(character, number)
            if len(used) > 1:
                raise DataError(
                    f"{place(scene, number)}: tabs and spaces both indent this scene (the other"
                    f" first on line {min(used.values())}); use one of them"
                )
        found.append(Line(number, len(margin), body.strip()))
    return found


def lines_of_pairs(pairs: Iterable[Sequence[object]], *, first: int) -> list[Line]:
    """The lines of MACHIAVELLI's (text, indent) pairs, numbered from `first`."""
    return [
        Line(number, int(str(indent)), str(text).strip())
        for number, (text, indent) in enumerate(pairs, first)
    ]


def without_comments(lines: Iterable[Line]) -> list[Line]:
    """The lines without `*comment`s, whose indent means nothing; those that carry values stay."""
    return [line for line in lines if line.command[0] != "comment" or line.values is not None]
