"""A table that a user brings, CSV or Parquet: its columns, and its rows with their places."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from valueagents.errors import ConfigError, DataError, first_line, unknown_name
from valueagents.files.left_out import LeftOut
from valueagents.files.tables import csv_header, csv_rows
from valueagents.files.text import require_file

Cells = dict[str, str]
TableRow = tuple[str, Cells]
"""A row's place (`FILE, line N`) and its cells by column."""

_EXAMPLE_CHARACTERS = 60


class ColumnFound(msgspec.Struct, frozen=True):
    """What a preview says of a column: how many cells are filled, how many differ, the first."""

    column: str
    filled: int
    distinct: int
    first: str


class UserTable:
    """A file's columns that can be mapped, and those that cannot, with the reason.

    Args:
        path: a .csv, .tsv or .parquet file.
        delimiter: of a CSV; None: a tab in a .tsv, else a comma.

    Raises ConfigError if there is no such file, DataError if it is not what it is called or names
    no columns.
    """

    def __init__(self, path: Path, delimiter: str | None = None) -> None:
        require_file(path, (".csv", ".tsv", ".parquet"), "neither .csv, .tsv nor .parquet")
        self.path = path
        self.delimiter = delimiter or ("\t" if path.suffix == ".tsv" else ",")
        self.unfit: dict[str, str] = {}
        names = self._parquet_names() if self._is_parquet else self._csv_names()
        self.columns = tuple(name for name in names if name.strip() and name not in self.unfit)
        if not self.columns:
            raise DataError(f"{path.name}, line 1: it names no columns; add a header")

    def rows(self, columns: Collection[str], left_out: LeftOut) -> list[TableRow]:
        """The rows with these columns; those that cannot be read are left out.

        Raises ConfigError for a column that the table has not, or that cannot be mapped.
        """
        for column in columns:
            if column in self.unfit:
                raise ConfigError(f"{self.path.name}, column {column!r} {self.unfit[column]}")
            if column not in self.columns:
                raise ConfigError(unknown_name(f"column of {self.path.name}", column, self.columns))
        wanted = list(dict.fromkeys(columns))
        if not self._is_parquet:
            return list(csv_rows(self.path, wanted, left_out=left_out, delimiter=self.delimiter))
        texts = self._parquet_texts(wanted)
        return [
            (f"{self.path.name}, row {number}", dict(zip(wanted, row, strict=True)))
            for number, row in enumerate(zip(*texts, strict=True), 1)
        ]

    def _parquet_texts(self, columns: list[str]) -> list[list[str]]:
        """The cells of each column. Raises DataError where the file is damaged."""
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                counts = _counts(file.metadata)
                table = file.read(columns)
            texts = [[_text(value) for value in table[name].to_pylist()] for name in columns]
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise DataError(
                f"{self.path.name} is damaged ({first_line(error)}); copy or write it again"
            ) from error
        if counts != {table.num_rows}:
            told = " or ".join(map(str, sorted(counts)))
            raise DataError(f"{self.path.name} is damaged (it has {told} rows); write it again")
        return texts

    def found(self) -> tuple[int, list[ColumnFound]]:
        """How many rows can be read, and what is in each column."""
        rows = self.rows(self.columns, LeftOut(self.path.name))
        found = []
        for column in self.columns:
            texts = [cells[column] for _, cells in rows if cells[column].strip()]
            first = " ".join(texts[0].split()) if texts else ""
            if len(first) > _EXAMPLE_CHARACTERS:
                first = first[: _EXAMPLE_CHARACTERS - 1] + "…"
            found.append(ColumnFound(column, len(texts), len(set(texts)), first))
        return len(rows), found

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix == ".parquet"

    def _csv_names(self) -> list[str]:
        header = csv_header(self.path, self.delimiter)
        twice = [name for name, count in Counter(header).items() if count > 1 and name]
        self.unfit = dict.fromkeys(twice, "is there twice; name each column once")
        return list(dict.fromkeys(header))

    def _parquet_names(self) -> list[str]:
        try:
            schema = pq.read_schema(self.path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self.path.name} is not a Parquet file: {first_line(error)}"
            ) from error
        reason = "holds lists or records; write its parts as columns of texts and numbers"
        self.unfit = {f.name: reason for f in schema if pa.types.is_nested(f.type)}
        return list(schema.names)


def _counts(metadata: pq.FileMetaData) -> set[int]:
    """How many rows the parts of a file say that there are; a sound file says one number."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    of_columns = {
        sum(group.column(place).num_values for group in groups)
        for place in range(metadata.num_columns)
        if metadata.schema.column(place).max_repetition_level == 0
    }
    return {metadata.num_rows, sum(group.num_rows for group in groups), *of_columns}


def _text(value: object) -> str:
    """A cell as a CSV file would have it."""
    if value is None:
        return ""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
