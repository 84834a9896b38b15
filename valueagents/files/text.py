"""Text files that a user gives: found or refused with the nearest name, decoded or refused with the
line, read once.
"""

import json
import logging
import math
import tomllib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import Any, Literal, ParamSpec, TypeVar

import msgspec

from valueagents.errors import ConfigError, DataError, unknown_name

_FILES_KEPT = 8
_DEEPEST = 20
_read_too: ContextVar[list[Path] | None] = ContextVar("files read beside the one asked for")
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
    8 sets of arguments are kept. A file that `read` itself opens must not have changed either if it
    says so by `reads_too`.
    """
    kept: OrderedDict[object, tuple[T, dict[Path, object]]] = OrderedDict()
    lock = Lock()

    @wraps(read)
    def parsed(*args: P.args, **kwargs: P.kwargs) -> T:
        asked = args, tuple(kwargs.items())
        key = asked, tuple(_version(argument) for argument in (*args, *kwargs.values()))
        with lock:
            result, others = kept.pop(key) if key in kept else parse(*args, **kwargs)
            if any(version != _version(path) for path, version in others.items()):
                result, others = parse(*args, **kwargs)
            kept[key] = result, others
            if len(kept) > _FILES_KEPT:
                kept.popitem(last=False)
        return result

    def parse(*args: P.args, **kwargs: P.kwargs) -> tuple[T, dict[Path, object]]:
        others: list[Path] = []
        token = _read_too.set(others)
        try:
            result = read(*args, **kwargs)
        finally:
            _read_too.reset(token)
        for note in getattr(result, "notes", ()):
            _log.warning(note)
        return result, {path: _version(path) for path in others}

    return parsed


def reads_too(path: Path) -> None:
    """What is being parsed by a `once_per_file` function depends on this file as well."""
    others = _read_too.get(None)
    if others is not None:
        others.append(path)


def _version(argument: object) -> object:
    """What must be unchanged for an argument to mean the same again."""
    if isinstance(argument, tuple):
        return tuple(_version(part) for part in argument)
    if not isinstance(argument, Path):
        return argument
    try:
        status = argument.stat()
    except FileNotFoundError:
        return None
    return argument.resolve(), status.st_mtime_ns, status.st_size


def read_text(path: Path, errors: Literal["strict", "surrogateescape"] = "strict") -> str:
    """The file's text, without a byte order mark.

    Raises DataError with the line where it is not UTF-8; with `surrogateescape` such bytes become
    lone surrogates, and whoever reads on must look for them.
    """
    if errors == "surrogateescape":
        return path.read_bytes().decode("utf-8-sig", errors)
    return decode_text(path.name, path.read_bytes())


def decode_text(name: str, content: bytes) -> str:
    """The text of a file of that name, without a byte order mark.

    Raises DataError with the line where it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}, line {number}: not UTF-8 text ({error.reason}); save the file as UTF-8"
        ) from error


def read_lines(path: Path) -> list[str]:
    """The lines of a file of JSON lines, without the newlines; at least one, which may be empty."""
    return read_text(path).removesuffix("\n").split("\n")


def decode_json(where: str, text: str | msgspec.Raw, kind: type[T]) -> T:
    """The JSON value as that type. Raises DataError that begins with `where`.

    A key that an object has twice, of which every reader takes another one (RFC 8259, section 4),
    and a number that is not finite are malformed. Parts of a file that are `Raw` were looked
    through with the file.
    """
    try:
        if not isinstance(text, msgspec.Raw):
            _look_through(text)
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, _OddJsonError) as error:
        raise DataError(f"{where}: {error}") from error
    except UnicodeEncodeError:  # bytes that were read as lone surrogates
        raise DataError(f"{where}: not UTF-8 text; save the file as UTF-8") from None
    except RecursionError:
        raise DataError(f"{where}: it nests too deeply; write it flatter") from None


def published_json(path: Path) -> Any:
    """The JSON value of a published file, to be looked at part by part (`converted`): NaN, which
    Python writes, as null, and bytes that are not UTF-8 as lone surrogates. Numbers are not kept.

    Raises DataError with the place for what is not JSON, nests deeply, or has a key twice.
    """
    text = read_text(path, errors="surrogateescape")
    try:
        return json.loads(
            text,
            object_pairs_hook=_distinct,
            parse_int=len,
            parse_float=len,
            parse_constant=lambda _: None,
        )
    except (json.JSONDecodeError, _OddJsonError) as error:
        raise DataError(f"{path.name}: {error}") from error
    except RecursionError:
        raise DataError(f"{path.name}: it nests too deeply; write it flatter") from None


def converted(where: str, value: object, kind: type[T]) -> T:
    """A decoded JSON value as that type. Raises DataError that begins with `where`."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: {error}") from error
    except UnicodeEncodeError:  # a lone surrogate in a key, or in one of a few allowed words
        raise DataError(f"{where}: not UTF-8 text; save the file as UTF-8 to keep it") from None


class _OddJsonError(Exception):
    """JSON that readers do not agree about."""


def _look_through(text: str) -> None:
    """Raise _OddJsonError for what `decode_json` calls malformed; what is not JSON passes."""
    try:
        json.loads(text, object_pairs_hook=_distinct, parse_int=len, parse_float=_require_finite)
    except json.JSONDecodeError:
        return


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _OddJsonError(f"the key {key[:80]!r} is there twice in one object; give it once")
        found[key] = value
    return found


def _require_finite(number: str) -> None:
    if not math.isfinite(float(number)):
        raise _OddJsonError(f"the number {number[:80]} is too large")


def decode_toml(where: str, text: str) -> dict[str, Any]:
    """The table of a TOML text, with finite numbers alone. Raises DataError that begins with
    `where`, naming the line of what is malformed, or the field.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{where} is not TOML: {error}") from error
    except RecursionError:
        raise DataError(f"{where}: it nests too deeply; write it flatter") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise DataError(f"{where}: {str(error).partition(';')[0]}") from error
    _require_plain(where, table)
    return table


def _require_plain(where: str, table: dict[str, Any]) -> None:
    """Raise DataError, naming the field, for a number that is not finite and for deep nesting."""
    left: list[tuple[tuple[str, ...], object]] = [((), table)]
    while left:
        place, value = left.pop()
        if len(place) > _DEEPEST:
            raise DataError(f"{where}: {'.'.join(place[:3])}… nests too deeply; write it flatter")
        if isinstance(value, dict):
            left += [((*place, key), each) for key, each in value.items()]
        elif isinstance(value, list):
            left += [((*place, str(number)), each) for number, each in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"{where}: {'.'.join(place)} = {value} is not a finite number")
