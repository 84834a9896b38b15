"""E4: choice weights, the conditional logit; between two policies their scale and their direction
apart. E4p is the same from probabilities (`fractional_logit.py`).

A more decisive policy has larger weights everywhere, so the scale |w| is compared on its own, as
log |w_1| - log |w_2|, and the values by the normalised weights w/|w|. Both by the delta method from
the clustered influence of every unit on the weights; a unit that both policies met (an item, a
menu) counts once, with the difference of its two influences.
"""

from collections.abc import Sequence

import numpy as np

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.answers import Answers, joint_clustering
from valueagents.measuring.choice_model import RIDGE
from valueagents.measuring.choice_weights import (
    MIN_UNITS,
    UNUSABLE,
    WEAK,
    Held,
    fit_choice_weights,
    held_constant,
)
from valueagents.measuring.deviations import Form
from valueagents.measuring.estimators.declaration import (
    AxisDifference,
    Compared,
    Difference,
    Estimator,
    Measured,
    Result,
    WholeDifference,
)
from valueagents.measuring.estimators.mean import FALSE_DISCOVERY_RATE, not_enough
from valueagents.measuring.flips import benjamini_hochberg
from valueagents.measuring.inference import Estimate, clustered_variance, t_estimate, t_test

SCALE = "scale, log |w1| − log |w2|"


def weights(measured: Measured, form: Form = "choice", covariates: bool = True) -> Result:
    """The weight of every axis with enough contested decisions, and those of position, length and
    the env's covariates; without `covariates` these are not held constant.
    """
    needed = measured.answers.min_contested
    held = held_constant(
        measured.answers, form, list(measured.answers.covariates) if covariates else []
    )
    warnings = [f"choice weights: {note}" for note in held.notes]
    answered = measured.answers.answered(form) & held.whole
    contested = (measured.tally.contested & answered[:, None]).sum(axis=0)
    axes = np.flatnonzero(contested >= needed)
    estimates = [not_enough(count, needed) for count in contested.tolist()]
    inflation: list[float | None] = [None] * len(contested)
    if not len(axes):
        return Result(estimates, {"variance inflation": inflation}, {}, warnings)
    fitted = fit_choice_weights(measured.answers, axes, measured.clustering, form, held)
    for i, v in enumerate(axes):
        estimates[v] = fitted.estimate(i)
        inflation[v] = float(fitted.model.inflation[i])
    warnings += [] if fitted.model.converged else [UNUSABLE]
    return Result(estimates, {"variance inflation": inflation}, fitted.nuisances(), warnings)


def weights_difference(
    compared: Compared, form: Form = "choice", covariates: bool = True
) -> Difference | None:
    """Normalised weights, first minus second, of two runs; None where several seeds are
    compared.
    """
    raw = not covariates and not compared.first.covariates and not compared.second.covariates
    if len(compared.pairs) > 1 or raw:  # raw: the difference of E4 says the same
        return None
    return compare_weights(compared.first, compared.second, form, covariates)


def compare_weights(
    first: Answers, second: Answers, form: Form = "choice", covariates: bool = True
) -> Difference:
    """First minus second, on the axes with `min_contested` contested decisions with an answer in
    both.

    An axis whose weight the ridge penalty sets in either run is left out of the directions, and
    then no scale is given. Covariates are held constant that both runs have, none without
    `covariates`. p values are of t on the units of the coarsest way in which the axis was at stake
    less one, adjusted by Benjamini–Hochberg.
    """
    fits = _Fits(first, second, form, covariates)
    reason = fits.reason
    scale = WholeDifference(
        Estimate(reason=reason or "the ridge penalty sets some weights, and with them the scale")
    )
    tested: dict[int, tuple[Estimate, float | None]] = {}
    if reason is None and not fits.set_by_ridge.any():
        scale = fits.scale()
    if reason is None and len(fits.free) > 1:
        tested = fits.directions()
    axes = range(len(first.taxonomy.axes))
    adjusted = benjamini_hochberg([tested[v][1] if v in tested else None for v in axes])
    return Difference(
        estimator=fits.name,
        name=f"normalised weights w / |w|{fits.constant}",
        unit=fits.clusterings[0].unit,
        clusters=fits.units,
        test=(
            "t on the clusters in which an axis was at stake less one, delta method from the"
            " cluster sandwich"
        ),
        family=f"Benjamini–Hochberg at {FALSE_DISCOVERY_RATE:g} over the axes",
        axes=[fits.axis(v, tested.get(v), adjusted[v]) for v in axes],
        effects={SCALE: scale},
        warnings=fits.warnings(),
    )


class _Fits:
    """Both runs' weights on the axes that both have enough of, and how far each unit moves them.

    counts: (V,) contested decisions with a choice, of the run that has fewer.
    axes: (A,) fitted columns.
    free: places in `axes` whose weights the choices tell.
    clusterings: joint (`joint_clustering`).
    """

    def __init__(self, first: Answers, second: Answers, form: Form, covariates: bool) -> None:
        self.name = name_of(form, covariates)
        self.taxonomy, self.needed = first.taxonomy, first.min_contested
        self.held = _held_in_both(first, second, form, covariates)
        names = " and ".join(self.held[0].names)
        self.constant = f", {names} held constant" if names else ""
        self.counts = np.minimum(
            *(
                contested_answers(each, form, held)
                for each, held in zip((first, second), self.held, strict=True)
            )
        )
        self.clusterings = joint_clustering([first, second])
        self.axes = np.flatnonzero(self.counts >= self.needed)
        pairs = zip((first, second), self.clusterings, self.held, strict=True)
        self.fits = (
            [fit_choice_weights(each, self.axes, way, form, held) for each, way, held in pairs]
            if len(self.axes)
            else []
        )
        made = [fit.model.made_by_ridge[: len(self.axes)] for fit in self.fits] or [
            np.zeros(0, bool)
        ]
        self.set_by_ridge = np.any(made, axis=0)
        self.free = np.flatnonzero(~self.set_by_ridge)
        self.weights = [fit.model.weights[self.free] for fit in self.fits]
        self.sizes = [float(np.linalg.norm(w)) for w in self.weights]
        self.units = self._units()
        self.reason = self._reason()

    def scale(self) -> WholeDifference:
        """Log |w_1| - log |w_2|: which of the two is more decisive."""
        value = float(np.log(self.sizes[0]) - np.log(self.sizes[1]))
        gradients = [w[:, None] / size**2 for w, size in zip(self.weights, self.sizes, strict=True)]
        [(estimate, p)] = _tested(
            np.array([value]), self._influence(gradients), np.array([self.units])
        )
        return WholeDifference(estimate, p)

    def directions(self) -> dict[int, tuple[Estimate, float | None]]:
        """Axis -> the difference of the normalised weights, and its p."""
        one, other = self._directions()
        pairs = zip((one, other), self.sizes, strict=True)
        turns = [(np.eye(len(u)) - np.outer(u, u)) / size for u, size in pairs]
        at_stake = np.minimum(*(fit.model.units[self.free] for fit in self.fits))
        tested = _tested(one - other, self._influence(turns), at_stake)
        return dict(zip(self.axes[self.free].tolist(), tested, strict=True))

    def axis(
        self, v: int, tested: tuple[Estimate, float | None] | None, adjusted: float | None
    ) -> AxisDifference:
        """The record of one axis: its test, or why there is none."""
        axis = self.taxonomy.axes[v]
        place = int(np.searchsorted(self.axes[self.free], v))
        estimate, p = tested if tested is not None else (self._missing(v), None)
        first, second = (
            (float(u[place]) for u in self._directions()) if tested is not None else (None, None)
        )
        return AxisDifference(
            axis=axis.id,
            name=axis.name,
            situations=None,
            clusters=self.units,
            difference=estimate,
            p=p,
            p_family=adjusted,
            differs=adjusted is not None and adjusted <= FALSE_DISCOVERY_RATE,
            first=first,
            second=second,
        )

    def warnings(self) -> list[str]:
        """What is to be said of the fits."""
        warnings = [f"{self.name}: {note}" for note in self._notes()]
        warnings += [] if all(fit.model.converged for fit in self.fits) else [UNUSABLE]
        if self.set_by_ridge.any():
            names = ", ".join(self.taxonomy.axes[v].id for v in self.axes[self.set_by_ridge])
            warnings.append(
                f"{self.name}: {names} left out of the directions: the ridge penalty, not the data,"
                " sets the weight"
            )
        return warnings

    def _notes(self) -> list[str]:
        return list(dict.fromkeys(note for held in self.held for note in held.notes))

    def _directions(self) -> list[FloatArray]:
        return [w / size for w, size in zip(self.weights, self.sizes, strict=True)]

    def _missing(self, v: int) -> Estimate:
        if self.counts[v] < self.needed:
            return not_enough(int(self.counts[v]), self.needed)
        if v not in self.axes[self.free]:
            return Estimate(reason=WEAK)
        return Estimate(reason=self.reason or "one axis alone has no direction to compare")

    def _units(self) -> int:
        """Units of the coarsest way that hold a choice of either policy."""
        if not self.fits:
            return 0
        ways = range(min(2, len(self.clusterings[0].ways)))
        return min(
            len(np.union1d(self.fits[0].units[way], self.fits[1].units[way])) for way in ways
        )

    def _reason(self) -> str | None:
        """Why nothing can be compared, if so."""
        if not self.weights:
            return "no axis has enough contested decisions in both runs"
        if not len(self.weights[0]):
            return WEAK
        if min([self.units, *(len(way) for fit in self.fits for way in fit.units[:2])]) < MIN_UNITS:
            return "one cluster in a run: no test"
        return "all weights of a run are 0" if any(not w.any() for w in self.weights) else None

    def _influence(self, derivatives: Sequence[FloatArray]) -> list[FloatArray]:
        """For each way (C, K): what every unit moved K differences by, first minus second.

        Of weights from probabilities each fit's pull by the penalty is a unit of its own.
        """
        joint = []
        for way, units in enumerate(self.clusterings[0].ways):
            moved = np.zeros((units.count, derivatives[0].shape[1]))
            for sign, fit, derivative in zip((1.0, -1.0), self.fits, derivatives, strict=True):
                moved[fit.units[way]] += sign * fit.model.influence[way][:, self.free] @ derivative
            pulls = [
                fit.model.pull[self.free] @ derivative
                for fit, derivative in zip(self.fits, derivatives, strict=True)
                if fit.form == "probability"
            ]
            joint.append(np.vstack([moved, *pulls]))
        return joint


def name_of(form: Form, covariates: bool = True) -> str:
    """The id of the estimator: E4 or E4p, E4w or E4pw without the covariates."""
    return f"{LOGIT.id}{'p' if form == 'probability' else ''}{'' if covariates else 'w'}"


def _held_in_both(first: Answers, second: Answers, form: Form, covariates: bool) -> list[Held]:
    """For each run the covariates that can be held constant in both."""
    runs = (first, second)
    wanted = [name for name in first.covariates if name in second.covariates and covariates]
    alone = sorted(set(first.covariates) ^ set(second.covariates)) if covariates else []
    found = [held_constant(answers, form, wanted) for answers in runs]
    both = [name for name in wanted if all(name in held.names for held in found)]
    notes = [
        *(f"{name} is not held constant: only one of the runs has it" for name in alone),
        *(note for held in found for note in held.notes if "is not held" in note),
    ]
    again = [held_constant(answers, form, both) for answers in runs]
    return [Held(held.names, held.whole, (*notes, *held.notes)) for held in again]


def contested_answers(answers: Answers, form: Form, held: Held) -> IntArray:
    """(V,) contested decisions with an answer in that form and the covariates held constant."""
    answered = answers.answered(form) & held.whole
    counts = np.zeros(len(answers.taxonomy.axes), dtype=np.int64)
    for place, part in answers.parts():
        counts += (part.deviations().contested & answered[place, None]).sum(axis=0)
    return counts


def _tested(
    values: FloatArray, influence: list[FloatArray], units: IntArray
) -> list[tuple[Estimate, float | None]]:
    """Each difference with its t interval on its number of units, and its two-sided p (None where
    nothing varies).
    """
    counts = [units] + [np.maximum(units, len(moved)) for moved in influence[1:]]
    errors = np.sqrt(clustered_variance(influence, counts))
    rows = zip(values.tolist(), errors.tolist(), units.tolist(), strict=True)
    return [
        (t_estimate(value, error, count), t_test(value, error, count))
        for value, error, count in rows
    ]


LOGIT = Estimator(
    id="E4",
    name="weight",
    formula=(
        "w_v of P(c = a) ∝ exp(w·x_a + b·z_a), z = position and length of the option and the env's"
        " covariates, minus (λ/2)|w, b|²"
    ),
    source=(
        f"conditional logit (McFadden 1974), ridge λ = {RIDGE:g}, cluster sandwich (Liang & Zeger"
        " 1986)"
    ),
    needs="choices",
    unit="log-odds per unit of x",
    meaning=(
        "the other values held equal; compared as length, how decisive, and direction, what it"
        " wants"
    ),
    estimate=weights,
    difference=weights_difference,
    weights=True,
)
