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
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any, Protocol, get_args, runtime_checkable

import msgspec

from valueagents.contracts.decision import Asks, Episode, Failure
from valueagents.contracts.policy import InformedPolicy, Policy
from valueagents.errors import ConfigError, EnvError, StoreError
from valueagents.files.factors import declaration_problem
from valueagents.running.durable import DiskError
from valueagents.running.header import is_run
from valueagents.running.rollout import Plan, env_identity, plan_episodes, roll_out
from valueagents.running.run_log import RunLog, run_log
from valueagents.running.runs import Run
from valueagents.running.scratch import remove_ownerless
from valueagents.running.sources import EnvSource, env_source, policy_of
from valueagents.running.store import RunHeader, RunStore, RunWriter, StoreReading
from valueagents.running.throughput import Throughput

_SOFTWARE = ("valueagents", "gymnasium", "numpy", "torch", "transformers", "peft", "vllm")

log = logging.getLogger("valueagents")

Progress = Callable[[int, int, int], None]
"""Called as (finished, failed, owed at the start) whenever an episode ends."""


@runtime_checkable
class Display(Protocol):
    """A `Progress` that is also told, now and then, how fast it goes and what is waited for."""

    def __call__(self, finished: int, failed: int, owed: int) -> None:
        """The run has begun, or an episode has ended."""

    def throughput(self, line: str) -> None:
        """Show what `Throughput.line` says."""


TELL_EVERY_S = 5.0


MOST_EPISODES = 10_000_000
"""A plan of so many takes some gigabytes; more are several runs."""
MOST_LIVE = 100_000
MOST_S = 86_400.0 * 365


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a run. `episodes` None = every situation once; `live` None = as many as the
    policy can use.
    """

    env: str
    policy: str
    env_options: dict[str, Any] = {}
    episodes: Annotated[int, msgspec.Meta(ge=1, le=MOST_EPISODES)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    live: Annotated[int, msgspec.Meta(ge=1, le=MOST_LIVE)] | None = None
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
    store = RunStore.create(out, prepared.header)
    sink = _Recorder(progress)
    with sink.told_in_one_line(), store.writing() as writer, run_log(store.path) as told:
        stored = _taken_stock(store)
        owed = [plan for plan in prepared.plans if plan.identity not in stored.finished]
        attempts = Counter(failure.identity for failure in store.failures())
        started = time.monotonic()
        versions = {"python": platform.python_version(), **software(_SOFTWARE)}
        settings = msgspec.to_builtins(prepared.config)
        counts = {
            "planned": len(prepared.plans),
            "stored": len(stored.finished),
            "failures": attempts.total(),
        }
        about = {"config": settings, "platform": platform.platform(), "software": versions}
        writer.session({"start": _now(), "owed": len(owed), **counts, **about})
        sink.begin(writer, len(owed), told)
        if owed:
            await _play(prepared, owed, sink, attempts)
        told.tell(logging.INFO, f"ended: {sink.throughput.line()}")
        writer.session(
            {
                "end": _now(),
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
    exists = out is not None and is_run(Path(out))
    owed = (
        prepared.owed(RunStore.create(out, prepared.header))
        if exists and out is not None
        else prepared.plans
    )
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
        problem = declaration_problem(self.env.factors)
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
            asks=self.env.asks,
            language=self.env.language,
            notes=self.env.notes,
            informed=isinstance(self.policy, InformedPolicy),
            unrepeatable=source.unrepeatable or self.policy.unrepeatable,
        )

    def owed(self, store: RunStore) -> list[Plan]:
        finished = {episode.identity for episode in store.episodes()}
        return [plan for plan in self.plans if plan.identity not in finished]

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
        log.warning(
            "as they were, the damaged files are kept: %s", ", ".join(file.name for file in kept)
        )
    return found


def _checked(config: RunConfig) -> RunConfig:
    """The same settings. Raises ConfigError for one that is out of range."""
    try:
        return msgspec.convert(msgspec.to_builtins(config), RunConfig)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigError(f"bad setting: {error}") from error


class _Recorder:
    """The sink of a rollout: writes, counts, reports progress."""

    def __init__(self, progress: Progress | None) -> None:
        self.finished = self.failed = self._owed = 0
        self._progress, self.throughput = progress, Throughput()

    def begin(self, writer: RunWriter, owed: int, told: RunLog) -> None:
        """From now on episodes go to the writer, and what happens to the log."""
        self._writer, self._owed, self._told, self.throughput = writer, owed, told, Throughput()
        told.tell(logging.INFO, f"begun: {owed} episodes are owed")
        if isinstance(self._progress, Display):
            self._report()

    async def tell_throughput(self) -> None:
        """Tell every few seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            line = self.throughput.line()
            done = f"{self.finished + self.failed} of {self._owed} episodes"
            self._told.tell(logging.DEBUG, f"{done}: {line}")
            if isinstance(self._progress, Display):
                self._progress.throughput(line)

    def episode(self, episode: Episode) -> None:
        with self.told_in_one_line():
            self._writer.episode(episode)
        self.finished += 1
        self.throughput.episode(episode)
        self._report()

    def failure(self, failure: Failure) -> None:
        with self.told_in_one_line():
            self._writer.failure(failure)
        self.failed += 1
        self.throughput.failed += 1
        name = failure.situation or failure.identity[:12]
        place = f"episode {name}, step {failure.step}, attempt {failure.attempt}"
        self._told.tell(logging.WARNING, f"{place}: {failure.error}: {failure.message}")
        self._report()

    @contextmanager
    def told_in_one_line(self) -> Iterator[None]:
        """A disk that takes no more is a StoreError that says what is kept and what is owed."""
        try:
            yield
        except DiskError as error:
            kept = f"{self.finished} episodes of this session are kept"
            owed = f"{self._owed - self.finished} are owed" if self._owed else "the others are owed"
            raise StoreError(
                f"{error.filename!r}: {error.strerror}; {kept}, {owed}: make room and give the same"
                " command again"
            ) from error

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self.finished, self.failed, self._owed)


async def _play(
    prepared: _Prepared, owed: list[Plan], sink: _Recorder, attempts: Mapping[str, int]
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


def software(packages: Sequence[str]) -> dict[str, str]:
    """The versions of those of the packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
