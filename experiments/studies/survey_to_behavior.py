"""`valueagents study`: train a model on value-survey answers, see whether its behaviour follows.

The study of arXiv 2508.11414 from one TOML (`designs/`): label every survey item with the frozen
model's own rating, train an adapter for each target, direction and seed and a control on the same
prompts, let base and adapters meet every env, and compare each adapter with the control of its
seed. Training sees the survey's splits train and eval; the test split and all the other envs are
met only by finished adapters.

Every stage is kept under names that hash what went into it: a repeated command goes on where it was
stopped, and what has other inputs goes to another folder.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from valueagents.contracts.plugins import make_env
from valueagents.contracts.policy import Policy
from valueagents.experiments.studies.common_states import common_states, config_of, run_to_end
from valueagents.experiments.studies.design import Study, StudyEnv, read_study
from valueagents.experiments.studies.effects import MeasuredEnv, MetBy, measured_env
from valueagents.experiments.studies.noise import noise_from
from valueagents.experiments.studies.page import EnvRuns, StudyReport, StudyResults, write_study
from valueagents.experiments.studies.simulated_study import Noise
from valueagents.experiments.studies.subjects import (
    Subject,
    adapter_name,
    choices_name,
    control_name,
    menus_of_choices,
    placebo_name,
    subjects,
)
from valueagents.identity import content_hash
from valueagents.measuring.answers import Answers
from valueagents.measuring.inference import Estimate
from valueagents.measuring.reading import read_answers
from valueagents.measuring.scores import score
from valueagents.measuring.studies.study_contrasts import followed
from valueagents.measuring.targets import Direction
from valueagents.policies.sharing import SharedModels
from valueagents.policies.training.choices import train_choices
from valueagents.policies.training.manifest import read_manifest
from valueagents.policies.training.survey import Training, train_survey
from valueagents.running.progress import show_progress
from valueagents.running.rollout import env_identity
from valueagents.running.runs import Run

log = logging.getLogger("valueagents")

Runs = dict[str, Run]


def train_all(study: Study, sets: Sequence[Subject], out: Path) -> dict[str, Path]:
    """The folder of every adapter by name, each trained unless it is there already."""
    folders = {}
    for subject in sets:
        if subject.training is not None:
            folder = (
                out
                / "adapters"
                / f"{subject.name}-{content_hash(msgspec.to_builtins(subject.training))[:8]}"
            )
            if isinstance(subject.training, Training):
                train_survey(subject.training, folder, show=show_progress)
            else:
                train_choices(subject.training, folder, show=show_progress)
            folders[subject.name] = folder
    return folders


async def meet_all(
    study: Study, sets: Sequence[Subject], folders: dict[str, Path], out: Path
) -> dict[StudyEnv, Runs]:
    """The run of every subject in every env, then on a common pool of what they met in each game
    (E7).
    """
    models = SharedModels(
        _spec(study, study_env, folders.get(subject.name))
        for subject in sets
        for study_env in study.envs
    )

    async def meet(envs: Sequence[StudyEnv]) -> dict[StudyEnv, Runs]:
        runs: dict[StudyEnv, Runs] = {study_env: {} for study_env in envs}
        for subject in sets:  # one adapter's questions come together
            for study_env in envs:
                if subject.training is not None or study_env.name in study.base_envs:
                    spec = _spec(study, study_env, folders.get(subject.name))
                    policy = await models.policy(spec)
                    runs[study_env][subject.name] = await _meet(
                        study, subject, study_env, policy, spec, out
                    )
        return runs

    try:
        met = await meet(study.envs)
        replayed = [
            await common_states(study_env, list(runs.values()), out, seed=study.seed)
            for study_env, runs in met.items()
            if study_env.replay
        ]
        return met | await meet(replayed)
    finally:
        await models.close()


async def _meet(
    study: Study, subject: Subject, study_env: StudyEnv, policy: Policy, spec: str, out: Path
) -> Run:
    env = make_env(study_env.env, **study_env.env_options)
    policy = policy.for_question(env.asks, env.language)
    met = (env_identity(study_env.env, env), study_env.episodes, study.seed)
    name = f"{subject.name}-{content_hash(policy.identity(), *met)[:8]}"
    folder = out / "runs" / study_env.name / name
    config = config_of(study_env, spec, seed=study.seed)
    return await run_to_end(config, folder, f"{subject.name} in {study_env.name}", policy)


def _spec(study: Study, study_env: StudyEnv, adapter: Path | None) -> str:
    """The spec of the policy that an env is met by, for `valueagents run`."""
    options = {
        **study.engine_options,
        **study_env.elicitation,
        **({"adapter": str(adapter)} if adapter is not None else {}),
    }
    return (
        f"{study.engine}:{study.base}?{urlencode(options)}"
        if options
        else f"{study.engine}:{study.base}"
    )


def measured(study: Study, runs: dict[StudyEnv, Runs]) -> list[MeasuredEnv]:
    """Every env by direction, positive control first; where a game was replayed, on the common
    states.
    """
    found = []
    replayed = {study_env.name for study_env in runs if study_env.replay}
    for direction in study.directions:
        for study_env, met in runs.items():
            if study_env.name not in replayed:
                by = [_met_by(study, direction, met)]
                if study.choices is not None:
                    by.insert(0, _met_by_positive_control(study, study_env, direction, met))
                found += [measured_env(study_env.name, study_env.role, each) for each in by]
    return found


def _met_by(study: Study, direction: Direction, met: Runs) -> MetBy:
    return MetBy(
        targets=study.targets,
        direction=direction,
        trained="survey",
        adapters=_read(study, direction, met, adapter_name),
        controls=_controls(study, met),
        placebos=_read(study, direction, met, placebo_name) if study.placebo else (),
    )


def _met_by_positive_control(
    study: Study, study_env: StudyEnv, direction: Direction, met: Runs
) -> MetBy:
    """Their control is the survey's: it cancels from a contrast whatever it was trained on."""
    held_out = None
    if study.choices is not None and study_env.name == study.choices.env:
        test = menus_of_choices(study).parted().pools["test"]
        held_out = frozenset(each.shown for each in test.decisions)
    return MetBy(
        targets=study.targets,
        direction=direction,
        trained="choices",
        adapters=_read(study, direction, met, choices_name),
        controls=_controls(study, met),
        held_out=held_out,
    )


def _read(
    study: Study, direction: Direction, met: Runs, name: Callable[[str, str, int], str]
) -> list[list[Answers]]:
    return [
        [read_answers(met[name(target, direction, seed)].path) for seed in study.seeds]
        for target in study.targets
    ]


def _controls(study: Study, met: Runs) -> list[Answers]:
    return [read_answers(met[control_name(seed)].path) for seed in study.seeds]


def noise_of(study: Study, runs: dict[StudyEnv, Runs]) -> Noise | None:
    """The noise in the primary env of the first direction, for the power of a later study."""
    found = next(each for each in runs if each.name == study.primary_behaviour)
    met = _met_by(study, study.directions[0], runs[found])
    return noise_from(met.adapters, met.controls, study.targets, source="of a finished study")


def ratios(study: Study, envs: Sequence[MeasuredEnv]) -> dict[str, Estimate]:
    """Behaviour over survey by direction, in the envs that were named before looking; of a study
    whose primary env is the survey there is none.
    """
    found: dict[str, Estimate] = {}
    if study.primary_behaviour == study.primary_survey:
        return found
    for direction in study.directions:
        of = {
            each.effect.env: each
            for each in envs
            if (each.effect.direction, each.effect.trained) == (direction, "survey")
        }
        survey, behaviour = of[study.primary_survey], of[study.primary_behaviour]
        if survey.effect.contrasts is not None:
            drop = survey.effect.contrasts.mean_shift
            found[direction] = followed(behaviour.shifts, survey.shifts, study.targets, drop)
    return found


def env_runs(study_env: StudyEnv, met: Runs) -> EnvRuns:
    """What the report shows of an env of the study."""
    last = list(met.values())[-1]
    return EnvRuns(
        name=study_env.name,
        role=study_env.role,
        env=study_env.env,
        env_options=study_env.env_options,
        asked=study_env.elicitation,
        taxonomy=last.header.taxonomy,
        decisions=last.decisions(["step"]).num_rows,
        paths={name: str(run.path) for name, run in met.items()},
        too_long={name: len(run.failed()) for name, run in met.items()},
        base=score(met["base"]) if "base" in met else None,
    )


def run_study(design: str, out: Path) -> StudyReport:
    """The whole study, or what is missing of it.

    Raises ConfigError for whatever can be known to be wrong at once.
    """
    started = time.monotonic()
    study = read_study(design)
    sets = subjects(study)
    folders = train_all(study, sets, out)
    runs = asyncio.run(meet_all(study, sets, folders, out))
    log.info("comparing, drawing …")
    envs = measured(study, runs)
    results = StudyResults(
        study=study,
        effects=[each.effect for each in envs],
        ratios=ratios(study, envs),
        noise=noise_of(study, runs),
        envs=[env_runs(study_env, met) for study_env, met in runs.items()],
        manifests={
            name: manifest
            for name, folder in folders.items()
            if (manifest := read_manifest(folder))
        },
        wall_s=time.monotonic() - started,
    )
    return write_study(results, out)
