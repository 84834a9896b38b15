"""The run directory on disk: append-only truth that any kill leaves readable.

    run.json                  what is run: resolved settings, identities, the whole taxonomy (written once)
    sessions.jsonl            one line for each start and end of a process that worked on it
    episodes-0001.jsonl.gz    one line a finished episode, flushed; each process writes a segment of its own
    failures-0001.jsonl       one line a failed episode, with its attempt number
    decisions.parquet         made from the segments; may be deleted at any time

`run.json` and every line of a segment say their schema; what an older one lacks is added in reading (`upgrade.py`).

A torn last line of a segment is an episode that did not finish: it is owed again. Segments are gzip files (`zcat`
reads them) flushed after every line, so a killed process loses nothing that it had finished. Their checksum stands at
the end: a byte that a disk changes in a segment that was closed is always noticed, in a killed one nearly always.
"""

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from valueagents.contracts.decision import (
    SCHEMA,
    Episode,
    Factor,
    Failure,
    episode_from_json,
    failure_from_json,
    to_json,
)
from valueagents.contracts.environment import MIN_CONTESTED
from valueagents.errors import ConfigError, StoreError
from valueagents.running.upgrade import upgraded_episode, upgraded_header
from valueagents.taxonomy import Taxonomy

_GZIP = 31  # zlib's window-bits code for the gzip container
_MOVE_AWAY = "move it away and run again: its episodes are then owed"
_LEVEL = 3  # at 6 packing was the largest cost of an instant episode
_READ_BYTES = 1 << 20


class RunHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run directory holds. The identities decide; specs and options are there to repeat the run by hand.

    `unrepeatable` says why the run cannot be continued: its env or policy has no content hash (None: it can).
    `informed` marks a run whose policy saw annotations (calibration). `min_contested` decisions on an axis are enough
    for a number. `factors` are the declarations of the env, whose levels stand in the decisions.
    """

    env: str
    env_options: dict[str, Any]
    policy: str
    seed: int
    task: str
    env_identity: dict[str, str]
    policy_identity: dict[str, str]
    taxonomy: Taxonomy
    independent_menus: bool
    informed: bool
    schema: int = SCHEMA
    min_contested: int = MIN_CONTESTED
    factors: tuple[Factor, ...] = ()
    unrepeatable: str | None = None


class RunStore:
    """A run directory. Open one with `RunStore.open`, or make it with `RunStore.create`."""

    def __init__(self, path: Path, header: RunHeader) -> None:
        self.path = path
        self.header = header

    @classmethod
    def open(cls, path: Path | str) -> "RunStore":
        """The store at a path. Raises StoreError if there is none or it is of another schema."""
        path = Path(path)
        file = path / "run.json"
        if not file.is_file():
            raise StoreError(
                f"{str(path)!r} is not a run directory (it has no run.json); make one with `valueagents run --out`"
            )
        try:
            raw = msgspec.json.decode(file.read_bytes())
            if isinstance(raw, dict):
                raw = upgraded_header(raw)
                if raw.get("schema") != SCHEMA:
                    raise StoreError(
                        f"{file} has schema {raw.get('schema')}, this version reads {SCHEMA}; "
                        "use the version that wrote it"
                    )
            return cls(path, msgspec.convert(raw, RunHeader))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(f"{file} is damaged: {error}") from error

    @classmethod
    def create(cls, path: Path | str, header: RunHeader) -> "RunStore":
        """The store at a path, made if there is none. Raises ConfigError if another run is there already."""
        path = Path(path)
        if not (path / "run.json").exists():
            if path.exists() and not (path.is_dir() and all(_is_draft(entry) for entry in path.iterdir())):
                raise ConfigError(f"{str(path)!r} exists and is not a run directory; give another --out")
            path.mkdir(parents=True, exist_ok=True)
            write_atomically(path / "run.json", msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n")
        store = cls.open(path)
        for field, there, here in _decisive(store.header, header):
            if there != here:
                raise ConfigError(
                    f"{str(path)!r} holds another run: {_difference(field, there, here)}; give another --out"
                )
        return store

    def episodes(self) -> Iterator[Episode]:
        """The finished episodes in the order of writing, each identity once."""
        seen: set[str] = set()
        upgrade = partial(upgraded_episode, header=msgspec.to_builtins(self.header))
        for segment in self.segments():
            for number, line in enumerate(_whole_lines(segment), 1):
                try:
                    episode = episode_from_json(line, upgrade=upgrade)
                except StoreError as error:
                    raise StoreError(f"{segment}, line {number}: {error}; {_MOVE_AWAY}") from error
                if episode.identity not in seen:
                    seen.add(episode.identity)
                    yield episode

    def failures(self) -> Iterator[Failure]:
        """All failed attempts in the order of writing, those that a later attempt mended included."""
        for segment in sorted(self.path.glob("failures-*.jsonl")):
            for number, line in enumerate(segment.read_bytes().split(b"\n")[:-1], 1):
                try:
                    yield failure_from_json(line)
                except StoreError as error:
                    raise StoreError(f"{segment}, line {number}: {error}; move it away") from error

    def segments(self) -> list[Path]:
        """The episode segments in the order of writing."""
        return sorted(self.path.glob("episodes-*.jsonl.gz"))

    def sessions(self) -> list[dict[str, Any]]:
        """The starts and ends of processes that worked on the run, oldest first; a line torn by a kill is left out."""
        file = self.path / "sessions.jsonl"
        found = []
        for line in file.read_bytes().split(b"\n") if file.exists() else []:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                found.append(msgspec.json.decode(line, type=dict[str, Any]))
        return found

    @contextmanager
    def writing(self) -> Iterator["RunWriter"]:
        """A writer, alone in the directory. Raises StoreError if another process is writing there."""
        with (self.path / "run.json").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"another process is writing to {str(self.path)!r}; wait for it or give another --out"
                ) from None
            writer = RunWriter(self.path)
            try:
                yield writer
            finally:
                writer.close()


class RunWriter:
    """Appends to a run directory; every line is with the operating system before the call returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._episodes: BinaryIO | None = None
        self._failures: BinaryIO | None = None
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)

    def episode(self, episode: Episode) -> None:
        """Append a finished episode."""
        self._episodes = self._episodes or self._segment("episodes-{:04d}.jsonl.gz")
        packed = self._gzip.compress(to_json(episode) + b"\n") + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        self._episodes.write(packed)

    def failure(self, failure: Failure) -> None:
        """Append a failed episode."""
        self._failures = self._failures or self._segment("failures-{:04d}.jsonl")
        self._failures.write(to_json(failure) + b"\n")

    def session(self, record: dict[str, Any]) -> None:
        """Append a line on a process that starts or ends."""
        with (self._path / "sessions.jsonl").open("ab", buffering=0) as file:
            file.write(b"\n" + msgspec.json.encode(record) + b"\n")  # the line before may be torn

    def close(self) -> None:
        """Finish the segments."""
        if self._episodes is not None:
            self._episodes.write(self._gzip.flush(zlib.Z_FINISH))
            self._episodes.close()
        if self._failures is not None:
            self._failures.close()

    def _segment(self, pattern: str) -> BinaryIO:
        """A new file after all that are there; unbuffered, so that a kill loses no finished line."""
        taken = [int(path.name.split("-")[1].split(".")[0]) for path in self._path.glob(pattern.replace("{:04d}", "*"))]
        return (self._path / pattern.format(max(taken, default=0) + 1)).open("xb", buffering=0)


def write_atomically(path: Path, content: bytes) -> None:
    """The file holds all of the content or is as it was before."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def _is_draft(path: Path) -> bool:
    """What a kill in the middle of an atomic write leaves behind."""
    return path.name.startswith(".run.json.")


def _whole_lines(segment: Path) -> Iterator[bytes]:
    """The lines of a segment that were written to their end; a torn last line is left out."""
    unpack, rest = zlib.decompressobj(_GZIP), b""
    with segment.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            try:
                rest += unpack.decompress(chunk)
            except zlib.error as error:  # a kill tears the end off; it does not change a byte before it
                raise StoreError(f"{segment} is damaged ({error}); {_MOVE_AWAY}") from error
            *lines, rest = rest.split(b"\n")
            yield from lines


def _decisive(there: RunHeader, here: RunHeader) -> Iterator[tuple[str, object, object]]:
    """The fields that must agree for two headers to be of one run, with the value of each."""
    for field in ("env_identity", "policy_identity", "seed"):
        yield field, getattr(there, field), getattr(here, field)
    if there.factors:  # schema 1 declared none, and its runs go on; else one table would hold two kinds of columns
        yield "list of factors", _named(there), _named(here)


def _named(header: RunHeader) -> str:
    return ", ".join(factor.name for factor in header.factors) or "none"


def _difference(field: str, there: object, here: object) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        changed = [key for key in {**there, **here} if there.get(key) != here.get(key)]
        key = changed[0]
        return f"its {key} is {there.get(key)}, not {here.get(key)}"
    return f"its {field} is {there}, not {here}"
