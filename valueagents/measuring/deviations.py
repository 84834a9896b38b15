"""What every decision says about every axis, before any averaging.

Arrays: T decisions, N options, V axes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from valueagents.arrays import BoolArray, FloatArray

Form = Literal["probability", "choice"]
"""Answers as probabilities over the menu, or as the option chosen."""


@dataclass(frozen=True, slots=True)
class Deviations:
    """What each decision says about each axis: (T, V) arrays, 0 where undefined, and where they
    count.

    taken: x[c].
    chosen: x[c] - m.
    expected: Σ_a p(a) x[a] - m.
    lowest, highest: extremes of x - m.
    centred: (N, V), x - m of every option.
    annotated, contested: (T, V) masks.
    read, knows_p: (T,) masks of decisions with a choice, with probabilities.
    """

    annotated: BoolArray
    contested: BoolArray
    read: BoolArray
    knows_p: BoolArray
    taken: FloatArray
    chosen: FloatArray
    expected: FloatArray
    lowest: FloatArray
    highest: FloatArray
    centred: FloatArray


@dataclass(frozen=True, slots=True)
class Terms:
    """A mean over decisions: Σ `values` / Σ `counted`, both (T, V); a value that does not count is
    0.

    `lowest`, `highest`: between what a counted value can lie, (T, V) or one number for all; None =
    not known. Intervals of the mean end there.
    """

    values: FloatArray
    counted: BoolArray
    lowest: FloatArray | float | None = None
    highest: FloatArray | float | None = None


def propensity_terms(deviations: Deviations, form: Form) -> Terms:
    """X of the answer minus the menu's mean, on contested decisions with an answer in that form."""
    answered = deviations.knows_p if form == "probability" else deviations.read
    counted = deviations.contested & answered[:, None]
    values = deviations.expected if form == "probability" else deviations.chosen
    held = np.where(counted, values, 0.0)
    return Terms(held, counted, deviations.lowest, deviations.highest)


def attainable(terms: Terms) -> FloatArray:
    """(2, V) sums of the lowest and the highest that the counted values could be; NaN where not
    known.
    """
    counted = terms.counted.astype(np.float64)
    found = np.full((2, counted.shape[1]), np.nan)
    if terms.lowest is None or terms.highest is None:
        return found
    for end, extreme in enumerate((terms.lowest, terms.highest)):
        found[end] = np.einsum("tv,tv->v", np.broadcast_to(extreme, counted.shape), counted)
    return found
