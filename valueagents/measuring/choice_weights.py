"""The logit of a run, of its choices or its probabilities: which decisions and features enter it,
and what its weights are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.files.covariates import RESERVED
from valueagents.measuring.answers import Answers
from valueagents.measuring.choice_model import ChoiceModel, fit_choice_model
from valueagents.measuring.deviations import Form
from valueagents.measuring.inference import Estimate, t_estimate
from valueagents.measuring.sums import Clustering, Units

NUISANCES = RESERVED
"""What may sway a choice besides values in any env: place on the menu (0 first … 1 last), hundreds
of characters. An env's own covariates follow them.
"""
MOSTLY = 0.5
"""A covariate that fewer of the decisions have for every option is left out, else these decisions
would be all that counts.
"""
MIN_UNITS = 2
"""An interval needs as many clusters."""
UNUSABLE = "the logit did not converge: do not use its weights"
WEAK = "weakly identified: the ridge penalty, not the data, sets this weight"


@dataclass(frozen=True, slots=True)
class ChoiceWeights:
    """The model with the columns `axes` (fitted ones) of the taxonomy first, then the nuisances.

    `scales` (F,) are what the features were divided by: of a covariate its standard deviation
    within menus, so that the penalty does not depend on its unit; else 1. `units` has for each way
    of the clustering the codes of the rows of the model's influence.
    """

    axes: IntArray
    model: ChoiceModel
    units: tuple[IntArray, ...]
    nuisance_names: tuple[str, ...]
    scales: FloatArray
    form: Form = "choice"

    def estimate(self, feature: int) -> Estimate:
        """A weight with its t interval on the clusters in which it was at stake; of a covariate in
        log-odds for each of its units.
        """
        weak = WEAK if self.model.bound_by_ridge[feature] else None
        weight, error = (
            float(each[feature] / self.scales[feature])
            for each in (self.model.weights, self.model.errors)
        )
        return t_estimate(weight, error, int(self.model.units[feature]), weak)

    def nuisances(self) -> dict[str, Estimate]:
        """The weights of what is not a value."""
        return {
            name: self.estimate(len(self.axes) + k) for k, name in enumerate(self.nuisance_names)
        }


@dataclass(frozen=True, slots=True)
class Held:
    """Covariates to be held constant, and (T,) the decisions that have them all for every option.

    `notes` say what is left out for want of them, a sentence each.
    """

    names: tuple[str, ...]
    whole: BoolArray
    notes: tuple[str, ...] = ()


def held_constant(answers: Answers, form: Form, names: Sequence[str]) -> Held:
    """Those of the covariates that most of the decisions with an answer have, and that differ
    between options there. Nothing is put in the place of a number that is missing: the decision is
    left out.
    """
    answered, kept, notes = answers.answered(form), [], []
    whole = np.ones(len(answers.size), dtype=np.bool_)
    total = int(answered.sum())
    for name in names:
        z = answers.covariates[name]
        known = ~np.isnan(answers.per_menu(z)) if len(z) else whole
        count = int((known & answered).sum())
        if count < MOSTLY * total:
            notes.append(
                f"{name} is not held constant: {count} of {total} decisions have it for every"
                " option"
            )
        elif total and not _spread(answers, z, known & answered):
            notes.append(f"{name} is not held constant: it never differs within a menu")
        else:
            kept.append(name)
            whole &= known
    missing = total - int((whole & answered).sum())
    if missing:
        notes.append(
            f"{missing} of {total} decisions are left out: an option lacks {' or '.join(kept)}"
        )
    return Held(tuple(kept), whole, tuple(notes))


def _spread(answers: Answers, z: FloatArray, menus: BoolArray) -> float:
    """The standard deviation of a covariate within these menus."""
    rows = np.repeat(menus, answers.size)
    mean = np.repeat(answers.per_menu(z) / answers.size, answers.size)
    return float(np.sqrt(np.mean((z - mean)[rows] ** 2))) if rows.any() else 0.0


def fit_choice_weights(
    answers: Answers,
    axes: IntArray,
    clustering: Clustering,
    form: Form = "choice",
    held: Held | None = None,
) -> ChoiceWeights:
    """E4 on these axes, from the decisions that were read; E4p from those with probabilities.

    `held`: covariates that are nuisances, too; only the decisions that have them enter.
    """
    design = Design(answers, axes, form, held)
    ways, units = [], []
    for way in clustering.ways:
        present, codes = np.unique(way.codes[design.read], return_inverse=True)
        units.append(present)
        ways.append(Units(codes, len(present)))
    clusters = Clustering(clustering.unit, tuple(ways))
    model = fit_choice_model(design, design.start, design.chosen, clusters, design.shares)
    names = (*NUISANCES, *(held.names if held else ()))
    return ChoiceWeights(axes, model, tuple(units), names, design.scales, form)


class Design:
    """The features of E4, (N, V + 2 + Z): values, 0 for an axis that any option of the menu lacks,
    then the nuisances, of which the last Z are the covariates held constant.

    Only the decisions that have an answer in that form and the covariates, and of the values only
    those of `axes`. `scales`: (V + 2 + Z,) what the features are divided by. `shares`: (N,) their
    probabilities, None in the form of choices.
    """

    def __init__(
        self, answers: Answers, axes: IntArray, form: Form = "choice", held: Held | None = None
    ) -> None:
        self._answers, self._axes = (
            answers,
            axes if len(axes) < len(answers.taxonomy.axes) else slice(None),
        )
        answered = answers.answered(form) & (True if held is None else held.whole)
        names = () if held is None else held.names
        spreads = [_spread(answers, answers.covariates[name], answered) for name in names]
        self.scales = np.array([*np.ones(len(axes) + len(NUISANCES)), *spreads])
        self._names, self._values = names, len(axes)
        self.read = np.flatnonzero(answered)
        self.shares = (
            answers.p[np.repeat(answered, answers.size)] if form == "probability" else None
        )
        sizes = answers.size[self.read]
        self.start = np.cumsum(sizes) - sizes
        self.chosen = self.start + (answers.chosen - answers.start)[self.read]
        self.shape = (int(sizes.sum()), len(self.scales))

    def __getitem__(self, rows: slice, /) -> FloatArray:
        """The features of whole menus."""
        first, last = np.searchsorted(self.start, [rows.start, rows.stop])
        menus = self.read[first:last]
        low, high = int(menus[0]), int(menus[-1]) + 1
        part = self._answers.part(low, high)
        place = part.position / np.repeat(np.maximum(part.size - 1, 1), part.size)
        features = np.empty(
            (len(place), self.shape[1])
        )  # filled by column: a stack of them may lie column by column
        features[:, : self._values] = part.judged()[0][:, self._axes]
        features[:, self._values], features[:, self._values + 1] = place, part.characters / 100
        for k, name in enumerate(self._names, self._values + len(NUISANCES)):
            features[:, k] = part.covariates[name] / self.scales[k]
        if len(menus) == high - low:
            return features
        kept: FloatArray = features[np.repeat(np.isin(np.arange(low, high), menus), part.size)]
        return kept
