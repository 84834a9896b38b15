"""Covariates: numbers of the options themselves that may sway a choice beside the values, such as
the reward on offer or how desirable an option is in most people's eyes.

An env declares its covariates and gives each option's number with the annotation of the menu; item
files declare some of their own. They are recorded and never shown to a policy. The choice weights
(E4, E4p) hold them constant.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from valueagents.errors import ConfigError, unknown_name

RESERVED = ("position", "length")
"""What the choice weights hold constant anyway, of any env."""


class Covariate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A declaration: `name`, `meaning` (one sentence), `unit`, and between which numbers it lies;
    None = open on that side.
    """

    name: str
    meaning: str
    unit: str
    low: float | None = None
    high: float | None = None

    def problem(self, number: float) -> str | None:
        """What is wrong with an option's number; None = nothing."""
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not math.isfinite(number):
            return f"covariate {self.name!r} is {number}; give a finite number, or none"
        if not low <= number <= high:
            return f"covariate {self.name!r} is {number:g}; it lies between {low:g} and {high:g}"
        return None


def covariate_declaration_problem(declared: Sequence[Covariate]) -> str | None:
    """What is wrong with the declarations of an env or a file, and what to do; None = nothing."""
    for each in declared:
        if not each.name.strip() or not each.meaning.strip() or not each.unit.strip():
            return (
                f"covariate {each.name!r} lacks a name, a meaning or a unit; say in one sentence"
                " what its numbers are, and in what unit"
            )
        if each.name in RESERVED:
            return (
                f"covariate {each.name!r} has the name of what the choice weights hold constant"
                " anyway; give it another"
            )
        bounds = [bound for bound in (each.low, each.high) if bound is not None]
        if not all(map(math.isfinite, bounds)) or bounds != sorted(set(bounds)):
            return (
                f"covariate {each.name!r} lies between {each.low} and {each.high}; give two finite"
                " numbers, the lower first, or leave one out"
            )
    for name, count in Counter(each.name for each in declared).items():
        if count > 1:
            return f"covariate {name!r} is declared {count} times; declare each covariate once"
    return None


def covariate_problem(
    numbers: Mapping[str, Sequence[float | None]], options: int, declared: Sequence[Covariate]
) -> str | None:
    """What is wrong with the numbers of a menu (covariate -> a number for each option, None =
    unknown), and what to do; None = nothing.
    """
    known = {each.name: each for each in declared}
    for name, row in numbers.items():
        if name not in known:
            return unknown_name("covariate", name, known, remedy="Declare it, or leave it out.")
        if len(row) != options:
            return (
                f"covariate {name!r} has {len(row)} numbers for a menu of {options} options; give"
                " one for each, None where it is not known"
            )
        for number in row:
            problem = None if number is None else known[name].problem(number)
            if problem is not None:
                return problem
    return None


def covariates_of_all(declared: Mapping[str, Sequence[Covariate]]) -> tuple[Covariate, ...]:
    """The covariates of several runs, each once, given with what messages call the run.

    Raises ConfigError if two declare one of them in other units or ranges.
    """
    found: dict[str, Covariate] = {}
    for name, covariates in declared.items():
        for each in covariates:
            if found.setdefault(each.name, each) != each:
                raise ConfigError(
                    f"{name!r} declares covariate {each.name!r} otherwise than the runs before it;"
                    " pool them apart"
                )
    return tuple(found.values())
