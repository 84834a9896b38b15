"""`valueagents report`: a page on one policy, or on two compared."""

from pathlib import Path
from typing import Annotated

import typer

from valueagents.cli.options import TWO_SIDES, LowMass, Primary


def report(
    runs: Annotated[
        list[Path], typer.Argument(help=f"One run directory; or to compare: {TWO_SIDES}")
    ],
    out: Annotated[
        Path | None, typer.Option(help="HTML file; default: report.html in the first run.")
    ] = None,
    primary: Primary = None,
    low_mass: LowMass = False,
) -> None:
    """Write an HTML report on one run, or on two policies compared."""
    from valueagents.report import write_report

    out = out or runs[0] / "report.html"
    print(write_report(runs, out, primary=primary, low_mass=low_mass))
