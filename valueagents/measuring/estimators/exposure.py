"""E6: is a difference of rates one of what was met or of what was chosen?

Over states s (what was shown) with visit shares d_i(s) and mean choices u_i(s) of the policies i =
1, 2:

R_1 - R_2 = Σ (d_1 - d_2)(u_1 + u_2)/2 + Σ (d_1 + d_2)/2 · (u_1 - u_2) = exposure + choice

(Kitagawa 1955; Oaxaca 1973; Blinder 1973). What a policy would choose in a state that it never met
is not known: it comes from a replay (E7) and counts as exact, or there is no split.

Intervals are by the delta method: what a decision for x in state s moves each part by, summed by
cluster. Where a state is met once or twice its u_i is as good as given, and the interval of the
choice part is too narrow.

Of several seeds it is the mean of the paired seeds' splits. They meet the same items, so their
errors may be one and the same: the interval is the wider of the one over seeds (t) and the mean of
the single seeds' own.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.answers import Answers, common_form, joint_clustering
from valueagents.measuring.columns import codes_of
from valueagents.measuring.estimators.declaration import (
    AxisDifference,
    Compared,
    Difference,
    Estimator,
)
from valueagents.measuring.inference import Estimate, clustered_variance, t_estimate, t_quantile
from valueagents.measuring.pairing import by_situation
from valueagents.measuring.sums import Clustering, add_cluster_sums

_PARTS = 3  # the difference, exposure, choice


def _difference(compared: Compared) -> Difference | None:
    """The split of the difference of rates of two policies; of several seeds the mean."""
    if len(compared.pairs) == 1:
        return exposure_split(compared.first, compared.second, replayed=compared.replayed)
    return _over_seeds([exposure_split(pair.first, pair.second) for pair in compared.pairs])


def _over_seeds(splits: Sequence[Difference]) -> Difference:
    seeds = len(splits)
    axes = []
    for same in zip(*(split.axes for split in splits), strict=True):
        parts = {name: _mean([each.parts[name] for each in same]) for name in same[0].parts}
        axes.append(
            msgspec.structs.replace(
                same[0],
                situations=min(each.situations or 0 for each in same),
                clusters=seeds,
                difference=_mean([each.difference for each in same]),
                parts=parts,
            )
        )
    return msgspec.structs.replace(splits[0], unit="training seed", clusters=seeds, axes=axes)


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean over seeds; none where a seed has no number, no interval where one has none."""
    lacking = [each for each in estimates if each.value is None]
    if lacking:
        return Estimate(reason=lacking[0].reason)
    values = np.array([each.value for each in estimates], dtype=np.float64)
    mean, error = float(values.mean()), float(values.std(ddof=1)) / np.sqrt(len(values))
    if any(each.low is None or each.high is None for each in estimates):
        return Estimate(mean, reason="a seed has no interval")
    own = float(np.mean([(each.high or 0.0) - (each.low or 0.0) for each in estimates])) / 2
    half = max(own, t_quantile(len(values)) * error)
    return Estimate(mean, mean - half, mean + half)


def exposure_split(
    first: Answers,
    second: Answers,
    *,
    replayed: tuple[Answers | None, Answers | None] = (None, None),
) -> Difference:
    """R_1 - R_2 by axis with its parts `exposure` and `choice`, and t intervals clustered jointly.

    `replayed` has for each policy a replay of states that it did not meet itself: what it chose
    there, or would choose by its probabilities where the replay holds them.
    """
    runs = (first, second)
    codes, names = codes_of(pa.concat_arrays([answers.shown for answers in runs]))
    states = np.split(codes, [len(first.shown)])
    met = [_by_state(answers, code, len(names)) for answers, code in zip(runs, states, strict=True)]
    n = np.stack([visits for visits, _ in met])
    u = np.stack([choices for _, choices in met])
    for i, replay in enumerate(replayed):
        if replay is not None:
            u[i] = np.where(n[i] > 0, u[i], _replayed_choices(replay, names))
    everywhere = (n.sum(axis=0) > 0).sum(axis=0)
    unknown = ((n.sum(axis=0) > 0) & np.isnan(u).any(axis=0)).sum(axis=0)  # (V,)
    u = np.nan_to_num(u)
    parts = _parts(n, u)
    clusterings = joint_clustering(runs)
    errors, units = _errors(runs, states, clusterings, n, u)
    axes = []
    for v, axis in enumerate(first.taxonomy.axes):
        whole, exposure, choice = (
            t_estimate(float(parts[k, v]), float(errors[k, v]), int(units[v]))
            for k in range(_PARTS)
        )
        if unknown[v]:
            missing = f"{unknown[v]} of {everywhere[v]} states were met by one policy only"
            exposure = choice = Estimate(reason=f"{missing}: ask both there (a replay)")
        axes.append(
            AxisDifference(
                axis=axis.id,
                name=axis.name,
                situations=int(everywhere[v]),
                clusters=int(units[v]),
                difference=whole,
                parts={"exposure": exposure, "choice": choice},
            )
        )
    return Difference(
        estimator=EXPOSURE.id,
        name="rate",
        unit=clusterings[0].unit,
        clusters=int(units.max(initial=0)),
        test="none",
        family="none",
        axes=axes,
    )


def _parts(n: FloatArray, u: FloatArray) -> FloatArray:
    """(3, V) the difference of rates, exposure and choice, from (2, S, V) visits and mean
    choices.
    """
    with np.errstate(invalid="ignore"):
        d = n / n.sum(axis=1, keepdims=True)
    return 100 * np.stack(
        [
            (d[0] * u[0] - d[1] * u[1]).sum(axis=0),
            ((d[0] - d[1]) * (u[0] + u[1]) / 2).sum(axis=0),
            ((d[0] + d[1]) / 2 * (u[0] - u[1])).sum(axis=0),
        ]
    )


def _replayed_choices(replay: Answers, names: pa.StringArray) -> FloatArray:
    """(S, V) mean x of a replay's answers in these states; NaN where it was not asked."""
    if common_form(replay) == "probability":
        x, annotated = replay.judged()
        expected = np.where(annotated, replay.per_menu(x, replay.p), np.nan)
    else:
        taken, counted = _taken(replay)
        expected = np.where(counted > 0, taken, np.nan)
    asked, means = by_situation(replay, expected)
    states = np.asarray(names.to_pylist(), dtype=np.str_)
    place = np.minimum(np.searchsorted(asked, states), len(asked) - 1)
    found: FloatArray = np.where((asked[place] == states)[:, None], means[place], np.nan)
    return found


def _by_state(answers: Answers, states: IntArray, count: int) -> tuple[FloatArray, FloatArray]:
    """(S, V) numbers of choices with the axis annotated, and their mean x; NaN where there is
    none.
    """
    sums, sizes = (np.zeros((count, len(answers.taxonomy.axes))) for _ in range(2))
    for place, part in answers.parts():
        taken, counted = _taken(part)
        add_cluster_sums(sums, taken, states[place])
        add_cluster_sums(sizes, counted, states[place])
    with np.errstate(invalid="ignore"):
        return sizes, sums / sizes


def _taken(answers: Answers) -> tuple[FloatArray, FloatArray]:
    """(T, V) x of the chosen options, and 1 where it counts."""
    x, annotated = answers.judged()
    read = answers.chosen >= 0
    counted = (annotated & read[:, None]).astype(np.float64)
    return x[np.where(read, answers.chosen, answers.start)] * counted, counted


def _errors(
    runs: Sequence[Answers],
    states: Sequence[IntArray],
    clusterings: Sequence[Clustering],
    n: FloatArray,
    u: FloatArray,
) -> tuple[FloatArray, IntArray]:
    """(3, V) clustered standard errors of the parts, and (V,) units (of the way that has fewer).

    A decision for x in state s adds to its policy's n(s) and to its sum there; so, for the first
    policy with N decisions, it moves the difference by (x - R)/N, exposure by (m(s) - Σ d m)/N +
    (d_1 - d_2)(s) (x - u(s)) / 2 n(s) with m = (u_1 + u_2)/2, and choice by the rest.
    """
    width = n.shape[2]
    moved = [np.zeros((way.count, _PARTS * width)) for way in clusterings[0].ways]
    present = [np.zeros((way.count, width)) for way in clusterings[0].ways]
    total = np.maximum(1, n.sum(axis=1))  # (2, V)
    d, middle = n / total[:, None], u.mean(axis=0)
    for i, (answers, code, clustering) in enumerate(zip(runs, states, clusterings, strict=True)):
        sign = 1 - 2 * i
        rate, there = (d[i] * u[i]).sum(axis=0), (d[i] * middle).sum(axis=0)
        slope = (d[0] - d[1]) / 2 / np.maximum(1, n[i])  # (S, V)
        for place, part in answers.parts():
            taken, counted = _taken(part)
            at = code[place]
            whole = sign * (taken - rate) / total[i]
            exposure = sign * (middle[at] - there) / total[i] + slope[at] * (taken - u[i][at])
            influence = np.hstack(
                [whole * counted, exposure * counted, (whole - exposure) * counted]
            )
            for way, sums, counts in zip(clustering.ways, moved, present, strict=True):
                add_cluster_sums(sums, influence, way.codes[place])
                add_cluster_sums(counts, counted, way.codes[place])
    units = [(counts > 0).sum(axis=0) for counts in present]
    errors = 100 * np.sqrt(clustered_variance(moved, [np.tile(count, _PARTS) for count in units]))
    return errors.reshape(_PARTS, width), np.min(units[:2], axis=0)


EXPOSURE = Estimator(
    id="E6",
    name="exposure and choice",
    formula=(
        "R_1 − R_2 = Σ_s (d_1 − d_2)(u_1 + u_2)/2 + Σ_s (d_1 + d_2)/2 · (u_1 − u_2), s the"
        " states met"
    ),
    source="Kitagawa 1955; Oaxaca 1973; Blinder 1973",
    needs="two runs",
    unit="sum of x per 100 decisions",
    meaning="a difference of rates, split in what was met and what was chosen there",
    digits=1,
    difference=_difference,
)
