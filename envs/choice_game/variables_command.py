"""`valueagents variables`: what the variables of a choice game do, to write rules on them."""

import sys
from typing import Annotated, cast

import typer

from valueagents.cli.options import EnvOptions, Json, pairs, seed_option
from valueagents.cli.tables import print_json, print_table, table

_PLACES = 4


def variables(
    env_option: EnvOptions = None,
    episodes: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Episodes of random choices.")
    ] = 20,
    seed: Annotated[int, seed_option("the choices and the dice")] = 0,
    as_json: Json = False,
) -> None:
    """List a choice game's variables: how often each changes, how far, and where."""
    from valueagents.contracts.plugins import make_env
    from valueagents.envs.choice_game.env import ChoiceScriptEnv
    from valueagents.envs.choice_game.variable_changes import variable_changes

    env = cast(ChoiceScriptEnv, make_env("valueagents/ChoiceScript-v0", **pairs(env_option)))
    found = variable_changes(env.game, episodes=episodes, seed=seed, max_steps=env.max_steps)
    if as_json:
        print_json(found)
        return
    made = table(
        "variable", "first", "changes", "rises", "falls", "from", "to", "episodes", "where"
    )
    for each in found.variables:
        places = [f"{place} ({n})" for place, n in each.places.items()]
        more = [f"{len(places) - _PLACES} more"] if len(places) > _PLACES else []
        made.add_row(
            each.variable,
            each.first,
            *(str(n) for n in (each.changes, each.rises, each.falls)),
            *("" if n is None else f"{n:g}" for n in (each.lowest, each.highest)),
            f"{each.episodes} of {found.episodes}",
            ", ".join([*places[:_PLACES], *more]),
        )
    print_table(made)
    for message, count in found.stopped.items():
        print(f"{count} of {found.episodes} episodes stopped: {message}", file=sys.stderr)
