"""What an estimator declares, what it is given, and what it gives back.

An estimator is one file with one `Estimator` in it. Most are means over decisions: they declare
their `terms` and all else follows – interval, comparison of two runs, calibration. The others bring
functions of their own. `score`, `compare`, `--json`, the terminal, the report, the README's table
and the calibration read these declarations.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.contracts.decision import Asks
from valueagents.measuring.answers import Answers
from valueagents.measuring.deviations import Deviations, Terms
from valueagents.measuring.inference import Estimate
from valueagents.measuring.pairing import Pairing
from valueagents.measuring.sums import Clustering

EstimatorNeeds = Literal[
    "choices",
    "probabilities",
    "two runs",
    "runs of an adapter and its control",
    "a pool of decisions",
]


@dataclass(frozen=True, slots=True)
class Tally:
    """What one pass over a run's decisions gives: masks (T, V), sums (V,), and sums by cluster.

    `above` and `below` hold for every mean its numerators and denominators, (C, V) for each way of
    the clustering, `attainable` (2, V) between what its numerator could lie; `covariance` (V, V)
    is that of Σ (x_c - m) under uniform choices.
    """

    contested: BoolArray
    read: BoolArray
    partly_annotated: FloatArray
    promotions: FloatArray
    violations: FloatArray
    chosen: FloatArray
    lowest: FloatArray
    highest: FloatArray
    covariance: FloatArray
    above: Mapping[str, list[FloatArray]]
    below: Mapping[str, list[FloatArray]]
    attainable: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Measured:
    """A run's answers with their tally: what an estimator of one run is given.

    `means` has, by estimator, an estimate of every axis for the means over decisions; `seed` is for
    whatever is drawn.
    """

    answers: Answers
    clustering: Clustering
    tally: Tally
    means: Callable[[str], Sequence[Estimate]]
    seed: int = 0

    @property
    def contested(self) -> IntArray:
        """(V,) contested decisions with a choice."""
        counts: IntArray = (self.tally.contested & self.tally.read[:, None]).sum(axis=0)
        return counts


@dataclass(frozen=True, slots=True)
class Result:
    """What an estimator says of one run: `axes` an estimate for each axis.

    `details`: further numbers of every axis, by name. `effects`: estimates of the run as a whole.
    """

    axes: Sequence[Estimate]
    details: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    effects: Mapping[str, Estimate] = field(default_factory=dict)
    warnings: Sequence[str] = ()


class WholeDifference(msgspec.Struct, frozen=True):
    """A difference of two runs as a whole, with its p (None = not tested)."""

    estimate: Estimate
    p: float | None = None


class AxisDifference(msgspec.Struct, frozen=True):
    """First minus second policy on one axis.

    `situations` (None where decisions are not paired) and `clusters` are those in which the axis
    was at stake. `p` is unadjusted; `p_family` adjusted over the axes that are not primary, as the
    difference's `family` says (None for the primary one); `p_max_t` controls the error over all
    axes at once.
    `parts`: what the difference is the sum of, by name.
    """

    axis: str
    name: str
    situations: int | None
    clusters: int
    difference: Estimate
    p: float | None = None
    p_family: float | None = None
    p_max_t: float | None = None
    differs: bool = False
    first: float | None = None
    second: float | None = None
    parts: dict[str, Estimate] = {}


class Difference(msgspec.Struct, frozen=True):
    """What an estimator says of two policies; `test` names its test, `family` the adjustment,
    `unit` its clusters.
    """

    estimator: str
    name: str
    unit: str
    clusters: int
    test: str
    family: str
    axes: list[AxisDifference]
    effects: dict[str, WholeDifference] = {}
    warnings: list[str] = []


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison is asked: the pairings of the two policies' runs, one a seed, and the axis
    named before.

    `replayed`: for each policy a replay of states that it did not meet itself (E7), or None.
    """

    pairs: Sequence[Pairing]
    primary: str | None = None
    seed: int = 0
    replayed: tuple[Answers | None, Answers | None] = (None, None)

    @property
    def first(self) -> Answers:
        """The first policy's run, of the first seed."""
        return self.pairs[0].first

    @property
    def second(self) -> Answers:
        """The second policy's run, of the first seed."""
        return self.pairs[0].second


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """The declaration of an estimator.

    Args:
        id: short and unique, e.g. `E3`; the key in `--json`.
        name: one or two words, for the head of a column.
        formula: in the symbols of estimators/README.md.
        source: paper or textbook of the formula.
        needs: what a run must hold for it.
        unit: of its numbers.
        meaning: how a reader takes it, in half a sentence.
        digits: decimals that are printed.
        shown_details: details that are printed in brackets after the number.
        terms: of a mean over decisions; interval, comparison and calibration follow from it.
        minimum: an axis needs the env's `min_contested` decisions for a number.
        estimate: of one run, for what is not a mean over decisions or says more than the mean.
        difference: of two policies; None = not compared, or for a mean the paired difference.
        compared: whether a mean is compared.
        form_of: the estimator that this one replaces in a comparison where runs hold what it needs.
        weights: its numbers estimate the weights of a policy that is a softmax over values (the
            calibration's truth).
        calibrated: whether the calibration has rows of it (a count that grows with the run has
            none).
        covariates: whether it is for runs alone whose env gives covariates.
        asks: the question of the envs that it is for; None = whatever they ask.
        command: the command that computes it, where it is neither `score` nor `compare`.
    """

    id: str
    name: str
    formula: str
    source: str
    needs: EstimatorNeeds
    unit: str
    meaning: str
    digits: int = 2
    shown_details: tuple[str, ...] = ()
    terms: Callable[[Deviations], Terms] | None = None
    minimum: bool = True
    estimate: Callable[[Measured], Result] | None = None
    difference: Callable[[Compared], Difference | None] | None = None
    compared: bool = True
    form_of: str | None = None
    weights: bool = False
    calibrated: bool = True
    covariates: bool = False
    asks: Asks | None = None
    command: str | None = None

    @property
    def of_one_run(self) -> bool:
        """True if `score` computes it."""
        return self.terms is not None or self.estimate is not None
