"""What a policy leans to, and which values it holds above which: claims that hold together.

A rank is an interval: a value is at least below those that are surely above it, and at most above
those that are surely below. "Surely" is by tests of all pairs of values, adjusted together by Holm
(1979), so that all ranks of a policy in an env hold together with 95 % (Mogstad, Romano, Shaikh &
Wilhelm 2024, *Inference for Ranks*, section 3).
"""

from itertools import combinations

import msgspec
import numpy as np

from valueagents.arrays import IntArray
from valueagents.measuring.inference import Estimate
from valueagents.measuring.many.policy_means import PolicyMeans
from valueagents.measuring.studies.contrast import holm

LEVEL = 0.05


class Leaning(msgspec.Struct, frozen=True):
    """A policy on a value, over all its seeds: `estimate` in x by contested decision, its 95 %
    interval unadjusted.

    `p` against 0, adjusted over the values; `rank` from 1 = highest, best and worst it may be
    (None: no number).
    """

    axis: str
    name: str
    contested: int
    estimate: Estimate
    p: float | None
    rank: tuple[int, int] | None

    @property
    def holds(self) -> bool:
        """Whether it may be said that the policy leans to the value (or from it)."""
        return self.p is not None and self.p <= LEVEL


def leanings(means: PolicyMeans, *, seed: int = 0) -> list[Leaning]:
    """What a policy's means in one env say of every value; `seed` is that of the bootstrap."""
    known = np.flatnonzero(means.enough)
    width = len(means.taxonomy.axes)
    alone = holm(means.tests(np.eye(width)[:, known]))
    pairs = list(combinations(known.tolist(), 2))
    weights = np.zeros((width, len(pairs)))
    for k, (v, w) in enumerate(pairs):
        weights[v, k], weights[w, k] = 1.0, -1.0
    above = np.zeros((width, width), dtype=np.bool_)  # above[v, w]: v is surely above w
    for (v, w), p in zip(pairs, holm(means.tests(weights)), strict=True):
        if p is not None and p <= LEVEL:
            above[v, w] = means.value[v] > means.value[w]
            above[w, v] = not above[v, w]
    p_of = dict(zip(known.tolist(), alone, strict=True))
    ranks = rank_ranges(above.astype(np.int64), len(known))
    return [
        Leaning(
            axis=axis.id,
            name=axis.name,
            contested=int(means.contested[v]),
            estimate=estimate,
            p=p_of.get(v),
            rank=ranks[v] if v in p_of else None,
        )
        for v, (axis, estimate) in enumerate(
            zip(means.taxonomy.axes, means.estimates(seed=seed), strict=True)
        )
    ]


def rank_ranges(above: IntArray, count: int) -> list[tuple[int, int]]:
    """The ranks that each of several may have among `count`: `above[v, w]` is 1 where v is surely
    above w.
    """
    beaten, beats = above.sum(axis=0).tolist(), above.sum(axis=1).tolist()
    return [(1 + under, count - over) for under, over in zip(beaten, beats, strict=True)]
