"""`valueagents score`: every estimator of one run."""

from pathlib import Path
from typing import Annotated

import typer

from valueagents.cli.options import Json, LowMass, RunPath, seed_option
from valueagents.cli.tables import print_json, print_scores


def score(
    path: RunPath,
    seed: Annotated[int, seed_option("the bootstrap")] = 0,
    annotations: Annotated[
        Path | None, typer.Option(help="Item file with other values for what was offered.")
    ] = None,
    grouping: Annotated[
        str | None, typer.Option(help="Score groups of axes, e.g. schwartz10.")
    ] = None,
    low_mass: LowMass = False,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="RUN",
            help=(
                "A further run of the env (another seed, reading, policy), for the variance"
                " components; may be repeated."
            ),
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the scores of a run with intervals and counts."""
    from valueagents.measuring.scores import score as score_run

    scores = score_run(
        path,
        seed=seed,
        annotations=annotations,
        grouping=grouping,
        low_mass=low_mass,
        beside=beside or (),
    )
    if as_json:
        print_json(scores)
    else:
        print_scores(scores)
