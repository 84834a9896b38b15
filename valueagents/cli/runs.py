"""`valueagents runs`: what lies under a folder."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valueagents.cli.options import Json
from valueagents.cli.tables import print_json, print_table, table

if TYPE_CHECKING:
    from valueagents.running.inventory import FoundRun

FolderPath = Annotated[Path, typer.Argument(help="A folder with runs at any depth.")]


def runs(folder: FolderPath, as_json: Json = False) -> None:
    """List the runs, studies and pools under a folder, and how far each run is."""
    from valueagents.report.numbers import NOTHING, size
    from valueagents.running.inventory import take_inventory

    found = take_inventory(folder)
    if as_json:
        print_json(found)
        return
    if found.runs:
        rows = table(
            "run", "env", "policy", "adapter", "finished", "failed", "owed", "when", "size"
        )
        for run in found.runs:
            owed = NOTHING if run.owed is None else str(run.owed)
            counts = str(run.finished), str(run.failed), owed
            names = run.path, run.env, run.policy, (run.adapter or "")[:12]
            rows.add_row(*names, *counts, _when(run), size(run.size))
        print_table(rows)
    else:
        print(f"no run under {folder}")
    for study in found.studies:
        print(f"study {study.path}: {study.runs} runs. {study.answer}")
    for pool in found.pools:
        sources = len(pool.sources)
        print(f"pool {pool.path}: {pool.decisions} decisions of {sources} runs; {pool.runs} on it")
    for each in found.unreadable:
        print(f"warning: {each.path}: {each.why}", file=sys.stderr)


def _when(run: "FoundRun") -> str:
    """The end of a run; of one that has none, when it was last written."""
    if run.ended is not None:
        return run.ended[:16].replace("T", " ")
    written = datetime.fromtimestamp(run.written, UTC)
    return f"{written:%Y-%m-%d %H:%M}, not ended"
