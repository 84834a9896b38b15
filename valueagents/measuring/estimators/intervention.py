"""What an adapter that was meant to move a value does (E8), against its control adapter of the same method and seed.

Shifts are paired differences of E3p (E3 where a run has no probabilities) on the situations that both runs met, signed
so that the intended direction is +. |shift| is positive under pure noise; so the drift between two control seeds (the
noise floor) is taken off. Policies in games soon meet different states: replay a pool first, then nothing is lost.
"""

from typing import Literal

import msgspec
import numpy as np

from valueagents.errors import ConfigError
from valueagents.measuring.answers import BoolArray
from valueagents.measuring.inference import Estimate, FloatArray, cluster_sums
from valueagents.measuring.many.circle import slope_weights
from valueagents.measuring.resampling import cluster_estimates
from valueagents.measuring.shifts import (
    Form,
    Paired,
    answers,
    common_form,
    paired,
    propensities,
    sign_of,
    target_columns,
)
from valueagents.running.runs import Run

_Key = tuple[str, int]
"""Situation ("" in a game) and repetition of an episode."""


class InterventionMetrics(msgspec.Struct, frozen=True):
    """All that an adapter did; shifts in units of propensity.

    `drift`, `noise_drift`: mean |shift| over the values that are no target, of the intervention and of another control
    seed; `net_drift` their difference; selectivity = target shift − net drift. `circle_slope` regresses the shifts of
    the other values on cos(θ_v − θ_target): + where they follow the motivational circle. `score_change` is in reward an
    episode, `completion_change` and `invalid_change` in shares of episodes and of decisions.
    """

    target: tuple[str, ...]
    direction: Literal["down", "up"]
    form: Form
    situations: int
    clusters: int
    target_shift: Estimate
    drift: Estimate
    circle_slope: Estimate
    noise_target_shift: Estimate
    noise_drift: Estimate
    net_drift: Estimate
    selectivity: Estimate
    score_change: Estimate
    completion_change: Estimate
    invalid_change: Estimate


def intervention_metrics(
    intervention: Run,
    control: Run,
    target: tuple[str, ...],
    *,
    control_repeat: Run | None = None,
    direction: Literal["down", "up"] = "down",
    seed: int = 0,
) -> InterventionMetrics:
    """E8 of an intervention; `control_repeat` is the control adapter trained with another seed.

    Without one the noise floor, net drift and selectivity are undefined; with one the floor, and the drift that it is
    taken off, are those of the situations that all three answered: of fewer situations the floor would be higher. A
    value that is contested in fewer of them than the world asks for (`min_contested`) has no shift and is left out of
    drift and slope. Raises ConfigError if the runs share no situation.
    """
    taxonomy, needed = control.header.taxonomy, control.header.min_contested
    is_target, sign = target_columns(taxonomy, target), sign_of(direction)
    runs = [intervention, control, *([control_repeat] if control_repeat is not None else [])]
    form = common_form(*runs)
    moved, kept = answers(intervention, form), answers(control, form)
    pair = paired(moved, kept, propensities(moved), propensities(kept))
    shifts = -sign * _shifts(pair, pair.shown)
    noise = np.full_like(shifts, np.nan)
    if control_repeat is not None:
        again = answers(control_repeat, form)
        noise = -sign * _shifts(paired(again, kept, propensities(again), propensities(kept)), pair.shown)
    known, in_both = ~np.isnan(shifts), ~np.isnan(shifts + noise)
    cells = [shifts, known, np.where(in_both, shifts, 0.0), noise, in_both]
    sums = cluster_sums(np.nan_to_num(np.hstack(cells)), pair.cluster, pair.clusters)
    enough, enough_in_both = known.sum(axis=0) >= needed, in_both.sum(axis=0) >= needed
    others, others_in_both = ~is_target & enough, ~is_target & enough_in_both
    on_circle = slope_weights(taxonomy, target, enough)

    def statistic(totals: FloatArray) -> FloatArray:
        total, count, total_in_both, noise_total, count_in_both = np.split(totals, len(cells), axis=1)
        mean, mean_in_both, mean_noise = total / count, total_in_both / count_in_both, noise_total / count_in_both
        target_shift, drift = _mean(mean[:, is_target]), _mean(np.abs(mean[:, others]))
        slope = np.nan_to_num(mean) @ on_circle if on_circle is not None else np.full(len(totals), np.nan)
        noise_drift = _mean(np.abs(mean_noise[:, others_in_both]))
        net = _mean(np.abs(mean_in_both[:, others_in_both])) - noise_drift
        return np.stack(
            [target_shift, drift, slope, _mean(mean_noise[:, is_target]), noise_drift, net, target_shift - net], axis=1
        )

    estimates = cluster_estimates(sums, statistic, seed=seed, differences={6: (0, 5)}, folded=(1, 4, 5, 6))
    if not enough[is_target].all():
        estimates[0] = estimates[6] = _too_few(known[:, is_target], "shared", needed)
    if control_repeat is None:
        missing = Estimate(reason="no control adapter of another seed: give control_repeat for the noise floor")
        estimates[3:] = [missing] * 4
    elif not enough_in_both[is_target].all():
        estimates[3] = _too_few(in_both[:, is_target], "shared by all three runs", needed)
    if control_repeat is not None and others.any() and not others_in_both.any():
        few = _too_few(in_both[:, others], "shared by all three runs", needed)
        estimates[4:] = [few] * 3
    if on_circle is None:
        lies = any(axis in (taxonomy.angles or {}) for axis in target)
        lacking = f"too few other values on the circle have {needed} shared contested situations"
        estimates[2] = Estimate(reason=lacking if lies else "the target does not lie on the taxonomy's circle")
    return InterventionMetrics(
        target,
        direction,
        form,
        len(pair.shown),
        pair.clusters,
        *estimates,
        *_competence(intervention, control, seed),
    )


def _shifts(pair: Paired, shown: list[str]) -> FloatArray:
    """(S, V) shifts on these situations; NaN where there is none."""
    row_of = {situation: row for row, situation in enumerate(pair.shown)}
    blank = np.full(pair.first.shape[1], np.nan)
    return np.stack([pair.first[row_of[s]] - pair.second[row_of[s]] if s in row_of else blank for s in shown])


def _too_few(known: BoolArray, where: str, needed: int) -> Estimate:
    least = int(known.sum(axis=0).min())
    return Estimate(reason=f"not enough: {least} contested situations {where}, {needed} needed")


def _competence(intervention: Run, control: Run, seed: int) -> list[Estimate]:
    """Change of the reward an episode, of the share that ended by themselves, and of the share of invalid answers."""
    if intervention.header.seed != control.header.seed:
        reason = f"seeds {intervention.header.seed} and {control.header.seed}: the episodes are not paired"
        return [Estimate(reason=reason)] * 3
    (mine, _), (theirs, unit_of) = (_episodes(run) for run in (intervention, control))
    shared = sorted(mine.keys() & theirs.keys())
    if not shared:
        raise ConfigError("the runs share no episode; run both on the same env with the same seed")
    rows = [[*np.subtract(mine[key][:2], theirs[key][:2]), 1.0, *mine[key][2:], *theirs[key][2:]] for key in shared]
    names, code = np.unique([unit_of[key] for key in shared], return_inverse=True)

    def statistic(totals: FloatArray) -> FloatArray:
        reward, completed, episodes, invalid, asked, control_invalid, control_asked = totals.T
        changes = [reward / episodes, completed / episodes, invalid / asked - control_invalid / control_asked]
        return np.stack(changes, axis=1)

    return cluster_estimates(cluster_sums(np.array(rows), code, len(names)), statistic, seed=seed)


def _episodes(run: Run) -> tuple[dict[_Key, tuple[float, float, float, float]], dict[_Key, str]]:
    """By key: reward, 1 if it ended by itself, invalid answers, decisions; and its cluster (a game: the repetition)."""
    counted, units = {}, {}
    for episode in run.store.episodes():
        key = (episode.situation or "", episode.repetition)
        counted[key] = (
            sum(decision.reward for decision in episode.decisions),
            float(episode.outcome == "terminated"),
            float(sum(decision.invalid is not None for decision in episode.decisions)),
            float(len(episode.decisions)),
        )
        units[key] = episode.cluster if episode.situation else str(episode.repetition)
    return counted, units


def _mean(values: FloatArray) -> FloatArray:
    """(B,) means over the axes that are defined."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    means: FloatArray = np.where(known, values, 0.0).sum(axis=1) / count
    return means
