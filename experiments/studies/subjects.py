"""Whom a study trains: nobody (the base), one control a seed, an adapter for each target,
direction and seed, placebos and positive controls likewise.
"""

import msgspec

from valueagents.errors import ConfigError
from valueagents.experiments.studies.design import Study
from valueagents.policies.training.choices import ChoiceTraining, MenuSource, plan_choices
from valueagents.policies.training.rows import ALL
from valueagents.policies.training.survey import Training, plan_training


class Subject(msgspec.Struct, frozen=True):
    """A policy of the study: the base (no adapter), a control, or an intervention, in the words of
    the report.
    """

    name: str
    training: Training | ChoiceTraining | None


def subjects(study: Study) -> list[Subject]:
    """The base, one control a seed, and an adapter for each target, direction and seed; placebos
    and positive controls likewise where the study has them.
    """

    def training(target: str, direction: str, seed: int) -> Training:
        return plan_training(
            base=study.base,
            target=target,
            direction=direction,
            seed=seed,
            preset=study.preset,
            overrides=study.overrides,
        )

    controls = [
        Subject(control_name(seed), training(_target_of_controls(study), "control", seed))
        for seed in study.seeds
    ]
    moved = [
        Subject(adapter_name(target, direction, seed), training(target, direction, seed))
        for target in study.targets
        for direction in study.directions
        for seed in study.seeds
    ]
    placebos = [
        Subject(
            placebo_name(target, direction, seed), training(target, f"placebo-{direction}", seed)
        )
        for target in study.targets
        for direction in study.directions
        for seed in study.seeds
        if study.placebo
    ]
    return [Subject("base", None), *controls, *moved, *placebos, *_positive_controls(study)]


def _positive_controls(study: Study) -> list[Subject]:
    if study.choices is None:
        return []
    menus = menus_of_choices(study)
    return [
        Subject(
            choices_name(target, direction, seed),
            plan_choices(
                base=study.base,
                target=target,
                direction=direction,
                seed=seed,
                menus=menus,
                preset=study.choices.preset,
                overrides=study.choices.overrides,
            ),
        )
        for target in study.targets
        for direction in study.directions
        for seed in study.seeds
    ]


def menus_of_choices(study: Study) -> MenuSource:
    """The menus that the positive control is trained on a part of.

    Raises ConfigError for a study without one.
    """
    if study.choices is None:
        raise ConfigError("the study has no positive control: give it a table [choices]")
    of = next(each for each in study.envs if each.name == study.choices.env)
    return MenuSource(
        env=of.env,
        env_options=of.env_options,
        seed=study.choices.seed,
        shares=study.choices.shares,
    )


def control_name(seed: int) -> str:
    """The control of a seed, which all targets of the seed share."""
    return f"control-{seed}"


def adapter_name(target: str, direction: str, seed: int) -> str:
    """An adapter that was trained on the survey."""
    return f"{target}-{direction}-{seed}"


def placebo_name(target: str, direction: str, seed: int) -> str:
    """An adapter of as many moved statements of the other values."""
    return f"placebo-{target}-{direction}-{seed}"


def choices_name(target: str, direction: str, seed: int) -> str:
    """An adapter that was trained on choices."""
    return f"choices-{target}-{direction}-{seed}"


def _target_of_controls(study: Study) -> str:
    """The value whose statements a control has in every epoch: that of a single target, else none.

    Of the other statements all trainings of a seed draw the same share.
    """
    return study.targets[0] if len(study.targets) == 1 else ALL
