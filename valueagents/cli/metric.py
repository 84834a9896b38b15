"""`valueagents metric`: the named metrics of published studies."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valueagents.cli.options import Json, LowMass, Way
from valueagents.cli.tables import print_json, print_table, table
from valueagents.errors import ConfigError

if TYPE_CHECKING:
    from valueagents.measuring.studies.declaration import Metric

log = logging.getLogger("valueagents")

_RUNS = {"a run": 1, "an adapter and its control": 2, "a run and a run of the random policy": 2}


def metric(
    name: Annotated[str | None, typer.Argument(help="The metric; left out: list them.")] = None,
    runs: Annotated[
        list[Path] | None, typer.Argument(help="The runs that it needs, in this order.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Axis that was to move; may be repeated.")
    ] = None,
    direction: Way = "down",
    low_mass: LowMass = False,
    as_json: Json = False,
) -> None:
    """Compute a metric under its study's own name: survey, judgement, bbq, crows, machiavelli, a
    plug-in's.
    """
    from valueagents.measuring.studies.registry import metric as find

    if name is None:
        _list(as_json=as_json)
        return
    chosen = find(name)
    checked, about = _checked(chosen, runs or []), _about_target(chosen, target, direction)
    _require_mass(checked, low_mass=low_mass)
    found = chosen.compute(*checked, **about)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _checked(chosen: "Metric", runs: list[Path]) -> list[Path]:
    """The runs. Raises ConfigError if there are too few or too many of them."""
    needed = _RUNS[chosen.needs]
    if len(runs) != needed:
        directories = "1 run directory" if needed == 1 else f"{needed} run directories"
        raise ConfigError(
            f"metric {chosen.id} needs {chosen.needs}: {directories}, {len(runs)} given"
        )
    return runs


def _require_mass(runs: list[Path], *, low_mass: bool) -> None:
    """Warn of runs whose offered answers had little of the model's probability.

    Raises ConfigError, unless it is asked for, where they had next to none (`mass.py`).
    """
    from valueagents.measuring.mass import mass_cautions
    from valueagents.measuring.reading import read_answers

    refusal, warnings = mass_cautions([read_answers(run) for run in runs])
    if refusal is not None and not low_mass:
        raise ConfigError(refusal)
    for warning in warnings:
        log.warning(warning)


def _about_target(chosen: "Metric", target: list[str] | None, direction: str) -> dict[str, object]:
    if chosen.needs != "an adapter and its control":
        if target:
            raise ConfigError(f"metric {chosen.id} has no target; leave --target out")
        return {}
    if not target:
        raise ConfigError(
            f"metric {chosen.id} needs --target: the axis that the adapter was meant to move"
        )
    return {"target": tuple(target), "direction": direction}


def _list(*, as_json: bool) -> None:
    from valueagents.measuring.studies.registry import metrics

    rows = [
        {"id": m.id, "needs": m.needs, "formula": m.formula, "source": m.source}
        for m in metrics().values()
    ]
    if as_json:
        print_json(rows)
        return
    listing = table("metric", "needs", "formula", "source")
    for row in rows:
        listing.add_row(row["id"], row["needs"], row["formula"], row["source"])
    print_table(listing)


def _print(found: object) -> None:
    """Every field of the result: estimates with intervals, counts and texts as they are."""
    import msgspec

    from valueagents.measuring.inference import Estimate
    from valueagents.report.numbers import sentence

    for name, value in msgspec.structs.asdict(found).items():  # type: ignore[arg-type]
        if isinstance(value, dict):
            for key, each in value.items():
                print(f"{key:28}{sentence(each, 3) if isinstance(each, Estimate) else each}")
            continue
        shown = sentence(value, 3) if isinstance(value, Estimate) else value
        shown = ", ".join(map(str, shown)) if isinstance(shown, tuple) else shown
        print(f"{name.replace('_', ' '):28}{shown}")
