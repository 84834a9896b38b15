"""`execute` plays what a configured run still owes, `plan` says what that is.

Nothing is played twice.

`execute_async` is the same inside an event loop, and takes a policy that somebody else made: many
runs, one model.
"""

import asyncio
import logging
import platform
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any, get_args

import msgspec

from valueagents.contracts.decision import Asks
from valueagents.contracts.policy import InformedPolicy, Policy
from valueagents.errors import ConfigError, EnvError
from valueagents.files.covariates import covariate_declaration_problem
from valueagents.files.factors import declaration_problem
from valueagents.running.machine import machine, software
from valueagents.running.recorder import Progress as Progress  # what `execute` takes
from valueagents.running.recorder import Recorder
from valueagents.running.rollout import Plan, env_identity, plan_episodes, roll_out
from valueagents.running.run_log import run_log
from valueagents.running.runs import Run
from valueagents.running.scratch import remove_ownerless
from valueagents.running.sessions import now
from valueagents.running.shards import parse_shard, run_folders
from valueagents.running.sources import EnvSource, env_source, policy_of
from valueagents.running.store import (
    RunHeader,
    RunStore,
    StoreReading,
    finished_identities,
    require_same,
)

_SOFTWARE = ("valueagents", "gymnasium", "numpy", "torch", "transformers", "peft", "vllm")

log = logging.getLogger("valueagents")

MOST_EPISODES = 10_000_000
"""A plan of so many takes some gigabytes; more are several runs."""
MOST_LIVE = 100_000
MOST_S = 86_400.0 * 365


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a run. `episodes` None = every situation once; `live` None = as many as the
    policy can use; `shard` K/N, "auto" or None = all of it (`parse_shard`).
    """

    env: str
    policy: str
    env_options: dict[str, Any] = {}
    episodes: Annotated[int, msgspec.Meta(ge=1, le=MOST_EPISODES)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    live: Annotated[int, msgspec.Meta(ge=1, le=MOST_LIVE)] | None = None
    shard: str | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=MOST_S)] = 600.0


class RunPlan(msgspec.Struct, frozen=True):
    """What a run would do: how many episodes it has, how many are owed, what is known of their
    cost.

    `characters` is the text that the owed episodes show (None where the env enumerates no
    situations).
    """

    episodes: int
    situations: int
    owed: int
    characters: int | None
    estimate_s: float | None


def execute(
    config: RunConfig,
    out: Path | str,
    *,
    env: EnvSource | None = None,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Run:
    """Play what the run in `out` still owes, and return it. A repeated call plays nothing twice.

    With `config.shard` only what that shard owes is played, into a folder of its own in `out`, and
    the shard is returned; `Run(out)` opens all of them.

    With `env` and `policy` what `config` says of them is only their description, and nothing is
    made from it.

    Raises ConfigError or DataError for bad settings, EnvError for factors that the env declares
    wrongly, all before any model is loaded; PolicyError if the policy cannot be loaded or nothing
    but failures comes back.
    """
    return _to_end(lambda: execute_async(config, out, env=env, policy=policy, progress=progress))


async def execute_async(
    config: RunConfig,
    out: Path | str,
    *,
    env: EnvSource | None = None,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Run:
    """As `execute`, inside an event loop."""
    prepared = _Prepared(config, env, policy)
    remove_ownerless(Path(gettempdir()))  # what killed runs left there
    store = RunStore.create(out, prepared.header, prepared.shard)
    sink = Recorder(progress)
    with sink.told_in_one_line(), store.writing() as writer, run_log(store.path) as told:
        stored = _taken_stock(store)
        elsewhere = set() if prepared.shard is None else finished_identities(RunStore.open(out))
        owed = prepared.owed(stored.finished | elsewhere)
        attempts = Counter(failure.identity for failure in store.failures())
        started = time.monotonic()
        versions = {"python": platform.python_version(), **software(_SOFTWARE)}
        settings = msgspec.to_builtins(prepared.config)
        counts = {
            "planned": len(prepared.plans),
            "stored": len(stored.finished),
            "failures": attempts.total(),
        }
        about = {"config": settings, "software": versions, **machine()}
        writer.session({"start": now(), "owed": len(owed), **counts, **about})
        sink.begin(writer, len(owed), told)
        if owed:
            await _play(prepared, owed, sink, attempts)
        told.tell(logging.INFO, f"ended: {sink.throughput.line()}")
        writer.session(
            {
                "end": now(),
                "finished": sink.finished,
                "failed": sink.failed,
                "wall_s": time.monotonic() - started,
            }
        )
    done = Run(store.path)
    done.decisions_file()
    return done


def plan(config: RunConfig, out: Path | str | None = None) -> RunPlan:
    """What `execute` would do, without doing it. Raises the same errors for bad settings."""
    prepared = _Prepared(config)
    finished: set[str] = set()
    if out is not None and run_folders(Path(out)):
        store = RunStore.open(out)
        require_same(store, prepared.header)
        finished = finished_identities(store)
    owed = prepared.owed(finished)
    characters = prepared.characters(owed)
    seconds = prepared.policy.estimate_s(len(owed), characters)
    return RunPlan(
        len(prepared.plans), len(prepared.env.situations()), len(owed), characters, seconds
    )


class _Prepared:
    """Everything that can be known, and can go wrong, before a model is loaded."""

    def __init__(
        self, config: RunConfig, env: EnvSource | None = None, policy: Policy | None = None
    ) -> None:
        self.config = config = _checked(config)
        self.source = source = env or env_source(config.env, config.env_options)
        self.env = source.make()
        problem = declaration_problem(self.env.factors) or covariate_declaration_problem(
            self.env.covariates
        )
        if problem is not None:
            raise EnvError(f"env {config.env!r}: {problem}")
        if self.env.asks not in get_args(Asks):
            raise EnvError(
                f"env {config.env!r} asks {self.env.asks!r}; it may ask {', '.join(get_args(Asks))}"
            )
        made: Policy = policy or policy_of(config.policy)[0]
        self.policy = made.for_question(self.env.asks, self.env.language)
        self.plans = plan_episodes(
            config.env,
            self.env,
            self.policy,
            seed=config.seed,
            episodes=config.episodes,
            code=source.identity,
        )
        self.header = RunHeader(
            env=config.env,
            env_options=dict(config.env_options),
            policy=config.policy,
            seed=config.seed,
            task=self.env.task,
            env_identity=env_identity(config.env, self.env, source.identity),
            policy_identity=self.policy.identity(),
            taxonomy=self.env.taxonomy,
            independent_menus=self.env.independent_menus,
            min_contested=self.env.min_contested,
            factors=self.env.factors,
            covariates=self.env.covariates,
            asks=self.env.asks,
            language=self.env.language,
            notes=self.env.notes,
            informed=isinstance(self.policy, InformedPolicy),
            unrepeatable=source.unrepeatable or self.policy.unrepeatable,
        )
        self.shard = None if config.shard is None else parse_shard(config.shard)
        if self.shard is not None and self.header.unrepeatable is not None:
            raise ConfigError(
                f"this run cannot be played in shards ({self.header.unrepeatable}): another process"
                " would give its episodes other identities"
            )

    def owed(self, finished: Set[str]) -> list[Plan]:
        """What the shard, or without one the run, is to play."""
        return [
            plan
            for plan in self.plans
            if plan.identity not in finished
            and (self.shard is None or self.shard.owns(plan.identity))
        ]

    def characters(self, plans: list[Plan]) -> int | None:
        """The characters shown in one-decision envs that enumerate their situations."""
        if not self.env.situations() or not self.env.independent_menus:
            return None
        shown: Counter[str | None] = Counter(plan.situation for plan in plans)
        total = 0
        for situation, times in shown.items():
            text, info = self.env.reset(seed=0, options={"situation": situation})
            total += times * (
                len(self.env.task) + len(text) + sum(len(option.text) for option in info["menu"])
            )
        return total


def _taken_stock(store: RunStore) -> StoreReading:
    """What is finished; files that were damaged have been set right, so the run goes on without
    what they lost.
    """
    found = StoreReading()
    for _ in store.episodes(found):
        pass
    for _ in store.failures(found):
        pass
    store.sessions(found)
    if found.damages:
        kept = store.set_right(found)
        for damage in found.damages:
            log.warning(
                "%s: %s; %d readable episodes are kept, others are owed",
                store.path,
                damage,
                len(found.finished),
            )
        if kept:
            names = ", ".join(file.name for file in kept)
            log.warning("as they were, the damaged files are kept: %s", names)
    return found


def _checked(config: RunConfig) -> RunConfig:
    """The same settings. Raises ConfigError for one that is out of range."""
    try:
        return msgspec.convert(msgspec.to_builtins(config), RunConfig)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigError(f"bad setting: {error}") from error


async def _play(
    prepared: _Prepared, owed: list[Plan], sink: Recorder, attempts: Mapping[str, int]
) -> None:
    config = prepared.config
    async with prepared.policy as policy:
        live = 1 if prepared.source.one else config.live or policy.live
        telling = asyncio.create_task(sink.tell_throughput())
        try:
            await roll_out(
                prepared.source.make,
                policy,
                owed,
                sink,
                live=live,
                timeout_s=config.timeout_s,
                attempts=attempts,
                throughput=sink.throughput,
            )
        finally:
            telling.cancel()


def _to_end(make: Callable[[], Coroutine[None, None, Run]]) -> Run:
    """The result of a coroutine on a loop of its own; where one runs already (a notebook), on
    another thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(make())
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(make())).result()
