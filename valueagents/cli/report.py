"""`valueagents report`: a page on runs of any policies in any envs with any seeds."""

from pathlib import Path
from typing import Annotated

import typer

from valueagents.cli.options import LowMass, Primary, RunFolders


def report(
    runs: RunFolders,
    out: Annotated[
        Path | None, typer.Option(help="HTML file; default: report.html in the first run.")
    ] = None,
    primary: Primary = None,
    low_mass: LowMass = False,
    tables: Annotated[
        Path | None,
        typer.Option(help="Folder for every number as CSV and Parquet; default: beside the page."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the pictures as SVG and PNG.")
    ] = None,
) -> None:
    """Write an HTML report on any number of runs: policies, envs, seeds."""
    from valueagents.report import write_report

    out = out or runs[0] / "report.html"
    tables = tables or out.with_name(f"{out.stem}-tables")
    done = write_report(
        runs, out, primary=primary, low_mass=low_mass, tables=tables, figures=figures
    )
    print(done)
