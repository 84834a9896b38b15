"""What the lines of a game do to the values: events by scene and line, from comments in the script
and from a file.

In the script, under an option or a label (or wherever the deed is done):

    *comment value: BEC +1, POR -1

(`*comment value: none` says that somebody looked and found it neutral, which is also what no
comment means.) In a `.json` or `.toml` file, by scene and line (as an editor numbers lines), for
scripts that must not be touched:

    {"format": "valueagents-lines", "version": 1, "taxonomy": "schwartz20", "provenance": "annotated
    by …",
     "events": {"market:12": {"BEC": 1, "POR": -1}}}

An event belongs to the step that ran its line, and happens as often as the line is run.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from valueagents.contracts.decision import Event
from valueagents.envs.choice_game.game import Game
from valueagents.envs.choice_game.lines import place
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.amounts import amounts_problem
from valueagents.files.header import taxonomy_of
from valueagents.files.text import decode_json, decode_toml, read_text
from valueagents.identity import content_hash
from valueagents.taxonomy import Taxonomy

Executed = Sequence[tuple[str, int]]
Amounts = dict[str, float]

_AMOUNT = re.compile(r"(\w+)\s*([+-]\s*\d+(?:\.\d+)?)")
_FORMAT = ("valueagents-lines", 1)
_DIGITS = 9  # of a line's number
FILE_NAMES = ("annotations.json", "annotations.toml")


class Ledger(Protocol):
    """Says which value events a step caused, from the lines that it ran."""

    taxonomy: Taxonomy
    provenance: str

    def events(self, executed: Executed, left: tuple[str, int] | None) -> tuple[Event, ...]:
        """The events of a step that left the menu at the line `left` and ran these lines."""

    @property
    def empty(self) -> bool:
        """True if no line of the game is annotated."""

    @property
    def content(self) -> str:
        """The hash of all annotations."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    taxonomy: str
    provenance: str
    events: dict[str, Amounts]


class LineLedger:
    """Events by line."""

    def __init__(
        self, taxonomy: Taxonomy, provenance: str, by_line: Mapping[tuple[str, int], Amounts]
    ) -> None:
        self.taxonomy = taxonomy
        self.provenance = provenance
        self._events = {
            (scene, line): tuple(
                Event(axis, float(amount), f"{scene}:{line}") for axis, amount in amounts.items()
            )
            for (scene, line), amounts in sorted(by_line.items())
        }

    def events(self, executed: Executed, left: tuple[str, int] | None) -> tuple[Event, ...]:
        """The events of every line that was run, in order."""
        return tuple(
            event for line in executed if line in self._events for event in self._events[line]
        )

    @property
    def empty(self) -> bool:
        """True if no line is annotated."""
        return not self._events

    @property
    def content(self) -> str:
        """The hash of taxonomy, provenance and events."""
        events = [
            (scene, line, [(e.axis, e.amount) for e in events])
            for (scene, line), events in self._events.items()
        ]
        return content_hash(self.taxonomy.name, self.provenance, events)


def read_ledger(game: Game, folder: Path, *, file: Path | None, taxonomy: Taxonomy) -> LineLedger:
    """The events of a game: its value comments, and those of the file (None = `annotations.json` or
    `.toml` beside it).

    `taxonomy` is that of the comments; a file names its own. Raises DataError for an axis or a line
    that does not exist, or where comments and a file are on different taxonomies.
    """
    if file is None:
        file = next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)
    if file is None:
        return LineLedger(taxonomy, "comments in the script", _comments(game, taxonomy))
    read = _read_file(file)
    axes = taxonomy_of(file, read.taxonomy)
    by_line = _comments(game, axes)
    for key, amounts in read.events.items():
        line, where = _line(file, key, game), f"{file.name}, {key[:80]!r}"
        if line in by_line:
            raise DataError(f"{where}: that line is annotated twice; annotate it in one place")
        by_line[line] = _known(where, amounts, axes)
    return LineLedger(axes, read.provenance, by_line)


def _comments(game: Game, axes: Taxonomy) -> dict[tuple[str, int], Amounts]:
    """The events that comments in the script say, by scene and line."""
    found = {}
    for scene in game.scenes.values():
        for at, line in enumerate(scene.lines):
            words = line.values if line.text.startswith("*") else None
            if words is None:
                continue
            where = place(scene.name, line.number)
            if at in scene.rows:
                raise DataError(
                    f"{where}: a value comment between the options of a menu belongs to none;"
                    " indent it under its option"
                )
            found[scene.name, line.number] = _amounts(where, words, axes)
    return found


def _read_file(file: Path) -> _File:
    if not file.is_file():
        raise ConfigError(f"there is no annotation file {str(file)!r}; give a .json or .toml file")
    text = read_text(file)
    try:
        if file.suffix == ".toml":
            read = msgspec.convert(decode_toml(file.name, text), _File)
        else:
            read = decode_json(file.name, text, _File)
    except msgspec.ValidationError as error:
        raise DataError(
            f"{file.name} is not an annotation file: {error}; see envs/reference.md"
        ) from error
    if (read.format, read.version) != _FORMAT:
        raise DataError(
            f"{file.name}: format {read.format!r} version {read.version}; this reads {_FORMAT[0]} 1"
        )
    return read


def _line(file: Path, key: str, game: Game) -> tuple[str, int]:
    """The line that a key `scene:line` names, if running the game can run it."""
    name, _, number = key.rpartition(":")
    if name not in game.scenes:
        raise DataError(f"{file.name}, {key[:80]!r}: " + unknown_name("scene", name, game.scenes))
    scene = game.scenes[name]
    lines = {
        line.number
        for line in scene.lines
        if line.text and (line.command[0] != "comment" or line.values is not None)
    }
    if not number.isdecimal() or len(number) > _DIGITS or int(number) not in lines:
        raise DataError(
            f"{file.name}, {key[:80]!r}: scene {name!r} has no such line that runs (not"
            " blank, not a comment)"
        )
    return name, int(number)


def _amounts(where: str, words: str, taxonomy: Taxonomy) -> Amounts:
    """The amounts of a value comment: `BEC +1, POR -0.5`."""
    amounts: Amounts = {}
    if words.strip().lower() == "none":
        return amounts
    for part in words.split(","):
        match = _AMOUNT.fullmatch(part.strip())
        if match is None:
            raise DataError(
                f"{where}: {part.strip()!r} is not a value mark; write *comment value: BEC +1,"
                " POR -1"
            )
        if match[1] in amounts:
            raise DataError(f"{where}: {match[1]} is there twice")
        amounts[match[1]] = float(match[2].replace(" ", ""))
    return _known(where, amounts, taxonomy)


def _known(where: str, amounts: Amounts, taxonomy: Taxonomy) -> Amounts:
    problem = amounts_problem(amounts, taxonomy)
    if problem is not None:
        raise DataError(f"{where}: {problem}")
    return amounts
