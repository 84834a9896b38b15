"""Text files that a user gives: found or refused with the nearest name, and decoded or refused with the line."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from valueagents.errors import ConfigError, DataError, unknown_name

T = TypeVar("T")


def require_file(path: Path, suffixes: Sequence[str], kinds: str) -> None:
    """Raise ConfigError if the file is not there or ends in none of `suffixes`; `kinds` says what can be read."""
    if path.suffix not in suffixes:
        raise ConfigError(f"data file {str(path)!r} is {kinds}")
    if not path.is_file():
        nearby = [entry.name for entry in path.parent.glob("*")] if path.parent.is_dir() else []
        known = [str(path.parent / name) for name in nearby]
        raise ConfigError(unknown_name("data file", str(path), known, remedy="Give the path of a file."))


def read_text(path: Path) -> str:
    """The file's text. Raises DataError with the line where it is not UTF-8."""
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
