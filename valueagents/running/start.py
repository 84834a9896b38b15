"""`run`: from what a user holds to a run, in one call."""

import logging
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from valueagents.errors import ConfigError
from valueagents.running.execution import Progress, RunConfig, execute
from valueagents.running.runs import Run
from valueagents.running.scratch import ScratchFolder
from valueagents.running.sources import EnvLike, PolicyLike, env_source, policy_of

log = logging.getLogger("valueagents")


def run(
    env: EnvLike,
    policy: PolicyLike,
    out: Path | str | None = None,
    *,
    episodes: int | None = None,
    seed: int = 0,
    env_options: Mapping[str, Any] | None = None,
    live: int | None = None,
    shard: str | None = None,
    timeout_s: float = 600.0,
    progress: Progress | None = None,
) -> Run:
    """Let a policy act in an env, and return the run.

    Args:
        env: an id (`valueagents/Dilemma-v0`, or one that Gymnasium knows), `file.py:Class`, a
            class, a callable without arguments, or an env, inside Gymnasium's wrappers or not.
        policy: a spec (`random`, `transformers:smollm2-135m?reading=likelihood`), `file.py:name`, a
            policy, its class, or a function of a `View`, asynchronous or not.
        out: the run directory; an existing one is continued, nothing is played twice. None = a
            folder that lives as long as the `Run`.
        episodes: how many to play; None = every situation once.
        seed: of the run: order of situations, env seeds, draws.
        env_options: options of an env that is given by id, file or class.
        live: episodes in flight; None = as many as the policy can use.
        shard: `K/N`, the K-th of N processes that play this run, or `auto`; it plays its own part,
            into a folder of its own in `out`, and returns that part. `Run(out)` is all of them.
        timeout_s: seconds for a decision, and for a step of the env.
        progress: called as (finished, failed, owed at the start) whenever an episode ends.

    What has no content hash (a class, a function, an object) is identified by its source, its
    constructor arguments and what it reads from around it. Where that cannot be hashed the run is
    marked (`run.header.unrepeatable`): it cannot be continued, and where `out` exists it goes to
    the next free folder beside it, `out-2`.

    Raises ConfigError or DataError for bad settings, EnvError for factors that the env declares
    wrongly, all before any model is loaded; PolicyError if the policy cannot be loaded or nothing
    but failures comes back.
    """
    source, (made, name) = env_source(env, env_options), policy_of(policy)
    config = RunConfig(
        env=source.name,
        policy=name,
        env_options=dict(source.options),
        episodes=episodes,
        seed=seed,
        live=live,
        shard=shard,
        timeout_s=timeout_s,
    )
    if shard is not None and out is None:
        raise ConfigError("a shard needs `out`, the folder that the shards of the run share")
    temporary = ScratchFolder() if out is None else None
    place = temporary.path / "run" if temporary is not None else Path(str(out))
    why = source.unrepeatable or made.unrepeatable
    if why is not None and shard is None and place.exists():
        place = _next_free(place)
        log.info("the run cannot be continued (%s); it goes to %s", why, place)
    try:
        done = execute(config, place, env=source, policy=made, progress=progress)
    except BaseException:
        if temporary is not None:
            temporary.close()
        raise
    return Run(done.path, temporary=temporary)


def _next_free(place: Path) -> Path:
    return next(
        path for k in count(2) if not (path := place.with_name(f"{place.name}-{k}")).exists()
    )
