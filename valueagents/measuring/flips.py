"""Sign-flip tests of paired differences, and the adjustment of several p values.

Arrays: C clusters, V axes.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from scipy import stats

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.measuring.sums import at_places

_EXACT_CLUSTERS = 13
"""All flips of so many clusters are counted: 8,192."""
_DRAWN_FLIPS = 10_000
_CELLS_A_CHUNK = 1_000_000
_ROUNDING = 1e-12
"""A smaller difference is what rounding leaves of none."""


class FlipTest(msgspec.Struct, frozen=True):
    """Two-sided sign-flip p values by axis (None = nothing to flip), alone and max-T adjusted over
    the axes.
    """

    method: str
    p: list[float | None]
    p_max_t: list[float | None]


def sign_flip_test(differences: FloatArray, *, seed: int) -> FlipTest:
    """Are the (C, V) cluster sums of paired differences symmetric about 0?

    Alone: all flips of the clusters in which the axis differs where these are at most 13, else
    10,000 drawn ones (the observed one counted: p is never 0). The max-T adjustment is step-down
    (Westfall & Young 1993, algorithm 2.8) under joint flips of all clusters, with `_scale`.
    """
    moved = np.where(np.abs(differences) > _ROUNDING, differences, 0.0)
    clusters: IntArray = (moved != 0).sum(axis=0)
    live: BoolArray = clusters > 0
    if not live.any():
        nothing: list[float | None] = [None] * differences.shape[1]
        return FlipTest("none: all differences are 0", nothing, nothing)
    few = clusters <= _EXACT_CLUSTERS
    standard = moved[:, live] / _scale(moved[:, live])
    drawn, jointly = _joint_flips(standard, seed)
    alone = np.where(few[live], 0.0, drawn)
    for place, v in enumerate(np.flatnonzero(live)):
        if few[v]:
            alone[place] = _exact(moved[moved[:, v] != 0, v])
    return FlipTest(
        _method(clusters[live], len(moved)),
        at_places(alone, live),
        at_places(jointly, live),
    )


def max_t(differences: FloatArray, among: BoolArray, *, seed: int) -> list[float | None]:
    """The max-T adjusted p of the axes of a family, `among` (V,); None for the others."""
    return sign_flip_test(np.where(among, differences, 0.0), seed=seed).p_max_t


def _scale(moved: FloatArray) -> FloatArray:
    """(V,) what the sums of flipped differences are divided by, which no flip changes.

    Σ d² alone would let every axis of n clusters reach sqrt(n), a moved one no higher than one that
    rests: with 6 clusters on each of 20 axes nothing could ever be found. So half of an axis's mean
    square is its own and half the median over the axes, a moderated statistic (Smyth 2004).
    """
    clusters = (moved != 0).sum(axis=0)
    squares = (moved**2).sum(axis=0)
    common = float(np.median(squares / clusters))
    scale: FloatArray = np.sqrt((squares + clusters * common) / 2)
    return scale


def _joint_flips(standard: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """The p of each axis alone and its step-down max-T p, under joint flips of all clusters."""
    observed = np.abs(standard.sum(axis=0)) - _ROUNDING
    order = np.argsort(-observed, kind="stable")
    exact = len(standard) <= _EXACT_CLUSTERS
    extra = 0 if exact else 1
    hits, hits_max, count = np.zeros(len(observed)), np.zeros(len(observed)), extra
    for signs in _all_signs(len(standard)) if exact else _drawn_signs(len(standard), seed):
        flipped = np.abs(signs @ standard[:, order])  # (b, V), the largest observed first
        rest = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        hits += (flipped >= observed[order]).sum(axis=0)
        hits_max += (rest >= observed[order]).sum(axis=0)
        count += len(signs)
    alone, jointly = np.empty(len(order)), np.empty(len(order))
    alone[order] = (hits + extra) / count
    jointly[order] = np.maximum.accumulate((hits_max + extra) / count)
    return alone, jointly


def _exact(column: FloatArray) -> float:
    """The p of one axis's differences from all their flips."""
    observed = abs(column.sum()) - _ROUNDING
    [signs] = _all_signs(len(column))
    return float((np.abs(signs @ column) >= observed).mean())


def _method(clusters: IntArray, joint: int) -> str:
    """How the p of an axis alone came about, for axes that differ in so many of the clusters."""
    fewest, most = int(clusters.min()), int(clusters.max())
    if joint <= _EXACT_CLUSTERS:
        return f"sign-flip over {joint} clusters, all {2**joint} flips"
    if fewest > _EXACT_CLUSTERS:
        return f"sign-flip over {joint} clusters, {_DRAWN_FLIPS} drawn flips"
    own = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    how = "all" if most <= _EXACT_CLUSTERS else f"all up to {_EXACT_CLUSTERS}, else drawn,"
    return f"sign-flip over the {own} clusters in which a value differs, {how} flips"


def benjamini_hochberg(p: Sequence[float | None]) -> list[float | None]:
    """Benjamini–Hochberg adjusted p values (1995) of those that are defined."""
    defined = np.array([value is not None for value in p])
    if not defined.any():
        return list(p)
    known = [value for value in p if value is not None]
    return at_places(stats.false_discovery_control(known), defined)


def _all_signs(count: int) -> Iterator[FloatArray]:
    bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    yield np.where(bits, -1.0, 1.0)


def _drawn_signs(count: int, seed: int) -> Iterator[FloatArray]:
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS_A_CHUNK // max(1, count))
    left = _DRAWN_FLIPS
    while left > 0:
        rows = min(at_once, left)
        yield np.where(rng.integers(2, size=(rows, count)), -1.0, 1.0)
        left -= rows
