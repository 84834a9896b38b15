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
    control_repeat: Annotated[
        Path | None, typer.Option(help="Run of a control of another seed: the noise floor.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What did an adapter do (E8)? Target shift, drift, selectivity, circle slope, competence,
    against its control.
    """
    from valueagents.measuring.estimators.intervention import intervention_metrics
    from valueagents.report.numbers import sentence

    found = intervention_metrics(
        moved, control, tuple(target), control_repeat=control_repeat, direction=direction
    )
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
        ("drift of the other values", found.drift),
        ("drift between two controls", found.noise_drift),
        ("net drift", found.net_drift),
        ("selectivity", found.selectivity),
        ("circle slope", found.circle_slope),
        ("reward an episode", found.competence.score),
        ("episodes that ended by themselves", found.competence.completion),
        ("invalid answers", found.competence.invalid),
    ):
        print(f"{name:34}{sentence(estimate, 3)}")
