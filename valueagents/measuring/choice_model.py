"""E4 and E4p: the conditional logit (McFadden 1974) of choices, or of the policy's probabilities,
on value annotations, with a fixed ridge.

With probabilities it is the fractional logit (Papke & Wooldridge 1996): each option counts for as
much as the policy gives it, and what scatters is how far the probabilities are from a logit's, not
which option was drawn.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.measuring.inference import clustered_variance
from valueagents.measuring.sums import Clustering, add_cluster_sums, run_sums

RIDGE = 1.0
"""λ: the penalty (λ/2)|β|², a N(0, 1/λ) prior on every weight.

It makes separable axes finite, so those are flagged.
"""
_MAX_STEPS = 100
# a decision: a last step of 3e-4 in utility (root mean square), and Newton's error is its square
_TOLERANCE = 1e-7
_ROUGH_TOLERANCE = 1e-2  # within 0.1 standard errors: enough to see whether λ decides
_SMALLEST_STEP = 1e-6
_AT_STAKE = 1e-9  # less is what rounding leaves of x_c - E x where all options have the same x
_RIDGE_STEP = 10.0
_MAX_RIDGE_EFFECT = 0.25  # of the weight
_NEGLIGIBLE = 0.02  # log-odds: λ may move a weight of 0 by as much without being named
_MAX_RIDGE_ERRORS, _MADE_ERRORS = 0.5, 2.0  # of its error
_DECISIONS_A_PART = 1_024
_SAMPLES = (
    100,
    10,
)  # every 100th part, then every 10th: most of the steps need few of the decisions
_SAMPLE_PARTS = 5


class FeatureRows(Protocol):
    """(N, F) features of all options, read in slices of whole menus: an array, or what makes the
    rows when asked.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, F)."""

    def __getitem__(self, rows: slice, /) -> FloatArray:
        """The features of these rows."""


@dataclass(frozen=True, slots=True)
class ChoiceModel:
    """β (F,) with its cluster-robust standard errors (F,).

    `bound_by_ridge` (F,) flags weights that λ has a say in (an axis that hardly varies, or goes
    with others), and `made_by_ridge` (F,) those of them that λ makes and not the choices (an axis
    that separates them); `inflation` (F,) is the variance inflation by the other features.
    `influence` has for each way of the clustering (C, F), what each unit moved β by: H⁻¹ g_c.
    `pull` (F,) is how far the penalty holds β, to first order: λ H⁻¹ β.
    `units` (F,) counts the units in which the feature was at stake (of the way that has fewer): a
    survey's value hangs on its own few items, however many others there are.
    """

    weights: FloatArray
    errors: FloatArray
    made_by_ridge: BoolArray
    bound_by_ridge: BoolArray
    inflation: FloatArray
    influence: tuple[FloatArray, ...]
    pull: FloatArray
    units: IntArray
    converged: bool


def fit_choice_model(
    features: FeatureRows,
    start: IntArray,
    chosen: IntArray,
    clustering: Clustering,
    shares: FloatArray | None = None,
) -> ChoiceModel:
    """Maximise Σ log P(c_t) - (λ/2)|β|² with P(a) ∝ exp(β·features[a]) over each menu.

    `features` (N, F); `start` (T,) first row of each menu; `chosen` (T,) rows; the clustering is of
    the T decisions. With `shares`, (N,) probabilities, Σ_a shares[a] log P(a) takes the place of
    log P(c_t); the errors then hold the penalty's pull too, because probabilities that are a
    logit's leave no other.

    The errors are the sandwich H⁻¹ (Σ_c g_c g_cᵀ) H⁻¹ with the C/(C-1) correction (White 1982;
    Liang & Zeger 1986), C the units in which the feature was at stake. A weight is bound by λ if a
    tenth of λ moves it by over a quarter of its size and half of its error, and made by λ if by two
    errors. It is bound, too, if over half of its variance is λ's, λ H⁻² of H⁻¹: where every option
    serves one value, say, choices tell only differences of weights, and their common level is λ's.
    """
    parts = range(0, len(start), _DECISIONS_A_PART)
    data = _Choices(
        features, start, np.append(start[1:], features.shape[0]), chosen, parts, clustering, shares
    )
    beta = np.zeros(features.shape[1])
    for apart in _SAMPLES:
        if len(parts) > _SAMPLE_PARTS * apart:
            sample = replace(data, parts=parts[::apart])
            beta, _, _ = _maximise(sample, beta, _likelihood(sample, beta), RIDGE, _ROUGH_TOLERANCE)
    beta, best, converged = _maximise(
        data, beta, _likelihood(data, beta), RIDGE, _TOLERANCE * len(start)
    )
    looser, _, _ = _maximise(data, beta, best, RIDGE / _RIDGE_STEP, _ROUGH_TOLERANCE)
    information = best.information + RIDGE * np.eye(len(beta))
    inverse = np.linalg.inv(information)
    influence = tuple(scores @ inverse for scores in best.scores)
    counts = [(np.abs(scores) > _AT_STAKE).sum(axis=0) for scores in best.scores]
    pull = RIDGE * inverse @ beta
    errors = np.sqrt(clustered_variance(influence, counts))
    if shares is not None:
        errors = np.hypot(errors, pull)
    moved = np.abs(looser - beta)
    much = moved > _MAX_RIDGE_EFFECT * np.abs(beta) + _NEGLIGIBLE
    return ChoiceModel(
        weights=beta,
        errors=errors,
        made_by_ridge=much & (moved > _MADE_ERRORS * errors),
        bound_by_ridge=much & (moved > _MAX_RIDGE_ERRORS * errors)
        | (2 * RIDGE * (inverse**2).sum(axis=0) > np.diag(inverse)),
        inflation=np.diag(information) * np.diag(inverse),
        influence=influence,
        pull=pull,
        units=np.min(counts[:2], axis=0),
        converged=converged,
    )


@dataclass(frozen=True, slots=True)
class _Choices:
    """Menus from row start to row end; `parts` are the first decisions of the stretches to work on
    one by one.
    """

    features: FeatureRows
    start: IntArray
    end: IntArray
    chosen: IntArray
    parts: range
    clustering: Clustering
    shares: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class _Likelihood:
    """At some β: the log-likelihood, its gradient (F,) and negative Hessian (F, F), all without the
    penalty.

    `scores` are the gradients by unit, (C, F) for each way of the clustering.
    """

    value: float
    gradient: FloatArray
    information: FloatArray
    scores: list[FloatArray]

    def penalised(self, beta: FloatArray, ridge: float) -> float:
        return self.value - ridge / 2 * float(beta @ beta)

    def step(self, beta: FloatArray, ridge: float) -> tuple[FloatArray, float]:
        """Newton's step, and twice what it promises to gain."""
        gradient = self.gradient - ridge * beta
        step = np.asarray(
            np.linalg.solve(self.information + ridge * np.eye(len(beta)), gradient),
            dtype=np.float64,
        )
        return step, float(gradient @ step)


def _maximise(
    data: _Choices, beta: FloatArray, at: _Likelihood, ridge: float, tolerance: float
) -> tuple[FloatArray, _Likelihood, bool]:
    """The maximum from a starting point, by Newton's method; the likelihood a last tiny step
    before; was it reached?
    """
    for _ in range(_MAX_STEPS):
        step, gain = at.step(beta, ridge)
        if gain < tolerance:
            return beta + step, at, True
        scale, value = 1.0, at.penalised(beta, ridge)
        trial = _likelihood(data, beta + step)
        while trial.penalised(beta + scale * step, ridge) < value and scale > _SMALLEST_STEP:
            scale /= 2  # the objective is concave: halving ends
            trial = _likelihood(data, beta + scale * step)
        beta, at = np.asarray(beta + scale * step, dtype=np.float64), trial
    return beta, at, False


def _likelihood(data: _Choices, beta: FloatArray) -> _Likelihood:
    """The likelihood at β, part by part."""
    count = len(beta)
    value, gradient, information = 0.0, np.zeros(count), np.zeros((count, count))
    scores = [np.zeros((units.count, count)) for units in data.clustering.ways]
    ranges = [slice(first, min(first + _DECISIONS_A_PART, len(data.start))) for first in data.parts]
    for part in ranges:
        gain, residuals, curvature = _part_likelihood(data, beta, part)
        value += gain
        gradient += residuals.sum(axis=0)
        information += curvature
        for units, sums in zip(data.clustering.ways, scores, strict=True):
            add_cluster_sums(sums, residuals, units.codes[part])
    return _Likelihood(value, gradient, information, scores)


def _part_likelihood(
    data: _Choices, beta: FloatArray, part: slice
) -> tuple[float, FloatArray, FloatArray]:
    """Of some decisions: the log-likelihood, the residuals x_c - E x (t, F), of probabilities
    Σ_a shares[a] x_a - E x, and the negative Hessian (F, F).
    """
    begin, end = int(data.start[part][0]), int(data.end[part][-1])
    features = data.features[begin:end]
    start = data.start[part] - begin
    sizes = data.end[part] - data.start[part]
    utility = np.einsum("nf,f->n", features, beta)
    utility -= np.repeat(np.maximum.reduceat(utility, start), sizes)
    odds = np.exp(utility)
    total = np.add.reduceat(odds, start)
    p = odds / np.repeat(total, sizes)
    expected = run_sums(features, start, p)
    if data.shares is None:
        chosen = data.chosen[part] - begin
        taken, gained = features[chosen], float(utility[chosen].sum())
    else:
        shares = data.shares[begin:end]
        taken, gained = run_sums(features, start, shares), float(utility @ shares)
    value = gained - float(np.log(total).sum())
    features_by_p = features * np.sqrt(p)[:, None]
    return (
        value,
        taken - expected,
        features_by_p.T @ features_by_p - expected.T @ expected,
    )
