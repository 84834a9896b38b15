"""Could choices drawn uniformly from the same menus have given this? One test over all axes,
however many decisions.
"""

import msgspec
import numpy as np

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.measuring.answers import Answers
from valueagents.measuring.deviations import Deviations

DRAWS = 5_000
_REDRAWN = 10_000
_CELLS_A_CHUNK = 250_000


class ChanceTest(msgspec.Struct, frozen=True):
    """Could uniformly random choices have given this? One max-T test over all axes."""

    method: str
    statistic: float | None
    p: float | None
    reason: str | None = None


def chance_covariance(answers: Answers, deviations: Deviations) -> FloatArray:
    """(V, V): of Σ (x_c - m) over the decisions that were read, c uniform."""
    weight = np.repeat(np.sqrt((answers.chosen >= 0) / answers.size), answers.size)
    scaled = deviations.centred * weight[:, None]
    covariance: FloatArray = scaled.T @ scaled
    return covariance


def chance_test(
    answers: Answers, contested: BoolArray, chosen: FloatArray, covariance: FloatArray, *, seed: int
) -> ChanceTest:
    """Max over axes of |Z_v|, Z = Σ(x_c - m) / sqrt(Σ s²), against choices redrawn uniformly from
    the same menus.

    `contested` (T, V) is where an axis is at stake, `chosen` (V,) is Σ(x_c - m), `covariance` (V,
    V) what it would have by chance (`chance_covariance`), both over the decisions that were read.
    Up to 10,000 decisions are redrawn. Of more, the sum of those on the commonest axes is drawn
    from the normal distribution with its exact covariance (the central limit theorem, for sums of
    thousands of bounded terms) and the 10,000 on the rarest are redrawn.
    """
    method = f"max-T over axes, {DRAWS} redrawings of uniform choices from the same menus"
    read = np.flatnonzero((answers.chosen >= 0) & contested.any(axis=1))
    if len(read) > _REDRAWN:
        method += (
            f"; all but the {_REDRAWN} on the rarest axes as a normal sum with its exact covariance"
        )
    spread = np.sqrt(np.diag(covariance))
    live = spread > 0
    if not live.any():
        return ChanceTest(method, None, None, "no contested decision")
    observed = float(np.abs(chosen[live] / spread[live]).max())
    redrawn = answers.select(_rarest(read, contested))
    again = redrawn.deviations()
    rest = (
        covariance - chance_covariance(redrawn, again)
        if len(read) > _REDRAWN
        else np.zeros_like(covariance)
    )
    root = _root(rest[np.ix_(live, live)] / np.outer(spread[live], spread[live]))
    places = _by_place(redrawn, again.centred[:, live] / spread[live])
    rng, smooth = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    hits, rows = 0, max(1, _CELLS_A_CHUNK // len(redrawn.size))
    for first in range(0, DRAWS, rows):
        draws = min(rows, DRAWS - first)
        picks = (rng.random((draws, len(redrawn.size))) * redrawn.size).astype(np.int16)
        sums = smooth.standard_normal((draws, len(root))) @ root
        sums += places[0].sum(axis=0)
        for place, values in enumerate(places[1:], 1):
            sums += (picks == place).astype(np.float64) @ (values - places[0])
        hits += int((np.abs(sums).max(axis=1) >= observed - 1e-12).sum())
    return ChanceTest(method, observed, (hits + 1) / (DRAWS + 1))


def _rarest(read: IntArray, contested: BoolArray) -> IntArray:
    """Those decisions, at most `_REDRAWN`, whose rarest contested axis is rarest, in their
    order.
    """
    at_stake = contested[read]
    common = at_stake.sum(axis=0)
    rarest_first = np.argsort(common)
    rarity = common[rarest_first][at_stake[:, rarest_first].argmax(axis=1)]
    return np.sort(read[np.argsort(rarity, kind="stable")[:_REDRAWN]])


def _root(covariance: FloatArray) -> FloatArray:
    """R with RᵀR = covariance; what rounding made negative is 0."""
    values, vectors = np.linalg.eigh(covariance)
    root: FloatArray = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    return root


def _by_place(answers: Answers, options: FloatArray) -> list[FloatArray]:
    """(N, V) by option as (T, V) for each place on the menu, 0 where there is none."""
    places = []
    for place in range(int(answers.size.max())):
        there = answers.size > place
        rows = np.where(there, answers.start + place, 0)
        places.append(options[rows] * there[:, None])
    return places
