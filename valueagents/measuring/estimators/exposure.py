"""E6: is a difference of rates one of what was met or of what was chosen?

Over states s (what was shown) with visit shares d_i(s) and mean choices u_i(s) of the policies i = 1, 2:

R_1 - R_2 = Σ (d_1 - d_2)(u_1 + u_2)/2 + Σ (d_1 + d_2)/2 · (u_1 - u_2) = exposure + choice

(Kitagawa 1955; Oaxaca 1973; Blinder 1973). What a policy would choose in a state that it never met is not known: it
comes from a replay and counts as exact, or there is no split.

Intervals are by the delta method: what a decision for x in state s moves each part by, summed by cluster. Where a state
is met once or twice its u_i is as good as given, and the interval of the choice part is too narrow.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa
from scipy import stats

from valueagents.measuring.answers import DecisionArrays, codes_of
from valueagents.measuring.inference import (
    CONFIDENCE,
    Clustering,
    Estimate,
    FloatArray,
    IntArray,
    add_cluster_sums,
    clustered_variance,
)

MeanChoices = Mapping[str, FloatArray]
"""State (its `shown` hash) -> (V,) mean x of a policy's choices there."""
_PARTS = 3  # the difference, exposure, choice


class AxisSplit(msgspec.Struct, frozen=True):
    """One axis, in the units of E2: `difference` = `exposure` + `choice`."""

    axis: str
    name: str
    difference: Estimate
    exposure: Estimate
    choice: Estimate


class ExposureSplit(msgspec.Struct, frozen=True):
    """E6 of two runs by axis, with t intervals clustered by `unit`."""

    unit: str
    clusters: int
    axes: list[AxisSplit]


def exposure_split(
    runs: tuple[DecisionArrays, DecisionArrays],
    clusterings: Sequence[Clustering],
    *,
    replayed: tuple[MeanChoices, MeanChoices] = ({}, {}),
) -> ExposureSplit:
    """The split of R_1 - R_2 by axis; the clusterings are joint (`joint_clustering`).

    `replayed` has each policy's mean choices in states that it did not meet.
    """
    codes, names = codes_of(pa.concat_arrays([arrays.shown for arrays in runs]))
    states = np.split(codes, [len(runs[0].shown)])
    visits, choices = zip(
        *(_by_state(arrays, code, len(names)) for arrays, code in zip(runs, states, strict=True)), strict=True
    )
    for met, mean, known in zip(visits, choices, replayed, strict=True):
        for name, means in known.items():
            if (state := names.index(name).as_py()) >= 0:
                mean[state] = np.where(met[state] > 0, mean[state], means)
    n, u = np.stack(visits), np.stack(choices)
    unknown = (n.sum(axis=0) > 0) & np.isnan(u).any(axis=0)  # (S, V)
    u = np.nan_to_num(u)
    with np.errstate(invalid="ignore"):
        d = n / n.sum(axis=1, keepdims=True)
    parts = 100 * np.stack(
        [
            (d[0] * u[0] - d[1] * u[1]).sum(axis=0),
            ((d[0] - d[1]) * (u[0] + u[1]) / 2).sum(axis=0),
            ((d[0] + d[1]) / 2 * (u[0] - u[1])).sum(axis=0),
        ]
    )
    errors, units = _errors(runs, states, clusterings, n, u)
    axes = []
    for v, axis in enumerate(runs[0].taxonomy.axes):
        missing = int(unknown[:, v].sum())
        reason = f"{missing} of {int((n[:, :, v].sum(axis=0) > 0).sum())} states were met by one policy only: ask both "
        whole, exposure, choice = (
            _estimate(float(parts[k, v]), float(errors[k, v]), int(units[v])) for k in range(_PARTS)
        )
        if missing:
            exposure = choice = Estimate(reason=reason + "there (a replay)")
        axes.append(AxisSplit(axis.id, axis.name, whole, exposure, choice))
    return ExposureSplit(clusterings[0].unit, int(units.max(initial=0)), axes)


def _estimate(value: float, error: float, units: int) -> Estimate:
    if np.isnan(value):
        return Estimate(reason="no decision to estimate it from")
    if units == 1:
        return Estimate(value, reason="one cluster: no interval")
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, units - 1)) * error
    return Estimate(value, value - half, value + half)


def _by_state(arrays: DecisionArrays, states: IntArray, count: int) -> tuple[FloatArray, FloatArray]:
    """(S, V) numbers of choices with the axis annotated, and their mean x; NaN where there is none."""
    sums, sizes = (np.zeros((count, len(arrays.taxonomy.axes))) for _ in range(2))
    for begin, end in arrays.parts():
        taken, counted = _taken(arrays.part(begin, end))
        add_cluster_sums(sums, taken, states[begin:end])
        add_cluster_sums(sizes, counted, states[begin:end])
    with np.errstate(invalid="ignore"):
        return sizes, sums / sizes


def _taken(arrays: DecisionArrays) -> tuple[FloatArray, FloatArray]:
    """(T, V) x of the chosen options, and 1 where it counts."""
    x, annotated = arrays.judged()
    read = arrays.chosen >= 0
    counted = (annotated & read[:, None]).astype(np.float64)
    return x[np.where(read, arrays.chosen, arrays.start)] * counted, counted


def _errors(
    runs: Sequence[DecisionArrays],
    states: Sequence[IntArray],
    clusterings: Sequence[Clustering],
    n: FloatArray,
    u: FloatArray,
) -> tuple[FloatArray, IntArray]:
    """(3, V) clustered standard errors of the parts, and (V,) units (of the way that has fewer).

    A decision for x in state s adds to its policy's n(s) and to its sum there; so, for the first policy with N
    decisions, it moves the difference by (x - R)/N, exposure by (m(s) - Σ d m)/N + (d_1 - d_2)(s) (x - u(s)) / 2 n(s)
    with m = (u_1 + u_2)/2, and choice by the rest.
    """
    width = n.shape[2]
    moved = [np.zeros((way.count, _PARTS * width)) for way in clusterings[0].ways]
    present = [np.zeros((way.count, width)) for way in clusterings[0].ways]
    total = np.maximum(1, n.sum(axis=1))  # (2, V)
    d, middle = n / total[:, None], u.mean(axis=0)
    for i, (arrays, code, clustering) in enumerate(zip(runs, states, clusterings, strict=True)):
        sign = 1 - 2 * i
        rate, there = (d[i] * u[i]).sum(axis=0), (d[i] * middle).sum(axis=0)
        slope = (d[0] - d[1]) / 2 / np.maximum(1, n[i])  # (S, V)
        for begin, end in arrays.parts():
            taken, counted = _taken(arrays.part(begin, end))
            at = code[begin:end]
            whole = sign * (taken - rate) / total[i]
            exposure = sign * (middle[at] - there) / total[i] + slope[at] * (taken - u[i][at])
            influence = np.hstack([whole * counted, exposure * counted, (whole - exposure) * counted])
            for way, sums, counts in zip(clustering.ways, moved, present, strict=True):
                add_cluster_sums(sums, influence, way.codes[begin:end])
                add_cluster_sums(counts, counted, way.codes[begin:end])
    units = [(counts > 0).sum(axis=0) for counts in present]
    errors = 100 * np.sqrt(clustered_variance(moved, [np.tile(count, _PARTS) for count in units]))
    return errors.reshape(_PARTS, width), np.min(units[:2], axis=0)
