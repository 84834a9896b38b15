"""What follows from an estimator's being a mean over decisions: its numbers for one run, its
difference for two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from valueagents.arrays import BoolArray, FloatArray
from valueagents.measuring.deviations import Deviations, Terms
from valueagents.measuring.episodes import EpisodeSums, episode_sums
from valueagents.measuring.estimators.declaration import (
    AxisDifference,
    Compared,
    Difference,
    Estimator,
    Measured,
)
from valueagents.measuring.flips import FlipTest, benjamini_hochberg, max_t, sign_flip_test
from valueagents.measuring.inference import (
    MIN_UNITS,
    Estimate,
    few,
    ratio_estimates,
    ratio_tests,
    t_estimate,
    t_test,
)
from valueagents.measuring.pairing import Pairing
from valueagents.measuring.sums import cluster_sums

FALSE_DISCOVERY_RATE = 0.05
_IN_EPISODES = "contested decisions in episodes from the same env seeds"


def not_enough(count: int, needed: int, what: str = "contested decisions") -> Estimate:
    """Undefined, because fewer decisions were met than the env asks for."""
    return Estimate(reason=f"not enough: {count} {what}, {needed} needed")


def mean_estimates(estimator: Estimator, measured: Measured) -> list[Estimate]:
    """The estimate of every axis; undefined where too few decisions count, or none holds what the
    estimator needs.
    """
    needed = measured.answers.min_contested if estimator.minimum else 0
    counted = measured.tally.below[estimator.id][0].sum(axis=0).astype(int).tolist()
    offered = measured.tally.contested.sum(axis=0).tolist()
    estimates = []
    for estimate, count, at_stake in zip(
        measured.means(estimator.id), counted, offered, strict=True
    ):
        if count >= needed:
            estimates.append(estimate)
        elif estimator.needs == "probabilities" and not count and at_stake >= needed:
            estimates.append(Estimate(reason="no probabilities"))
        else:
            estimates.append(not_enough(count, needed))
    return estimates


def paired_difference(estimator: Estimator, compared: Compared) -> Difference:
    """The mean difference on the situations that both policies met, with a sign-flip test.

    The units are items; of several training seeds the seeds. Games are compared by the sums of
    episodes that began from the same env seed, two-way by episode and menu (`episodes.py`); where
    no two did, by situations, with menus as units. Raises nothing for an axis with too few shared
    contested situations: its difference is undefined.
    """
    assert estimator.terms is not None  # noqa: S101 – only means are paired
    summed = [episode_sums(pair, estimator.terms) for pair in compared.pairs]
    games = [each for each in summed if each is not None]
    if len(games) == len(summed) == 1:
        return _of_episodes(estimator, compared, games[0])
    return _of_situations(estimator, compared, games if len(games) == len(summed) else [])


def _of_episodes(estimator: Estimator, compared: Compared, found: EpisodeSums) -> Difference:
    """Two runs of a game: t tests of the mean difference of an episode's sums."""
    taxonomy = compared.first.taxonomy
    needed = compared.first.min_contested if estimator.minimum else 1
    axes = []
    tested = [
        t_test(float(found.difference[v]), float(found.error[v]), int(found.units[v]))
        if found.contested[v] >= needed
        else None
        for v in range(len(taxonomy.axes))
    ]
    family = benjamini_hochberg(
        [
            None if axis.id == compared.primary else p
            for axis, p in zip(taxonomy.axes, tested, strict=True)
        ]
    )
    for v, axis in enumerate(taxonomy.axes):
        enough, units = found.contested[v] >= needed, int(found.units[v])
        decisive = tested[v] if axis.id == compared.primary else family[v]
        mean, error = float(found.difference[v]), float(found.error[v])
        axes.append(
            AxisDifference(
                axis=axis.id,
                name=axis.name,
                situations=None,
                clusters=units,
                difference=(
                    t_estimate(mean, error, units, few(units))
                    if enough
                    else not_enough(int(found.contested[v]), needed, _IN_EPISODES)
                ),
                p=tested[v],
                p_family=family[v],
                differs=decisive is not None and decisive <= FALSE_DISCOVERY_RATE,
            )
        )
    return Difference(
        estimator=estimator.id,
        name=f"{estimator.name}, sum over an episode",
        unit=found.unit,
        clusters=found.pairs,
        test=(
            f"t on {found.pairs} pairs of episodes from the same env seeds, on the units in which a"
            " value was at stake less one"
        ),
        family=f"Benjamini–Hochberg at {FALSE_DISCOVERY_RATE:g} over the axes{_apart(compared)}",
        axes=axes,
    )


def _of_situations(
    estimator: Estimator, compared: Compared, games: Sequence[EpisodeSums]
) -> Difference:
    """Means over situations; over seeds of a game their mean differences of episodes, `games`."""
    pairs, taxonomy = compared.pairs, compared.first.taxonomy
    needed = compared.first.min_contested if estimator.minimum else 1
    differences = [_differences(estimator, pair) for pair in pairs]
    known = [(~np.isnan(each)).sum(axis=0) for each in differences]
    if games:
        known = [each.contested for each in games]
    situations, fewest = np.sum(known, axis=0), np.min(known, axis=0)
    sums, sizes = _by_unit(pairs, differences)
    if games:
        sums = np.stack([each.difference for each in games])
        sizes = (np.stack(known) > 0).astype(np.float64)
    enough = fewest >= needed
    ways = [(sums, sizes)] if len(pairs) > 1 else _each_way(pairs[0], differences[0])
    above, below = [way[0] for way in ways], [way[1] for way in ways]
    held = np.where(enough, sums, 0.0)
    test = (
        sign_flip_test(held, seed=compared.seed)
        if len(ways) == 1
        else _two_way(above, below, enough)
    )
    primary = np.array([axis.id == compared.primary for axis in taxonomy.axes])
    clusters = (sizes > 0).sum(axis=0)
    # the p of an axis that moves all of its clusters one way; t has no such bound
    smallest = np.exp2(1.0 - clusters) if len(ways) == 1 else np.zeros(len(clusters))
    family = _family(test, held, primary, smallest, seed=compared.seed)
    where = _IN_EPISODES if games else "shared contested situations"
    where += " in one of the seeds" if len(pairs) > 1 else ""
    axes = []
    extremes = None if games else _extremes(estimator, pairs, differences)
    estimates = ratio_estimates(above, below, extremes, seed=compared.seed)
    for v, estimate in enumerate(estimates):
        decisive = test.p[v] if primary[v] else family.p[v]
        axes.append(
            AxisDifference(
                axis=taxonomy.axes[v].id,
                name=taxonomy.axes[v].name,
                situations=None if games else int(situations[v]),
                clusters=int(clusters[v]),
                difference=estimate if enough[v] else not_enough(int(fewest[v]), needed, where),
                p=test.p[v],
                p_family=family.p[v],
                p_max_t=test.p_max_t[v],
                differs=decisive is not None and decisive <= FALSE_DISCOVERY_RATE,
            )
        )
    apart = _apart(compared)
    names = [axis.id for axis in taxonomy.axes]
    return Difference(
        estimator=estimator.id,
        name=estimator.name + (", sum over an episode" if games else ""),
        unit="training seed" if len(pairs) > 1 else pairs[0].unit,
        clusters=len(sums),
        test=(test.method if enough.any() else f"nothing tested: no value has {needed} {where}"),
        family=f"{family.method} over the axes{apart}",
        axes=axes,
        warnings=_impossible(np.array(names)[enough & (smallest > FALSE_DISCOVERY_RATE)]),
    )


def _apart(compared: Compared) -> str:
    return f" except {compared.primary}, tested alone" if compared.primary else ""


@dataclass(frozen=True, slots=True)
class _Family:
    """The adjusted p of the axes that are not primary, and how they were adjusted."""

    method: str
    p: list[float | None]


def _family(
    test: FlipTest, sums: FloatArray, primary: BoolArray, smallest: FloatArray, *, seed: int
) -> _Family:
    """Benjamini–Hochberg where every axis could pass it; else max-T with joint flips.

    One axis that moved among m passes Benjamini–Hochberg at a p of 0.05 / m; n clusters cannot give
    less than 2^(1 − n), so with 6 clusters each and 20 axes no shift whatever could be found.
    `smallest` (V,): that bound, by the clusters in which an axis is at stake.
    """
    rate = FALSE_DISCOVERY_RATE
    held = np.array([p is not None for p in test.p]) & ~primary
    least = float(smallest[held].max(initial=0.0))
    if least <= rate / max(1, held.sum()):
        members = [p if inside else None for p, inside in zip(test.p, held, strict=True)]
        return _Family(f"Benjamini–Hochberg at {rate:g}", benjamini_hochberg(members))
    reason = f"no p is below {least:.2g} on the fewest clusters: too much for"
    method = f"max-T with joint flips ({reason} Benjamini–Hochberg)"
    return _Family(method, max_t(sums, held, seed=seed))


def _impossible(lost: npt.NDArray[np.str_]) -> list[str]:
    """The caution on axes that no flip test can call, whatever they did."""
    if not len(lost):
        return []
    return [
        f"{', '.join(lost.tolist())}: no p below {FALSE_DISCOVERY_RATE:g} is possible with fewer"
        f" than {MIN_UNITS} clusters; nothing can be said of them"
    ]


def _differences(estimator: Estimator, pair: Pairing) -> FloatArray:
    assert estimator.terms is not None  # noqa: S101 – only means are paired
    return pair.mean_differences(estimator.terms)


def _extremes(
    estimator: Estimator, pairs: Sequence[Pairing], differences: Sequence[FloatArray]
) -> FloatArray:
    """(2, V) between what the sums of differences can lie: of a situation, its menu's span to
    either side; of several seeds the sum of each one's mean. NaN where not known.
    """

    def spans(deviations: Deviations) -> Terms:
        assert estimator.terms is not None  # noqa: S101 – only means are paired
        terms = estimator.terms(deviations)
        if terms.lowest is None or terms.highest is None:
            return Terms(np.full_like(terms.values, np.nan), terms.counted)
        between = np.broadcast_to(terms.highest - terms.lowest, terms.values.shape)
        return Terms(np.where(terms.counted, between, 0.0), terms.counted)

    reach = np.zeros(differences[0].shape[1])
    for pair, each in zip(pairs, differences, strict=True):
        widest = np.maximum(*pair.means(lambda answers: answers.per_decision(spans)))
        known = ~np.isnan(each)
        total = np.where(known, widest, 0.0).sum(axis=0)
        reach += total if len(pairs) == 1 else total / np.maximum(1, known.sum(axis=0))
    return np.stack([-reach, reach])


def _each_way(pair: Pairing, differences: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    """(C, V) sums of differences and numbers of situations, for each way of the clustering."""
    total, known = np.nan_to_num(differences), (~np.isnan(differences)).astype(np.float64)
    return [
        (cluster_sums(total, way.codes, way.count), cluster_sums(known, way.codes, way.count))
        for way in pair.ways
    ]


def _two_way(
    above: Sequence[FloatArray], below: Sequence[FloatArray], enough: BoolArray
) -> FlipTest:
    """The t tests of pooled decisions of games, where no single kind of unit could be flipped."""
    method = "t, two-way by episode and menu, on the fewer units in which a value was at stake"
    tested = zip(ratio_tests(above, below), enough, strict=True)
    return FlipTest(method, [p if held else None for p, held in tested], [None] * len(enough))


def _by_unit(
    pairs: Sequence[Pairing], differences: Sequence[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """(C, V) sums of differences and numbers of situations; of several seeds the mean of each, and
    ones.
    """
    totals = [np.nan_to_num(each) for each in differences]
    counts = [(~np.isnan(each)).astype(np.float64) for each in differences]
    if len(pairs) == 1:
        return _each_way(pairs[0], differences[0])[0]
    sums = np.stack([each.sum(axis=0) for each in totals])
    sizes = np.stack([each.sum(axis=0) for each in counts])
    return sums / np.maximum(1, sizes), (sizes > 0).astype(np.float64)
