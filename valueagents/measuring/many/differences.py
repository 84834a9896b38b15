"""All pairs of several policies on all values: differences with a test that can see something on
few items.

Flips of n items cannot give a p below 2^(1 − n): with six items a value, as a survey has, and
hundreds of pairs and values nothing could ever be called, and several values that moved stand in
each other's way. So the test is a t test, and since five degrees of freedom carry little further, a
moderated one (Smyth 2004, Linear models and empirical Bayes methods): the variance of an item's
difference on a value is drawn towards its mean over the other values of the same two policies, with
the weight of `PRIOR_DF` items, and has as many degrees of freedom more. Smyth estimates that
weight; on twenty values it would be too rough an estimate, so here it is fixed.

Arrays: U policies, I situations, V values.
"""

from collections.abc import Sequence
from itertools import combinations

import msgspec
import numpy as np
from scipy import stats

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.measuring.inference import (
    CONFIDENCE,
    NOTHING,
    Estimate,
    clustered_variance,
    few,
    t_estimate,
)
from valueagents.measuring.many.profiles import Profiles
from valueagents.measuring.studies.study_shifts import ITEM, POLE, POLES
from valueagents.measuring.sums import Units, cluster_sums

PRIOR_DF = 5.0
LEAST_SD = 0.01
"""Of an item's difference, in x: policies that read no item (`known` on ratings) differ by the same
on all of them, and a variance of 0 would make any difference certain."""
TEST = (
    "t tests clustered by {unit}, variances moderated over values (Smyth 2004) with a weight of"
    f" {PRIOR_DF:g} items"
)


class PairDifference(msgspec.Struct, frozen=True):
    """Two policies on a value: first minus second, in x, on what both answered.

    `difference` has an unadjusted 95 % interval, or a reason for having no number. `p` is two-sided
    and alone; None where nothing could be tested. `p_adjusted`: over all that is said together.
    """

    first: str
    second: str
    axis: str
    situations: int
    clusters: int
    difference: Estimate
    error: float | None = None
    df: float | None = None
    p: float | None = None
    p_adjusted: float | None = None


def turned(each: PairDifference) -> PairDifference:
    """The same difference, second minus first."""
    found = each.difference
    value, low, high = (
        None if end is None else -end for end in (found.value, found.high, found.low)
    )
    difference = Estimate(value, low, high, found.reason)
    return msgspec.structs.replace(
        each, first=each.second, second=each.first, difference=difference
    )


def above(each: PairDifference) -> PairDifference:
    """The same difference, the policy that lies higher first."""
    return turned(each) if (each.difference.value or 0.0) < 0 else each


def pair_differences(table: Profiles, *, needed: int) -> list[PairDifference]:
    """Every pair on every value, unadjusted, in the order of the labels and of the taxonomy.

    A survey's statement counts for two policies where both answered its opposite, too: else a habit
    of high ratings would remain. `needed`: situations under which a value has no number.
    """
    found = []
    partners = _partners(table)
    for a, b in combinations(range(len(table.labels)), 2):
        difference = table.cells[a] - table.cells[b]
        kept = ~np.isnan(difference)
        if partners is not None:
            kept &= _whole(table.contested & ~kept, partners)
        names = table.labels[a], table.labels[b]
        found += _tested(names, np.where(kept, difference, 0.0), kept, table, needed)
    return found


def _partners(table: Profiles) -> IntArray | None:
    """(I,) codes, equal for the two wordings of a statement; None where there are not both."""
    if not {ITEM, POLE} <= set(table.factors) or not POLES.issubset(table.factors[POLE]):
        return None
    return np.unique(table.factors[ITEM], return_inverse=True)[1].astype(np.int64)


def _whole(lacking: BoolArray, codes: IntArray) -> BoolArray:
    """(I, V) situations of whose code none is lacking."""
    lost = cluster_sums(lacking.astype(np.float64), codes, int(codes.max(initial=-1)) + 1) > 0
    whole: BoolArray = ~lost[codes]
    return whole


def _tested(
    names: tuple[str, str],
    difference: FloatArray,
    kept: BoolArray,
    table: Profiles,
    needed: int,
) -> list[PairDifference]:
    situations = kept.sum(axis=0)
    counted = np.maximum(1, situations)
    means = difference.sum(axis=0) / counted
    residuals = np.where(kept, difference - means, 0.0)
    clusters = _clusters(kept, table.ways)
    sums = [cluster_sums(residuals, way.codes, way.count) for way in table.ways]
    squared = clustered_variance(sums, clusters) / counted**2
    units = np.min(clusters[:2], axis=0)
    tested = (situations >= max(1, needed)) & (units > 1)
    error, df = _moderated(squared, units, tested)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, df) * error
    p = 2 * stats.t.sf(np.abs(means) / error, df)
    found = []
    for v, axis in enumerate(table.taxonomy.axis_ids):
        count, items = int(situations[v]), int(units[v])
        if tested[v]:
            mean, reach = float(means[v]), float(half[v])
            found.append(
                PairDifference(
                    *names,
                    axis,
                    count,
                    items,
                    Estimate(mean, mean - reach, mean + reach, few(items)),
                    error=float(error[v]),
                    df=float(df[v]),
                    p=float(p[v]),
                )
            )
        else:
            without = _without(float(means[v]), count, items, needed)
            found.append(PairDifference(*names, axis, count, items, without))
    return found


def _clusters(kept: BoolArray, ways: Sequence[Units]) -> list[IntArray]:
    """For each kind of unit, (V,) how many of them count."""
    ones = kept.astype(np.float64)
    return [np.asarray((cluster_sums(ones, way.codes, way.count) > 0).sum(axis=0)) for way in ways]


def _moderated(
    squared: FloatArray, units: IntArray, tested: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """(V,) standard errors and degrees of freedom, from squared errors on so many units; what is
    moderated is the variance of a unit, squared error × units.
    """
    own_df = np.where(tested, np.maximum(1, units - 1), 0).astype(np.float64)
    variance = squared * units
    weighted = own_df * variance
    others_df = own_df.sum() - own_df
    others = (weighted.sum() - weighted) / np.maximum(1.0, others_df)
    prior_df = np.minimum(PRIOR_DF, others_df)
    df = np.maximum(1.0, own_df + prior_df)
    moderated = np.maximum(LEAST_SD**2, (weighted + prior_df * others) / df)
    return np.sqrt(moderated / np.maximum(1, units)), df


def _without(mean: float, count: int, units: int, needed: int) -> Estimate:
    """The number of a value that is not tested, or why it has none."""
    if count < max(1, needed):
        reason = f"not enough: {count} contested situations, {needed} needed"
        return Estimate(reason=reason if count else NOTHING)
    return t_estimate(mean, 0.0, units)
