"""What lies under a folder: runs, studies and pools, told from headers and counts; no transcript is
read.

Links to folders are not followed, so nothing outside the folder is met and nothing twice. Folders
whose name begins with a dot are left out. What cannot be read is named with the reason, and the
rest is told.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from valueagents.contracts.decision import Failure
from valueagents.errors import ConfigError, DataError, StoreError
from valueagents.identity import content_hash
from valueagents.running.header import RunHeader
from valueagents.running.pool import POOL_FILE, PoolSource, read_pool_header
from valueagents.running.sealed import read_sealed
from valueagents.running.sessions import standing
from valueagents.running.shards import run_folders, shard_folders
from valueagents.running.store import RunStore, StoreReading, finished_identities
from valueagents.running.table import TABLE_FILE, current_facts
from valueagents.running.writer import EPISODES

STUDY_FILES = ("study.json", "adapters.json")
STUDY_FORMATS = ("valueagents-study", "valueagents-adapters")
_KEY_DIGITS = 12


class FoundRun(msgspec.Struct, frozen=True):
    """A run: what it is, and how far it is.

    `path` is relative to the folder. `key` is the run's identity, env, policy and seed, in 12 hex
    digits; a further copy of a run has one of its own. `adapter` is None for a base model or a
    policy that has none. `planned`, `owed`, `started` and `ended` are None where no session says
    them; `ended` also while the run goes on, or when it was stopped. `written` is when a file of it
    last changed, `size` its bytes on the disk.
    """

    path: str
    key: str
    env: str
    policy: str
    adapter: str | None
    seed: int
    finished: int
    failed: int
    planned: int | None
    owed: int | None
    started: str | None
    ended: str | None
    written: float
    size: int


class FoundStudy(msgspec.Struct, frozen=True):
    """The results of a study: the file that holds them, its answer, and how many runs are there."""

    path: str
    format: str
    answer: str
    runs: int


class FoundPool(msgspec.Struct, frozen=True):
    """A frozen pool: its decisions, the runs that it was drawn from, and how many were made on it
    beside it.
    """

    path: str
    decisions: int
    sources: tuple[PoolSource, ...]
    runs: int


class Unreadable(msgspec.Struct, frozen=True):
    """Something under the folder that looks like a run, study or pool and cannot be read, or a
    folder that cannot be opened.
    """

    path: str
    why: str


class Inventory(msgspec.Struct, frozen=True):
    """All that was found under a folder, each kind sorted by path."""

    folder: str
    runs: list[FoundRun]
    studies: list[FoundStudy]
    pools: list[FoundPool]
    unreadable: list[Unreadable]


def take_inventory(folder: Path) -> Inventory:
    """What is under a folder now. Raises ConfigError if there is no such folder."""
    if not folder.is_dir():
        raise ConfigError(f"{str(folder)!r} is not a folder; give one that holds runs")
    runs: list[FoundRun] = []
    studies: list[FoundStudy] = []
    pools: list[FoundPool] = []
    unreadable: list[Unreadable] = []
    keys: set[str] = set()
    for place in _folders(folder, unreadable):
        name = str(place.relative_to(folder))
        try:
            if run_folders(place):
                runs.append(_run(place, name, keys))
            elif any(place.glob(EPISODES.format("*"))):
                unreadable.append(Unreadable(name, "holds episodes and no run.json"))
        except (StoreError, OSError) as error:
            unreadable.append(Unreadable(name, _reason(error)))
        for file in (*STUDY_FILES, POOL_FILE):
            if not (place / file).is_file():
                continue
            try:
                if file == POOL_FILE:
                    pools.append(_pool(place / file, name))
                else:
                    studies += _study(place / file, name)
            except (DataError, StoreError, OSError) as error:
                unreadable.append(Unreadable(f"{name}/{file}", _reason(error)))
    below = [run.path for run in runs]
    return Inventory(
        folder=str(folder),
        runs=runs,
        studies=[msgspec.structs.replace(each, runs=_below(each.path, below)) for each in studies],
        pools=[msgspec.structs.replace(each, runs=_below(each.path, below)) for each in pools],
        unreadable=unreadable,
    )


def run_key(header: RunHeader) -> str:
    """What names a run in addresses: of its env, policy and seed, wherever the folder lies."""
    parts = header.env_identity, header.policy_identity, header.seed
    return content_hash("run", *parts)[:_KEY_DIGITS]


def _folders(folder: Path, unreadable: list[Unreadable]) -> Iterator[Path]:
    """The folder and all folders under it, sorted."""

    def refused(error: OSError) -> None:
        unreadable.append(Unreadable(_shown(error.filename, folder), str(error.strerror)))

    for place, below, _ in os.walk(folder, onerror=refused):
        names = sorted(name for name in below if not name.startswith("."))
        readable = [name for name in names if _is_utf8(name)]
        shards = {shard.name for shard in shard_folders(Path(place))}
        below[:] = [name for name in readable if name not in shards]  # a run's, told with it
        for name in names:
            if name not in readable:
                why = "its name is not UTF-8; rename it"
                unreadable.append(Unreadable(_shown(Path(place, name), folder), why))
        yield Path(place)


def _is_utf8(name: str) -> bool:
    return name.encode(errors="replace") == name.encode(errors="surrogateescape")


def _shown(place: Path | str, folder: Path) -> str:
    """The path of a place in the folder, whatever bytes its name has."""
    return os.fsencode(Path(place).relative_to(folder)).decode(errors="backslashreplace")


def _run(place: Path, name: str, keys: set[str]) -> FoundRun:
    store = RunStore.open(place)
    header, key = store.header, run_key(store.header)
    if key in keys:
        key = content_hash("copy", key, name)[:_KEY_DIGITS]
    keys.add(key)
    told = standing(store)
    finished, failed = count_episodes(store)
    files = [
        entry.stat()
        for folder in {place, *store.folders}
        for entry in os.scandir(folder)
        if entry.is_file(follow_symlinks=False)
    ]
    return FoundRun(
        path=name,
        key=key,
        env=header.env,
        policy=header.policy,
        adapter=_adapter(header.policy_identity),
        seed=header.seed,
        finished=finished,
        failed=failed,
        planned=told.planned,
        owed=None if told.planned is None else max(0, told.planned - finished),
        started=told.started,
        ended=told.ended_with(finished),
        written=max((file.st_mtime for file in files), default=0.0),
        size=sum(file.st_size for file in files),
    )


def count_episodes(store: RunStore) -> tuple[int, int]:
    """How many episodes have finished, and how many failed and have not finished since.

    The table of a run tells, where it is up to date; else the lines of the segments are counted.
    """
    failures: set[str] = {failure.identity for failure in _failures(store)}
    facts = current_facts(store)
    if facts is not None and not failures:
        return facts.episodes, 0
    finished = finished_identities(store) if facts is None else _tabled(store)
    return len(finished), len(failures - finished)


def _failures(store: RunStore) -> Iterator[Failure]:
    return store.failures(StoreReading())


def _tabled(store: RunStore) -> set[str]:
    """The episodes of the table; of the segments where it cannot be read."""
    try:
        with pq.ParquetFile(store.path / TABLE_FILE) as file:
            return set(file.read(columns=["episode"])["episode"].to_pylist())
    except (OSError, ValueError):
        return finished_identities(store)


def _adapter(policy: Mapping[str, str]) -> str | None:
    adapter = policy.get("adapter", "none")
    return None if adapter == "none" else adapter


def _pool(file: Path, name: str) -> FoundPool:
    header = read_pool_header(file)
    decisions = sum(source.decisions for source in header.sources)
    return FoundPool(name, decisions, header.sources, 0)


def _study(file: Path, name: str) -> list[FoundStudy]:
    """The study whose results are in a file; none if the file is something else's."""
    raw = read_sealed(file, dict[str, Any], remedy="give the command of the study again")
    form = str(raw.get("format", ""))
    if not form.startswith(STUDY_FORMATS):
        return []
    return [FoundStudy(name, form, str(raw.get("answer", "")), 0)]


def _below(path: str, runs: list[str]) -> int:
    return sum(path in (".", run) or run.startswith(f"{path}/") for run in runs)


def _reason(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)
