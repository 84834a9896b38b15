"""What an export says of the run that it was made from, and that run made from it again.

An export is a run's content in files of other tools: tables (`exported_tables.py`), a log of
Inspect (`inspect_log.py`). Restored, it is a run directory in a temporary folder, so whatever
measures a run measures an export, by the same code.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from valueagents.errors import NOT_JSON, DataError
from valueagents.running.header import RunHeader
from valueagents.running.runs import Run
from valueagents.running.scratch import ScratchFolder
from valueagents.running.sessions import standing
from valueagents.running.store import RunStore
from valueagents.running.upgrade import upgraded_header
from valueagents.running.writer import RunWriter

EXPORT_VERSION = 1
"""Of what an export says of its run."""


class ExportFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an export says of its run: the header, how much of it there was, and how far it was.

    `crc32` has the checksums of the tables that are read back, by file name (a log has its own).
    `planned`, `started`, `ended` as `sessions.Standing` has them; `ended` is None while the run
    goes on.
    """

    header: RunHeader
    episodes: int
    decisions: int
    planned: int | None
    started: str | None
    ended: str | None
    crc32: dict[str, int] = {}
    export: int = EXPORT_VERSION


def export_facts(run: Run) -> ExportFacts:
    """What an export of the run as it is now says of it."""
    table = run.decisions(["episode"])
    episodes, told = len(table["episode"].unique()), standing(run.store)
    return ExportFacts(
        header=run.header,
        episodes=episodes,
        decisions=table.num_rows,
        planned=told.planned,
        started=told.started,
        ended=told.ended_with(episodes),
    )


def read_facts(raw: Any, where: str) -> ExportFacts:
    """The facts from their decoded JSON. Raises DataError, which names `where` it was found."""
    try:
        if isinstance(raw, dict) and isinstance(raw.get("header"), dict):
            raw = {**raw, "header": upgraded_header(raw["header"])}
        facts = msgspec.convert(raw, ExportFacts)
    except (*NOT_JSON, DataError) as error:
        raise DataError(
            f"{where}: not what `valueagents export` writes there ({error}); export the run again"
        ) from error
    if facts.export != EXPORT_VERSION:
        raise DataError(
            f"{where}: an export of version {facts.export}, this version reads {EXPORT_VERSION};"
            " use the version that wrote it"
        )
    return facts


def restored(
    name: str,
    facts: ExportFacts,
    write: Callable[[RunWriter], int],
    finish: Callable[[RunStore], object] = lambda store: None,
) -> Run:
    """The run of an export, in a temporary folder that lives as long as the run is held.

    Args:
        name: what messages call it.
        facts: what the export says.
        write: writes the episodes and failures that the export holds; the number of failures.
        finish: what is to be done when they are written.
    """
    scratch = ScratchFolder()
    try:
        store = RunStore.create(scratch.path / "run", facts.header)
        with store.writing() as writer:
            _tell_standing(writer, facts, write(writer))
        finish(store)
        return Run(store.path, temporary=scratch, name=name)
    except BaseException:
        scratch.close()
        raise


def _tell_standing(writer: RunWriter, facts: ExportFacts, failures: int) -> None:
    if facts.started is None:
        return
    planned = facts.episodes if facts.planned is None else facts.planned
    counts = {"planned": planned, "stored": facts.episodes, "failures": failures}
    owed = max(0, planned - facts.episodes)
    writer.session({"start": facts.started, "owed": owed, **counts})
    if facts.ended is not None:
        writer.session({"end": facts.ended, "finished": 0, "failed": 0, "wall_s": 0.0})
