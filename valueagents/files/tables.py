"""Tables in CSV files, read by the names in their header, whatever other columns there are."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from valueagents.errors import DataError, unknown_name
from valueagents.files.left_out import LeftOut, require_unicode
from valueagents.files.text import read_text


def csv_header(path: Path, delimiter: str = ",") -> tuple[str, ...]:
    """The names in a CSV file's first row, without the spaces round them; the eighth column is
    `column 8` if it has no name. Empty if the file is.
    """
    return _header(path, _lines(path), delimiter)[0]


def csv_rows(
    path: Path,
    columns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    header: Sequence[str] | None = None,
    remedy: str = "",
    left_out: LeftOut | None = None,
    delimiter: str = ",",
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file, each with its place (`FILE, line N`, where it begins), and in it
    `columns` and those of the `optional` ones that the file has; `header` names the columns of a
    file without a header.

    A row is bad if it is of another length than the header, is not CSV, or is not UTF-8 text in
    these columns. With `left_out` it is left out, and reading goes on with the next line from which
    a row can be read: an open quote costs no row but its own. Without, it is an error. Rows of
    empty cells are not rows.

    Raises DataError for one of `columns` that the header lacks (`remedy` says what the file should
    have) and for one of these columns that is there twice; none of it before the first row is asked
    for.
    """
    lines = _lines(path)
    header, start = _header(path, lines, delimiter) if header is None else (tuple(header), 0)
    wanted = [*columns, *(name for name in optional if name in header)]
    places = {name: _place(path, header, name, remedy) for name in wanted}
    for number, cells in _records(lines, start, len(header), delimiter):
        where = f"{path.name}, line {number}"
        try:
            row = _row(where, cells, places, len(header))
        except DataError as error:
            if left_out is None:
                raise
            left_out.add(where, error)
        else:
            yield where, row


def _row(
    where: str, cells: list[str] | csv.Error, places: dict[str, int], width: int
) -> dict[str, str]:
    if isinstance(cells, csv.Error):
        raise DataError(f"{where}: not a row of CSV ({cells})")
    if len(cells) != width:
        raise DataError(f"{where}: {width} columns are wanted, this row has more or fewer")
    for name, place in places.items():
        require_unicode(where, f"column {name}", cells[place])
    return {name: cells[place] for name, place in places.items()}


def _lines(path: Path) -> list[str]:
    """The file's lines with their ends, bytes that are not UTF-8 as lone surrogates."""
    return list(io.StringIO(read_text(path, errors="surrogateescape"), newline=""))


def _header(path: Path, lines: list[str], delimiter: str) -> tuple[tuple[str, ...], int]:
    """The names of the first row that is not empty, and the line after it."""
    start = 0
    while start < len(lines):
        try:
            cells, start = _row_at(lines, start, delimiter)
        except csv.Error as error:
            raise DataError(f"{path.name}, line {start + 1}: {error}") from error
        for name in cells:
            require_unicode(f"{path.name}, line {start}", "the header", name)
        if any(cells):
            names = (name.strip() or f"column {place}" for place, name in enumerate(cells, 1))
            return tuple(names), start
    return (), start


def _place(path: Path, header: tuple[str, ...], name: str, remedy: str) -> int:
    if name not in header:
        problem = unknown_name("wanted column", name, header, remedy=remedy)
        raise DataError(f"{path.name}, line 1: {problem}")
    if header.count(name) > 1:
        raise DataError(
            f"{path.name}, line 1: the column {name[:80]!r} is there twice; name each column once"
        )
    return header.index(name)


def _records(
    lines: list[str], start: int, width: int, delimiter: str
) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Each row with the number of its first line, or why it is none."""
    while start < len(lines):
        try:
            found, end = _row_at(lines, start, delimiter)
        except csv.Error as error:
            yield start + 1, error
            start += 1
            continue
        if any(found):
            yield start + 1, found
        if len(found) != width:  # a quote that was left open may have taken good rows with it
            after = range(start + 1, end)
            end = next((k for k in after if _is_row(lines, k, width, delimiter)), end)
        start = end


def _is_row(lines: list[str], start: int, width: int, delimiter: str) -> bool:
    """True if a whole row begins at a line; the end of a quoted text, with half its quotes, is
    none.
    """
    try:
        cells, end = _row_at(lines, start, delimiter)
    except csv.Error:
        return False
    quotes = sum(line.count('"') for line in lines[start:end])
    return len(cells) == width and quotes % 2 == 0


def _row_at(lines: list[str], start: int, delimiter: str) -> tuple[list[str], int]:
    """The cells of the row that begins at a line, and the line after it. Raises csv.Error."""
    rest = (lines[k] for k in range(start, len(lines)))
    reader = csv.reader(rest, strict=True, delimiter=delimiter)
    return next(reader), start + reader.line_num
