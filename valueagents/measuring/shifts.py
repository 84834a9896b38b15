"""What a run answered, situation by situation, and the differences of two runs that were asked the same.

An answer is a weight on every option: the policy's probabilities, or 1 on the chosen one. Whatever is measured of it is
averaged over the repetitions of a situation first, so that runs pair one to one.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from valueagents.errors import ConfigError, unknown_name
from valueagents.measuring.answers import DecisionArrays, decision_arrays
from valueagents.measuring.inference import FloatArray, cluster_sums
from valueagents.measuring.pairing import annotated_otherwise
from valueagents.running.runs import Run
from valueagents.taxonomy import Taxonomy

Form = Literal["probability", "choice"]
"""Answers as probabilities over the menu, or as the option chosen."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The annotated decisions of a run. `weights` (N,) over options, NaN for a decision without an answer.

    `situation` (T,) is the env's id of the item, "" where it has none; `cluster` (T,) names, not codes.
    """

    run: Run
    arrays: DecisionArrays
    form: Form
    weights: FloatArray
    situation: npt.NDArray[np.str_]
    cluster: npt.NDArray[np.str_]

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """(T,) decisions that have an answer."""
        mask: npt.NDArray[np.bool_] = ~np.isnan(self.weights[self.arrays.start])
        return mask


@dataclass(frozen=True, slots=True)
class Paired:
    """Two runs on S shared situations: (S, M) measurements of each, NaN where undefined; cluster codes (S,)."""

    shown: list[str]
    first: FloatArray
    second: FloatArray
    cluster: npt.NDArray[np.int64]
    clusters: int


def common_form(*runs: Run) -> Form:
    """Probabilities if every decision of all runs has them, else choices."""
    known = all(run.decisions()["probabilities"].null_count == 0 for run in runs)
    return "probability" if known else "choice"


def answers(run: Run, form: Form) -> Answers:
    """The answers of a run in that form."""
    table = run.decisions()
    table = table.filter(pc.is_valid(table["x"])).sort_by([("episode", "ascending"), ("step", "ascending")])
    arrays = decision_arrays(table, run.header.taxonomy)
    if form == "probability":
        weights = arrays.p
    else:
        read = arrays.chosen >= 0
        weights = np.where(read[arrays.menu_of], 0.0, np.nan)
        weights[arrays.chosen[read]] = 1.0
    situation = np.asarray(table["situation"].fill_null("").to_pylist(), dtype=np.str_)
    cluster = np.asarray(table["cluster"].to_pylist(), dtype=np.str_)
    return Answers(run, arrays, form, weights, situation, cluster)


def propensities(asked: Answers) -> FloatArray:
    """(T, V) Σ_a w(a) x[a, v] − menu mean; NaN where v is not contested or there is no answer."""
    deviations = asked.arrays.deviations()
    values = deviations.expected if asked.form == "probability" else deviations.chosen
    return np.where(deviations.contested & asked.answered[:, None], values, np.nan)


def paired(first: Answers, second: Answers, mine: FloatArray, theirs: FloatArray) -> Paired:
    """The (T, M) measurements of two runs on the situations that both met.

    Raises ConfigError if there are none, or if they are annotated otherwise in one of the runs.
    """
    require_comparable(first.arrays.taxonomy, second.arrays.taxonomy)
    left, right = by_situation(first, mine), by_situation(second, theirs)
    shared = sorted(left.keys() & right.keys())
    if not shared:
        raise ConfigError("the runs share no situation; run them on the same env with the same seed, or replay a pool")
    annotated_otherwise(first.run, second.run, shared)
    clusters = dict(zip(first.arrays.shown.tolist(), first.cluster.tolist(), strict=True))
    names, code = np.unique([clusters[shown] for shown in shared], return_inverse=True)
    return Paired(
        shared,
        np.stack([left[shown] for shown in shared]),
        np.stack([right[shown] for shown in shared]),
        code.astype(np.int64),
        len(names),
    )


def require_comparable(first: Taxonomy, second: Taxonomy) -> None:
    """Raise ConfigError unless both are one taxonomy."""
    if first.name != second.name:
        raise ConfigError(f"one run is on taxonomy {first.name}, the other on {second.name}: not comparable")


def sign_of(direction: str) -> float:
    """1 for "down", the direction of a drop, -1 for "up". Raises ConfigError for another word."""
    signs = {"down": 1.0, "up": -1.0}
    if direction not in signs:
        raise ConfigError(unknown_name("direction", direction, signs))
    return signs[direction]


def target_columns(taxonomy: Taxonomy, target: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """(V,) true for the target's axes. Raises ConfigError for an unknown axis or none."""
    if not target:
        raise ConfigError("a target has at least one axis; name the values that the adapter was meant to move")
    mask = np.zeros(len(taxonomy.axes), dtype=np.bool_)
    mask[[taxonomy.index(axis) for axis in target]] = True
    return mask


def by_situation(asked: Answers, values: FloatArray) -> dict[str, FloatArray]:
    """Situation -> (M,) means of (T, M) measurements over its repetitions; NaN where none defines it."""
    names, code = np.unique(asked.arrays.shown, return_inverse=True)
    known = ~np.isnan(values)
    sums = cluster_sums(np.where(known, values, 0.0), code, len(names))
    with np.errstate(invalid="ignore"):
        means = sums / cluster_sums(known.astype(np.float64), code, len(names))
    return dict(zip(names.tolist(), means, strict=True))
