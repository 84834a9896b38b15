"""Jiminy Cricket's files (arXiv 2110.13136): `NAME_annotations.csv`, and beside it, where a game
has them, `replacement_dict.csv` and `initial_actions.txt`.

The 25 published tables were filled by hand: their headers differ, and cells hold what annotators
said to each other. What is known is applied; the rest is left aside, named and counted.
"""

import re
from collections import Counter
from pathlib import Path

from valueagents.envs.parser_game.jiminy import JiminyRow, Markers
from valueagents.errors import DataError
from valueagents.files.left_out import LeftOut
from valueagents.files.tables import csv_header, csv_rows
from valueagents.files.text import read_lines

_REPLACEMENTS, _START = "replacement_dict.csv", "initial_actions.txt"
_FILTERS = ("delete-next", "ignore-first", "only-first", "taken")
_SPELLED = {"first": "only-first", "take": "taken"}  # in one game, The Lurking Horror
_TAKING_WORDS = re.compile(r"(?:not-)?verb:[^\s:]+|[^:\s]+:\d+(?:\([a-z]\))?-visited")
_ANCILLARY = "ancillary"
_LABEL = re.compile(r"(good|bad)\s*,\s*(others|self)\s*,\s*([123])", re.IGNORECASE)
_LINE = re.compile(r"\d+(?:\([a-z]\))?")
_TABLE = "Jiminy Cricket's tables have File, Line, Morality and Python Filters."


def read_annotations(path: Path) -> Markers:
    """The annotations in `NAME_annotations.csv`, with what lies beside it.

    A row without a line number is a heading, and one with the morality N/A is not an annotation:
    both are passed over. Left out and named in the notes: rows that are malformed, and in others
    labels and filters that are none. Raises DataError for a missing column or if no row is good.
    """
    header = csv_header(path)
    morality, filters = _morality(header), _filters_column(header)
    rows = LeftOut(path.name)
    cells = LeftOut(path.name, "labels and filters")
    spelled: Counter[str] = Counter()
    found: dict[str, JiminyRow] = {}
    columns = ("File", "Line", morality)
    optional = (filters,) if filters is not None else ()
    for where, cell in csv_rows(path, columns, optional=optional, remedy=_TABLE, left_out=rows):
        line, label = cell["Line"].strip(), cell[morality].strip()
        if label.upper() == "N/A" or not (line or label):
            continue
        with rows.reading(where):
            key = _key(where, cell["File"], line)
            if key in found:
                raise DataError(f"{where}: the place {key} is there already")
            written = cell[filters] if filters is not None else ""
            found[key] = JiminyRow(
                _values(where, label, cells), _filters(where, written, cells, spelled)
            )
    rows.require_some(found)
    replacements, replacement_notes = _replacements(path.with_name(_REPLACEMENTS))
    return Markers(
        found,
        replacements,
        _start_commands(path.with_name(_START)),
        (
            *rows.notes,
            *cells.notes,
            *_reading_notes(path.name, filters, spelled),
            *replacement_notes,
        ),
    )


def beside(annotations: Path) -> list[Path]:
    """The files beside a table of annotations that are read with it."""
    files = (annotations.with_name(name) for name in (_REPLACEMENTS, _START))
    return [file for file in files if file.is_file()]


def _morality(header: tuple[str, ...]) -> str:
    """The name of the column with the labels: `Morality`, or with its format behind it."""
    return next((name for name in header if name.startswith("Morality")), "Morality")


def _filters_column(header: tuple[str, ...]) -> str | None:
    """The name of the column with the filters; one table calls them keywords, and in another the
    column that follows the labels has no name.
    """
    for name in ("Python Filters", "Keywords"):
        if name in header:
            return name
    morality = _morality(header)
    following = header.index(morality) + 1 if morality in header else len(header)
    unnamed = f"column {following + 1}"
    return unnamed if unnamed in header else None


def _reading_notes(name: str, filters: str | None, spelled: Counter[str]) -> list[str]:
    """What was read as something that it does not say."""
    notes = []
    if filters is None:
        notes.append("no column is called Python Filters; every label counts each time")
    elif filters.startswith("column "):
        notes.append(f"no column is called Python Filters; {filters}, unnamed, is read as such")
    notes += [
        f"{count} filters {written!r} are read as {_SPELLED[written]!r}"
        for written, count in spelled.items()
        if count
    ]
    return [f"{name}: {note}" for note in notes]


def _key(where: str, file: str, line: str) -> str:
    if not _LINE.fullmatch(line):
        raise DataError(f"{where}: Line {line!r:.80} is not a line number, such as 12 or 12(a)")
    if not file.strip():
        raise DataError(f"{where}: File is empty")
    return f"{file.strip().partition('.')[0]}:{line}"


def _values(where: str, cell: str, cells: LeftOut) -> dict[str, float]:
    """Summed degrees by axis; empty for `ancillary`, after which nothing counts."""
    labels = _parts(cell, r"\n")
    if not any(label.casefold() == _ANCILLARY or _LABEL.fullmatch(label) for label in labels):
        raise DataError(f"{where}: its morality {cell[:80]!r} has no label")
    values: dict[str, float] = {}
    for label in labels:
        if label.casefold() == _ANCILLARY:
            break
        with cells.reading(where):
            found = _LABEL.fullmatch(label)
            if found is None:
                raise DataError(
                    f"{where}: {label[:80]!r} is not a label, such as 'bad, others, 1', nor"
                    f" {_ANCILLARY}"
                )
            valence, focal = found[1].casefold(), found[2].casefold()
            sign, axis = -1.0 if valence == "bad" else 1.0, f"{valence}_{focal}"
            values[axis] = values.get(axis, 0.0) + sign * float(found[3])
    return values


def _filters(where: str, cell: str, cells: LeftOut, spelled: Counter[str]) -> tuple[str, ...]:
    filters = []
    for written in _parts(cell, r"[\n,]"):
        with cells.reading(where):
            name = _SPELLED.get(written, written)
            if name not in _FILTERS and not _TAKING_WORDS.fullmatch(name):
                raise DataError(f"{where}: {written[:80]!r} is not a filter")
            filters.append(name)
            spelled[written] += name != written
    return tuple(filters)


def _parts(cell: str, between: str) -> list[str]:
    return [part for each in re.split(between, cell) if (part := each.strip())]


def _replacements(path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Number -> text, and what was left out; the file has no header."""
    if not path.is_file():
        return {}, ()
    left_out = LeftOut(path.name, "texts")
    columns = ("number", "text")
    found: dict[str, str] = {}
    for where, row in csv_rows(path, columns, header=columns, left_out=left_out):
        with left_out.reading(where):
            number = row["number"].strip()
            if not number.isdecimal():
                raise DataError(f"{where}: {number[:80]!r} is not the number of a text")
            found[number] = row["text"]
    left_out.require_some(found)
    return found, left_out.notes


def _start_commands(path: Path) -> tuple[str, ...]:
    """What is typed before an episode begins: names and answers that a story asks for at first."""
    if not path.is_file():
        return ()
    commands = [line.strip() for line in read_lines(path)]
    for number, command in enumerate(commands, 1):
        if not command.isascii() or not (command.isprintable()):
            raise DataError(f"{path.name}, line {number}: {command[:80]!r} cannot be typed")
    return tuple(command for command in commands if command)
