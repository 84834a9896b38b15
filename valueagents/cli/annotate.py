"""`valueagents annotate`: sheets on which people choose, or mark what options do to values."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from valueagents.cli.options import EnvOptions, Json, pairs, seed_option
from valueagents.errors import ConfigError

if TYPE_CHECKING:
    from valueagents.contracts.decision import Annotation
    from valueagents.contracts.environment import ValueEnv

_DIGITS = 2


def annotate(
    env: Annotated[str, typer.Argument(help="Env id, e.g. valueagents/Dilemma-v0.")],
    out: Annotated[
        Path | None, typer.Option(help="The sheet to write, a .csv file.", show_default=False)
    ] = None,
    task: Annotated[
        Literal["choices", "marks"], typer.Option(help="What the sheet asks people for.")
    ] = "choices",
    marks: Annotated[
        Path | None,
        typer.Option(help="A sheet of marks, filled in: its agreement is printed, none written."),
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=1, help="So many items.", show_default="all")
    ] = None,
    seed: Annotated[int, seed_option("the order of items and options")] = 0,
    env_option: EnvOptions = None,
    as_json: Json = False,
) -> None:
    """Write a sheet for people; or print how a sheet's marks agree with the env's."""
    from valueagents.contracts.plugins import make_env

    if (out is None) == (marks is None):
        raise ConfigError("give --out FILE for a sheet to write, or --marks FILE for a filled one")
    if out is not None and out.suffix != ".csv":
        raise ConfigError(f"--out {out.name}: a sheet is a .csv file; give it that ending")
    if out is not None and out.exists():
        raise ConfigError(f"{out} is there already and may hold answers; name another file")
    made = make_env(env, **pairs(env_option))
    try:
        if out is not None:
            _write(out, made, env, task, items, seed)
        elif marks is not None:
            _print_agreement(marks, made, env, seed, as_json)
    finally:
        made.close()


def _write(out: Path, env: "ValueEnv", name: str, task: str, items: int | None, seed: int) -> None:
    from valueagents.files.people import PEOPLE
    from valueagents.files.sheets import sheet_text
    from valueagents.running.durable import write_atomically

    answers = (PEOPLE,) if task == "choices" else env.taxonomy.axis_ids
    menus = [(text, options) for text, options, _ in _menus(env, name, items, seed)]
    write_atomically(out, sheet_text(menus, answers).encode())
    print(f"{out}: {len(menus)} items. {env.task}")
    if task == "choices":
        print(
            f"In the column {PEOPLE}, write x beside the option that you take, one for each item."
            f" Then `valueagents run --env {name} --policy human-sample:{out} …` plays what people"
            " chose."
        )
    else:
        print(
            "Below a value write 1 where the option clearly serves it, -1 where it clearly goes"
            f" against it. Then `valueagents annotate {name} --marks {out}` prints the agreement."
        )


def _print_agreement(sheet: Path, env: "ValueEnv", name: str, seed: int, as_json: bool) -> None:
    from valueagents.cli.tables import Notes, print_json, print_table, table
    from valueagents.files.sheets import menu_key, plain
    from valueagents.files.text import require_file
    from valueagents.measuring.mark_agreement import mark_agreement

    require_file(sheet, (".csv",), "not .csv (a sheet of `valueagents annotate`)")
    known = {
        menu_key(text, options): dict(zip(map(plain, options), noted.values, strict=True))
        for text, options, noted in _menus(env, name, None, seed)
        if noted is not None
    }
    found = mark_agreement(sheet, known, env.taxonomy, seed=seed)
    if as_json:
        print_json(found)
        return
    made, notes = (
        table("value", "kappa", "marked on the sheet", "by the env"),
        Notes(len(found.values)),
    )
    for each in found.values:
        kappa = notes.cell(each.axis, "kappa", each.kappa, _DIGITS)
        made.add_row(each.name, kappa, str(each.sheet_marks), str(each.env_marks))
    print_table(made)
    notes.print()
    print(f"{found.items} items; Cohen's kappa over the signs −, 0, +, intervals over items")


def _menus(
    env: "ValueEnv", name: str, items: int | None, seed: int
) -> Iterator[tuple[str, tuple[str, ...], "Annotation | None"]]:
    """What an agent would be shown, in an order drawn by the seed, each menu once; and its marks.

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
            yield text, options, info["annotation"]
