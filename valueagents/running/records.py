"""From the files of a run directory to records; what cannot be read is left out and noted as
damage.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from valueagents.contracts.decision import (
    SCHEMA,
    Episode,
    Failure,
    episode_from_json,
    failure_from_json,
)
from valueagents.errors import NOT_JSON, StoreError
from valueagents.running.header import RunHeader
from valueagents.running.sealed import unseal
from valueagents.running.segments import Damage, read_lines
from valueagents.running.upgrade import upgraded_episode


def episode_records(
    segment: Path, header: RunHeader, damages: list[Damage]
) -> Iterator[tuple[bytes, Episode]]:
    """The lines of a segment, unsealed and as they are there, each with its episode in this schema.

    The first line that is not an episode is noted. Raises StoreError for an episode of another
    schema.
    """
    first_wrong = True
    decode = _decoder(header)
    for number, line in enumerate(read_lines(segment, damages), 1):
        try:
            episode = decode(line)
        except StoreError as error:
            if _is_of_another_schema(line):
                raise StoreError(f"{segment}, line {number}: {error}") from error
            if first_wrong:  # those after it may repeat what it lost
                damages.append(Damage(segment, f"at its readable line {number}", str(error)))
            first_wrong = False
        else:
            yield line, episode


class _Named(msgspec.Struct):
    """What is read of an episode to name it."""

    identity: str


_NAMED = msgspec.json.Decoder(_Named)


def identity_of_line(line: bytes) -> str | None:
    """The identity of an episode's unsealed line, of which nothing else is decoded; None if it has
    none.
    """
    try:
        return _NAMED.decode(line).identity
    except NOT_JSON:
        return None


def episode_of_line(line: bytes, header: RunHeader) -> Episode:
    """The episode of an unsealed line, in this schema. Raises StoreError if it is none."""
    return _decoder(header)(line)


def _decoder(header: RunHeader) -> Callable[[bytes], Episode]:
    upgrade = partial(upgraded_episode, header=msgspec.to_builtins(header))
    return partial(episode_from_json, upgrade=upgrade)


def failure_records(file: Path, damages: list[Damage]) -> Iterator[tuple[bytes, Failure]]:
    """The lines of a file of failures, unsealed, each with its failure; a torn last line is left
    out.
    """
    *lines, _torn = file.read_bytes().split(b"\n")
    for number, sealed in enumerate(lines, 1):
        line = unseal(sealed)
        if line is None:
            damages.append(Damage(file, f"at line {number}", "a wrong checksum"))
            continue
        try:
            failure = failure_from_json(line)
        except StoreError as error:
            damages.append(Damage(file, f"at line {number}", str(error)))
        else:
            yield line, failure


def session_records(file: Path, damages: list[Damage]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The lines of a file of sessions, unsealed, each with its record."""
    lines = file.read_bytes().split(b"\n") if file.exists() else []
    for number, sealed in enumerate(lines, 1):
        if not sealed:  # a line begins with a newline, too: the one before may be torn
            continue
        line = unseal(sealed)
        if line is None:
            damages.append(Damage(file, f"at line {number}", "a wrong checksum"))
            continue
        try:
            record = msgspec.json.decode(line, type=dict[str, Any])
        except NOT_JSON as error:
            damages.append(Damage(file, f"at line {number}", str(error)))
        else:
            yield line, record


def _is_of_another_schema(line: bytes) -> bool:
    """True if the line is JSON that another version of this package may have written."""
    try:
        raw = msgspec.json.decode(line)
    except NOT_JSON:
        return False
    schema = raw.get("schema") if isinstance(raw, dict) else None
    return isinstance(schema, int) and schema > SCHEMA
