"""Seeds and items are both sampled: a weighted sum of mean shifts, its two-way error and its test.

Arrays: T targets (one adapter each a seed), S training seeds, I items, V values, C clusters of
items. `cells` (T, S, I, V) are shifts of an adapter against the control of its seed, NaN where the
item does not put the value at stake or an answer is missing. D[t, v] is the mean over seeds and
items; what is asked for is Σ w[t, v] D[t, v].

Variance: V_seed + V_item − V_seed×item, never less than either part (Cameron, Gelbach & Miller
2011, eq. 2.11). What is subtracted is the part that seeds and items both hold, from residuals free
of either's own effect, (S − 1)(C − 1) of them: their sum is then unbiased with three seeds too
(the residuals of the source hold 1/S of the items' variance), and habits cancel from it as they do
from the value. Degrees of freedom are Satterthwaite's, V² / (V_seed²/(S − 1) + V_item²/(C − 1)), at
least 1. With one seed there is no variance between seeds: the interval is over items and there is
no test.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
from scipy import stats

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.measuring.inference import CONFIDENCE, NOTHING, Estimate, joined
from valueagents.measuring.sums import cluster_sums

ONE_SEED = "one seed: these adapters only, interval over items, no claim"
_ROUNDING = 1e-12


class Tested(msgspec.Struct, frozen=True):
    """A number with its interval, and the test that it is 0.

    `p` None: no test (one seed, or nothing varies). `error` is the standard error, `df` its degrees
    of freedom; `seeds` and `clusters` what they rest on.
    """

    estimate: Estimate
    p: float | None = None
    error: float | None = None
    df: float | None = None
    seeds: int = 0
    clusters: int = 0


@dataclass(frozen=True, slots=True)
class Linear:
    """A weighted sum of mean shifts: its value and what its error is made of.

    by_seed: (S,) deviations of the seeds' values from their mean, over S.
    seed_variance (0 with one seed), item_variance, variance: squared standard errors.
    """

    value: float
    by_seed: FloatArray
    seed_variance: float
    item_variance: float
    variance: float
    clusters: int

    @property
    def seeds(self) -> int:
        """How many training seeds it rests on."""
        return len(self.by_seed)

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom; NaN where nothing varies."""
        parts = 0.0
        if self.seeds > 1:
            parts += self.seed_variance**2 / (self.seeds - 1)
        if self.clusters > 1:
            parts += self.item_variance**2 / (self.clusters - 1)
        return max(1.0, self.variance**2 / parts) if parts > 0 else float("nan")

    def tested(self, caution: str | None = None) -> Tested:
        """The number with its t interval; its test too if there are two seeds or more."""
        if not np.isfinite(self.value):
            return Tested(Estimate(reason=joined(caution, NOTHING)))
        alone = ONE_SEED if self.seeds == 1 else None
        if not self.variance > _ROUNDING**2 or np.isnan(self.df):
            still = Estimate(self.value, reason=joined(alone, caution, "nothing varies"))
            return Tested(still, seeds=self.seeds, clusters=self.clusters)
        error = float(np.sqrt(self.variance))
        half = t_reach(self.df) * error
        p = 2 * float(stats.t.sf(abs(self.value) / error, self.df))
        return Tested(
            Estimate(self.value, self.value - half, self.value + half, joined(alone, caution)),
            p=p if self.seeds > 1 else None,
            error=error,
            df=self.df,
            seeds=self.seeds,
            clusters=self.clusters,
        )


def t_reach(df: float) -> float:
    """How many standard errors a 95 % interval reaches to either side."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, df))


def complete(cells: FloatArray) -> BoolArray:
    """(I, V) items that put a value at stake and that every adapter and control of the study
    answered.
    """
    known: BoolArray = np.asarray(~np.isnan(cells).any(axis=(0, 1)))
    return known


def linear(cells: FloatArray, cluster: IntArray, weights: FloatArray) -> Linear:
    """The sum of `weights` (T, V) × mean shifts, over the items that are complete.

    Only complete items count, so that whatever all adapters share on an item, and whatever one
    adapter does on all values, is weighed alike everywhere. The clusters of its degrees of freedom
    are those in which a value of the heaviest column of weights is at stake.
    """
    wanted = np.abs(weights).sum(axis=0) > 0  # (V,)
    cells, weights = cells[..., wanted], weights[:, wanted]
    known = complete(cells)
    counts = known.sum(axis=0)
    seeds = cells.shape[1]
    if not len(counts) or not counts.all():
        return Linear(float("nan"), np.full(seeds, np.nan), 0.0, 0.0, 0.0, 0)
    held = np.where(known, cells, 0.0)
    by_seed_means = held.sum(axis=2) / counts  # (T, S, V)
    means = by_seed_means.mean(axis=1)  # (T, V)
    share = weights / (seeds * counts)
    at_stake, codes = np.unique(cluster, return_inverse=True)
    touched = len(np.unique(cluster[known.any(axis=1)]))

    def by_cluster(residuals: FloatArray) -> FloatArray:
        parts = np.einsum("tv,tsiv->is", share, np.where(known, residuals, 0.0))
        return cluster_sums(parts, codes, len(at_stake))  # (C, S)

    own = by_cluster(held - by_seed_means[:, :, None])  # free of what a seed does everywhere
    items = own.sum(axis=1)  # (C,)
    off = by_seed_means - means[:, None]
    by_seed = np.einsum("tv,tsv->s", weights, off) / seeds
    seed_variance = _corrected(by_seed, seeds)
    item_variance = _corrected(items, touched)
    both = _corrected(_corrected_residuals(own), touched) if seeds > 1 else 0.0
    return Linear(
        value=float((weights * means).sum()),
        by_seed=by_seed,
        seed_variance=seed_variance,
        item_variance=item_variance,
        variance=max(seed_variance + item_variance - both, seed_variance, item_variance),
        clusters=_clusters_of_the_heaviest(weights, known, cluster),
    )


def _corrected(residuals: FloatArray, units: int) -> float:
    """n/(n − 1) Σ r² of n units; 0 for a single one."""
    return units / (units - 1) * float((residuals**2).sum()) if units > 1 else 0.0


def _corrected_residuals(own: FloatArray) -> FloatArray:
    """(C, S) what is left of clusters' parts without their means over the seeds, times
    sqrt(S/(S − 1)).
    """
    seeds = own.shape[1]
    left: FloatArray = (own - own.mean(axis=1, keepdims=True)) * np.sqrt(seeds / (seeds - 1))
    return left


def _clusters_of_the_heaviest(weights: FloatArray, known: BoolArray, cluster: IntArray) -> int:
    heavy = np.abs(weights).sum(axis=0)
    heaviest = heavy >= heavy.max() * (1 - 1e-9)
    return len(np.unique(cluster[known[:, heaviest].any(axis=1)]))


def fieller(above: Linear, below: Linear) -> Estimate:
    """The ratio of two numbers of the same seeds and different items, with Fieller's interval
    (1954).

    Their errors are tied through the seeds. None, with the reason, where the divisor is not clear
    of 0: the interval would then be no interval.
    """
    if not (np.isfinite(above.value) and np.isfinite(below.value)):
        return Estimate(reason="no ratio: one of the two is not known")
    df = float(np.nanmin([above.df, below.df]))
    if np.isnan(df) or not below.variance > 0:
        return Estimate(reason="no ratio: nothing varies")
    reach = t_reach(df) ** 2
    if below.value**2 <= reach * below.variance:
        return Estimate(reason="no ratio: what it would be divided by is not clear of 0")
    shared = 0.0
    if above.seeds == below.seeds > 1:
        seeds = above.seeds
        shared = float(seeds / (seeds - 1) * (above.by_seed @ below.by_seed))
    ratio = above.value / below.value
    g = reach * below.variance / below.value**2
    middle = ratio - g * shared / below.variance
    spread = (
        above.variance
        - 2 * ratio * shared
        + ratio**2 * below.variance
        - g * (above.variance - shared**2 / below.variance)
    )
    half = float(np.sqrt(reach * max(0.0, spread))) / abs(below.value)
    return Estimate(ratio, (middle - half) / (1 - g), (middle + half) / (1 - g))
