"""`valueagents play`: an env by hand, in the terminal."""

from typing import Annotated

import typer

from valueagents.cli.options import EnvOptions, pairs, seed_option


def play(
    env: str,
    env_option: EnvOptions = None,
    seed: Annotated[int, seed_option("the episode")] = 0,
    menu: Annotated[bool, typer.Option(help="Show the options.")] = True,
    ledger: Annotated[
        bool, typer.Option(help="Show at the end what the choices did to the values.")
    ] = False,
) -> None:
    """Play an env by hand in the terminal."""
    from valueagents.cli.by_hand import play as play_by_hand
    from valueagents.contracts.plugins import make_env

    made = make_env(env, **pairs(env_option))
    try:
        play_by_hand(made, seed=seed, ask=input, say=print, menu=menu, ledger=ledger)
    except EOFError:
        print("\n(stopped)")
    finally:
        made.close()
