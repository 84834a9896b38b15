"""E4 between two policies: is one more decisive, and do they want different things?

A more decisive policy has larger weights everywhere, so the scale |w| is compared on its own, as log |w_1| - log |w_2|,
and the values by the normalised weights w/|w|. Both by the delta method from the clustered influence of every unit on
the weights; a unit that both policies met (an item, a menu) counts once, with the difference of its two influences.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy import stats

from valueagents.measuring.answers import DecisionArrays
from valueagents.measuring.estimators.logit import MIN_UNITS, UNUSABLE, ChoiceWeights, fit_choice_weights
from valueagents.measuring.inference import (
    CONFIDENCE,
    Clustering,
    Estimate,
    FloatArray,
    IntArray,
    benjamini_hochberg,
    clustered_variance,
)


class WeightDifference(msgspec.Struct, frozen=True):
    """One axis: the normalised weights of both, first minus second with its p alone and over the family of axes."""

    axis: str
    name: str
    first: float | None
    second: float | None
    difference: Estimate
    p: float | None
    p_family: float | None
    differs: bool


class WeightComparison(msgspec.Struct, frozen=True):
    """E4 of two runs compared. `scale` is log |w_1| - log |w_2| over the axes that both have enough decisions on."""

    estimator: str
    unit: str
    clusters: int
    test: str
    family: str
    scale: Estimate
    scale_p: float | None
    axes: list[WeightDifference]
    warnings: list[str]


def compare_weights(
    runs: tuple[DecisionArrays, DecisionArrays],
    clusterings: Sequence[Clustering],
    contested: Sequence[IntArray],
    *,
    needed: int,
    level: float,
) -> WeightComparison:
    """First minus second, on the axes with `needed` contested decisions (`contested`: (V,) read ones) in both.

    An axis whose weight λ makes in either run is left out of the directions, and then no scale is given. The
    clusterings are joint (`joint_clustering`). p values are of t on the units of the coarsest way in which the axis was
    at stake less one, adjusted by Benjamini–Hochberg; `level` is that of the false discovery rate.
    """
    axes = np.flatnonzero((contested[0] >= needed) & (contested[1] >= needed))
    taxonomy = runs[0].taxonomy
    fits = (
        [fit_choice_weights(arrays, axes, way) for arrays, way in zip(runs, clusterings, strict=True)]
        if len(axes)
        else []
    )
    made = np.any([fit.model.made_by_ridge[: len(axes)] for fit in fits] or [np.zeros(0, bool)], axis=0)
    free = np.flatnonzero(~made)
    weights = [fit.model.weights[free] for fit in fits]
    units = _units(fits, clusterings)
    reason = _reason(weights, min([units, *(len(way) for fit in fits for way in fit.units[:2])]))
    scale, scale_p = Estimate(reason=reason), None
    found: dict[int, tuple[Estimate, float | None]] = {}
    if reason is None and made.any():
        scale = Estimate(reason="λ decides the weight of some values, and with them the scale")
    if reason is None:
        sizes = [float(np.linalg.norm(w)) for w in weights]
        directions = [w / size for w, size in zip(weights, sizes, strict=True)]
    if reason is None and not made.any():
        [(scale, scale_p)] = _tested(
            np.log(sizes[:1]) - np.log(sizes[1:]),
            _joint(fits, clusterings, free, [u[:, None] / size for u, size in zip(directions, sizes, strict=True)]),
            np.array([units]),
        )
    if reason is None and len(free) > 1:
        turns = [(np.eye(len(u)) - np.outer(u, u)) / size for u, size in zip(directions, sizes, strict=True)]
        at_stake = np.minimum(*(fit.model.units[free] for fit in fits))
        tested = _tested(directions[0] - directions[1], _joint(fits, clusterings, free, turns), at_stake)
        found = dict(zip(axes[free].tolist(), tested, strict=True))
    adjusted = benjamini_hochberg([found[v][1] if v in found else None for v in range(len(taxonomy.axes))])
    place = {v: i for i, v in enumerate(axes[free].tolist())}
    differences = []
    for v, axis in enumerate(taxonomy.axes):
        low = min(int(contested[0][v]), int(contested[1][v]))
        if low < needed:
            missing = Estimate(reason=f"not enough: {low} contested decisions, {needed} needed")
        elif v not in place:
            missing = Estimate(reason="bound by λ: the choices of a run do not tell its weight")
        else:
            missing = Estimate(reason=reason or "one axis alone has no direction to compare")
        difference, p = found.get(v, (missing, None))
        q = adjusted[v]
        first, second = (float(d[place[v]]) for d in directions) if v in found else (None, None)
        differences.append(
            WeightDifference(axis.id, axis.name, first, second, difference, p, q, q is not None and q <= level)
        )
    return WeightComparison(
        estimator="E4, normalised: w / |w|",
        unit=clusterings[0].unit,
        clusters=units,
        test="t on the clusters in which an axis was at stake less one, delta method from the cluster sandwich",
        family=f"Benjamini–Hochberg at {level:g} over the axes",
        scale=scale,
        scale_p=scale_p,
        axes=differences,
        warnings=_warnings(fits, [taxonomy.axes[v].id for v in axes[made]]),
    )


def _warnings(fits: Sequence[ChoiceWeights], made: Sequence[str]) -> list[str]:
    warnings = [] if all(fit.model.converged for fit in fits) else [UNUSABLE]
    if made:
        warnings.append(f"E4: λ decides the weight of {', '.join(made)}: left out of the directions")
    return warnings


def _units(fits: Sequence[ChoiceWeights], clusterings: Sequence[Clustering]) -> int:
    """Units of the coarsest way that hold a choice of either policy."""
    if not fits:
        return 0
    ways = range(min(2, len(clusterings[0].ways)))
    return min(len(np.union1d(fits[0].units[way], fits[1].units[way])) for way in ways)


def _reason(weights: Sequence[FloatArray], units: int) -> str | None:
    """Why nothing can be compared, if so."""
    if not weights:
        return "no axis has enough contested decisions in both runs"
    if not len(weights[0]):
        return "bound by λ: the choices of a run do not tell its weights"
    if units < MIN_UNITS:
        return "one cluster in a run: no test"
    return "all weights of a run are 0" if any(not w.any() for w in weights) else None


def _joint(
    fits: Sequence[ChoiceWeights], clusterings: Sequence[Clustering], free: IntArray, derivatives: Sequence[FloatArray]
) -> list[FloatArray]:
    """For each way (C, K): what every unit moved the K differences by through the free weights, first minus second."""
    joint = []
    for way, units in enumerate(clusterings[0].ways):
        moved = np.zeros((units.count, derivatives[0].shape[1]))
        for sign, fit, derivative in zip((1.0, -1.0), fits, derivatives, strict=True):
            moved[fit.units[way]] += sign * fit.model.influence[way][:, free] @ derivative
        joint.append(moved)
    return joint


def _tested(values: FloatArray, influence: list[FloatArray], units: IntArray) -> list[tuple[Estimate, float | None]]:
    """Each difference with its t interval on so many units, and its two-sided p (None where nothing varies)."""
    counts = [units] + [np.maximum(units, len(moved)) for moved in influence[1:]]
    errors = np.sqrt(clustered_variance(influence, counts))
    tested: list[tuple[Estimate, float | None]] = []
    for value, error, count in zip(values.tolist(), errors.tolist(), units.tolist(), strict=True):
        if count < MIN_UNITS:
            tested.append((Estimate(value, reason="one cluster: no interval"), None))
            continue
        reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
        p = 2 * float(stats.t.sf(abs(value) / error, count - 1)) if error > 0 else None
        tested.append((Estimate(value, value - reach, value + reach), p))
    return tested
