"""`valueagents study adapters`: policies that somebody has already, compared with their base in all
envs. Nothing is trained.

Two questions. Where makers say what an adapter was meant to move: the contrast of a study
(`measuring/studies/contrast.py`), every adapter against the base. And always, all pairs of policies
on all values (`measuring/many/differences.py`). What is said is one family over all envs
(`given_effects.py`); games are compared on common states.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from valueagents.experiments.studies.common_states import common_states, config_of, run_to_end
from valueagents.experiments.studies.design import StudyEnv
from valueagents.experiments.studies.given_design import (
    BASE,
    GivenStudy,
    read_given,
    specs_in,
)
from valueagents.experiments.studies.given_effects import MetEnv, compared_given
from valueagents.experiments.studies.given_page import GivenReport, write_given
from valueagents.identity import content_hash
from valueagents.policies.sharing import SharedModels
from valueagents.running.runs import Run


async def meet_envs(study: GivenStudy, out: Path) -> list[MetEnv]:
    """All policies in all envs, or what is missing of that; those on one model share it."""
    models = SharedModels(spec for env in study.envs for spec in specs_in(study, env).values())
    try:
        met = await _meet(study, study.envs, models, out)
        common = {
            env.name: await common_states(env, list(met[env].values()), out, seed=study.seed)
            for env in study.envs
            if env.replay
        }
        met |= await _meet(study, list(common.values()), models, out)
    finally:
        await models.close()
    compared = {env: common.get(env.name, env) for env in study.envs}
    return [MetEnv(states, met[states], met[env]) for env, states in compared.items()]


async def _meet(
    study: GivenStudy, envs: Sequence[StudyEnv], models: SharedModels, out: Path
) -> dict[StudyEnv, dict[str, Run]]:
    """The runs by env and policy: one model after another, on it the questions of one adapter after
    those of another.
    """
    names = [BASE, *(policy.name for policy in study.policies)]
    asked = [(name, env, specs_in(study, env)[name]) for name in names for env in envs]
    runs = {}
    for name, env, spec in sorted(asked, key=lambda each: models.place(each[2])):
        config = config_of(env, spec, seed=study.seed)
        folder = f"{name}-{content_hash(msgspec.to_builtins(config))[:8]}"
        path, what = out / "runs" / env.name / folder, f"{name} in {env.name}"
        runs[env, name] = await run_to_end(config, path, what, await models.policy(spec))
    return {env: {name: runs[env, name] for name in names} for env in envs}


def run_given(design: str, out: Path) -> GivenReport:
    """What may be said, a paragraph each, and the page that shows it: `report.html` in `out`, with
    every number in `adapters.json`.

    Raises ConfigError for whatever can be known to be wrong at once.
    """
    study = read_given(design)
    found = compared_given(study, asyncio.run(meet_envs(study, out)))
    return write_given(study, found, out, design=design)
