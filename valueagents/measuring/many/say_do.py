"""What a policy says it values beside what it chooses: a survey's ratings and the choices of
another env.

The two are on different menus, so both are taken as shares of what the menus allow (half of what a
menu spans = 1), and each profile less its own mean over the values that both have: people, too, are
compared by centred scores (Schwartz 2021). The gap is stated less revealed.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.answers import Answers, require_comparable
from valueagents.measuring.inference import Estimate, t_estimate, t_test
from valueagents.measuring.many.policy_means import PolicyMeans, policy_means
from valueagents.measuring.many.ranks import LEVEL
from valueagents.measuring.studies.contrast import holm

FEWEST_VALUES = 4
"""A correlation over fewer values says nothing."""


class ValueGap(msgspec.Struct, frozen=True):
    """A value as stated and as revealed, in shares, centred; `p` of the gap is adjusted over the
    values.
    """

    axis: str
    name: str
    stated: float
    revealed: float
    gap: Estimate
    p: float | None

    @property
    def holds(self) -> bool:
        """Whether it may be said that the policy does otherwise than it says."""
        return self.p is not None and self.p <= LEVEL


class SayDo(msgspec.Struct, frozen=True):
    """A policy's survey beside another env: the correlation `r` of the two profiles over values,
    and every value's gap. `reason` says why there is nothing.
    """

    stated: str
    revealed: str
    gaps: list[ValueGap]
    r: float | None
    reason: str | None = None


def say_do(
    stated: Sequence[Answers], revealed: Sequence[Answers], *, envs: tuple[str, str]
) -> SayDo:
    """The gap of a policy's runs by seed in a survey and in another env, named by `envs`.

    Raises ConfigError if they are on different taxonomies.
    """
    require_comparable(stated[0], revealed[0])
    both = [policy_means(each, "share") for each in (stated, revealed)]
    kept = np.flatnonzero(both[0].enough & both[1].enough)
    if len(kept) < FEWEST_VALUES:
        return SayDo(*envs, [], None, f"fewer than {FEWEST_VALUES} values have a number in both")
    (says, error_1, units_1), (does, error_2, units_2) = (_centred(each, kept) for each in both)
    error = np.sqrt(error_1**2 + error_2**2)
    units = np.minimum(units_1, units_2)
    gap = says - does
    p = holm(
        [
            t_test(float(each), float(e), int(n))
            for each, e, n in zip(gap, error, units, strict=True)
        ]
    )
    names = [stated[0].taxonomy.axes[v] for v in kept]
    gaps = [
        ValueGap(
            axis.id,
            axis.name,
            float(says[k]),
            float(does[k]),
            t_estimate(float(gap[k]), float(error[k]), int(units[k])),
            p[k],
        )
        for k, axis in enumerate(names)
    ]
    return SayDo(*envs, gaps, correlation(says, does))


def _centred(means: PolicyMeans, kept: IntArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """(K,) means less their own mean, their errors and units."""
    weights = np.zeros((len(means.taxonomy.axes), len(kept)))
    weights[kept] = np.eye(len(kept)) - 1 / len(kept)
    value, error, _ = means.contrasts(weights)
    _, _, units = means.contrasts(np.eye(len(means.taxonomy.axes))[:, kept])
    return value, error, units


def correlation(first: FloatArray, second: FloatArray) -> float | None:
    """Pearson's r of two profiles; None where one of them does not vary."""
    if min(np.ptp(first), np.ptp(second)) < 1e-9:
        return None
    return float(np.corrcoef(first, second)[0, 1])
