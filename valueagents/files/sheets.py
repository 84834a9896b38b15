"""Sheets: menus as a CSV table that people fill in with a spreadsheet program.

One row an option; the columns `item` and `option` number them in the order in which they are shown,
`situation` and `words` hold what an agent would be shown, the other columns are for answers. A
sheet names no id of an item or option, because an id may tell a value. A menu is therefore known
again by its texts (`menu_key`).
"""

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from valueagents.errors import DataError
from valueagents.files.tables import csv_header, csv_rows
from valueagents.identity import content_hash

_SHOWN = ("item", "option", "situation", "words")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""A cell that begins so may be run by a spreadsheet program (OWASP, CSV injection); `'`, which
disarms them, is among them so that reading can take it off again."""


class SheetRow(msgspec.Struct, frozen=True):
    """An option on a sheet: where it stands, its words, and what its answer columns say."""

    where: str
    words: str
    answers: dict[str, str]


class SheetItem(msgspec.Struct, frozen=True):
    """A menu on a sheet."""

    situation: str
    rows: tuple[SheetRow, ...]

    @property
    def key(self) -> str:
        """The `menu_key` of what is shown."""
        return menu_key(self.situation, [row.words for row in self.rows])


def plain(text: str) -> str:
    """A text with single spaces: spreadsheet programs change line ends."""
    return " ".join(text.split())


def menu_key(situation: str, options: Iterable[str]) -> str:
    """What a menu is known by, in whichever order its options are shown."""
    return content_hash(plain(situation), sorted(plain(words) for words in options))


def sheet_text(menus: Iterable[tuple[str, Sequence[str]]], answers: Sequence[str]) -> str:
    """The CSV text of an empty sheet: situations with the words of their options, and columns for
    answers. It begins with a byte order mark, by which spreadsheet programs know UTF-8.
    """
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([*_SHOWN, *answers])
    for item, (situation, options) in enumerate(menus, 1):
        for option, words in enumerate(options, 1):
            cells = (_disarmed(situation), _disarmed(words))
            table.writerow([item, option, *cells, *("" for _ in answers)])
    return "\ufeff" + text.getvalue()


def read_sheet(path: Path, answers: Sequence[str]) -> tuple[SheetItem, ...]:
    """The menus of a filled sheet, separated by commas or, as some programs save it, semicolons.

    Raises DataError with file, line and column for a column that is missing, an item whose rows are
    not together or do not agree on its situation, or options that are empty, alike or alone.
    """
    delimiter = ";" if "situation" in csv_header(path, ";") else ","
    rows = csv_rows(
        path,
        (*_SHOWN, *answers),
        remedy="A sheet has the columns that `valueagents annotate` writes.",
        delimiter=delimiter,
    )
    items, first = [], dict[str, str]()
    for name, group in groupby(rows, key=lambda row: row[1]["item"].strip()):
        found = list(group)
        where = found[0][0]
        if name in first:
            raise DataError(
                f"{where}, column item: {name!r} began in {first[name]} already; keep the rows of"
                " an item together and its number as it was"
            )
        first[name] = where
        items.append(_item(found, answers))
    if not items:
        raise DataError(f"{path.name} holds no rows below its header")
    return tuple(items)


def _item(rows: list[tuple[str, dict[str, str]]], answers: Sequence[str]) -> SheetItem:
    where, first = rows[0]
    situation = _armed(first["situation"])
    found: dict[str, SheetRow] = {}
    for place, row in rows:
        if plain(_armed(row["situation"])) != plain(situation):
            raise DataError(
                f"{place}, column situation: another text than in {where}, which is of the same"
                " item; leave the texts as they were written"
            )
        words = _armed(row["words"])
        if not plain(words):
            raise DataError(f"{place}, column words: empty; leave the texts as they were written")
        if plain(words) in found:
            raise DataError(
                f"{place}, column words: the same as in {found[plain(words)].where}; an item has"
                " each option once"
            )
        given = {name: row[name].strip() for name in answers}
        found[plain(words)] = SheetRow(where=place, words=words, answers=given)
    if len(found) == 1:
        raise DataError(f"{where}, column option: the item has one option only; two are needed")
    return SheetItem(situation=situation, rows=tuple(found.values()))


def _disarmed(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _armed(cell: str) -> str:
    """The text that was written as this cell."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
