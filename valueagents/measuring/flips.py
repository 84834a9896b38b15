"""Sign-flip tests of paired differences, and the adjustment of several p values.

Arrays: C clusters, V axes.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from scipy import stats

from valueagents.arrays import FloatArray
from valueagents.measuring.sums import at_places

_EXACT_FLIPS = 10_000
_CELLS_A_CHUNK = 1_000_000
_ROUNDING = 1e-12


class FlipTest(msgspec.Struct, frozen=True):
    """Two-sided sign-flip p values by axis (None = nothing to flip), alone and max-T adjusted over
    the axes.
    """

    method: str
    p: list[float | None]
    p_max_t: list[float | None]


def sign_flip_test(differences: FloatArray, *, seed: int) -> FlipTest:
    """Are the (C, V) cluster sums of paired differences symmetric about 0?

    All 2^C flips where they are at most 10,000, else 10,000 drawn ones (the observed one counted: p
    is never 0). The max-T adjustment (Westfall & Young 1993) takes the largest |Σ d| / sqrt(Σ d²)
    over the axes under the same flips.
    """
    scale = np.sqrt((differences**2).sum(axis=0))
    live = scale > 0
    if not live.any():
        nothing: list[float | None] = [None] * differences.shape[1]
        return FlipTest("none: all differences are 0", nothing, nothing)
    standard = differences[:, live] / scale[live]
    observed = np.abs(standard.sum(axis=0)) - _ROUNDING
    clusters = len(standard)
    exact = 2 ** min(clusters, 63) <= _EXACT_FLIPS
    hits, hits_max, count = np.zeros(live.sum()), np.zeros(live.sum()), 0
    for signs in _all_signs(clusters) if exact else _drawn_signs(clusters, seed):
        flipped = np.abs(signs @ standard)  # (b, V)
        hits += (flipped >= observed).sum(axis=0)
        hits_max += (flipped.max(axis=1)[:, None] >= observed).sum(axis=0)
        count += len(signs)
    extra = 0 if exact else 1
    method = f"sign-flip over {clusters} clusters, " + (
        f"all {count} flips" if exact else f"{count} drawn flips"
    )
    return FlipTest(
        method,
        at_places((hits + extra) / (count + extra), live),
        at_places((hits_max + extra) / (count + extra), live),
    )


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
    left = _EXACT_FLIPS
    while left > 0:
        rows = min(at_once, left)
        yield np.where(rng.integers(2, size=(rows, count)), -1.0, 1.0)
        left -= rows
