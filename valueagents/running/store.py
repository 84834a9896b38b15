"""The run directory on disk: append-only truth that kills, full disks and damaged bytes leave
readable.

    run.json, run.json.bak    what is run: resolved settings, identities, the whole taxonomy
                              (written once, and a copy)
    sessions.jsonl            one line for each start and end of a process that worked on it
    episodes-0001.jsonl.gz    one line a finished episode; each process writes a segment of its own
                              (`segments.py`)
    failures-0001.jsonl       one line a failed episode, with its attempt number
    decisions.parquet, .json  made from the segments, with their checksum; may be deleted at any
                              time (`table.py`)
    run.log                   what happened meanwhile, for people (`run_log.py`)
    .lock                     held by the one process that writes

`run.json` and every line of a segment say their schema; what an older one lacks is added in reading
(`upgrade.py`). Every line ends with a checksum (`sealed.py`); lines of older runs have none and are
read as they are.

A torn last line of a segment is an episode that did not finish: it is owed again. What is damaged
is left out in reading, said (`health.py`), and owed again, too: the next `valueagents run` keeps
the damaged file beside one of its readable lines.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valueagents.contracts.decision import Episode, Failure
from valueagents.errors import ConfigError, StoreError
from valueagents.running.durable import is_draft, remove_dead_drafts
from valueagents.running.durable import (
    write_atomically as write_atomically,
)  # for all that replaces a file
from valueagents.running.header import RUN_FILE, is_run, read_header, repair_header, write_header
from valueagents.running.header import RunHeader as RunHeader  # what a store holds
from valueagents.running.lock import LOCK_FILE, only_writer
from valueagents.running.records import episode_records, failure_records, session_records
from valueagents.running.salvage import set_right
from valueagents.running.segments import Damage
from valueagents.running.writer import EPISODES, FAILURES, SESSIONS_FILE
from valueagents.running.writer import RunWriter as RunWriter  # what `RunStore.writing` gives


@dataclass(slots=True)
class StoreReading:
    """What was met while episodes or failures were read: identities of finished episodes, and
    damages.
    """

    finished: set[str] = field(default_factory=set)
    damages: list[Damage] = field(default_factory=list)


class RunStore:
    """A run directory. Open one with `RunStore.open`, or make it with `RunStore.create`."""

    def __init__(self, path: Path, header: RunHeader) -> None:
        self.path = path
        self.header = header
        self.checked: dict[str, object] = {}
        """Files of the run whose checksum was right -> which version of the file that was."""

    @classmethod
    def open(cls, path: Path | str) -> "RunStore":
        """The store at a path. Raises StoreError if there is none, it cannot be read, or it is of
        another schema.
        """
        path = Path(path)
        if not is_run(path):
            raise StoreError(
                f"{str(path)!r} is not a run directory (it has no {RUN_FILE}); make one with"
                " `valueagents run --out`"
            )
        return cls(path, read_header(path))

    @classmethod
    def create(cls, path: Path | str, header: RunHeader) -> "RunStore":
        """The store at a path, made if there is none.

        Raises ConfigError if something else is there, StoreError if another process is making it
        just now.
        """
        path = Path(path)
        if not is_run(path):
            if path.exists() and not (
                path.is_dir() and all(_is_passing(entry) for entry in path.iterdir())
            ):
                raise ConfigError(
                    f"{str(path)!r} exists and is not a run directory; give another --out"
                )
            path.mkdir(parents=True, exist_ok=True)
            with only_writer(path):
                if not is_run(path):
                    write_header(path, header)
        store = cls.open(path)
        for name, there, here in _decisive(store.header, header):
            if there != here:
                raise ConfigError(
                    f"{str(path)!r} holds another run: {_difference(name, there, here)}; give"
                    " another --out"
                )
        return store

    def episodes(self, reading: StoreReading | None = None) -> Iterator[Episode]:
        """The readable finished episodes in the order of writing, each identity once; `reading`
        notes what is met.

        Raises StoreError for one of another schema.
        """
        reading = reading or StoreReading()
        for segment in self.segments():
            for _, episode in episode_records(segment, self.header, reading.damages):
                if episode.identity not in reading.finished:
                    reading.finished.add(episode.identity)
                    yield episode

    def failures(self, reading: StoreReading | None = None) -> Iterator[Failure]:
        """All readable failed attempts in the order of writing, those that a later attempt mended
        included.
        """
        reading = reading or StoreReading()
        for file in sorted(self.path.glob(FAILURES.format("*"))):
            for _, failure in failure_records(file, reading.damages):
                yield failure

    def segments(self) -> list[Path]:
        """The episode segments in the order of writing."""
        return sorted(self.path.glob(EPISODES.format("*")))

    def sessions(self, reading: StoreReading | None = None) -> list[dict[str, Any]]:
        """The starts and ends of processes that worked on the run, oldest first; unreadable lines
        are left out.
        """
        reading = reading or StoreReading()
        return [record for _, record in session_records(self.path / SESSIONS_FILE, reading.damages)]

    @contextmanager
    def writing(self) -> Iterator[RunWriter]:
        """A writer, alone in the directory, which is put in order first: drafts of killed
        processes, a lost header.

        Raises StoreError if another process is writing there.
        """
        with only_writer(self.path):
            remove_dead_drafts(self.path)
            repair_header(self.path)
            writer = RunWriter(self.path)
            try:
                yield writer
            except BaseException:
                with suppress(OSError, StoreError):  # whose error would hide the first
                    writer.close()
                raise
            writer.close()

    def set_right(self, reading: StoreReading) -> list[Path]:
        """The files that were damaged hold their readable lines; where they are kept as they were.

        Only whoever is writing may do that. Raises DiskError.
        """
        return set_right(reading.damages, self.header)


def _is_passing(path: Path) -> bool:
    """What is there before a run is, or stays when making one was killed."""
    return path.name == LOCK_FILE or is_draft(path)


def _decisive(there: RunHeader, here: RunHeader) -> Iterator[tuple[str, object, object]]:
    """The fields that must agree for two headers to be of one run, with the value of each."""
    for name in ("env_identity", "policy_identity", "seed"):
        yield name, getattr(there, name), getattr(here, name)
    if (
        there.factors
    ):  # schema 1 declared none, and its runs go on; else one table would hold two kinds of columns
        yield "list of factors", _named(there), _named(here)


def _named(header: RunHeader) -> str:
    return ", ".join(factor.name for factor in header.factors) or "none"


def _difference(name: str, there: object, here: object) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        changed = [key for key in {**there, **here} if there.get(key) != here.get(key)]
        key = changed[0]
        return f"its {key} is {there.get(key)}, not {here.get(key)}"
    return f"its {name} is {there}, not {here}"
