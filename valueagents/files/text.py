"""Text files that a user gives: found or refused with the nearest name, decoded or refused with the
line, read once.
"""

import csv
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec

from valueagents.errors import ConfigError, DataError, unknown_name

_FILES_KEPT = 8
_log = logging.getLogger("valueagents")

P = ParamSpec("P")
T = TypeVar("T")


def require_file(path: Path, suffixes: Sequence[str], kinds: str) -> None:
    """Raise ConfigError if the file is not there or ends in none of `suffixes`; `kinds` says what
    can be read.
    """
    if path.suffix not in suffixes:
        raise ConfigError(f"data file {str(path)!r} is {kinds}")
    if not path.is_file():
        nearby = [entry.name for entry in path.parent.glob("*")] if path.parent.is_dir() else []
        known = [str(path.parent / name) for name in nearby]
        raise ConfigError(
            unknown_name("data file", str(path), known, remedy="Give the path of a file.")
        )


def once_per_file(read: Callable[P, T]) -> Callable[P, T]:
    """`read`, which parses a file once however many envs ask for it; a changed file is parsed
    again.

    A path among the arguments, alone or in a tuple, stands for the file's place, modification time
    and size. All arguments must be hashable, and the result is shared: it must not be changed. What
    a result has as `notes`, a sentence each, is logged when it is parsed. The results for the last
    8 sets of arguments are kept.
    """

    def parse(versions: tuple[object, ...], *args: P.args, **kwargs: P.kwargs) -> T:
        result = read(*args, **kwargs)
        for note in getattr(result, "notes", ()):
            _log.warning(note)
        return result

    kept: Callable[..., T] = lru_cache(maxsize=_FILES_KEPT)(parse)

    @wraps(read)
    def parsed(*args: P.args, **kwargs: P.kwargs) -> T:
        versions = tuple(_version(argument) for argument in (*args, *kwargs.values()))
        return kept(versions, *args, **kwargs)

    return parsed


def _version(argument: object) -> object:
    """What must be unchanged for an argument to mean the same again."""
    if isinstance(argument, tuple):
        return tuple(_version(part) for part in argument)
    if not isinstance(argument, Path):
        return argument
    status = argument.stat()
    return argument.resolve(), status.st_mtime_ns, status.st_size


def read_text(path: Path) -> str:
    """The file's text, without a byte order mark.

    Raises DataError with the line where it is not UTF-8.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path.name}, line {number}: not UTF-8 text ({error.reason}); save the file as UTF-8"
        ) from error


def read_lines(path: Path) -> list[str]:
    """The lines of a file of JSON lines, without the newlines; at least one, which may be empty."""
    return read_text(path).removesuffix("\n").split("\n")


def decode_json(where: str, text: str | msgspec.Raw, kind: type[T]) -> T:
    """The JSON value as that type. Raises DataError that begins with `where`."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DataError(f"{where}: {error}") from error


def csv_rows(
    path: Path, columns: Sequence[str], *, remedy: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file with a header, each with its place (`FILE, line N`) and all its
    columns.

    Raises DataError with the line for one of `columns` that the header lacks (`remedy` says what
    the file should have), for a row of another length, and for what is not CSV; none of it before
    the first row is asked for.
    """
    rows: csv.DictReader[str] = csv.DictReader(
        io.StringIO(read_text(path), newline=""), strict=True
    )
    try:
        found: Sequence[Any] = rows.fieldnames or []
        for column in columns:
            if column not in found:
                problem = unknown_name("wanted column", column, found, remedy=remedy)
                raise DataError(f"{path.name}, line 1: {problem}")
        for row in rows:
            where = f"{path.name}, line {rows.line_num}"
            if None in row or None in row.values():
                raise DataError(
                    f"{where}: {len(found)} columns are wanted, this row has more or fewer"
                )
            yield where, row
    except csv.Error as error:
        raise DataError(f"{path.name}, line {rows.line_num + 1}: {error}") from error
