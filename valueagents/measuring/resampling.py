"""Intervals of any statistic of cluster sums: the inference under the named metrics.

A metric is written as a function of totals: (B, K) sums over clusters, a row for each resample, to (B, M) values. So
the value, the bootstrap and the jackknife of it come from one formula.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from scipy import stats

from valueagents.measuring.inference import BOOTSTRAP_DRAWS, CONFIDENCE, MIN_CLUSTERS, Estimate, FloatArray

Statistic = Callable[[FloatArray], FloatArray]

MIN_UNITS = 6
"""Fewer seeds or targets than this cannot reach p < 0.05 in a sign-flip test: what they show is exploratory."""
MIN_POLICIES = 20
"""Correlations over fewer policies, personas or adapters say too little to be given."""
_CELLS_A_CHUNK = 4_000_000


def cluster_estimates(
    sums: FloatArray,
    statistic: Statistic,
    *,
    seed: int,
    differences: Mapping[int, tuple[int, int]] | None = None,
    folded: Collection[int] = (),
) -> list[Estimate]:
    """An estimate for each of the M numbers that `statistic` makes of the totals of (C, K) cluster sums.

    From `MIN_CLUSTERS` clusters on that move it: percentile bootstrap over clusters. Below: the delete-one jackknife's
    standard error (Efron & Tibshirani 1993, eq. 11.5) with a t interval and a caution. A number that `statistic` gives
    as NaN is undefined.

    `differences`: number -> the two numbers that it is the difference of; it hangs on the fewer of their clusters, and
    its error is that of the one's influences less the other's. `folded`: numbers made of absolute values of totals,
    which resampling pushes up; they get the jackknife's t interval however many clusters there are.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        total = sums.sum(axis=0, keepdims=True)
        values = statistic(total)[0]  # (M,)
        left_out = statistic(total - sums)  # (C, M)
        drawn = np.vstack([statistic(draws) for draws in _resampled(sums, seed)])  # (B, M)
    influences = [_influence(float(value), left_out[:, m]) for m, value in enumerate(values)]
    clusters = (left_out != values).sum(axis=0).tolist()
    for m, (one, other) in (differences or {}).items():
        influences[m] = influences[one] - influences[other]
        clusters[m] = min(clusters[one], clusters[other])
    return [
        _estimate(float(value), influences[m], clusters[m], None if m in folded else drawn[:, m])
        for m, value in enumerate(values)
    ]


def over_units(values: Sequence[float | None], unit: str) -> Estimate:
    """The mean over units that were trained or chosen apart (seeds, targets), with a t interval between them."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return Estimate(reason=f"no {unit} has a number")
    left_out = f"; {len(values) - len(known)} undefined left out" if len(known) < len(values) else ""
    if len(known) == 1:
        return Estimate(float(known[0]), reason=f"one {unit}: no interval{left_out}")
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    few = f"{len(known)} {unit}s, fewer than {MIN_UNITS}: exploratory" if len(known) < MIN_UNITS else ""
    value = float(known.mean())
    return Estimate(value, value - half, value + half, (few + left_out).removeprefix("; ") or None)


def over_policies(x: FloatArray, statistics: Callable[[FloatArray], list[float]], *, seed: int) -> list[Estimate]:
    """Each statistic of (U, …) policies with its percentile bootstrap over them; a NaN is undefined."""
    rng = np.random.default_rng(seed)
    values = statistics(x)
    draws = np.array([statistics(x[rng.integers(len(x), size=len(x))]) for _ in range(BOOTSTRAP_DRAWS)])
    few = f"{len(x)} policies, fewer than {MIN_CLUSTERS}: its interval is too narrow" if len(x) < MIN_CLUSTERS else None
    tail = 100 * (1 - CONFIDENCE) / 2
    estimates = []
    for value, drawn in zip(values, draws.T, strict=True):
        if np.isnan(value):
            estimates.append(Estimate(reason="nothing that varies over the policies"))
            continue
        low, high = np.percentile(drawn[~np.isnan(drawn)], [tail, 100 - tail])
        estimates.append(Estimate(value, float(low), float(high), few))
    return estimates


def _resampled(sums: FloatArray, seed: int) -> "list[FloatArray]":
    """The totals of `BOOTSTRAP_DRAWS` resamples of the clusters, in chunks of (b, K)."""
    rng, count = np.random.default_rng(seed), len(sums)
    rows, chunks, left = max(1, _CELLS_A_CHUNK // max(1, count)), [], BOOTSTRAP_DRAWS
    while left > 0 and count:
        b = min(rows, left)
        picks = rng.integers(count, size=(b, count)) + count * np.arange(b)[:, None]
        weights = np.bincount(picks.ravel(), minlength=b * count).reshape(b, count)
        chunks.append(weights @ sums)
        left -= b
    return chunks or [np.zeros((1, sums.shape[1]))]


def _influence(value: float, left_out: FloatArray) -> FloatArray:
    """(C,) what each cluster adds to the jackknife's error, squared; 0 for a cluster that does not move the number."""
    influence, moves = np.zeros(len(left_out)), left_out != value
    if clusters := int(moves.sum()):
        influence[moves] = np.sqrt((clusters - 1) / clusters) * (left_out[moves] - left_out[moves].mean())
    return influence


def _estimate(value: float, influence: FloatArray, clusters: int, drawn: FloatArray | None) -> Estimate:
    if not np.isfinite(value):
        return Estimate(reason="nothing to estimate it from")
    if clusters >= MIN_CLUSTERS and drawn is not None:
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(drawn[np.isfinite(drawn)], [tail, 100 - tail])
        return Estimate(value, float(low), float(high))
    if clusters == 0:
        return Estimate(value, reason="the same whichever cluster is left out: no interval")
    if clusters == 1 or not np.isfinite(influence).all():
        return Estimate(value, reason="it rests on one cluster: no interval")
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, clusters - 1) * np.sqrt((influence**2).sum()))
    caution = f"{clusters} clusters, fewer than {MIN_CLUSTERS}: t interval" if clusters < MIN_CLUSTERS else None
    return Estimate(value, value - half, value + half, caution)
