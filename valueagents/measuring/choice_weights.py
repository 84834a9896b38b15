"""The logit of a run, of its choices or its probabilities: which decisions and features enter it,
and what its weights are.
"""

from dataclasses import dataclass

import numpy as np

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.answers import Answers
from valueagents.measuring.choice_model import ChoiceModel, fit_choice_model
from valueagents.measuring.deviations import Form
from valueagents.measuring.inference import Estimate, t_estimate
from valueagents.measuring.sums import Clustering, Units

NUISANCES = ("position", "length")
"""What may sway a choice besides values: place on the menu (0 first … 1 last), hundreds of
characters.
"""
MIN_UNITS = 2
"""An interval needs as many clusters."""
UNUSABLE = "the logit did not converge: do not use its weights"
WEAK = "weakly identified: the ridge penalty, not the data, sets this weight"


@dataclass(frozen=True, slots=True)
class ChoiceWeights:
    """The model with the columns `axes` (fitted ones) of the taxonomy first, then the nuisances.

    `units` has for each way of the clustering the codes of the rows of the model's influence.
    """

    axes: IntArray
    model: ChoiceModel
    units: tuple[IntArray, ...]
    form: Form = "choice"

    def estimate(self, feature: int) -> Estimate:
        """A weight with its t interval on the clusters in which it was at stake."""
        weak = WEAK if self.model.bound_by_ridge[feature] else None
        value, error = float(self.model.weights[feature]), float(self.model.errors[feature])
        return t_estimate(value, error, int(self.model.units[feature]), weak)

    def nuisances(self) -> dict[str, Estimate]:
        """The weights of what is not a value."""
        return {name: self.estimate(len(self.axes) + k) for k, name in enumerate(NUISANCES)}


def fit_choice_weights(
    answers: Answers, axes: IntArray, clustering: Clustering, form: Form = "choice"
) -> ChoiceWeights:
    """E4 on these axes, from the decisions that were read; E4p from those with probabilities."""
    design = Design(answers, axes, form)
    ways, units = [], []
    for way in clustering.ways:
        present, codes = np.unique(way.codes[design.read], return_inverse=True)
        units.append(present)
        ways.append(Units(codes, len(present)))
    clusters = Clustering(clustering.unit, tuple(ways))
    model = fit_choice_model(design, design.start, design.chosen, clusters, design.shares)
    return ChoiceWeights(axes, model, tuple(units), form)


class Design:
    """The features of E4, (N, V + 2): values, 0 for an axis that any option of the menu lacks, then
    the nuisances.

    Only the decisions that have an answer in that form, and of the values only those of `axes`.
    `shares`: (N,) their probabilities, None in the form of choices.
    """

    def __init__(self, answers: Answers, axes: IntArray, form: Form = "choice") -> None:
        self._answers, self._axes = (
            answers,
            axes if len(axes) < len(answers.taxonomy.axes) else slice(None),
        )
        answered = answers.answered(form)
        self.read = np.flatnonzero(answered)
        self.shares = (
            answers.p[np.repeat(answered, answers.size)] if form == "probability" else None
        )
        sizes = answers.size[self.read]
        self.start = np.cumsum(sizes) - sizes
        self.chosen = self.start + (answers.chosen - answers.start)[self.read]
        self.shape = (int(sizes.sum()), len(axes) + len(NUISANCES))

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
        features[:, : -len(NUISANCES)] = part.judged()[0][:, self._axes]
        features[:, -2], features[:, -1] = place, part.characters / 100
        if len(menus) == high - low:
            return features
        kept: FloatArray = features[np.repeat(np.isin(np.arange(low, high), menus), part.size)]
        return kept
