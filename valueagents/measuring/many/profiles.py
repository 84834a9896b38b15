"""Profiles of several policies on the same values: what circle checks and validity are computed from.

A profile is a policy's mean propensity on each axis (E3p where all runs hold probabilities, else E3), over the
situations that *all* policies met. On common situations the choice of items does not tell policies apart, so here a
profile needs no minimum of contested decisions, as a score does: it is only ever compared with the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from valueagents.errors import ConfigError
from valueagents.measuring.inference import FloatArray
from valueagents.measuring.shifts import (
    Answers,
    Form,
    answers,
    by_situation,
    common_form,
    propensities,
    require_comparable,
)
from valueagents.running.runs import Run, require_distinct
from valueagents.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Profiles:
    """U policies on S common situations. `cells` (U, S, V): propensity, NaN where not contested or not answered.

    `cluster` (S,) codes; `item` (S,) the env's ids of the situations. `menus` (V, V): to first order, what each weight
    does to each propensity (Σ of the covariances of x within menus, by row over the contested ones).
    """

    taxonomy: Taxonomy
    labels: list[str]
    form: Form
    cells: FloatArray
    cluster: npt.NDArray[np.int64]
    item: list[str]
    menus: FloatArray

    def of(self, situations: npt.NDArray[np.bool_] | None = None) -> FloatArray:
        """(U, V) profiles over all or some situations; NaN where a policy has none."""
        cells = self.cells if situations is None else self.cells[:, situations]
        known = ~np.isnan(cells)
        with np.errstate(invalid="ignore"):
            means: FloatArray = np.where(known, cells, 0.0).sum(axis=1) / known.sum(axis=1)
        return means

    def axis(self, v: int, situations: npt.NDArray[np.bool_]) -> FloatArray:
        """(U,) the column of one axis over some situations."""
        cells = self.cells[:, situations, v]
        known = ~np.isnan(cells)
        with np.errstate(invalid="ignore"):
            means: FloatArray = np.where(known, cells, 0.0).sum(axis=1) / known.sum(axis=1)
        return means


def centred(x: FloatArray) -> FloatArray:
    """(…, V) profiles minus each one's own mean over the axes it has (Schwartz 2021: centre, never divide)."""
    known = ~np.isnan(x)
    with np.errstate(invalid="ignore"):
        means: FloatArray = np.where(known, x, 0.0).sum(axis=-1, keepdims=True) / known.sum(axis=-1, keepdims=True)
    return x - means


def profiles(runs: Sequence[Run], labels: Sequence[str] | None = None) -> Profiles:
    """The profiles of runs on one taxonomy, one a policy.

    Raises ConfigError if no situation is common to all, or a policy comes twice, be it with another seed.
    """
    if not runs:
        raise ConfigError("profiles need at least one run")
    require_distinct(runs, "policy", lambda header: header.policy_identity)
    form = common_form(*runs)
    taxonomy = runs[0].header.taxonomy
    met = []
    for run in runs:
        require_comparable(taxonomy, run.header.taxonomy)
        asked = answers(run, form)
        met.append((asked, by_situation(asked, propensities(asked))))
    common = sorted(set.intersection(*(set(values) for _, values in met)))
    if not common:
        raise ConfigError("the runs have no situation in common; run all policies on the same env with the same --seed")
    first = met[0][0]
    cluster_of = dict(zip(first.arrays.shown.tolist(), first.cluster.tolist(), strict=True))
    item_of = dict(zip(first.arrays.shown.tolist(), first.situation.tolist(), strict=True))
    _, cluster = np.unique([cluster_of[shown] for shown in common], return_inverse=True)
    return Profiles(
        taxonomy,
        list(labels) if labels is not None else [run.header.policy for run in runs],
        form,
        np.stack([np.stack([values[shown] for shown in common]) for _, values in met]),
        cluster.astype(np.int64),
        [item_of[shown] for shown in common],
        _first_order(first, common),
    )


def _first_order(asked: Answers, situations: Sequence[str]) -> FloatArray:
    row_of = {shown: row for row, shown in enumerate(asked.arrays.shown.to_pylist())}
    met = asked.arrays.select(np.array([row_of[shown] for shown in situations]))
    deviations = met.deviations()
    spread = deviations.centred / np.sqrt(np.repeat(met.size, met.size))[:, None]
    effects: FloatArray = spread.T @ spread / np.maximum(1, deviations.contested.sum(axis=0))[:, None]
    return effects
