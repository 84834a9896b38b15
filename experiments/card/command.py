"""`valueagents card`: thin, because `valueagents --help` loads it; imports come when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from valueagents.cli.options import LowMass, seed_option
from valueagents.errors import ConfigError


def card(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Models: embedded name, folder, hub id, URL of a server, or a policy spec."
        ),
    ],
    adapter: Annotated[
        list[str] | None, typer.Option(help="An adapter of the one model; may be repeated.")
    ] = None,
    persona: Annotated[
        list[str] | None, typer.Option(help="A persona of the one model; may be repeated.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, max=100_000, help="Budget; default 5.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1_000, help="Budget in tokens, instead of minutes.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Every situation; no budget.")] = False,
    out: Annotated[Path, typer.Option(help="Folder; an existing one is continued.")] = Path(
        "runs/card"
    ),
    seed: Annotated[int, seed_option("the order of situations and of what is drawn")] = 0,
    low_mass: LowMass = False,
    figures: Annotated[
        bool, typer.Option("--figures", help="The pictures as SVG and PNG, too.")
    ] = False,
) -> None:
    """What does a model value? Survey, dilemmas, judgements, games: a page each, one over all."""
    if sum((minutes is not None, tokens is not None, full)) > 1:
        raise ConfigError("give one of --minutes, --tokens and --full")
    from valueagents.experiments.card.making import Budget, make_card
    from valueagents.experiments.card.subjects import subjects

    limit = 5.0 if minutes is None and tokens is None and not full else minutes
    made = make_card(
        subjects(models, adapter or (), persona or ()),
        out,
        budget=Budget(limit, tokens),
        seed=seed,
        low_mass=low_mass,
        figures=figures,
    )
    for sentence in made.answer:
        print(sentence)
    print(f"Card: {made.pages[0].resolve()}")
    for each in made.pages[1:]:
        print(f"  {each.resolve()}")
