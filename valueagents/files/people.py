"""How many people took each option of a menu, from sheets that they filled in."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from valueagents.errors import DataError
from valueagents.files.sheets import SheetItem, SheetRow, plain, read_sheet

PEOPLE = "people"
"""The answer column of a sheet of choices: how many people took the option, or x for one."""
_LONGEST = 9  # digits


def read_choices(sheets: Sequence[Path]) -> dict[str, dict[str, int]]:
    """Menu key -> words of an option (`plain`) -> how many people took it, over all sheets; a menu
    that nobody answered is left out.

    Raises DataError as `read_sheet`, with file, line and column for a cell that is not a number of
    people, and if no sheet has an answer.
    """
    found: dict[str, Counter[str]] = {}
    for sheet in sheets:
        for item in read_sheet(sheet, (PEOPLE,)):
            taken = _taken(item)
            if sum(taken.values()):
                found.setdefault(item.key, Counter()).update(taken)
    if not found:
        names = ", ".join(sheet.name for sheet in sheets)
        raise DataError(
            f"{names}: nobody chose anything; write x, or how many people took it, into the column"
            f" {PEOPLE} of an option"
        )
    return {key: dict(counts) for key, counts in found.items()}


def _taken(item: SheetItem) -> dict[str, int]:
    return {plain(row.words): _people(row) for row in item.rows}


def _people(row: SheetRow) -> int:
    cell = row.answers[PEOPLE]
    if cell.lower() == "x":
        return 1
    if not cell:
        return 0
    if not (cell.isascii() and cell.isdecimal() and len(cell) <= _LONGEST):
        raise DataError(
            f"{row.where}, column {PEOPLE}: {cell[:80]!r} is not a number of people; write x for"
            " one, a whole number, or nothing"
        )
    return int(cell)
