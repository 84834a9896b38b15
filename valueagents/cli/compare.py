"""`valueagents compare`: two policies on the same env."""

from pathlib import Path
from typing import Annotated

import typer

from valueagents.cli.options import TWO_SIDES, Json, LowMass, Primary, seed_option
from valueagents.cli.tables import print_comparison, print_json


def compare(
    runs: Annotated[list[Path], typer.Argument(help=TWO_SIDES)],
    primary: Primary = None,
    replayed_first: Annotated[
        Path | None,
        typer.Option(
            help="Replay of the second run's states by the first policy: E6 is then split."
        ),
    ] = None,
    replayed_second: Annotated[
        Path | None, typer.Option(help="Replay of the first run's states by the second policy.")
    ] = None,
    seed: Annotated[int, seed_option("the bootstrap and of drawn flips")] = 0,
    low_mass: LowMass = False,
    as_json: Json = False,
) -> None:
    """Print differences, first minus second policy."""
    from valueagents.measuring.comparison import compare as compare_runs
    from valueagents.measuring.comparison import two_sides

    first, second = two_sides(runs)
    replayed = (replayed_first, replayed_second)
    comparison = compare_runs(
        first, second, primary=primary, replayed=replayed, seed=seed, low_mass=low_mass
    )
    if as_json:
        print_json(comparison)
    else:
        print_comparison(comparison)
