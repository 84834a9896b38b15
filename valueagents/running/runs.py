"""Runs: `run()` plays what is still owed and returns the `Run`, a directory that opens as tables and frames.

`run_async()` is the same inside an event loop, and takes a policy that somebody else made: many runs, one model.
"""

import asyncio
import platform
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pyarrow.parquet as pq

from valueagents.contracts.decision import Episode, Failure
from valueagents.contracts.plugins import make_env, make_policy
from valueagents.contracts.policy import InformedPolicy, Policy
from valueagents.errors import ConfigError, EnvError
from valueagents.files.factors import declaration_problem
from valueagents.identity import content_hash
from valueagents.running.rollout import Plan, env_identity, plan_episodes, roll_out
from valueagents.running.store import RunHeader, RunStore, RunWriter
from valueagents.running.table import decisions_file

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_SOFTWARE = ("valueagents", "gymnasium", "numpy", "torch", "transformers", "peft", "vllm")

Progress = Callable[[int, int, int], None]
"""Called as (finished, failed, owed at the start) whenever an episode ends."""


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a run. `episodes` None = every situation once; `live` None = as many as the policy can use."""

    env: str
    policy: str
    env_options: dict[str, Any] = {}
    episodes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    live: Annotated[int, msgspec.Meta(ge=1)] | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0


class RunPlan(msgspec.Struct, frozen=True):
    """What a run would do: how many episodes it has, how many are owed, what is known of their cost.

    `characters` is the text that the owed episodes show (None where the env enumerates no situations).
    """

    episodes: int
    situations: int
    owed: int
    characters: int | None
    estimate_s: float | None


class Run:
    """A run directory, read."""

    def __init__(self, path: Path | str) -> None:
        self.store = RunStore.open(path)
        self.path = self.store.path
        self.header = self.store.header

    def decisions(self, columns: Sequence[str] | None = None) -> "pa.Table":
        """All decisions as an Arrow table, a row each (columns: `running/table.py`), or some of its columns."""
        with pq.ParquetFile(self.decisions_file()) as file:
            return file.read(columns=None if columns is None else list(columns))

    def decisions_file(self) -> Path:
        """The same as a Parquet file, for those who read it in parts; made first where it is not up to date."""
        return decisions_file(self.store)

    def to_pandas(self) -> "pd.DataFrame":
        """All decisions as a pandas DataFrame (extra `frames`)."""
        return self.decisions().to_pandas()

    def to_polars(self) -> "pl.DataFrame":
        """All decisions as a polars DataFrame (extra `frames`)."""
        try:
            import polars as pl
        except ImportError as error:
            raise ConfigError("polars is not installed: pip install 'valueagents[frames]'") from error
        frame = pl.from_arrow(self.decisions())
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 – a table makes a frame
        return frame

    def episodes(self) -> list[Episode]:
        """The finished episodes, sorted by identity."""
        return sorted(self.store.episodes(), key=lambda episode: episode.identity)

    def failed(self) -> list[Failure]:
        """The last failure of every episode that has not finished since."""
        finished = {episode.identity for episode in self.store.episodes()}
        last = {failure.identity: failure for failure in self.store.failures()}
        return [failure for identity, failure in sorted(last.items()) if identity not in finished]


def run(config: RunConfig, out: Path | str, *, progress: Progress | None = None) -> Run:
    """Play what the run in `out` still owes, and return it. A repeated call plays nothing twice.

    Raises ConfigError or DataError for bad settings, EnvError for factors that the env declares wrongly, all before any
    model is loaded; PolicyError if the policy cannot be loaded or nothing but failures comes back.
    """
    return _to_end(lambda: run_async(config, out, progress=progress))


async def run_async(
    config: RunConfig, out: Path | str, *, policy: Policy | None = None, progress: Progress | None = None
) -> Run:
    """As `run`. With `policy` the spec in `config` is only its description, and nothing is made from it."""
    prepared = _Prepared(config, policy)
    store = RunStore.create(out, prepared.header)
    with store.writing() as writer:
        owed = prepared.owed(store)
        started = time.monotonic()
        versions = {"python": platform.python_version(), **software(_SOFTWARE)}
        settings = msgspec.to_builtins(prepared.config)
        about = {"config": settings, "platform": platform.platform(), "software": versions}
        writer.session({"start": _now(), "owed": len(owed), **about})
        sink = _Recorder(writer, len(owed), progress)
        if owed:
            await _play(prepared, owed, sink, Counter(f.identity for f in store.failures()))
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
    """What `run` would do, without doing it. Raises the same errors for bad settings."""
    prepared = _Prepared(config)
    exists = out is not None and (Path(out) / "run.json").is_file()
    owed = prepared.owed(RunStore.create(out, prepared.header)) if exists and out is not None else prepared.plans
    characters = prepared.characters(owed)
    seconds = prepared.policy.estimate_s(len(owed), characters)
    return RunPlan(len(prepared.plans), len(prepared.env.situations()), len(owed), characters, seconds)


class _Prepared:
    """Everything that can be known, and can go wrong, before a model is loaded."""

    def __init__(self, config: RunConfig, policy: Policy | None = None) -> None:
        self.config = config = _checked(config)
        self.make_env = partial(make_env, config.env, **config.env_options)
        self.env = self.make_env()
        problem = declaration_problem(self.env.factors)
        if problem is not None:
            raise EnvError(f"env {config.env!r}: {problem}")
        self.policy: Policy = policy or make_policy(config.policy)
        self.plans = plan_episodes(config.env, self.env, self.policy, seed=config.seed, episodes=config.episodes)
        self.header = RunHeader(
            env=config.env,
            env_options=dict(config.env_options),
            policy=config.policy,
            seed=config.seed,
            task=self.env.task,
            env_identity=env_identity(config.env, self.env),
            policy_identity=self.policy.identity(),
            taxonomy=self.env.taxonomy,
            independent_menus=self.env.independent_menus,
            min_contested=self.env.min_contested,
            factors=self.env.factors,
            informed=isinstance(self.policy, InformedPolicy),
        )

    def owed(self, store: RunStore) -> list[Plan]:
        finished = {episode.identity for episode in store.episodes()}
        return [plan for plan in self.plans if plan.identity not in finished]

    def characters(self, plans: list[Plan]) -> int | None:
        """The characters shown in one-decision worlds that enumerate their situations."""
        if not self.env.situations() or not self.env.independent_menus:
            return None
        shown: Counter[str | None] = Counter(plan.situation for plan in plans)
        total = 0
        for situation, times in shown.items():
            text, info = self.env.reset(seed=0, options={"situation": situation})
            total += times * (len(self.env.task) + len(text) + sum(len(option.text) for option in info["menu"]))
        return total


def _checked(config: RunConfig) -> RunConfig:
    """The same settings. Raises ConfigError for one that is out of range."""
    try:
        return msgspec.convert(msgspec.to_builtins(config), RunConfig)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigError(f"bad setting: {error}") from error


class _Recorder:
    """The sink of a rollout: writes, counts, reports progress."""

    def __init__(self, writer: RunWriter, owed: int, progress: Progress | None) -> None:
        self.finished = self.failed = 0
        self._writer, self._owed, self._progress = writer, owed, progress

    def episode(self, episode: Episode) -> None:
        self._writer.episode(episode)
        self.finished += 1
        self._report()

    def failure(self, failure: Failure) -> None:
        self._writer.failure(failure)
        self.failed += 1
        self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self.finished, self.failed, self._owed)


async def _play(prepared: _Prepared, owed: list[Plan], sink: _Recorder, attempts: Mapping[str, int]) -> None:
    config = prepared.config
    async with prepared.policy as policy:
        live = config.live or policy.live
        await roll_out(prepared.make_env, policy, owed, sink, live=live, timeout_s=config.timeout_s, attempts=attempts)


def _to_end(make: Callable[[], Coroutine[None, None, Run]]) -> Run:
    """The result of a coroutine on a loop of its own; where one runs already (a notebook), on another thread."""
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


def require_distinct(runs: Sequence[Run], unit: str, identity: Callable[[RunHeader], object]) -> None:
    """Raise ConfigError if two of the runs have one identity: they would count as two units."""
    met: dict[str, Run] = {}
    for each in runs:
        name = content_hash(identity(each.header))
        if name in met:
            raise ConfigError(f"{str(met[name].path)!r} and {str(each.path)!r} are of one {unit}: give each once")
        met[name] = each
