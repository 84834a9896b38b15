"""E8: what an adapter that was meant to move a value does, against its control adapter of the same
method and seed.

Shifts are paired differences of E3p (E3 where a run has no probabilities) on the situations that
both runs met, signed so that the intended direction is +. |shift| is positive under pure noise; so
the drift between two control seeds (the noise floor) is taken off. Policies in games soon meet
different states: replay a pool first, then nothing is lost.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from valueagents.arrays import BoolArray, FloatArray
from valueagents.measuring.answers import common_form
from valueagents.measuring.deviations import Form
from valueagents.measuring.estimators.declaration import Estimator
from valueagents.measuring.estimators.mean import not_enough
from valueagents.measuring.inference import Estimate, Totals, cluster_estimates
from valueagents.measuring.many.circle import slope_weights
from valueagents.measuring.pairing import Pairing, pair
from valueagents.measuring.reading import Source, read_answers
from valueagents.measuring.studies.competence import CompetenceChange, competence_change
from valueagents.measuring.sums import cluster_sums, known_mean
from valueagents.measuring.targets import Direction, sign_of, target_columns

_FOLDED = ("drift", "noise_drift", "net_drift", "selectivity")
_BY_NOISE = ("noise_target_shift", "noise_drift", "net_drift", "selectivity")


class InterventionMetrics(msgspec.Struct, frozen=True):
    """All that an adapter did; shifts in units of propensity.

    `situations` were met by both runs; `contested` of them (the fewest of the target's axes) put
    the target at stake. `drift`, `noise_drift`: mean |shift| over the values other than the target,
    of the intervention and of another control seed; `net_drift` their difference; selectivity =
    target shift − net drift. `circle_slope` regresses the shifts of the other values on cos(θ_v −
    θ_target): + where they follow the motivational circle. `competence` is the change of reward,
    completion and invalid answers.
    """

    target: tuple[str, ...]
    direction: Direction
    form: Form
    situations: int
    contested: int
    clusters: int
    unit: str
    target_shift: Estimate
    drift: Estimate
    circle_slope: Estimate
    noise_target_shift: Estimate
    noise_drift: Estimate
    net_drift: Estimate
    selectivity: Estimate
    competence: CompetenceChange


def intervention_metrics(
    intervention: Source,
    control: Source,
    target: tuple[str, ...],
    *,
    control_repeat: Source | None = None,
    direction: Direction = "down",
    seed: int = 0,
) -> InterventionMetrics:
    """E8 of an intervention; `control_repeat` is the control adapter trained with another seed.

    Without one the noise floor, net drift and selectivity are undefined; with one the floor, and
    the drift that it is taken off, are those of the situations that all three answered: of fewer
    situations the floor would be higher. A value that is contested in fewer of them than the env
    asks for (`min_contested`) has no shift and is left out of drift and slope. Raises ConfigError
    if the runs share no situation.
    """
    moved, kept = read_answers(intervention), read_answers(control)
    again = None if control_repeat is None else read_answers(control_repeat)
    form = common_form(moved, kept, *([again] if again is not None else []))
    both = pair(moved, kept, form=form)
    towards = -sign_of(direction)
    shifts = towards * both.propensity_differences()  # (S, V)
    noise = np.full_like(shifts, np.nan)
    if again is not None:
        noise = towards * _on_situations(pair(again, kept, form=form), both)
    shift = _Shifts(both, shifts, noise, target)
    estimates = shift.estimates(seed, repeated=again is not None)
    return InterventionMetrics(
        target=target,
        direction=direction,
        form=form,
        situations=len(both.shown),
        contested=int(shift.known[:, shift.is_target].sum(axis=0).min()),
        clusters=both.clusters,
        unit=both.unit,
        competence=competence_change(moved, kept, seed=seed),
        **estimates,
    )


class _Shifts:
    """(S, V) shifts of an intervention and of another control on the same situations, NaN where
    there is none.
    """

    def __init__(
        self, both: Pairing, shifts: FloatArray, noise: FloatArray, target: tuple[str, ...]
    ) -> None:
        taxonomy = both.second.taxonomy
        self.both, self.shifts, self.noise = both, shifts, noise
        self.needed = both.second.min_contested
        self.is_target = target_columns(taxonomy, target)
        self.known, self.in_both = ~np.isnan(shifts), ~np.isnan(shifts + noise)
        self.enough = self.known.sum(axis=0) >= self.needed
        self.enough_in_both = self.in_both.sum(axis=0) >= self.needed
        self.slope = slope_weights(taxonomy, target, self.enough)
        self.on_circle = any(axis in (taxonomy.angles or {}) for axis in target)

    def estimates(self, seed: int, *, repeated: bool) -> dict[str, Estimate]:
        """Every number by its name; undefined ones with the reason."""
        cells = {
            "shift": self.shifts,
            "count": self.known.astype(np.float64),
            "shift_in_both": np.where(self.in_both, self.shifts, 0.0),
            "noise": self.noise,
            "count_in_both": self.in_both.astype(np.float64),
        }
        both = self.both
        sums = {
            name: cluster_sums(np.nan_to_num(cell), both.cluster, both.clusters)
            for name, cell in cells.items()
        }
        estimates = cluster_estimates(
            sums,
            self._statistics(),
            seed=seed,
            differences={"selectivity": ("target_shift", "net_drift")},
            folded=_FOLDED,
        )
        return estimates | self._undefined(repeated=repeated)

    def _statistics(self) -> Callable[[Totals], dict[str, FloatArray]]:
        target = self.is_target
        others, others_in_both = ~target & self.enough, ~target & self.enough_in_both

        def statistics(totals: Totals) -> dict[str, FloatArray]:
            mean = totals["shift"] / totals["count"]  # (B, V)
            mean_in_both = totals["shift_in_both"] / totals["count_in_both"]
            mean_noise = totals["noise"] / totals["count_in_both"]
            target_shift = known_mean(mean[:, target])
            noise_drift = known_mean(np.abs(mean_noise[:, others_in_both]))
            net_drift = known_mean(np.abs(mean_in_both[:, others_in_both])) - noise_drift
            slope = (
                np.full(len(mean), np.nan)
                if self.slope is None
                else np.nan_to_num(mean) @ self.slope
            )
            return {
                "target_shift": target_shift,
                "drift": known_mean(np.abs(mean[:, others])),
                "circle_slope": slope,
                "noise_target_shift": known_mean(mean_noise[:, target]),
                "noise_drift": noise_drift,
                "net_drift": net_drift,
                "selectivity": target_shift - net_drift,
            }

        return statistics

    def _undefined(self, *, repeated: bool) -> dict[str, Estimate]:
        """What cannot be told from these runs, and why."""
        undefined: dict[str, Estimate] = {}
        target, others = self.is_target, ~self.is_target & self.enough
        if not self.enough[target].all():
            undefined["target_shift"] = undefined["selectivity"] = self._few(
                self.known[:, target], "shared"
            )
        if not repeated:
            missing = Estimate(
                reason="no control adapter of another seed: give control_repeat for the noise floor"
            )
            undefined |= dict.fromkeys(_BY_NOISE, missing)
        elif not self.enough_in_both[target].all():
            undefined["noise_target_shift"] = self._few(
                self.in_both[:, target], "shared by all three runs"
            )
        if repeated and others.any() and not (others & self.enough_in_both).any():
            few = self._few(self.in_both[:, others], "shared by all three runs")
            undefined |= dict.fromkeys(_FOLDED[1:], few)
        if self.slope is None:
            lacking = (
                f"too few other values on the circle have {self.needed} shared contested situations"
            )
            reason = (
                lacking if self.on_circle else "the target does not lie on the taxonomy's circle"
            )
            undefined["circle_slope"] = Estimate(reason=reason)
        return undefined

    def _few(self, known: BoolArray, where: str) -> Estimate:
        return not_enough(
            int(known.sum(axis=0).min()), self.needed, f"contested situations {where}"
        )


def _on_situations(other: Pairing, both: Pairing) -> FloatArray:
    """(S, V) the other pairing's differences on the situations of `both`; NaN where it has none."""
    differences = other.propensity_differences()
    found = np.full((len(both.shown), differences.shape[1]), np.nan)
    _, here, there = np.intersect1d(
        both.shown, other.shown, assume_unique=True, return_indices=True
    )
    found[here] = differences[there]
    return found


INTERVENTION = Estimator(
    id="E8",
    name="intervention",
    formula=(
        "shift_v = E3p(adapter) − E3p(its control) on shared situations, signed towards what was"
        " trained"
    ),
    source=(
        "Nie et al. 2025 (arXiv 2508.11414) for drift and selectivity; slope: regression on cos(θ_v"
        " − θ_target)"
    ),
    needs="runs of an adapter and its control",
    unit="x per contested situation",
    meaning="what an adapter moved: its target, the other values, competence",
    digits=3,
    command="valueagents intervention",
)
