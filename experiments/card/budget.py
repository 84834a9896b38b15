"""How a budget is spent: what an episode costs is measured on the first few, then every env gets an
equal share of what is left, and what one does not need goes to the others.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from valueagents.running.sealed import read_sealed, write_sealed

FIRST, ENOUGH = 4, 64
"""Episodes of a subject in an env on which its cost is measured: at first, and of what is so quick
that these are over too soon to tell.
"""
FORMAT = "valueagents-card 1"


class Cost(msgspec.Struct, frozen=True):
    """What an episode takes."""

    seconds: float
    tokens: float


class CardPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was decided, kept in `card.json`: a repeated command goes on with it.

    `asked` repeats who, what and the budget; `episodes` of every env, the same for all. `all_of_it`
    is what every situation would take, in minutes or tokens as the budget is (None: no budget).
    """

    format: str
    asked: dict[str, object]
    episodes: dict[str, int]
    all_of_it: float | None = None


def shared(budget: float, costs: Mapping[str, float], whole: Mapping[str, int]) -> dict[str, int]:
    """Episodes of every env, at least `FIRST` where there are as many: equal shares of the budget,
    where `costs` are what one episode of it takes of all subjects together.
    """
    found: dict[str, int] = {}
    left, owed = max(0.0, budget), sorted(costs, key=lambda env: costs[env] * whole[env])
    for place, env in enumerate(owed):
        share = left / (len(owed) - place)
        fits = whole[env] if costs[env] <= 0 else int(share / costs[env])
        found[env] = min(whole[env], max(min(FIRST, whole[env]), fits))
        left -= found[env] * costs[env]
    return {env: found[env] for env in costs}


def read_plan(folder: Path) -> CardPlan | None:
    """The plan in a folder; None where there is none. Raises StoreError for a damaged one."""
    file = folder / "card.json"
    if not file.exists():
        return None
    remedy = "remove it: runs are kept, the plan is made anew"
    return read_sealed(file, CardPlan, remedy=remedy)


def write_plan(folder: Path, plan: CardPlan) -> None:
    """The plan is in the folder."""
    write_sealed(folder / "card.json", plan)
