"""What the studies share: an env met by a policy to the end, and the common states of a game, where
policies soon part.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from valueagents.contracts.policy import Policy
from valueagents.errors import PolicyError, PromptTooLong
from valueagents.experiments.studies.design import REPLAYED, StudyEnv
from valueagents.identity import content_hash
from valueagents.running.execution import RunConfig, execute_async
from valueagents.running.pool import freeze_pool
from valueagents.running.progress import show_progress
from valueagents.running.runs import Run


def config_of(study_env: StudyEnv, spec: str, *, seed: int) -> RunConfig:
    """The settings of a policy's run in an env of a study."""
    return RunConfig(
        env=study_env.env,
        env_options=study_env.env_options,
        policy=spec,
        episodes=study_env.episodes,
        seed=seed,
    )


async def run_to_end(
    config: RunConfig, folder: Path, what: str, policy: Policy | None = None
) -> Run:
    """The whole run, or what is missing of it; `what` is shown beside its progress.

    Raises PolicyError if episodes failed, but for those that are longer than the model's window.
    """
    with show_progress(what) as progress:
        run = await execute_async(config, folder, policy=policy, progress=progress)
    failed = [failure for failure in run.failed() if failure.error != PromptTooLong.__name__]
    if failed:
        raise PolicyError(
            f"{len(failed)} episodes of {folder} failed ({failed[0].error}); run the command again"
        )
    return run


async def common_states(
    study_env: StudyEnv, met: Sequence[Run], out: Path, *, seed: int
) -> StudyEnv:
    """The env of a game's common states: everybody is asked what some of them met, or a random
    policy did.
    """
    pooled = list(met)
    if study_env.random_episodes:
        config = RunConfig(
            env=study_env.env,
            env_options=study_env.env_options | study_env.random_options,
            policy="random",
            episodes=study_env.random_episodes,
            seed=seed,
        )
        name = content_hash(msgspec.to_builtins(config))[:8]
        pooled.append(await execute_async(config, out / "runs" / study_env.name / f"random-{name}"))
    added = (study_env.random_episodes, study_env.random_options)
    identity = content_hash(
        [run.header.policy_identity for run in pooled], study_env.replay, *filter(None, added)
    )[:8]
    pool = freeze_pool(
        out / "pools" / f"{study_env.name}-{identity}",
        pooled,
        decisions=study_env.replay or 0,
        seed=seed,
    )
    return StudyEnv(
        name=study_env.name + REPLAYED,
        role=study_env.role,
        env="valueagents/Replay-v0",
        env_options={"pool": str(pool)},
        elicitation=study_env.elicitation,
    )
