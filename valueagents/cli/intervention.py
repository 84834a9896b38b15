"""`valueagents intervention`: what did an adapter do (E8)?"""

from pathlib import Path
from typing import Annotated

import typer

from valueagents.cli.options import Json, Target, Way
from valueagents.cli.tables import print_json


def intervention(
    moved: Annotated[
        Path, typer.Argument(help="Run of the adapter that was meant to move a value.")
    ],
    control: Annotated[
        Path,
        typer.Argument(help="Run of its control adapter, same method and seed, in the same env."),
    ],
    target: Target,
    direction: Way = "down",
    as_json: Json = False,
) -> None:
    """What did an adapter do (E8)? Target shift, contrast, circle slope, competence, against its
    control; drift and selectivity as published.
    """
    from valueagents.measuring.estimators.intervention import intervention_metrics
    from valueagents.report.numbers import sentence

    found = intervention_metrics(moved, control, tuple(target), direction=direction)
    if as_json:
        print_json(found)
        return
    print(
        f"{', '.join(target)} {direction}, from the {found.form} form: {found.situations}"
        " situations met by both,"
    )
    print(
        f"{found.contested} of them contest the target; {found.clusters} clusters, unit:"
        f" {found.unit}"
    )
    for name, estimate in (
        ("target shift", found.target_shift),
        ("target less the other values", found.contrast),
        ("circle slope", found.circle_slope),
        ("drift, as published", found.published_drift),
        ("selectivity, as published", found.published_selectivity),
        ("reward an episode", found.competence.score),
        ("episodes that ended by themselves", found.competence.completion),
        ("invalid answers", found.competence.invalid),
    ):
        print(f"{name:34}{sentence(estimate, 3)}")
