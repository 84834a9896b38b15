"""Rollout: many episodes in flight on one event loop, each with deadlines; a bad episode is data,
not a crash.

What is to be played is decided before anything is played: a `Plan` for each episode, whose
`identity` hashes the content of env and policy with the situation, the repetition and the env's
seed. All randomness derives from it.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import msgspec
import numpy as np

from valueagents.contracts.decision import (
    Annotation,
    Choice,
    Decision,
    Episode,
    Failure,
    Menu,
    check_episode,
    shown_hash,
)
from valueagents.contracts.environment import ValueEnv
from valueagents.contracts.policy import DesignPlace, Exchange, InformedPolicy, Policy, View
from valueagents.errors import ConfigError, EnvError, PolicyError, ValueAgentsError
from valueagents.files.covariates import covariate_problem
from valueagents.files.factors import level_problem
from valueagents.identity import content_hash, seed_from
from valueagents.running.threads import OwnerThread
from valueagents.running.throughput import Throughput

MAX_FAILURES_IN_A_ROW = 20
IDENTITY_VERSION = 1
"""Of what an identity hashes, not of how episodes are stored: a newer schema owes no finished
episode again.
"""

T = TypeVar("T")


class Plan(msgspec.Struct, frozen=True):
    """One episode to play: which it is (`identity`), what it meets, and the seed of its env.

    `design` is the item's place in the study, which decides the paraphrase of the question.
    """

    identity: str
    situation: str | None
    repetition: int
    env_seed: int
    design: DesignPlace = DesignPlace()


class Sink(Protocol):
    """Where finished and failed episodes go; called on the event loop, so it must be quick."""

    def episode(self, episode: Episode) -> None:
        """Keep a finished episode."""

    def failure(self, failure: Failure) -> None:
        """Keep a failed one."""


def env_identity(
    env_id: str, env: ValueEnv, code: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The content that decides what an agent can meet in an env; `code` has hashes of an env that
    is not installed.
    """
    return {
        **(code or {}),
        "env": env_id,
        "version": env.version,
        "task": content_hash(env.task),
        "taxonomy": env.taxonomy.identity,
        "content": content_hash(env.content()),
    }


def plan_episodes(
    env_id: str,
    env: ValueEnv,
    policy: Policy,
    *,
    seed: int,
    episodes: int | None,
    code: Mapping[str, str] | None = None,
) -> list[Plan]:
    """The first `episodes` plans of a run (None = every situation once), the same for every longer
    run of that seed.

    Situations are met in a permutation drawn from the seed, then again as the next repetition: none
    by chance twice. Env seeds do not depend on the policy, so two policies meet the same episodes.
    """
    known = env.situations()
    if episodes is None and not known:
        raise ConfigError(
            f"env {env_id!r} does not enumerate its situations; say how many --episodes to play"
        )
    order = (
        np.random.default_rng(seed_from("walk", seed)).permutation(len(known))
        if known
        else np.zeros(0, dtype=int)
    )
    env_content, policy_content = env_identity(env_id, env, code), policy.identity()
    plans = []
    for i in range(len(known) if episodes is None else episodes):
        place = int(order[i % len(known)]) if known else i
        situation = known[place] if known else None
        repetition = i // len(known) if known else i
        env_seed = seed_from("env", seed, situation, repetition)
        identity = content_hash(
            IDENTITY_VERSION, env_content, policy_content, situation, repetition, env_seed
        )
        design = DesignPlace(place, repetition if known else 0, seed)
        plans.append(Plan(identity, situation, repetition, env_seed, design))
    return plans


async def roll_out(
    make_env: Callable[[], ValueEnv],
    policy: Policy,
    plans: Sequence[Plan],
    sink: Sink,
    *,
    live: int,
    timeout_s: float,
    attempts: Mapping[str, int] | None = None,
    throughput: Throughput | None = None,
) -> None:
    """Every plan has gone to the sink as an episode or as a failure.

    `policy` must have been entered. At most `live` episodes are in flight; every decision and every
    step of the env has `timeout_s`. `attempts` counts earlier tries by identity, `throughput` is
    told what is waited for. Raises PolicyError when `MAX_FAILURES_IN_A_ROW` episodes fail without
    one between that succeeds: then the fault is not the episode's.
    """
    throughput = throughput or Throughput()
    tries = attempts or {}
    rollout = _Rollout(make_env, policy, iter(plans), sink, timeout_s, tries, throughput)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(live, len(plans))):
                group.create_task(rollout.work())
    except* ValueAgentsError as errors:
        raise errors.exceptions[0] from None


@dataclass(slots=True)
class _Rollout:
    """What the workers of one rollout share; each plays plans until none is left."""

    make_env: Callable[[], ValueEnv]
    policy: Policy
    todo: Iterator[Plan]
    sink: Sink
    timeout_s: float
    attempts: Mapping[str, int]
    throughput: Throughput
    failures_in_a_row: int = 0

    async def work(self) -> None:
        """Play in one env after another: that of a failed episode is never used again."""
        seat: _Seat | None = None
        try:
            for plan in self.todo:
                decisions: list[Decision] = []
                try:
                    seat = seat or _Seat(self.make_env(), self.timeout_s)
                    episode = await self._attempt(seat, plan, decisions)
                except (
                    Exception
                ) as error:  # a bad episode is data: any error of env or policy is recorded
                    if seat is not None:
                        seat.close()
                        seat = None
                    self._failed(plan, error, len(decisions))
                    continue
                self.sink.episode(episode)
                self.failures_in_a_row = 0
                if seat.env.inline:
                    await asyncio.sleep(
                        0
                    )  # else an inline env with an instant policy would never let the others run
        finally:
            if seat is not None:
                seat.close()

    async def _attempt(self, seat: "_Seat", plan: Plan, decisions: list[Decision]) -> Episode:
        started = time.monotonic()
        start, outcome, last = await _play(
            seat, self.policy, plan, decisions, self.timeout_s, self.throughput
        )
        episode = Episode(
            identity=plan.identity,
            situation=plan.situation,
            repetition=plan.repetition,
            env_seed=plan.env_seed,
            cluster=start["cluster"] or plan.situation or plan.identity,
            decisions=tuple(decisions),
            outcome=outcome,
            final_observation=last,
            attempt=self.attempts.get(plan.identity, 0) + 1,
            duration_s=round(time.monotonic() - started, 6),
            shown=_shown_first(seat.env.task, start["before"], decisions),
        )
        check_episode(episode, seat.env.taxonomy)
        return episode

    def _failed(self, plan: Plan, error: Exception, step: int) -> None:
        """Record it. Raises PolicyError when failures are all there is."""
        name = type(error).__name__
        message = str(error) or (
            f"no answer within {self.timeout_s:g} s" if isinstance(error, TimeoutError) else name
        )
        message = message.encode(errors="replace").decode()
        attempt = self.attempts.get(plan.identity, 0) + 1
        self.sink.failure(
            Failure(plan.identity, plan.situation, plan.repetition, name, message, step, attempt)
        )
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise PolicyError(
                f"{self.failures_in_a_row} episodes in a row failed, the last with {name}:"
                f" {message}"
            )


async def _play(
    seat: "_Seat",
    policy: Policy,
    plan: Plan,
    decisions: list[Decision],
    timeout_s: float,
    throughput: Throughput,
) -> tuple[dict[str, Any], Literal["terminated", "truncated"], str]:
    """Play one episode, appending its decisions: the info of its start, how it ended, and the last
    text.
    """
    options = {} if plan.situation is None else {"situation": plan.situation}
    name = plan.situation or plan.identity[:12]
    with throughput.waiting(f"episode {name} waits for the env to begin"):
        observation, start = await seat.call(seat.env.reset, seed=plan.env_seed, options=options)
    info = start
    transcript = tuple(exchange(decision) for decision in start["before"])
    lost_workers = 0
    while True:
        menu: Menu = info["menu"]
        _require_declared(info["factors"], info["annotation"], seat.env)
        seed, free_text = seed_from(plan.identity, len(decisions)), seat.env.free_text
        view = View(
            seat.env.task,
            transcript,
            observation,
            menu,
            seed,
            free_text,
            seat.env.asks,
            plan.design,
        )
        with throughput.waiting(f"episode {name}, step {len(decisions)}, waits for the policy"):
            choice = await _decide(policy, view, info, timeout_s)
        action: Any = next((k for k, option in enumerate(menu) if option.id == choice.option), None)
        if free_text and choice.text is not None:
            action = choice.text
        cut_options = seat.env.cut_options  # of this menu; a step makes another
        with throughput.waiting(f"episode {name}, step {len(decisions)}, waits for the env"):
            after, reward, terminated, truncated, after_info = await seat.call(
                seat.env.step, action
            )
        annotation: Annotation | None = info["annotation"]
        if (
            isinstance(action, str)
            and after_info["invalid"] is None
            and seat.env.decided is not None
        ):
            menu, annotation, taken = (
                seat.env.decided
            )  # with the text's own option, where it led where none leads
            choice = msgspec.structs.replace(choice, option=menu[taken].id)
        decisions.append(
            Decision(
                observation=observation,
                menu=menu,
                choice=choice,
                annotation=annotation,
                invalid=after_info["invalid"],
                reward=float(reward),
                events=after_info["events"],
                folded=after_info["folded"],
                factors=info["factors"],
                lost_workers=seat.env.lost_workers - lost_workers,
                cut_options=cut_options,
            )
        )
        lost_workers = seat.env.lost_workers
        if terminated or truncated:
            return start, "terminated" if terminated else "truncated", after
        transcript = (*transcript, exchange(decisions[-1]))
        observation, info = after, after_info


def _require_declared(
    levels: Mapping[str, str], annotation: Annotation | None, env: ValueEnv
) -> None:
    """Raise EnvError for a factor, level or covariate that the env does not declare."""
    problem = level_problem(levels, env.factors)
    if problem is None and annotation is not None:
        options = len(annotation.values)
        problem = covariate_problem(annotation.covariates, options, env.covariates)
    if problem is not None:
        raise EnvError(problem)


def exchange(decision: Decision) -> Exchange:
    """How a decision appears in the transcript of those that follow."""
    choice, menu = decision.choice, decision.menu
    taken = next((k for k, option in enumerate(menu) if option.id == choice.option), None)
    said = choice.text or (menu[taken].text if taken is not None else None)
    return Exchange(
        decision.observation, said or "(nothing: the answer was not on the menu)", menu, taken
    )


def _shown_first(
    task: str, before: Sequence[Decision], decisions: Sequence[Decision]
) -> str | None:
    """The situation of the first decision, where its episode does not tell."""
    return shown_hash(task, [*before, decisions[0]]) if before else None


async def _decide(policy: Policy, view: View, info: dict[str, Any], timeout_s: float) -> Choice:
    """The policy's answer, timed.

    The annotation goes through the door of `InformedPolicy` and nowhere else.
    """
    if not view.menu and not view.free_text:
        raise EnvError("the episode goes on but its menu is empty")
    started = time.monotonic()
    async with asyncio.timeout(timeout_s):
        if isinstance(policy, InformedPolicy):
            choice = await policy.decide_informed(view, info["annotation"])
        else:
            choice = await policy.decide(view)
    p = choice.probabilities
    if p is not None and (
        len(p) != len(view.menu) or not math.isclose(math.fsum(p), 1.0, abs_tol=1e-6)
    ):
        raise PolicyError(
            f"{len(p)} probabilities that add up to {math.fsum(p):g} for a menu of {len(view.menu)}"
        )
    return msgspec.structs.replace(choice, latency_s=round(time.monotonic() - started, 6))


class _Seat:
    """An env and where it runs: on the loop if a step is quick and safe, else on a thread of its
    own.
    """

    def __init__(self, env: ValueEnv, timeout_s: float) -> None:
        self.env = env
        self._timeout_s = timeout_s
        self._thread = None if env.inline else OwnerThread(f"env {type(env).__name__}")

    async def call(self, method: Callable[..., T], *args: object, **kwargs: object) -> T:
        if self._thread is None:
            return method(*args, **kwargs)
        answer: Awaitable[T] = self._thread.call(method, *args, **kwargs)
        async with asyncio.timeout(self._timeout_s):
            return await answer

    def close(self) -> None:
        """Close the env where it lives; a thread that hangs is left behind."""
        if self._thread is None:
            self.env.close()
        else:
            self._thread.close(last=self.env.close)
