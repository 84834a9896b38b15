"""`valueagents agreement`: does a model choose alike whichever way its answer is read?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valueagents.cli.options import EnvOptions, Json, pairs, seed_option
from valueagents.cli.tables import Notes, print_json, print_table, table
from valueagents.errors import ConfigError

if TYPE_CHECKING:
    from valueagents.measuring.agreement import ReadingAgreement

_DIGITS = 3


def agreement(
    env: Annotated[str, typer.Option(help="Env id, e.g. valueagents/Dilemma-v0.")],
    policy: Annotated[
        str, typer.Option(help="Policy spec of a language model, without its reading.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the two runs; they are continued.")],
    reading: Annotated[
        list[str] | None,
        typer.Option(
            help="A reading with its options, e.g. 'say&temperature=0'; given twice.",
            show_default="label and say",
        ),
    ] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Size of the sample.")] = 60,
    seed: Annotated[int, seed_option("the sample")] = 0,
    env_option: EnvOptions = None,
    as_json: Json = False,
) -> None:
    """Play a sample by two readings; print equal choices and differences of the scores."""
    readings = reading or ["label", "say"]
    if len(set(readings)) != 2:
        raise ConfigError(
            f"--reading {' '.join(readings)}: two different readings are compared; give both"
        )
    if "reading=" in policy:
        raise ConfigError(f"--policy {policy!r} names a reading; give both by --reading")
    from valueagents.measuring.agreement import reading_agreement
    from valueagents.running.progress import show_progress
    from valueagents.running.start import run

    made = []
    for number, each in enumerate(readings, 1):
        spec = f"{policy}{'&' if '?' in policy else '?'}reading={each}"
        folder = out / f"{number}-{each.partition('&')[0]}"
        options = pairs(env_option or [])
        with show_progress(f"{spec} in {env}") as progress:
            done = run(
                env,
                spec,
                folder,
                episodes=episodes,
                seed=seed,
                env_options=options,
                progress=progress,
            )
        made.append(done)
    found = reading_agreement(*made, seed=seed)
    if as_json:
        print_json(found)
    else:
        print_agreement(found)


def print_agreement(found: "ReadingAgreement") -> None:
    """The differences of the scores, then how often both take the same option."""
    from valueagents.report.numbers import interval

    made, notes = table("value", "difference", "situations"), Notes(len(found.axes))
    for axis in found.axes:
        cell = notes.cell(axis.axis, "difference", axis.difference, _DIGITS)
        made.add_row(axis.name, cell, str(axis.situations))
    print(f"propensity by {found.first} minus {found.second}")
    print_table(made)
    notes.print()
    chance = "–" if found.by_chance is None else f"{found.by_chance:.2f}"
    equal = "–" if found.equal.value is None else f"{found.equal.value:.2f}"
    print(
        f"the same option: {equal} {interval(found.equal, 2)} of {found.situations} situations"
        f" (independent readings: {chance}); unread: {found.unread[0]} and {found.unread[1]}"
    )
