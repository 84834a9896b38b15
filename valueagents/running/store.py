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
    shard-1-of-3/             the same, of a process that plays a part of the run (`shards.py`)

`run.json` and every line of a segment say their schema; what an older one lacks is added in reading
(`upgrade.py`). Every line ends with a checksum (`sealed.py`); lines of older runs have none and are
read as they are.

A torn last line of a segment is an episode that did not finish: it is owed again. What is damaged
is left out in reading, said (`health.py`), and owed again, too: the next `valueagents run` keeps
the damaged file beside one of its readable lines.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from valueagents.contracts.decision import Covariate, Episode, Factor, Failure
from valueagents.errors import ConfigError, StoreError
from valueagents.running.durable import is_draft, remove_dead_drafts
from valueagents.running.durable import (
    write_atomically as write_atomically,
)  # for all that replaces a file
from valueagents.running.header import RUN_FILE, is_run, read_header, repair_header, write_header
from valueagents.running.header import RunHeader as RunHeader  # what a store holds
from valueagents.running.lock import LOCK_FILE, only_writer
from valueagents.running.records import (
    episode_records,
    failure_records,
    identity_of_line,
    session_records,
)
from valueagents.running.salvage import set_right
from valueagents.running.segments import Damage, read_lines
from valueagents.running.shards import Shard, is_shard_folder, run_folders
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
        """The store at a path, its shards included.

        Raises StoreError if there is none, it cannot be read, it is of another schema, or its
        shards are of several runs.
        """
        path = Path(path)
        folders = run_folders(path)
        if not folders:
            raise StoreError(
                f"{str(path)!r} is not a run directory (it has no {RUN_FILE}); make one with"
                " `valueagents run --out`"
            )
        header, *others = map(read_header, folders)
        for folder, other in zip(folders[1:], others, strict=True):
            difference = difference_of_runs(other, header)
            if difference is not None:
                raise StoreError(
                    f"{str(folder)!r} is of another run than {str(folders[0])!r}: {difference};"
                    " move one of them away"
                )
        return cls(path, header)

    @classmethod
    def create(cls, path: Path | str, header: RunHeader, shard: Shard | None = None) -> "RunStore":
        """The store at a path, or that of a shard of the run there, made if there is none.

        Raises ConfigError if something else is there, StoreError if another process is making it
        just now.
        """
        path = Path(path)
        _require_free_or_same(path, header)
        place = path if shard is None else path / shard.folder
        if not is_run(place):
            if place != path:
                _require_free_or_same(place, header)
            place.mkdir(parents=True, exist_ok=True)
            with only_writer(place):
                if not is_run(place):
                    write_header(place, header)
        store = cls.open(place)
        require_same(store, header)
        return store

    @property
    def folders(self) -> list[Path]:
        """The folders that hold the run's files now: its own, those of its shards."""
        return run_folders(self.path)

    def name_of(self, file: Path) -> str:
        """The name of a file of the run; of a shard's with the folder."""
        return file.relative_to(self.path).as_posix()

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
        for file in self.failure_files():
            for _, failure in failure_records(file, reading.damages):
                yield failure

    def segments(self) -> list[Path]:
        """The episode segments in the order of writing, folder by folder."""
        return self._files(EPISODES)

    def failure_files(self) -> list[Path]:
        """The files of failures in the order of writing, folder by folder."""
        return self._files(FAILURES)

    def sessions(self, reading: StoreReading | None = None) -> list[dict[str, Any]]:
        """The starts and ends of processes that worked on the run, folder by folder, oldest first;
        unreadable lines are left out.
        """
        return list(chain.from_iterable(self.sessions_of_folders(reading).values()))

    def sessions_of_folders(
        self, reading: StoreReading | None = None
    ) -> dict[Path, list[dict[str, Any]]]:
        """As `sessions`, by folder."""
        reading = reading or StoreReading()
        return {
            folder: [
                record for _, record in session_records(folder / SESSIONS_FILE, reading.damages)
            ]
            for folder in self.folders
        }

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
        """The damaged files of the run's own folder hold their readable lines; where they are kept
        as they were. Those of a shard are set right by its own process.

        Only whoever is writing may do that. Raises DiskError.
        """
        own = [damage for damage in reading.damages if damage.file.parent == self.path]
        return set_right(own, self.header)

    def _files(self, pattern: str) -> list[Path]:
        return [
            file for folder in self.folders for file in sorted(folder.glob(pattern.format("*")))
        ]


def finished_identities(store: RunStore) -> set[str]:
    """The identities of the readable finished episodes; nothing else of them is decoded."""
    lines = (line for segment in store.segments() for line in read_lines(segment, []))
    return {identity for identity in map(identity_of_line, lines) if identity is not None}


def difference_of_runs(there: RunHeader, here: RunHeader) -> str | None:
    """The first field that makes the headers those of two runs, with both values; None if they are
    of one.
    """
    for name, then, now in _decisive(there, here):
        if then != now:
            return _difference(name, then, now)
    return None


def _require_free_or_same(path: Path, header: RunHeader) -> None:
    """Raise ConfigError if there is something at the path that is not this run."""
    if run_folders(path):
        require_same(RunStore.open(path), header)
    elif path.exists() and not (
        path.is_dir() and all(_is_passing(entry) for entry in path.iterdir())
    ):
        raise ConfigError(f"{str(path)!r} exists and is not a run directory; give another --out")


def require_same(store: RunStore, header: RunHeader) -> None:
    """Raise ConfigError if the header is of another run than the store's."""
    difference = difference_of_runs(store.header, header)
    if difference is not None:
        raise ConfigError(
            f"{str(store.path)!r} holds another run: {difference}; give another --out"
        )


def _is_passing(path: Path) -> bool:
    """What is there before a run is, or stays when making one was killed."""
    return path.name == LOCK_FILE or is_draft(path) or is_shard_folder(path)


def _decisive(there: RunHeader, here: RunHeader) -> Iterator[tuple[str, object, object]]:
    """The fields that must agree for two headers to be of one run, with the value of each."""
    for name in ("env_identity", "policy_identity", "seed"):
        yield name, getattr(there, name), getattr(here, name)
    if (
        there.factors
    ):  # schema 1 declared none, and its runs go on; else one table would hold two kinds of columns
        yield "list of factors", _named(there.factors), _named(here.factors)
    yield "list of covariates", _named(there.covariates), _named(here.covariates)


def _named(declared: Sequence[Factor] | Sequence[Covariate]) -> str:
    return ", ".join(each.name for each in declared) or "none"


def _difference(name: str, there: object, here: object) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        changed = [key for key in {**there, **here} if there.get(key) != here.get(key)]
        key = changed[0]
        return f"its {key} is {there.get(key)}, not {here.get(key)}"
    return f"its {name} is {there}, not {here}"
