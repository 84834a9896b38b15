"""What the adapters of a study did in one env: its contrasts, and what the study that it follows
would have printed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from valueagents.measuring.answers import Answers
from valueagents.measuring.estimators.intervention import intervention_metrics
from valueagents.measuring.inference import Estimate, over_units
from valueagents.measuring.studies.crossed import Tested, linear
from valueagents.measuring.studies.judgement import judgement_metrics
from valueagents.measuring.studies.study_contrasts import StudyContrasts, study_contrasts
from valueagents.measuring.studies.study_shifts import StudyShifts, study_shifts
from valueagents.measuring.studies.survey import survey_metrics
from valueagents.measuring.targets import Direction

Role = Literal["survey", "judgement", "behaviour", "competence"]
Trained = Literal["survey", "choices"]
_POLE, _AFFIRM = "pole", "affirm"


class Published(msgspec.Struct, frozen=True):
    """A target's numbers under the study's own names, over its seeds (arXiv 2508.11414): for
    comparison with its table only.
    """

    target: str
    numbers: dict[str, Estimate]


class TargetCompetence(msgspec.Struct, frozen=True):
    """What a target's adapter can still do, against the control of the first seed."""

    target: str
    score: Estimate
    completion: Estimate
    invalid: Estimate


class EnvEffect(msgspec.Struct, frozen=True):
    """An env in one direction, by the adapters that were trained on the same.

    `contrasts` None where the env knows nothing of the targets; `accuracy` in its place for an env
    of role competence: adapter minus control on its `first_axis`, by target.
    """

    env: str
    role: Role
    trained: Trained
    direction: Direction
    contrasts: StudyContrasts | None
    accuracy: dict[str, Tested]
    first_axis: str
    published: tuple[Published, ...]
    competence: tuple[TargetCompetence, ...]


@dataclass(frozen=True, slots=True)
class MeasuredEnv:
    """An effect and the shifts that it was computed from."""

    effect: EnvEffect
    shifts: StudyShifts


@dataclass(frozen=True, slots=True)
class MetBy:
    """The answers of a study's adapters in an env: T targets × S seeds, S controls, and placebos
    likewise T × S or none. `held_out`: the situations that none of them was trained on, None = all.
    """

    targets: tuple[str, ...]
    direction: Direction
    trained: Trained
    adapters: Sequence[Sequence[Answers]]
    controls: Sequence[Answers]
    placebos: Sequence[Sequence[Answers]] = ()
    held_out: frozenset[str] | None = None


def measured_env(env: str, role: Role, met: MetBy) -> MeasuredEnv:
    """The effect in an env."""
    knows = set(met.targets) <= set(met.controls[0].taxonomy.axis_ids)
    rows = [*met.adapters, *met.placebos]
    direction = met.direction if knows else "up"
    shifts = study_shifts(rows, met.controls, direction=direction, only=met.held_out)
    contrasts = (
        study_contrasts(
            shifts, met.targets, direction=met.direction, placebos=bool(len(met.placebos))
        )
        if knows
        else None
    )
    effect = EnvEffect(
        env=env,
        role=role,
        trained=met.trained,
        direction=met.direction,
        contrasts=contrasts,
        accuracy={} if knows else _accuracy(shifts, met.targets),
        first_axis=met.controls[0].taxonomy.axes[0].name,
        published=_published(role, met) if knows and met.trained == "survey" else (),
        competence=_competence(met) if knows and role == "behaviour" else (),
    )
    return MeasuredEnv(effect, shifts)


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """One seed's own estimate, or the mean over seeds with a t interval between them."""
    if len(estimates) == 1 or all(estimate.value is None for estimate in estimates):
        return estimates[0]
    return over_units([estimate.value for estimate in estimates], "seed")


def _accuracy(shifts: StudyShifts, targets: Sequence[str]) -> dict[str, Tested]:
    """Each target's adapters minus controls on the env's first axis."""
    first = shifts.cells[..., :1]
    return {
        target: linear(first[[row]], shifts.cluster, np.ones((1, 1))).tested()
        for row, target in enumerate(targets)
    }


def _published(role: Role, met: MetBy) -> tuple[Published, ...]:
    """Drop, drift and selectivity of affirming statements; gains of judgements."""
    if role not in ("survey", "judgement"):
        return ()
    found = []
    for target, adapters in zip(met.targets, met.adapters, strict=True):
        by_seed = [
            _survey(target, met.direction, moved, kept)
            if role == "survey"
            else _judgement(target, met.direction, moved, kept)
            for moved, kept in zip(adapters, met.controls, strict=True)
        ]
        names = list(by_seed[0])
        numbers = {name: over_seeds([each[name] for each in by_seed]) for name in names}
        found.append(Published(target, numbers))
    return tuple(found)


def _survey(
    target: str, direction: Direction, moved: Answers, kept: Answers
) -> dict[str, Estimate]:
    found = survey_metrics(_affirming(moved), _affirming(kept), (target,), direction=direction)
    return {
        "drop": found.drop_micro,
        "drift": found.drift_micro,
        "selectivity": found.selectivity_micro,
    }


def _judgement(
    target: str, direction: Direction, moved: Answers, kept: Answers
) -> dict[str, Estimate]:
    found = judgement_metrics(moved, kept, (target,), direction=direction)
    return {"gain": found.primary, "gain on others' posts": found.off_target_primary}


def _affirming(answers: Answers) -> Answers:
    """The decisions on affirming statements; all of them where the env has no wordings."""
    if _POLE not in answers.columns.factors():
        return answers
    rows = np.flatnonzero(answers.factor(_POLE) == _AFFIRM)
    return answers.select(rows) if 0 < len(rows) < len(answers.size) else answers


def _competence(met: MetBy) -> tuple[TargetCompetence, ...]:
    found = []
    for target, adapters in zip(met.targets, met.adapters, strict=True):
        change = intervention_metrics(
            adapters[0], met.controls[0], (target,), direction=met.direction
        ).competence
        found.append(TargetCompetence(target, change.score, change.completion, change.invalid))
    return tuple(found)
