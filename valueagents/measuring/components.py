"""Variance components: how much of a score's variance comes from items, prompts, orders, seeds and
readings, and how dependable the score is over them.

y is what a decision adds to E3p (or E3). Random effects of crossed or nested facets, unbalanced:
y = μ + Σ_f u_f + e. The sums of squares T_f = Σ_l n_l ȳ_l² have known expectations, linear in μ²
and the variances, and are solved for these: the analogous-ANOVA procedure (Henderson 1953, method
I; Brennan 2001, *Generalizability Theory*, sec. 7.1). In balanced designs that is the ANOVA.
Estimates under 0 are set to 0, as is usual (Brennan 2001, ch. 3).
"""

from collections.abc import Mapping

import msgspec
import numpy as np

from valueagents.arrays import FloatArray, IntArray

_SINGULAR = 1e-9


class Components(msgspec.Struct, frozen=True):
    """Of one axis, in x².

    `mean` is that of `decisions` values. `facets`: variance of each facet's effects; `rest` is
    what is left, all interactions included. `error` is the variance of the mean over other levels
    of every facet: Σ_f σ²_f Σ_l (n_l/n)² + σ²_rest / n. `reason` says why there is nothing.
    """

    decisions: int
    mean: float | None = None
    facets: dict[str, float] = {}
    rest: float | None = None
    error: float | None = None
    coefficient: float | None = None
    reason: str | None = None


def variance_components(y: FloatArray, facets: Mapping[str, IntArray]) -> Components:
    """The components of n values, whose levels on each facet are codes from 0, (n,) each.

    A facet with one level, or with as many as there are values, is left out: nothing tells it from
    μ or the rest. The coefficient is Φ(0), see `dependability`.
    """
    codes = {name: np.unique(code, return_inverse=True)[1] for name, code in facets.items()}
    count = len(y)
    varied = {name: code for name, code in codes.items() if 1 < code.max(initial=0) + 1 < count}
    if count < 2:
        return Components(count, reason=f"{count} decisions: at least 2 are needed")
    solved = _solve(y, list(varied.values()))
    if solved is None:
        names = ", ".join(varied)
        return Components(
            count, float(y.mean()), reason=f"the effects of {names} cannot be told apart"
        )
    *variances, rest = np.maximum(solved, 0.0).tolist()
    error = rest / count + sum(
        variance * float(_shares(code).sum())
        for variance, code in zip(variances, varied.values(), strict=True)
    )
    mean = float(y.mean())
    return Components(
        decisions=count,
        mean=mean,
        facets=dict(zip(varied, variances, strict=True)),
        rest=rest,
        error=error,
        coefficient=dependability(mean, error),
    )


def dependability(mean: float, error: float) -> float | None:
    """Φ(0), how dependably the mean tells the policy from chance: (μ − λ)² ÷ ((μ − λ)² + σ²_Δ) with
    the cut λ = 0 of uniform choices, (μ − λ)² estimated by mean² − σ²_Δ (Brennan & Kane 1977;
    Brennan 2001, ch. 2). None where nothing varies.
    """
    if mean == 0 and error == 0:
        return None
    return max(0.0, 1 - error / mean**2) if mean else 0.0


def generalisability(variance: float, error: float) -> float | None:
    """Eρ² = σ²_policy ÷ (σ²_policy + σ²_δ): how far the score ranks policies alike over other
    items and prompts (Cronbach et al. 1972; Brennan 2001, ch. 2). None where nothing varies.
    """
    return variance / (variance + error) if variance + error > 0 else None


def _shares(code: IntArray) -> FloatArray:
    """Squares of the levels' shares of the values."""
    shares: FloatArray = (np.bincount(code) / len(code)) ** 2
    return shares


def _solve(y: FloatArray, facets: list[IntArray]) -> FloatArray | None:
    """The variances of the facets and of the rest; None where the equations do not determine
    them.
    """
    count, total = len(y), float(y.sum())
    deviation = y - total / count  # sums of squares lose no digits to a large mean
    rows, found = [], []
    one = np.zeros(count, dtype=np.int64)
    for code in (*facets, np.arange(count), one):
        sizes = np.bincount(code)
        sums = np.bincount(code, weights=deviation)
        rows.append([*(_expected(code, sizes, other) for other in facets), len(sizes)])
        found.append(float((sums**2 / sizes).sum()))
    mean_row, mean_found = rows.pop(), found.pop()
    equations = np.array(rows, dtype=np.float64) - np.array(mean_row, dtype=np.float64)
    values = np.array(found) - mean_found
    scale = np.abs(equations).max()
    if np.linalg.matrix_rank(equations / scale, tol=_SINGULAR) < len(equations):
        return None
    return np.asarray(np.linalg.solve(equations, values), dtype=np.float64)


def _expected(code: IntArray, sizes: IntArray, other: IntArray) -> float:
    """How often the variance of another facet counts in T of this one: Σ_l Σ_m n_lm² / n_l."""
    width = int(other.max()) + 1
    cells, together = np.unique(code * width + other, return_counts=True)
    return float((together**2 / sizes[cells // width]).sum())
