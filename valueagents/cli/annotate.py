"""`valueagents annotate`: a sheet on which people choose for themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valueagents.cli.options import EnvOptions, pairs, seed_option
from valueagents.errors import ConfigError

if TYPE_CHECKING:
    from valueagents.contracts.environment import ValueEnv


def annotate(
    env: Annotated[str, typer.Argument(help="Env id, e.g. valueagents/Dilemma-v0.")],
    out: Annotated[Path, typer.Option(help="The sheet to write, a .csv file.")],
    items: Annotated[
        int | None, typer.Option(min=1, help="So many items.", show_default="all")
    ] = None,
    seed: Annotated[int, seed_option("the order of items and options")] = 0,
    env_option: EnvOptions = None,
) -> None:
    """Write a sheet on which people choose; filled in, it is the policy human-sample:FILE."""
    from valueagents.contracts.plugins import make_env
    from valueagents.files.people import PEOPLE
    from valueagents.files.sheets import sheet_text
    from valueagents.running.durable import write_atomically

    if out.suffix != ".csv":
        raise ConfigError(f"--out {out.name}: a sheet is a .csv file; give it that ending")
    if out.exists():
        raise ConfigError(f"{out} is there already and may hold answers; name another file")
    made = make_env(env, **pairs(env_option))
    try:
        menus = list(_menus(made, env, items, seed))
    finally:
        made.close()
    write_atomically(out, sheet_text(menus, (PEOPLE,)).encode())
    print(f"{out}: {len(menus)} items. {made.task}")
    print(
        f"In the column {PEOPLE}, write x beside the option that you take, one for each item. Then"
        f" `valueagents run --env {env} --policy human-sample:{out} …` plays what people chose."
    )


def _menus(
    env: "ValueEnv", name: str, items: int | None, seed: int
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What an agent would be shown, in an order drawn by the seed; each menu once.

    Raises ConfigError if the env's menus are not items that can be listed.
    """
    import numpy as np

    from valueagents.files.sheets import menu_key
    from valueagents.identity import seed_from

    situations = env.situations() if env.independent_menus and not env.free_text else ()
    if not situations:
        raise ConfigError(
            f"{name} has no items that could be listed on a sheet; let people play it with"
            " `valueagents run --policy human`"
        )
    seen: set[str] = set()
    for place in np.random.default_rng(seed).permutation(len(situations)):
        if items is not None and len(seen) >= items:
            return
        met = situations[place]
        text, info = env.reset(seed=seed_from(seed, met), options={"situation": met})
        options = tuple(option.text for option in info["menu"])
        key = menu_key(text, options)
        if key not in seen:  # a post may stand under two values
            seen.add(key)
            yield text, options
