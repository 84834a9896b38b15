"""`valueagents study adapters`: policies that somebody has already, compared with their base in all
envs. Nothing is trained.

Two questions. Where makers say what an adapter was meant to move: the contrast of a study
(`measuring/studies/contrast.py`), every adapter against the base. And always, all pairs of policies
on all values (`measuring/many/differences.py`). What is said is one family over all envs
(`given_effects.py`); games are compared on common states.
"""

import asyncio
from pathlib import Path

import msgspec

from valueagents.experiments.studies.common_states import common_states, config_of, run_to_end
from valueagents.experiments.studies.design import StudyEnv
from valueagents.experiments.studies.given_design import GivenStudy, read_given, specs_in
from valueagents.experiments.studies.given_effects import MetEnv, compared_given
from valueagents.experiments.studies.given_page import GivenReport, write_given
from valueagents.identity import content_hash
from valueagents.running.runs import Run


async def meet_envs(study: GivenStudy, out: Path) -> list[MetEnv]:
    """All policies in all envs, or what is missing of that."""
    met = []
    for env in study.envs:
        played = await _meet(study, env, out)
        if env.replay:
            common = await common_states(env, list(played.values()), out, seed=study.seed)
            met.append(MetEnv(common, await _meet(study, common, out), played))
        else:
            met.append(MetEnv(env, played, played))
    return met


async def _meet(study: GivenStudy, env: StudyEnv, out: Path) -> dict[str, Run]:
    runs = {}
    for name, spec in specs_in(study, env).items():
        config = config_of(env, spec, seed=study.seed)
        folder = f"{name}-{content_hash(msgspec.to_builtins(config))[:8]}"
        what = f"{name} in {env.name}"
        runs[name] = await run_to_end(config, out / "runs" / env.name / folder, what)
    return runs


def run_given(design: str, out: Path) -> GivenReport:
    """What may be said, a paragraph each, and the page that shows it: `report.html` in `out`, with
    every number in `adapters.json`.

    Raises ConfigError for whatever can be known to be wrong at once.
    """
    study = read_given(design)
    found = compared_given(study, asyncio.run(meet_envs(study, out)))
    return write_given(study, found, out, design=design)
