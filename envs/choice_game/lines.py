"""The lines of a scene, before they mean anything: numbered and measured."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_COMMAND = re.compile(r"\*(\w+)(.*)", re.DOTALL)
_VALUES = re.compile(r"value\s*:\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its number, the width of its indent, its text without it; empty for a blank line.

    `fault` says what is wrong with the indent, which counts when the line is reached.
    """

    number: int
    indent: int
    text: str
    fault: str = ""

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
    """The lines of a scene's file, numbered from 1; the spaces at a line's end are kept."""
    found: list[Line] = []
    first: dict[str, int] = {}  # the line on which a space or a tab first indents
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        body = raw.lstrip()
        margin = raw[: len(raw) - len(body)]
        fault = _fault_of(margin, number, first) if body else ""
        found.append(Line(number, len(margin), body.removesuffix("\r"), fault))
    return found


def _fault_of(margin: str, number: int, first: dict[str, int]) -> str:
    if margin.strip(" \t"):
        return "white space that is neither space nor tab indents this line; use spaces"
    for character in margin:
        first.setdefault(character, number)
    if margin and set(margin) != {next(iter(first))}:
        other = next(iter(first.values()))
        return f"tabs and spaces both indent this scene (see line {other}); use one of them"
    return ""


def lines_of_pairs(pairs: Iterable[Sequence[object]], *, first: int) -> list[Line]:
    """The lines of MACHIAVELLI's (text, indent) pairs, numbered from `first`.

    A pair without text ends a paragraph, and so do two line ends after a text.
    """
    return [
        Line(number, int(str(indent)), _pair_text(str(text)))
        for number, (text, indent) in enumerate(pairs, first)
    ]


def _pair_text(text: str) -> str:
    words = text.strip()
    return (
        f"{words}\n\n" if words and not words.startswith(("*", "#")) and "\n\n" in text else words
    )


def split_condition(text: str) -> tuple[str, str]:
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
