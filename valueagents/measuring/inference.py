"""The inference under every score: cluster sums, intervals of ratios, sign-flip tests. Nothing here knows a run.

All randomness comes from a generator that the caller seeds. Arrays: C clusters, V axes, B draws.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BOOTSTRAP_DRAWS = 2_000
MIN_CLUSTERS = 50
"""Below this a percentile bootstrap is too narrow: a t interval is given, with a warning."""
CONFIDENCE = 0.95
_EXACT_FLIPS = 10_000
_CELLS_A_CHUNK = 1_000_000
_ROUNDING = 1e-9


class Estimate(msgspec.Struct, frozen=True):
    """A number with its 95 % interval. `value` None = undefined, `reason` says why; with a value it is a caution."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Units:
    """Which of `count` units each of T decisions belongs to: (T,) codes."""

    codes: IntArray
    count: int


@dataclass(frozen=True, slots=True)
class Clustering:
    """What is independent of what. `ways` holds one kind of unit, or two that cross and third their intersection.

    Two ways: an episode's decisions hang together, and so do all meetings of one menu, whatever the episode.
    """

    unit: str
    ways: tuple[Units, ...]

    @property
    def count(self) -> int:
        """Units of the first kind."""
        return self.ways[0].count


def crossed(unit: str, first: Units, second: Units) -> Clustering:
    """Clustering by both kinds of units; by the first alone where no unit of the second meets two of the first."""
    pairs, codes = np.unique(first.codes * max(1, second.count) + second.codes, return_inverse=True)
    if len(pairs) == len(np.unique(second.codes)):
        return Clustering(unit, (first,))
    return Clustering(f"{unit} and menu, two-way", (first, second, Units(codes, len(pairs))))


def clustered_variance(sums: Sequence[FloatArray], counts: Sequence[npt.ArrayLike]) -> FloatArray:
    """(V,) variances of totals from the (C, V) residual sums of one kind of unit, or of two and their intersection.

    C/(C-1) Σ s² with C the `counts` of units; two-way V_1 + V_2 - V_12 (Cameron, Gelbach & Miller 2011, eq. 2.11), at
    least the larger of V_1 and V_2: the difference may come out too small, even negative.
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


def add_cluster_sums(totals: FloatArray, values: FloatArray, codes: IntArray) -> None:
    """Add (T, V) values to the (C, V) totals of their clusters."""
    if (codes[1:] < codes[:-1]).any():
        order = np.argsort(codes, kind="stable")
        values, codes = values[order], codes[order]
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    totals[codes[first]] += np.add.reduceat(values, first, axis=0)


def cluster_sums(values: FloatArray, clusters: IntArray, count: int) -> FloatArray:
    """The (C, V) sums of (T, V) values over the clusters 0..count-1."""
    rows = np.arange(len(values))
    sums: FloatArray = sparse.csr_array((np.ones(len(values)), (clusters, rows)), shape=(count, len(values))) @ values
    return sums


def run_sums(values: FloatArray, start: IntArray, weights: FloatArray | None = None) -> FloatArray:
    """The (T, …) sums of (N, …) values, weighted by (N,) weights, over the runs of rows that begin at `start`.

    A matrix product where all runs are of one length, else a sparse one: `np.add.reduceat` along the first of two axes
    takes twenty times as long.
    """
    width = int(np.prod(values.shape[1:]))
    flat = values.reshape(len(values), width)
    weights = np.ones(len(values)) if weights is None else weights
    length = len(values) // max(1, len(start))
    if length * len(start) == len(values) and (np.diff(start) == length).all():
        sums = weights.reshape(len(start), 1, length) @ flat.reshape(len(start), length, width)
    else:
        runs = np.append(start, len(values))
        sums = sparse.csr_array((weights, np.arange(len(values)), runs), shape=(len(start), len(values))) @ flat
    found: FloatArray = sums.reshape(len(start), *values.shape[1:])
    return found


def varying(values: FloatArray) -> npt.NDArray[np.bool_]:
    """(…, V) true for the columns of (…, U, V) values that are known everywhere and differ by more than rounding."""
    if not values.shape[-2]:
        return np.zeros((*values.shape[:-2], values.shape[-1]), dtype=np.bool_)
    varies: npt.NDArray[np.bool_] = np.ptp(values, axis=-2) > _ROUNDING
    return varies


def ratio_estimates(numerator: FloatArray, denominator: FloatArray, *, seed: int) -> list[Estimate]:
    """An estimate of Σ numerator / Σ denominator for each axis, from (C, V) cluster sums.

    From `MIN_CLUSTERS` clusters that contribute on: percentile bootstrap over clusters. Below: a t interval with the
    linearised standard error (Cochran 1977, eq. 2.46) on C-1 degrees of freedom, and a caution.
    """
    contributing = denominator > 0
    low, high = _bootstrap_ratios(numerator, denominator, seed=seed)
    estimates = []
    for v in range(numerator.shape[1]):
        rows = contributing[:, v]
        clusters, total = int(rows.sum()), float(denominator[:, v].sum())
        if total == 0:
            estimates.append(Estimate(reason="no decision to estimate it from"))
            continue
        value = float(numerator[:, v].sum() / total)
        if clusters >= MIN_CLUSTERS:
            estimates.append(Estimate(value, float(low[v]), float(high[v])))
        elif clusters == 1:
            estimates.append(Estimate(value, reason="one cluster: no interval"))
        else:
            half = t_half_width(numerator[rows, v] - value * denominator[rows, v]) / total
            caution = f"{clusters} clusters, fewer than {MIN_CLUSTERS}: t interval"
            estimates.append(Estimate(value, value - half, value + half, caution))
    return estimates


def two_way_ratio_estimates(numerators: Sequence[FloatArray], denominators: Sequence[FloatArray]) -> list[Estimate]:
    """The same from the sums over both kinds of units and over their intersections, with a t interval.

    The linearised error is clustered both ways (`clustered_variance`); the degrees of freedom are those of the kind
    with fewer units that contribute (Cameron & Miller 2015, section V).
    """
    estimates = []
    for v in range(numerators[0].shape[1]):
        total = float(denominators[0][:, v].sum())
        if total == 0:
            estimates.append(Estimate(reason="no decision to estimate it from"))
            continue
        value = float(numerators[0][:, v].sum() / total)
        columns = [(n[:, v : v + 1], d[:, v : v + 1]) for n, d in zip(numerators, denominators, strict=True)]
        counts = [int((d > 0).sum()) for _, d in columns]
        units = min(counts[:2])
        if units == 1:
            estimates.append(Estimate(value, reason="one cluster: no interval"))
            continue
        error = float(np.sqrt(clustered_variance([n - value * d for n, d in columns], counts)[0])) / total
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, units - 1)) * error
        caution = None if units >= MIN_CLUSTERS else f"{units} clusters one of the two ways, fewer than {MIN_CLUSTERS}"
        estimates.append(Estimate(value, value - half, value + half, caution))
    return estimates


def t_half_width(residuals: FloatArray) -> float:
    """Half the 95 % t interval of a sum of independent, centred (C,) residuals."""
    count = len(residuals)
    error = np.sqrt(count / (count - 1) * float(residuals @ residuals))
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * error)


def _bootstrap_ratios(numerator: FloatArray, denominator: FloatArray, *, seed: int) -> tuple[FloatArray, FloatArray]:
    """Percentile intervals (V,), (V,) of the ratio over `BOOTSTRAP_DRAWS` resamples of the clusters."""
    rng = np.random.default_rng(seed)
    count, axes = numerator.shape
    both, ratios = np.hstack([numerator, denominator]), []
    for rows in _chunks(BOOTSTRAP_DRAWS, count):
        picks = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        weights = np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count)
        sums = weights @ both  # (b, 2V)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios.append(sums[:, :axes] / sums[:, axes:])
    drawn = np.vstack(ratios)
    drawn[~np.isfinite(drawn)] = np.nan
    tail = 100 * (1 - CONFIDENCE) / 2
    seen = ~np.isnan(drawn).all(axis=0)
    low, high = np.full(axes, np.nan), np.full(axes, np.nan)
    if seen.any():
        low[seen], high[seen] = np.nanpercentile(drawn[:, seen], [tail, 100 - tail], axis=0)
    return low, high


class FlipTest(msgspec.Struct, frozen=True):
    """Two-sided sign-flip p values by axis (None = nothing to flip), alone and max-T adjusted over the axes."""

    method: str
    p: list[float | None]
    p_max_t: list[float | None]


def sign_flip_test(differences: FloatArray, *, seed: int) -> FlipTest:
    """Are the (C, V) cluster sums of paired differences symmetric about 0?

    All 2^C flips where they are at most 10,000, else 10,000 drawn ones (the observed one counted: p is never 0). The
    max-T adjustment (Westfall & Young 1993) takes the largest |Σ d| / sqrt(Σ d²) over the axes under the same flips.
    """
    scale = np.sqrt((differences**2).sum(axis=0))
    live = scale > 0
    if not live.any():
        nothing: list[float | None] = [None] * differences.shape[1]
        return FlipTest("none: all differences are 0", nothing, nothing)
    standard = differences[:, live] / scale[live]
    observed = np.abs(standard.sum(axis=0))
    exact = 2 ** min(len(standard), 63) <= _EXACT_FLIPS
    hits, hits_max, count = np.zeros(live.sum()), np.zeros(live.sum()), 0
    for signs in _all_signs(len(standard)) if exact else _drawn_signs(len(standard), seed):
        flipped = np.abs(signs @ standard)  # (b, V)
        hits += (flipped >= observed - 1e-12).sum(axis=0)
        hits_max += (flipped.max(axis=1)[:, None] >= observed - 1e-12).sum(axis=0)
        count += len(signs)
    extra = 0 if exact else 1
    method = f"sign-flip over {len(standard)} clusters, " + (f"all {count} flips" if exact else f"{count} drawn flips")
    return FlipTest(
        method,
        _spread((hits + extra) / (count + extra), live),
        _spread((hits_max + extra) / (count + extra), live),
    )


def benjamini_hochberg(p: list[float | None]) -> list[float | None]:
    """Benjamini–Hochberg adjusted p values (1995) of those that are defined."""
    defined = np.array([value is not None for value in p])
    if not defined.any():
        return p
    return _spread(stats.false_discovery_control([value for value in p if value is not None]), defined)


def _all_signs(count: int) -> Iterator[FloatArray]:
    bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    yield np.where(bits, -1.0, 1.0)


def _drawn_signs(count: int, seed: int) -> Iterator[FloatArray]:
    rng = np.random.default_rng(seed)
    for rows in _chunks(_EXACT_FLIPS, count):
        yield np.where(rng.integers(2, size=(rows, count)), -1.0, 1.0)


def _chunks(total: int, width: int) -> Iterator[int]:
    """Numbers of rows that add up to `total`, each chunk of rows × width within memory."""
    step = max(1, _CELLS_A_CHUNK // max(1, width))
    while total > 0:
        yield min(step, total)
        total -= step


def _spread(values: FloatArray, places: npt.NDArray[np.bool_]) -> list[float | None]:
    """The values at the true places, None elsewhere."""
    found = iter(values.tolist())
    return [next(found) if place else None for place in places]
