"""`valueagents study`: thin, because `valueagents --help` loads it; what the command needs is
imported when it runs.
"""

from pathlib import Path
from typing import Annotated

import typer


def study(
    profile: Annotated[
        str, typer.Argument(help="quick, four-sides, full, paper, or a .toml file.")
    ] = "quick",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study; default: runs/PROFILE.")
    ] = None,
) -> None:
    """Train a model on value-survey answers, see whether its behaviour follows: one report."""
    from valueagents.experiments.studies.survey_to_behavior import run_study

    report = run_study(profile, out or Path("runs") / Path(profile).stem)
    print(report.answer)
    print(f"Report: {report.page.resolve()}")
