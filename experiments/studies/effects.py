"""What the adapters of a study did: each against the control of its seed, in every env; then over
seeds, targets.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from scipy import stats

from valueagents.measuring.answers import Answers
from valueagents.measuring.comparison import compare
from valueagents.measuring.estimators.intervention import InterventionMetrics, intervention_metrics
from valueagents.measuring.flips import benjamini_hochberg
from valueagents.measuring.inference import MIN_UNITS, Estimate, joined, over_units
from valueagents.measuring.studies.judgement import JudgementMetrics, judgement_metrics
from valueagents.measuring.studies.survey import SurveyMetrics, survey_metrics
from valueagents.measuring.targets import Direction

Role = Literal["survey", "judgement", "behaviour", "competence"]


class AxisShift(msgspec.Struct, frozen=True):
    """Intervention minus control on one value, in units of x (a rating step of a survey is 0.4)."""

    axis: str
    name: str
    shift: Estimate


class SeedEffect(msgspec.Struct, frozen=True):
    """One adapter in one env, against the control of its seed.

    `e8` is None where the env has no such value.
    """

    seed: int
    axes: tuple[AxisShift, ...]
    p: float | None
    e8: InterventionMetrics | None
    survey: SurveyMetrics | None
    judgement: JudgementMetrics | None


class Effect(msgspec.Struct, frozen=True):
    """A target in an env over its seeds; `shift` and the rest are signed so that the trained
    direction is +.

    One seed: the interval is over items or episodes, and the result exploratory. More: over seeds
    (t).
    """

    env: str
    role: Role
    target: str
    direction: Direction
    seeds: tuple[SeedEffect, ...]
    shift: Estimate
    drift: Estimate
    net_drift: Estimate
    selectivity: Estimate
    circle_slope: Estimate
    noise_shift: Estimate
    drop: Estimate
    gain: Estimate
    off_target_gain: Estimate
    axes: tuple[AxisShift, ...]
    p: float | None
    p_family: float | None = None


def effect(
    env: str,
    role: Role,
    target: str,
    direction: Direction,
    pairs: Sequence[tuple[int, Answers, Answers, Answers | None]],
) -> Effect:
    """The effect of a target from (seed, intervention, control, control of another seed) of each of
    its seeds.
    """
    seeds = tuple(_seed_effect(role, target, direction, *pair) for pair in pairs)

    def e8(pick: Callable[[InterventionMetrics], Estimate]) -> Estimate:
        return over_seeds(
            [
                (
                    pick(s.e8)
                    if s.e8
                    else Estimate(reason=f"{target} is not among the values of this env")
                )
                for s in seeds
            ]
        )

    def of_survey(pick: Callable[[SurveyMetrics], Estimate]) -> Estimate:
        return over_seeds(
            [pick(s.survey) if s.survey else Estimate(reason="no survey") for s in seeds]
        )

    def of_judgement(pick: Callable[[JudgementMetrics], Estimate]) -> Estimate:
        return over_seeds(
            [pick(s.judgement) if s.judgement else Estimate(reason="no judgements") for s in seeds]
        )

    shift = e8(lambda m: m.target_shift)
    return Effect(
        env=env,
        role=role,
        target=target,
        direction=direction,
        seeds=seeds,
        shift=shift,
        drift=e8(lambda m: m.drift),
        net_drift=e8(lambda m: m.net_drift),
        selectivity=e8(lambda m: m.selectivity),
        circle_slope=e8(lambda m: m.circle_slope),
        noise_shift=e8(lambda m: m.noise_target_shift),
        drop=of_survey(lambda m: m.drop_micro),
        gain=of_judgement(lambda m: m.primary),
        off_target_gain=of_judgement(lambda m: m.off_target_primary),
        axes=_axes_over_seeds(seeds),
        p=(
            seeds[0].p
            if len(seeds) == 1
            else _t_test([s.e8.target_shift.value if s.e8 else None for s in seeds])
        ),
    )


def with_family(effects: Sequence[Effect]) -> list[Effect]:
    """The same with p adjusted (Benjamini–Hochberg) over all targets and all envs of behaviour and
    judgement.
    """
    family = [e.p if e.role in ("behaviour", "judgement") else None for e in effects]
    adjusted = benjamini_hochberg(family)
    return [msgspec.structs.replace(e, p_family=p) for e, p in zip(effects, adjusted, strict=True)]


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """One seed's own estimate, or the mean over seeds with a t interval between them."""
    if len(estimates) == 1:
        return estimates[0]
    if all(estimate.value is None for estimate in estimates):
        return estimates[0]
    return over_units([estimate.value for estimate in estimates], "seed")


def over_targets(
    effects: Sequence[Effect], pick: Callable[[Effect], Estimate], seeds: int
) -> Estimate:
    """The mean over targets: a single target's own, else with a t interval between targets."""
    if len(effects) == 1:
        return pick(effects[0])
    mean = over_units([pick(each).value for each in effects], "target")
    few = (
        f"{seeds} seeds a target, fewer than {MIN_UNITS}: exploratory"
        if seeds < MIN_UNITS
        else None
    )
    return msgspec.structs.replace(mean, reason=joined(mean.reason, few))


def _seed_effect(
    role: Role,
    target: str,
    direction: Direction,
    seed: int,
    moved: Answers,
    control: Answers,
    repeat: Answers | None,
) -> SeedEffect:
    measured = target in control.taxonomy.axis_ids
    comparison = compare(moved, control, primary=target if measured else None)
    differences = comparison[comparison.headline].axes
    axes = tuple(AxisShift(each.axis, each.name, each.difference) for each in differences)
    return SeedEffect(
        seed=seed,
        axes=axes,
        p=next((each.p for each in differences if each.axis == target), None),
        e8=(
            intervention_metrics(
                moved, control, (target,), control_repeat=repeat, direction=direction
            )
            if measured
            else None
        ),
        survey=(
            survey_metrics(moved, control, (target,), direction=direction)
            if role == "survey"
            else None
        ),
        judgement=(
            judgement_metrics(moved, control, (target,), direction=direction)
            if role == "judgement"
            else None
        ),
    )


def _axes_over_seeds(seeds: Sequence[SeedEffect]) -> tuple[AxisShift, ...]:
    columns = zip(*(effect.axes for effect in seeds), strict=True)
    return tuple(
        AxisShift(c[0].axis, c[0].name, over_seeds([each.shift for each in c])) for c in columns
    )


def _t_test(values: Sequence[float | None]) -> float | None:
    """Two-sided p that the mean over seeds is 0; None where fewer than two seeds have a number."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(set(known)) == 1:
        return None
    return float(stats.ttest_1samp(known, 0.0).pvalue)
