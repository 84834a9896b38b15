"""A policy's mean on every value in one env, over all its seeds, with what is needed to test
contrasts of these means.

Arrays: T decisions, C clusters, V values, K contrasts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.measuring.answers import Answers, common_form, joint_clustering
from valueagents.measuring.deviations import (
    Deviations,
    Form,
    Terms,
    attainable,
    propensity_terms,
)
from valueagents.measuring.inference import (
    Estimate,
    clustered_variance,
    ratio_estimates,
    t_test,
)
from valueagents.measuring.studies.study_shifts import ITEM, POLE, POLES
from valueagents.measuring.sums import add_cluster_sums
from valueagents.taxonomy import Taxonomy

MeanOf = Literal["propensity", "share"]
"""Σ (x − m) by contested decision, or by half of what the menus span: in −1 to 1 in every env."""

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class PolicyMeans:
    """`value` (V,) is Σ above / Σ below, NaN where the axis has fewer contested decisions than the
    env asks for (`enough`, (V,)).

    `counts` says which decisions these are. `above`, `below`: (C, V) sums for each way of the
    clustering, `attainable` (2, V) between what Σ above can lie, `contested` (V,) decisions.
    """

    taxonomy: Taxonomy
    value: FloatArray
    enough: BoolArray
    contested: IntArray
    above: list[FloatArray]
    below: list[FloatArray]
    attainable: FloatArray
    unit: str
    counts: str = "contested decisions"

    def estimates(self, *, seed: int = 0) -> list[Estimate]:
        """The means with their intervals; undefined where there are too few decisions."""
        found = ratio_estimates(self.above, self.below, self.attainable, seed=seed)
        return [
            each if enough else Estimate(reason=f"not enough: {count} {self.counts}")
            for each, enough, count in zip(found, self.enough, self.contested.tolist(), strict=True)
        ]

    def contrasts(self, weights: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
        """(K,) weighted sums of the means, their standard errors, and the units of the least
        supported mean in each; `weights` (V, K) are 0 on axes without a number.
        """
        totals = np.maximum(self.below[0].sum(axis=0), 1e-300)
        mean = self.above[0].sum(axis=0) / totals
        used = weights != 0
        residuals = [
            ((n - mean * d) / totals) @ weights for n, d in zip(self.above, self.below, strict=True)
        ]
        at_stake = [(d > 0).astype(np.float64) for d in self.below]
        counts = [((each @ used) > 0).sum(axis=0) for each in at_stake]
        error = np.sqrt(clustered_variance(residuals, counts))
        by_axis = np.min([each.sum(axis=0) for each in at_stake[:2]], axis=0)  # (V,)
        units = np.where(used, by_axis[:, None], np.inf).min(axis=0)
        return mean @ weights, error, np.where(np.isinf(units), 0, units).astype(np.int64)

    def tests(self, weights: FloatArray) -> list[float | None]:
        """(K,) two-sided p of the contrasts against 0.

        By t; where all units say the same, by their signs alone: 2^(1 − units).
        """
        rows = zip(*(each.tolist() for each in self.contrasts(weights)), strict=True)
        return [_p(value, error, units) for value, error, units in rows]


def policy_means(seeds: Sequence[Answers], of: MeanOf = "propensity") -> PolicyMeans:
    """The means of a policy's runs in one env; decisions of several seeds count alike.

    A survey's statement counts where its opposite was answered, too: else a habit of high ratings
    would look like the value.
    """
    form = common_form(*seeds)
    axes = seeds[0].taxonomy.axes
    clusterings = joint_clustering(seeds)
    sizes = [way.count for way in clusterings[0].ways]
    above, below = ([np.zeros((size, len(axes))) for size in sizes] for _ in range(2))
    ends, contested, whole = np.zeros((2, len(axes))), np.zeros(len(axes), dtype=np.int64), True
    for answers, clustering in zip(seeds, clusterings, strict=True):
        balanced = _in_both_wordings(answers, form)
        whole = whole and bool(balanced.all())
        for place, part in answers.parts():
            deviations = part.deviations()
            terms = propensity_terms(deviations, form)
            terms = _only(terms, balanced[place])
            counted = terms.counted.astype(np.float64)
            weight = counted if of == "propensity" else counted * _half_span(deviations)
            ends += attainable(terms)
            contested += terms.counted.sum(axis=0)
            for way, n, d in zip(clustering.ways, above, below, strict=True):
                add_cluster_sums(n, terms.values, way.codes[place])
                add_cluster_sums(d, weight, way.codes[place])
    enough = contested >= max(1, seeds[0].min_contested)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(enough, above[0].sum(axis=0) / below[0].sum(axis=0), np.nan)
    counts = "contested decisions" if whole else "contested decisions in both wordings"
    return PolicyMeans(
        seeds[0].taxonomy, value, enough, contested, above, below, ends, clusterings[0].unit, counts
    )


def _in_both_wordings(answers: Answers, form: Form) -> BoolArray:
    """(T,) whether the opposite of a decision's statement was answered, too; true for all decisions
    of an env whose items do not have two poles.
    """
    if not {ITEM, POLE} <= set(answers.columns.factors()):
        return np.ones(len(answers.size), dtype=np.bool_)
    item, pole, read = answers.factor(ITEM), answers.factor(POLE), answers.answered(form)
    if not POLES.issubset(pole):
        return np.ones(len(answers.size), dtype=np.bool_)
    both = [np.isin(item, item[read & (pole == wording)]) for wording in sorted(POLES)]
    balanced: BoolArray = both[0] & both[1]
    return balanced


def _only(terms: Terms, kept: BoolArray) -> Terms:
    """The terms of some decisions; those of the others do not count."""
    counted = terms.counted & kept[:, None]
    return replace(terms, values=np.where(counted, terms.values, 0.0), counted=counted)


def _half_span(deviations: Deviations) -> FloatArray:
    """(T, V) half of what a menu spans on each axis."""
    half: FloatArray = (deviations.highest - deviations.lowest) / 2
    return half


def _p(value: float, error: float, units: int) -> float | None:
    if units < 2:
        return None
    if error > _ROUNDING * max(1.0, abs(value)):
        return t_test(value, error, units)
    return float(2.0 ** (1 - units)) if abs(value) > _ROUNDING else None
