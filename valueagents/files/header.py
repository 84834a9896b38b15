"""The first line of a bank's file: what holds for all that follow it.

Items, posts and statements are kept alike.
"""

import json
from pathlib import Path
from typing import TypeVar

import msgspec

from valueagents.errors import ConfigError, DataError
from valueagents.files.text import decode_json, reads_too
from valueagents.taxonomy import Taxonomy, is_taxonomy_file, load_taxonomy


class BankHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every bank's file begins with; `format` is `valueagents-…`, `provenance` says who
    annotated it and how.
    """

    format: str
    version: int
    taxonomy: str
    task: str
    provenance: str


H = TypeVar("H", bound=BankHeader)


def read_header(
    path: Path, line: str, kind: type[H], name: str, remedy: str = ""
) -> tuple[H, Taxonomy]:
    """The header of a file of format `name` 1, and its taxonomy.

    Raises DataError with an example of a right one.
    """
    try:
        header = decode_json("", line, kind)
    except DataError as error:
        problem = str(error).removeprefix(": ")
        wanted = f"it should read {_example(kind, name)}{remedy}"
        raise DataError(f"{path.name}, line 1 is not a header ({problem}); {wanted}") from error
    if (header.format, header.version) != (name, 1):
        found = f"format {header.format!r} version {header.version}"
        raise DataError(f"{path.name}, line 1: {found}; this reads {name} 1")
    return header, taxonomy_of(path, header.taxonomy, ", line 1")


def taxonomy_of(path: Path, name: str, place: str = "") -> Taxonomy:
    """The taxonomy that the file at `path` names: a bundled id, or a `.toml` file relative to it.

    Raises DataError that begins with the file's name and `place`.
    """
    try:
        taxonomy = load_taxonomy(name, path.parent)
    except ConfigError as error:
        raise DataError(f"{path.name}{place}: {error}") from error
    if is_taxonomy_file(name):
        reads_too(path.parent / name)
    return taxonomy


def _example(kind: type[BankHeader], name: str) -> str:
    """A header with all that is required."""
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    example: dict[str, object] = dict.fromkeys(required, "…")
    example |= {"format": name, "version": 1, "taxonomy": "schwartz20"}
    return json.dumps(example, ensure_ascii=False)
