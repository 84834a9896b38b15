"""The inference under every score: one t interval, one bootstrap, one jackknife, one two-way error.

Nothing here knows a run. All randomness comes from a generator that the caller seeds. Arrays: C
clusters, B resamples, K sums, V columns.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import stats

from valueagents.arrays import BoolArray, FloatArray, IntArray

BOOTSTRAP_DRAWS = 2_000
CONFIDENCE = 0.95
MIN_CLUSTERS = 50
"""Below this a percentile bootstrap is too narrow: a t interval is given, with a warning."""
MIN_UNITS = 6
"""Fewer seeds or targets than this cannot reach p < 0.05 in a sign-flip test: what they show is
exploratory.
"""
MIN_POLICIES = 20
"""Correlations over fewer policies, personas or adapters say too little to be given."""
_CELLS_A_CHUNK = 1_000_000
NOTHING = "no decision to estimate it from"
_ROUNDING = 1e-12
"""Of numbers of about 1: less is what rounding leaves of nothing."""

Totals = Mapping[str, FloatArray]
"""Name -> (B, k) totals over clusters, a row for each resample."""
Statistics = Callable[[Totals], Mapping[str, FloatArray]]
"""Named numbers, (B,) each, of totals: the value, its bootstrap and its jackknife come from one
formula.
"""


class Estimate(msgspec.Struct, frozen=True):
    """A number with its 95 % interval.

    `value` None = undefined, `reason` says why; with a value it is a caution.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


def joined(*cautions: str | None) -> str | None:
    """The cautions that there are, in one text; None if there is none."""
    return "; ".join(caution for caution in cautions if caution) or None


def few(clusters: int) -> str | None:
    """The caution of a t interval on fewer than `MIN_CLUSTERS` clusters; None from there on."""
    return (
        f"{clusters} clusters, fewer than {MIN_CLUSTERS}: t interval"
        if clusters < MIN_CLUSTERS
        else None
    )


def t_quantile(units: int) -> float:
    """How many standard errors a 95 % interval reaches to either side, on units - 1 degrees of
    freedom.
    """
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, units - 1))


def t_estimate(
    value: float,
    error: float,
    units: int,
    caution: str | None = None,
    *,
    unit: str = "cluster",
    within: tuple[float, float] | None = None,
) -> Estimate:
    """A value with its t interval on `units` - 1 degrees of freedom, cut at what it can attain.

    Under two units, or where they are all alike, there is none, and a reason: that nothing varied
    in a few units does not make a number certain.
    """
    if not np.isfinite(value):
        return Estimate(reason=NOTHING)
    if units < 2:
        return Estimate(
            value, reason=joined(caution, f"{'one' if units else 'no'} {unit}: no interval")
        )
    if not error > _ROUNDING * max(1.0, abs(value)):
        return Estimate(value, reason=joined(caution, f"all {units} {unit}s alike: no interval"))
    half = t_quantile(units) * error
    low, high = value - half, value + half
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    return Estimate(value, low, high, caution)


def alike_estimate(value: float, units: int, within: tuple[float, float]) -> Estimate:
    """A mean whose units are all alike, with what units that were not met could make of it.

    Where `units` of as many are alike, the share of units that are not is at most q / (1 + q), q =
    t² / units: Wilson's (1927) upper end of 0 of n, with t's quantile. These may lie anywhere
    `within`.
    """
    q = t_quantile(units) ** 2 / units
    others = q / (1 + q)
    low, high = (value + others * (end - value) for end in within)
    caution = f"all {units} clusters alike: Wilson's bound on the share of others"
    return Estimate(value, low, high, caution)


def t_test(value: float, error: float, units: int) -> float | None:
    """The two-sided p of a value against 0, t on `units` - 1 degrees of freedom; None where nothing
    varies.
    """
    if units < 2 or not error > 0:
        return None
    return 2 * float(stats.t.sf(abs(value) / error, units - 1))


def clustered_variance(sums: Sequence[FloatArray], counts: Sequence[npt.ArrayLike]) -> FloatArray:
    """(V,) variances of totals from the (C, V) residual sums of one kind of unit, or of two and
    their intersection.

    C/(C-1) Σ s² with C the `counts` of units; two-way V_1 + V_2 - V_12 (Cameron, Gelbach & Miller
    2011, eq. 2.11), at least the larger of V_1 and V_2: the difference may come out too small, even
    negative.
    """
    each = []
    for residuals, count in zip(sums, counts, strict=True):
        units = np.maximum(2, count)
        each.append(units / (units - 1) * (residuals**2).sum(axis=0))
    variance: FloatArray = each[0]
    if len(each) > 1:
        larger = np.maximum(each[0], each[1])
        variance = np.maximum(each[0] + each[1] - each[2], larger)
    return variance


def resamples(count: int, seed: int) -> Iterator[IntArray]:
    """`BOOTSTRAP_DRAWS` resamples of `count` units with replacement, in chunks of (b, count) unit
    numbers.
    """
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS_A_CHUNK // max(1, count))
    left = BOOTSTRAP_DRAWS if count else 0
    while left > 0:
        rows = min(at_once, left)
        yield rng.integers(count, size=(rows, count))
        left -= rows


def resampled_totals(sums: FloatArray, seed: int) -> Iterator[FloatArray]:
    """The totals (b, K) of the resamples of (C, K) cluster sums, chunk by chunk."""
    count = len(sums)
    for picks in resamples(count, seed):
        rows = len(picks)
        flat = (picks + count * np.arange(rows)[:, None]).ravel()
        times = np.bincount(flat, minlength=rows * count).reshape(rows, count)
        yield times @ sums


def percentile_interval(draws: FloatArray) -> tuple[float, float]:
    """The 95 % percentile interval of those of (B,) draws that are finite; NaN if none is."""
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return float("nan"), float("nan")
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(finite, [tail, 100 - tail])
    return float(low), float(high)


def ratio_estimates(
    above: Sequence[FloatArray],
    below: Sequence[FloatArray],
    attainable: FloatArray | None = None,
    *,
    seed: int,
) -> list[Estimate]:
    """An estimate of Σ above / Σ below for each of V columns, from the (C, V) sums of each way of a
    clustering.

    One way: percentile bootstrap from `MIN_CLUSTERS` clusters that contribute on; below, a t
    interval with the linearised standard error (Cochran 1977, eq. 2.46) and a caution. Two ways,
    and third their intersection: a t interval with the error clustered both ways
    (`clustered_variance`) and the degrees of freedom of the kind with fewer units that contribute
    (Cameron & Miller 2015, section V). `attainable` (2, V): between what Σ above can lie (NaN = not
    known); no interval goes beyond, and where all clusters are alike it gives the interval's width.
    """
    width = above[0].shape[1]
    one_way = len(above) == 1
    drawn = (
        _drawn_ratios(above[0], below[0], seed)
        if one_way and len(above[0]) >= MIN_CLUSTERS
        else None
    )
    estimates = []
    for v in range(width):
        total = float(below[0][:, v].sum())
        if total == 0:
            estimates.append(Estimate(reason=NOTHING))
            continue
        value = float(above[0][:, v].sum() / total)
        within = None if attainable is None else _range(attainable[:, v] / total)
        counts = [int((each[:, v] > 0).sum()) for each in below]
        units = min(counts[:2])
        residuals = [n[:, [v]] - value * d[:, [v]] for n, d in zip(above, below, strict=True)]
        error = float(np.sqrt(clustered_variance(residuals, counts)[0])) / total
        if within is not None and units > 1 and not error > _ROUNDING:
            estimates.append(alike_estimate(value, units, within))
        elif drawn is not None and units >= MIN_CLUSTERS and error > _ROUNDING:
            estimates.append(Estimate(value, *percentile_interval(drawn[:, v])))
        else:
            caution = few(units) if units > 1 else None
            estimates.append(t_estimate(value, error, units, caution, within=within))
    return estimates


def ratio_tests(above: Sequence[FloatArray], below: Sequence[FloatArray]) -> list[float | None]:
    """The two-sided p of each Σ above / Σ below against 0, by t, as `ratio_estimates` clusters."""
    counts = [(each > 0).sum(axis=0) for each in below]
    totals = np.maximum(1e-300, below[0].sum(axis=0))
    values = above[0].sum(axis=0) / totals
    residuals = [n - values * d for n, d in zip(above, below, strict=True)]
    errors = np.sqrt(clustered_variance(residuals, counts)) / totals
    units = np.min(counts[:2], axis=0)
    rows = zip(values.tolist(), errors.tolist(), units.tolist(), strict=True)
    return [t_test(value, error, count) for value, error, count in rows]


def _range(ends: FloatArray) -> tuple[float, float] | None:
    """The two ends, if there is room between them."""
    low, high = ends.tolist()
    return (low, high) if low < high else None


def _drawn_ratios(above: FloatArray, below: FloatArray, seed: int) -> FloatArray:
    """(B, V) resampled ratios; not finite where a resample holds nothing of a column."""
    width = above.shape[1]
    drawn = []
    for totals in resampled_totals(np.hstack([above, below]), seed):
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn.append(totals[:, :width] / totals[:, width:])
    return np.vstack(drawn)


def cluster_estimates(
    sums: Totals,
    statistics: Statistics,
    *,
    seed: int,
    differences: Mapping[str, tuple[str, str]] | None = None,
    folded: Collection[str] = (),
) -> dict[str, Estimate]:
    """An estimate for each named number that `statistics` makes of the totals of (C, k) cluster
    sums.

    From `MIN_CLUSTERS` clusters on that move it: percentile bootstrap over clusters. Below: the
    delete-one jackknife's standard error (Efron & Tibshirani 1993, eq. 11.5) with a t interval and
    a caution. A number that comes out as NaN is undefined.

    `differences`: number -> the two numbers that it is the difference of; it hangs on the fewer of
    their clusters, and its error is that of the one's influences less the other's. `folded`:
    numbers made of absolute values of totals, which resampling pushes up; they get the jackknife's
    t interval however many clusters there are.
    """
    widths = {name: part.shape[1] for name, part in sums.items()}
    matrix = np.hstack(list(sums.values()))
    total = matrix.sum(axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            name: float(number[0]) for name, number in statistics(_named(total, widths)).items()
        }
        left_out = statistics(_named(total - matrix, widths))
        chunks = [statistics(_named(totals, widths)) for totals in resampled_totals(matrix, seed)]
    influences = {name: _influence(value, left_out[name]) for name, value in values.items()}
    clusters = {name: int(_moves(value, left_out[name]).sum()) for name, value in values.items()}
    for name, (one, other) in (differences or {}).items():
        influences[name] = influences[one] - influences[other]
        clusters[name] = min(clusters[one], clusters[other])
    estimates = {}
    for name, value in values.items():
        drawn = (
            np.concatenate([chunk[name] for chunk in chunks])
            if chunks and name not in folded
            else None
        )
        estimates[name] = _cluster_estimate(value, influences[name], clusters[name], drawn)
    return estimates


def _named(matrix: FloatArray, widths: Mapping[str, int]) -> dict[str, FloatArray]:
    """The columns of a (B, K) matrix by the names of those who share them."""
    ends = np.cumsum(list(widths.values()))
    return dict(zip(widths, np.split(matrix, ends[:-1], axis=1), strict=True))


def _moves(value: float, left_out: FloatArray) -> BoolArray:
    """(C,) clusters without which the number is another, by more than rounding."""
    moves: BoolArray = ~np.isclose(left_out, value, rtol=_ROUNDING, atol=_ROUNDING)
    return moves


def _influence(value: float, left_out: FloatArray) -> FloatArray:
    """(C,) what each cluster adds to the jackknife's error, squared; 0 for a cluster that does not
    move the number.
    """
    influence = np.zeros(len(left_out))
    moves = _moves(value, left_out)
    if clusters := int(moves.sum()):
        scale = np.sqrt((clusters - 1) / clusters)
        influence[moves] = scale * (left_out[moves] - left_out[moves].mean())
    return influence


def _cluster_estimate(
    value: float, influence: FloatArray, clusters: int, drawn: FloatArray | None
) -> Estimate:
    if not np.isfinite(value):
        return Estimate(reason="nothing to estimate it from")
    if clusters >= MIN_CLUSTERS and drawn is not None:
        return Estimate(value, *percentile_interval(drawn))
    if clusters == 0:
        return Estimate(value, reason="the same whichever cluster is left out: no interval")
    if clusters == 1 or not np.isfinite(influence).all():
        return Estimate(value, reason="it rests on one cluster: no interval")
    return t_estimate(value, float(np.sqrt((influence**2).sum())), clusters, few(clusters))


def over_units(values: Sequence[float | None], unit: str) -> Estimate:
    """The mean over units that were trained or chosen apart (seeds, targets), with a t interval
    between them.
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return Estimate(reason=f"no {unit} has a number")
    undefined = len(values) - len(known)
    left_out = f"{undefined} undefined left out" if undefined else None
    if len(known) == 1:
        return Estimate(float(known[0]), reason=joined(f"one {unit}: no interval", left_out))
    exploratory = (
        f"{len(known)} {unit}s, fewer than {MIN_UNITS}: exploratory"
        if len(known) < MIN_UNITS
        else None
    )
    error = float(known.std(ddof=1) / np.sqrt(len(known)))
    return t_estimate(
        float(known.mean()), error, len(known), joined(exploratory, left_out), unit=unit
    )


def over_policies(
    x: FloatArray, statistics: Callable[[FloatArray], Mapping[str, float]], *, seed: int
) -> dict[str, Estimate]:
    """Each named statistic of (U, …) policies with its percentile bootstrap over them; a NaN is
    undefined.
    """
    values = statistics(x)
    drawn = [statistics(x[picks]) for chunk in resamples(len(x), seed) for picks in chunk]
    caution = f"{len(x)} policies, fewer than {MIN_CLUSTERS}: its interval is too narrow"
    estimates = {}
    for name, value in values.items():
        if np.isnan(value):
            estimates[name] = Estimate(reason="nothing that varies over the policies")
            continue
        draws = np.array([draw[name] for draw in drawn])
        low, high = percentile_interval(draws)
        estimates[name] = Estimate(value, low, high, caution if len(x) < MIN_CLUSTERS else None)
    return estimates
