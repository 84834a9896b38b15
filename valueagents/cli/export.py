"""`valueagents export`: a run in files of other tools."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from valueagents.cli.options import RunPath


def export(
    path: RunPath,
    to: Annotated[
        Literal["inspect", "parquet", "csv"],
        typer.Option(help="inspect: a log of Inspect (.eval); parquet, csv: a folder of tables."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="What to make; nothing may be there. Beside the run if not given."),
    ] = None,
) -> None:
    """Write a run for other tools; `score` and `compare` read it back."""
    from valueagents.exporting.inspect_log import export_inspect
    from valueagents.exporting.tables import export_tables
    from valueagents.running.runs import Run

    run = Run(path)
    ending = ".eval" if to == "inspect" else f"-{to}"
    place = out or run.path.resolve().with_name(f"{run.path.resolve().name}{ending}")
    print(export_inspect(run, place) if to == "inspect" else export_tables(run, place, to))
    for problem in run.problems():
        print(f"warning: {problem}", file=sys.stderr)
