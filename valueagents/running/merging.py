"""`merge`: the shards of a run, or copies of it from several machines, as one run directory."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

from valueagents.errors import ConfigError
from valueagents.running.header import write_header
from valueagents.running.runs import Run
from valueagents.running.sessions import combined, now, standing
from valueagents.running.store import RunHeader, RunStore, difference_of_runs, finished_identities
from valueagents.running.writer import EPISODES, FAILURES


def merge(sources: Sequence[Path | str], out: Path | str) -> Run:
    """The run of which the sources hold parts is one directory at `out`; the sources stay.

    Args:
        sources: run directories, folders of shards or single shards, of one run.
        out: where nothing is yet; it is there whole or, after a kill, not at all.

    An episode that several hold counts once, as the first of them has it. Raises ConfigError if
    they are of several runs, StoreError for what is not a run.
    """
    if not sources:
        raise ConfigError("merge needs at least one run")
    stores, place = [RunStore.open(source) for source in sources], Path(out)
    _require_one_run(stores)
    if place.exists():
        raise ConfigError(f"{str(place)!r} exists; give a path where nothing is")
    place.parent.mkdir(parents=True, exist_ok=True)
    made = place.with_name(f".{place.name}.{token_hex(4)}")
    try:
        _write(stores, made)
        made.rename(place)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Run(place)


def _require_one_run(stores: Sequence[RunStore]) -> None:
    first = stores[0]
    if first.header.unrepeatable is not None:
        raise ConfigError(
            f"{str(first.path)!r} cannot be merged ({first.header.unrepeatable}): whether another"
            " run is of the same env and policy cannot be told"
        )
    for other in stores[1:]:
        difference = difference_of_runs(other.header, first.header)
        if difference is not None:
            raise ConfigError(
                f"{str(other.path)!r} is of another run than {str(first.path)!r}: {difference}"
            )


def _write(stores: Sequence[RunStore], folder: Path) -> None:
    """The files of the stores are in a new folder, their lines as they were written."""
    header: RunHeader = stores[0].header
    folder.mkdir()
    write_header(folder, header)
    _copy([file for store in stores for file in store.segments()], folder, EPISODES)
    _copy([file for store in stores for file in store.failure_files()], folder, FAILURES)
    merged = RunStore.open(folder)
    finished, failures = finished_identities(merged), list(merged.failures())
    told = combined([standing(store) for store in stores])
    planned = len(finished) if told.planned is None else told.planned
    counts = {
        "planned": planned,
        "stored": len(finished),
        "owed": max(0, planned - len(finished)),
        "failures": len(failures),
    }
    failed = {failure.identity for failure in failures} - finished
    with merged.writing() as writer:
        for store in stores:
            for session in store.sessions():
                writer.session(session)
        writer.session({"start": now(), "merged": len(stores), **counts})
        if told.is_complete(len(finished), len(failed)):
            writer.session({"end": now(), "finished": 0, "failed": 0, "wall_s": 0.0})


def _copy(files: Sequence[Path], folder: Path, pattern: str) -> None:
    for number, file in enumerate(files, 1):
        shutil.copyfile(file, folder / pattern.format(f"{number:04d}"))
