"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from valueagents.errors import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunPath = Annotated[Path, typer.Argument(help="A run directory.")]
RunFolders = Annotated[list[Path], typer.Argument(help="Run directories.")]
Page = Annotated[Path | None, typer.Option(help="HTML page to write.")]
EnvOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--env-option", metavar="NAME=VALUE", help="An option of the env; may be repeated."
    ),
]
Primary = Annotated[
    str | None, typer.Option(help="The one axis named before looking; tested alone.")
]
LowMass = Annotated[
    bool,
    typer.Option(
        help="Give numbers, too, of answers that had next to none of the model's probability."
    ),
]
Target = Annotated[list[str], typer.Option(help="Axis that was to move; may be repeated.")]
Way = Annotated[
    Literal["down", "up"], typer.Option("--direction", help="Which way it was to move: down or up.")
]

MAX_SEED = 2**63 - 1
"""So large that a record of 64 bits still holds it."""


def seed_option(what: str) -> Any:
    """The option of a seed of `what`."""
    return typer.Option(min=0, max=MAX_SEED, help=f"Seed of {what}.")


TWO_SIDES = "Two runs; of training seeds those of the first policy, then as many of the second."


def pairs(options: list[str] | None) -> dict[str, object]:
    """Name -> text of NAME=VALUE options. Raises ConfigError for one that is written otherwise."""
    found: dict[str, object] = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise ConfigError(f"--env-option {option!r}: write NAME=VALUE")
        found[name] = value
    return found
