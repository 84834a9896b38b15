"""What separates policies: all pairs on all values in one env, adjusted together by Holm.

Policies are compared on the situations that all of them met, several seeds of one averaged there
first, by the moderated t tests of `differences.py`; in games, whose states soon part, each pair by
what `compare` has for it. With a primary value its pairs are a family of their own. Of several envs
each p is multiplied by their number, so that a page says something false in at most 5 % of cases.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec
import numpy as np

from valueagents.arrays import IntArray
from valueagents.measuring.answers import Answers, common_form
from valueagents.measuring.estimators.declaration import Compared
from valueagents.measuring.estimators.mean import paired_difference
from valueagents.measuring.estimators.probability_propensity import PROBABILITY_PROPENSITY
from valueagents.measuring.estimators.propensity import PROPENSITY
from valueagents.measuring.many.differences import TEST, PairDifference, pair_differences
from valueagents.measuring.many.profiles import profiles
from valueagents.measuring.many.ranks import LEVEL, rank_ranges
from valueagents.measuring.pairing import Pairing, pair
from valueagents.measuring.studies.contrast import holm

Policies = Mapping[str, Sequence[Answers]]
"""Policy -> what it answered in an env, by seed."""


class Separation(msgspec.Struct, frozen=True):
    """The differences of all pairs, the surest first.

    `situations` are common to all policies (None: episodes were paired). `ranks`: value -> policy
    -> the places, from 1 = highest, that it may have; empty for two policies.
    """

    situations: int | None
    unit: str
    test: str
    differences: list[PairDifference]
    ranks: dict[str, dict[str, tuple[int, int]]] = {}

    @property
    def held(self) -> list[PairDifference]:
        """Those that may be said."""
        return [each for each in self.differences if differs(each)]


def differs(each: PairDifference) -> bool:
    """Whether it may be said of the two policies."""
    return each.p_adjusted is not None and each.p_adjusted <= LEVEL


def separate(
    policies: Policies, *, primary: str | None = None, envs: int = 1, seed: int = 0
) -> Separation:
    """All pairs of policies in an env; `envs` are tested together.

    Raises ConfigError if the policies have no situation in common or carry different annotations,
    or the primary axis is unknown.
    """
    first = next(iter(policies.values()))[0]
    if primary is not None:
        first.taxonomy.index(primary)
    for seeds in list(policies.values())[1:]:
        pair(first, seeds[0])
    independent = all(each.independent_menus for seeds in policies.values() for each in seeds)
    found = _on_situations(policies) if independent else _by_episodes(policies, seed)
    adjusted = _adjusted(found.differences, primary, envs)
    surest = sorted(adjusted, key=_surest)
    test = f"{found.test}; Holm over all pairs and values"
    test += "" if primary is None else ", the primary value apart"
    test += f", times {envs} envs" if envs > 1 else ""
    ranks = _ranks(surest, list(policies)) if len(policies) > 2 else {}
    return msgspec.structs.replace(found, differences=surest, test=test, ranks=ranks)


def _surest(each: PairDifference) -> tuple[float, float, float]:
    adjusted = 1.0 if each.p_adjusted is None else each.p_adjusted
    return adjusted, 1.0 if each.p is None else each.p, -abs(each.difference.value or 0.0)


def _on_situations(policies: Policies) -> Separation:
    table = profiles(list(policies.values()), labels=list(policies))
    needed = next(iter(policies.values()))[0].min_contested
    found = pair_differences(table, needed=needed)
    return Separation(table.situations, table.unit, TEST.format(unit=table.unit), found)


def _by_episodes(policies: Policies, seed: int) -> Separation:
    """Games: episodes from the same env seeds, or what situations two policies have in common."""
    form = common_form(*(each for seeds in policies.values() for each in seeds))
    estimator = PROBABILITY_PROPENSITY if form == "probability" else PROPENSITY
    found, unit, test = [], "", ""
    for first, second in combinations(policies, 2):
        pairings = _pairings(policies[first], policies[second])
        each = paired_difference(estimator, Compared(pairings, seed=seed))
        unit, test = each.unit, each.test
        found += [
            PairDifference(
                first,
                second,
                axis.axis,
                axis.situations or 0,
                axis.clusters,
                axis.difference,
                p=axis.p,
            )
            for axis in each.axes
        ]
    return Separation(None, unit, test, found)


def _adjusted(
    found: Sequence[PairDifference], primary: str | None, envs: int
) -> list[PairDifference]:
    """With p adjusted in two families: the primary value's pairs, and all others."""
    p: list[float | None] = [None] * len(found)
    for family in (True, False):
        members = [k for k, each in enumerate(found) if (each.axis == primary) is family]
        for k, adjusted in zip(members, holm([found[k].p for k in members]), strict=True):
            p[k] = None if adjusted is None else min(1.0, adjusted * envs)
    return [msgspec.structs.replace(d, p_adjusted=q) for d, q in zip(found, p, strict=True)]


def _pairings(first: Sequence[Answers], second: Sequence[Answers]) -> list[Pairing]:
    """The seeds that both policies have, paired; the first of each where they have none in
    common.
    """
    by_seed = {_seed(answers): answers for answers in second}
    both = [pair(each, by_seed[_seed(each)]) for each in first if _seed(each) in by_seed]
    return both or [pair(first[0], second[0])]


def _seed(answers: Answers) -> int | None:
    return None if answers.run is None else answers.run.header.seed


def _ranks(
    differences: Sequence[PairDifference], policies: Sequence[str]
) -> dict[str, dict[str, tuple[int, int]]]:
    """Value -> policy -> places that it may have, of the values that have a number."""
    place = {name: k for k, name in enumerate(policies)}
    above: dict[str, IntArray] = {}
    for each in differences:
        if each.difference.value is None:
            continue
        size = (len(policies), len(policies))
        surely = above.setdefault(each.axis, np.zeros(size, dtype=np.int64))
        if differs(each):
            higher, lower = place[each.first], place[each.second]
            if each.difference.value < 0:
                higher, lower = lower, higher
            surely[higher, lower] = 1
    return {
        axis: dict(zip(policies, rank_ranges(surely, len(policies)), strict=True))
        for axis, surely in above.items()
    }
