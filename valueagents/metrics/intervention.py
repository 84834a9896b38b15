"""What an adapter that was meant to move a value does (E8), against its control adapter of the same method and seed.

Shifts are paired differences of E3p (E3 where a run has no probabilities) on the situations that both runs met, signed
so that the intended direction is +. |shift| is positive under pure noise; so the drift between two control seeds (the
noise floor) is taken off. Policies in games soon meet different states: replay a pool first, then nothing is lost.
"""

from typing import Literal

import msgspec
import numpy as np

from valueagents.circle import slope_weights
from valueagents.errors import ConfigError
from valueagents.resampling import cluster_estimates
from valueagents.runs import Run
from valueagents.shifts import Form, Paired, answers, common_form, paired, propensities, target_columns
from valueagents.statistics import Estimate, FloatArray, cluster_sums


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

    Without one the noise floor, net drift and selectivity are undefined. A value that is contested in fewer shared
    situations than the world asks for (`min_contested`) has no shift and is left out of drift and slope. Raises
    ConfigError if the runs share no situation.
    """
    taxonomy = control.header.taxonomy
    is_target = target_columns(taxonomy, target)
    runs = [intervention, control, *([control_repeat] if control_repeat is not None else [])]
    form = common_form(*runs)
    moved, kept = answers(intervention, form), answers(control, form)
    sign = 1.0 if direction == "up" else -1.0
    against = [paired(moved, kept, propensities(moved), propensities(kept))]
    if control_repeat is not None:
        again = answers(control_repeat, form)
        against.append(paired(again, kept, propensities(again), propensities(kept)))
    width = len(taxonomy.axes)
    cells = np.hstack([_cells(pair, against[0].shown, sign) for pair in against])  # (S, 2V or 4V)
    sums = cluster_sums(cells, against[0].cluster, against[0].clusters)
    contested, needed = sums[:, width : 2 * width].sum(axis=0), control.header.min_contested
    enough = contested >= needed
    others = ~is_target & enough
    on_circle = slope_weights(taxonomy, target, enough)

    def statistic(totals: FloatArray) -> FloatArray:
        each = [
            totals[:, k : k + width] / totals[:, k + width : k + 2 * width] for k in range(0, len(sums.T), 2 * width)
        ]
        shifts, noise = each if len(each) > 1 else (each[0], np.full_like(each[0], np.nan))
        drift, noise_drift = _mean(np.abs(shifts[:, others])), _mean(np.abs(noise[:, others]))
        target_shift = _mean(shifts[:, is_target])
        slope = np.nan_to_num(shifts) @ on_circle if on_circle is not None else np.full(len(totals), np.nan)
        net = drift - noise_drift
        return np.stack(
            [target_shift, drift, slope, _mean(noise[:, is_target]), noise_drift, net, target_shift - net], axis=1
        )

    estimates = cluster_estimates(sums, statistic, seed=seed)
    if control_repeat is None:
        missing = Estimate(reason="no control adapter of another seed: give control_repeat for the noise floor")
        estimates = [*estimates[:3], missing, missing, missing, missing]
    if not enough[is_target].all():
        least = int(contested[is_target].min())
        few = Estimate(reason=f"not enough: {least} shared contested situations, {needed} needed")
        estimates = [few, *estimates[1:3], few, *estimates[4:6], few]
    if on_circle is None:
        estimates[2] = Estimate(reason="the target or too few other values lie on the taxonomy's circle")
    return InterventionMetrics(
        target,
        direction,
        form,
        len(against[0].shown),
        against[0].clusters,
        *estimates,
        *_competence(intervention, control, seed),
    )


def _cells(pair: Paired, shown: list[str], sign: float) -> FloatArray:
    """(S, 2V) signed shifts on these situations and where they are defined; 0 elsewhere."""
    row_of = {situation: row for row, situation in enumerate(pair.shown)}
    blank = np.full(pair.first.shape[1], np.nan)
    shift = np.stack([pair.first[row_of[s]] - pair.second[row_of[s]] if s in row_of else blank for s in shown])
    known = ~np.isnan(shift)
    return np.hstack([np.where(known, sign * shift, 0.0), known])


def _competence(intervention: Run, control: Run, seed: int) -> list[Estimate]:
    """Change of the reward an episode, of the share that ended by themselves, and of the share of invalid answers."""
    if intervention.header.seed != control.header.seed:
        reason = f"seeds {intervention.header.seed} and {control.header.seed}: the episodes are not paired"
        return [Estimate(reason=reason)] * 3
    mine, theirs = (_episodes(run) for run in (intervention, control))
    shared = sorted(mine.keys() & theirs.keys())
    if not shared:
        raise ConfigError("the runs share no episode; run both on the same env with the same seed")
    rows = [[*np.subtract(mine[key][:2], theirs[key][:2]), 1.0, *mine[key][2:], *theirs[key][2:]] for key in shared]
    units = [situation if situation else str(repetition) for situation, repetition in shared]
    names, code = np.unique(units, return_inverse=True)

    def statistic(totals: FloatArray) -> FloatArray:
        reward, completed, episodes, invalid, asked, control_invalid, control_asked = totals.T
        changes = [reward / episodes, completed / episodes, invalid / asked - control_invalid / control_asked]
        return np.stack(changes, axis=1)

    return cluster_estimates(cluster_sums(np.array(rows), code, len(names)), statistic, seed=seed)


def _episodes(run: Run) -> dict[tuple[str, int], tuple[float, float, float, float]]:
    """(situation, repetition) -> reward, 1 if it ended by itself, invalid answers, decisions."""
    return {
        (episode.situation or "", episode.repetition): (
            sum(decision.reward for decision in episode.decisions),
            float(episode.outcome == "terminated"),
            float(sum(decision.invalid is not None for decision in episode.decisions)),
            float(len(episode.decisions)),
        )
        for episode in run.store.episodes()
    }


def _mean(values: FloatArray) -> FloatArray:
    """(B,) means over the axes that are defined."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    means: FloatArray = np.where(known, values, 0.0).sum(axis=1) / count
    return means
