"""Compare two policies on the same env, paired by the situation that they were shown.

For each situation that both met, the difference of their opportunity-adjusted scores (E3p where both runs hold
probabilities, else E3) is taken; clusters of situations are the units of the sign-flip test and of the interval.
"""

from pathlib import Path

import msgspec
import numpy as np

from valueagents.arrays import DecisionArrays, decision_arrays
from valueagents.errors import ConfigError
from valueagents.runs import Run
from valueagents.statistics import (
    Estimate,
    FloatArray,
    benjamini_hochberg,
    cluster_sums,
    ratio_estimates,
    sign_flip_test,
)

FALSE_DISCOVERY_RATE = 0.05


class AxisDifference(msgspec.Struct, frozen=True):
    """First minus second policy on one axis.

    `p` is unadjusted; `p_family` Benjamini–Hochberg adjusted over the axes that are not primary (None for the primary
    one); `p_max_t` controls the error over all axes at once.
    """

    axis: str
    name: str
    situations: int
    clusters: int
    difference: Estimate
    p: float | None
    p_family: float | None
    p_max_t: float | None
    differs: bool


class Comparison(msgspec.Struct, frozen=True):
    """Two runs compared. `estimator` is E3p or E3; `test` names the test with its number of flips."""

    first: str
    second: str
    first_policy: str
    second_policy: str
    taxonomy: str
    estimator: str
    test: str
    family: str
    paired_situations: int
    only_first: int
    only_second: int
    primary: str | None
    axes: list[AxisDifference]


def compare(
    first: Run | Path | str, second: Run | Path | str, *, primary: str | None = None, seed: int = 0
) -> Comparison:
    """The paired differences, first minus second. `primary` is the one axis named before looking.

    Raises ConfigError if the taxonomies differ, the primary axis is unknown, or no situation was met by both.
    """
    a, b = (run if isinstance(run, Run) else Run(run) for run in (first, second))
    taxonomy = a.header.taxonomy
    if b.header.taxonomy.name != taxonomy.name:
        raise ConfigError(
            f"{str(a.path)!r} is on {taxonomy.name}, {str(b.path)!r} on {b.header.taxonomy.name}: not comparable"
        )
    if primary is not None:
        taxonomy.index(primary)
    one, two = decision_arrays(a.decisions(), taxonomy), decision_arrays(b.decisions(), taxonomy)
    probabilities = not (np.isnan(one.p).any() or np.isnan(two.p).any())
    mine, theirs = (_by_situation(arrays, probabilities=probabilities) for arrays in (one, two))
    shared = sorted(mine.keys() & theirs.keys())
    if not shared:
        raise ConfigError(
            f"{str(a.path)!r} and {str(b.path)!r} share no situation; run both on the same env with the same --seed"
        )
    left = np.stack([mine[situation] for situation in shared])  # (S, V), NaN = not contested
    right = np.stack([theirs[situation] for situation in shared])
    known = ~np.isnan(left) & ~np.isnan(right)
    differences = np.where(known, left - right, 0.0)
    cluster_of = dict(zip(one.shown.tolist(), one.cluster.tolist(), strict=True))
    _, cluster = np.unique([cluster_of[situation] for situation in shared], return_inverse=True)
    count = int(cluster.max()) + 1
    sums, sizes = (
        cluster_sums(differences, cluster, count),
        cluster_sums(known.astype(np.float64), cluster, count),
    )
    enough = known.sum(axis=0) >= a.header.min_contested
    test = sign_flip_test(np.where(enough, sums, 0.0), seed=seed)
    others = [
        p if enough[v] and axis.id != primary else None
        for v, (p, axis) in enumerate(zip(test.p, taxonomy.axes, strict=True))
    ]
    adjusted = benjamini_hochberg(others)
    axes = []
    for v, estimate in enumerate(ratio_estimates(sums, sizes, seed=seed)):
        axis, n = taxonomy.axes[v], int(known[:, v].sum())
        decisive = test.p[v] if axis.id == primary else adjusted[v]
        axes.append(
            AxisDifference(
                axis=axis.id,
                name=axis.name,
                situations=n,
                clusters=int((sizes[:, v] > 0).sum()),
                difference=estimate
                if enough[v]
                else Estimate(reason=f"not enough: {n} shared contested situations, {a.header.min_contested} needed"),
                p=test.p[v],
                p_family=adjusted[v],
                p_max_t=test.p_max_t[v],
                differs=decisive is not None and decisive <= FALSE_DISCOVERY_RATE,
            )
        )
    return Comparison(
        first=str(a.path),
        second=str(b.path),
        first_policy=a.header.policy,
        second_policy=b.header.policy,
        taxonomy=taxonomy.name,
        estimator="E3p" if probabilities else "E3",
        test=test.method,
        family=f"Benjamini–Hochberg at {FALSE_DISCOVERY_RATE:g} over the axes"
        + (f" except {primary}, tested alone" if primary else ""),
        paired_situations=len(shared),
        only_first=len(mine) - len(shared),
        only_second=len(theirs) - len(shared),
        primary=primary,
        axes=axes,
    )


def _by_situation(arrays: DecisionArrays, *, probabilities: bool) -> dict[str, FloatArray]:
    """(V,) mean deviation of each situation over its decisions; NaN where an axis was not contested or read."""
    deviations = arrays.deviations()
    counts = deviations.contested & (deviations.knows_p if probabilities else deviations.read)[:, None]
    values = np.where(counts, deviations.expected if probabilities else deviations.chosen, 0.0)
    names, code = np.unique(arrays.shown, return_inverse=True)
    sums, sizes = (
        cluster_sums(values, code, len(names)),
        cluster_sums(counts.astype(np.float64), code, len(names)),
    )
    with np.errstate(invalid="ignore"):
        means = sums / sizes
    return dict(zip(names.tolist(), means, strict=True))
