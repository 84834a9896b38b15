"""A card from its first question to its pages. Whatever was played is in run directories under
`out`: the same command after a kill goes on, and asks nothing twice.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import Policy
from valueagents.errors import PolicyError
from valueagents.experiments.card.budget import (
    FIRST,
    FORMAT,
    MOST,
    CardPlan,
    Cost,
    read_plan,
    shared,
    write_plan,
)
from valueagents.experiments.card.envs import CardEnv, asked, card_envs
from valueagents.experiments.card.subjects import CardSubject
from valueagents.measuring.counts import count
from valueagents.measuring.summary import Results, summarise
from valueagents.policies.engines.kept import KeptEngine
from valueagents.policies.language import LanguagePolicy
from valueagents.report.answer import answer
from valueagents.report.figures import write_figures
from valueagents.report.page import page
from valueagents.report.results_tables import write_tables
from valueagents.report.template import write_page
from valueagents.running.execution import RunConfig, execute_async
from valueagents.running.progress import show_progress
from valueagents.running.runs import Run

TITLE = "What does it value?"
_LONG_ENOUGH_S = 3.0
_PAGES_S = 15.0
"""Of a budget in minutes, what scoring and drawing take."""


class Budget(msgspec.Struct, frozen=True):
    """Minutes or tokens for everything; neither = every situation."""

    minutes: float | None = None
    tokens: int | None = None


class Card(msgspec.Struct, frozen=True):
    """Where the pages are (the one over all first), and what they answer."""

    pages: list[Path]
    answer: list[str]


@dataclass(slots=True)
class _Playing:
    """What is known while a card is made: the runs, and why somebody could not be asked."""

    subjects: Sequence[CardSubject]
    envs: Sequence[CardEnv]
    out: Path
    seed: int
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)

    async def play(
        self, subject: CardSubject, policy: Policy, env: CardEnv, episodes: int
    ) -> Run | None:
        """The run with so many episodes; None where the policy cannot answer there, which is
        noted.
        """
        key = (subject.name, env.name)
        if key in self.refused:
            return None
        config = RunConfig(
            env=env.env,
            env_options=env.env_options,
            policy=subject.spec,
            episodes=episodes,
            seed=self.seed,
        )
        folder = self.out / "runs" / subject.folder / env.name.replace(" ", "-").replace(",", "")
        try:
            with show_progress(f"{subject.name}, {env.name}") as progress:
                run = await execute_async(config, folder, policy=policy, progress=progress)
        except PolicyError as error:
            self.refused[key] = str(error)
            return None
        self.runs[key] = run
        return run


@asynccontextmanager
async def _loaded(subject: CardSubject) -> AsyncIterator[Policy]:
    """The subject's policy, whose model is loaded once for all envs."""
    policy = make_policy(subject.spec)
    if not isinstance(policy, LanguagePolicy):
        yield policy
        return
    policy.engine = kept = KeptEngine(policy.engine)
    try:
        yield policy
    finally:
        await kept.close()


def make_card(
    subjects: Sequence[CardSubject],
    out: Path,
    *,
    budget: Budget,
    seed: int = 0,
    figures: bool = False,
) -> Card:
    """The pages are in `out`: `card.html` over all, and one for each subject of several; tables
    beside.

    Raises PolicyError where nobody could be asked anything.
    """
    started = time.monotonic()
    playing, notes = asyncio.run(_play(subjects, out, budget, seed, started))
    if not playing.runs:
        raise PolicyError(next(iter(playing.refused.values()), "nothing was asked"))
    order = [
        (subject.name, env.name)
        for env in playing.envs
        for subject in playing.subjects
        if (subject.name, env.name) in playing.runs
    ]
    results = summarise(
        [playing.runs[key] for key in order],
        names=[(env, subject) for subject, env in order],
        seed=seed,
    )
    write_tables(results, out / "tables")
    if figures:
        write_figures(results, out / "figures")
    return Card(_write_pages(results, subjects, notes, out), answer(results))


def _write_pages(
    results: Results, subjects: Sequence[CardSubject], notes: Sequence[str], out: Path
) -> list[Path]:
    pages = [write_page(page(results, title=TITLE, notes=notes), out / "card.html")]
    if len(subjects) > 1:
        for each in subjects:
            if each.name in results.policies:
                own = page(results.of(each.name), title=TITLE, notes=notes)
                pages.append(write_page(own, out / f"{each.folder}.html"))
    return pages


async def _play(
    subjects: Sequence[CardSubject], out: Path, budget: Budget, seed: int, started: float
) -> tuple[_Playing, list[str]]:
    full = budget.minutes is None and budget.tokens is None
    envs, notes = await card_envs(out, full=full, seed=seed)
    playing = _Playing(subjects, envs, out, seed)
    whole = {env.name: env.situations for env in envs}
    told = {
        "subjects": [each.spec for each in subjects],
        "budget": msgspec.to_builtins(budget),
        "seed": seed,
        "envs": dict(whole),
    }
    plan = read_plan(out)
    known = plan is not None and plan.asked == told
    if plan is None or not known:
        episodes = dict(whole)
        if not full:
            episodes = await _planned(playing, whole, budget, started)
        if plan is not None and set(plan.episodes) == set(episodes):
            episodes = {env: max(n, plan.episodes[env]) for env, n in episodes.items()}
        plan = CardPlan(FORMAT, told, episodes)
        write_plan(out, plan)
    for subject in subjects:
        async with _loaded(subject) as policy:
            for env in asked(list(envs), policy):
                await playing.play(subject, policy, env, plan.episodes[env.name])
    return playing, [_taken(plan, whole, budget), *notes, *_unasked(playing)]


async def _planned(
    playing: _Playing, whole: Mapping[str, int], budget: Budget, started: float
) -> dict[str, int]:
    """Episodes of every env, from what the first few of everybody cost."""
    costs: dict[str, list[Cost]] = {env.name: [] for env in playing.envs}
    again_s = 0.0
    for subject in playing.subjects:
        async with _loaded(subject) as policy:
            loading = time.monotonic()
            envs = asked(list(playing.envs), policy)
            await playing.play(subject, policy, envs[0], 1)  # loads the model: no measure
            again_s += time.monotonic() - loading
            for env in envs:
                cost = await _cost(playing, subject, policy, env, whole[env.name])
                if cost is not None:
                    costs[env.name].append(cost)
    if budget.tokens is not None:
        tokens = {env: sum(each.tokens for each in found) for env, found in costs.items()}
        return shared(float(budget.tokens), tokens, whole)
    assert budget.minutes is not None  # noqa: S101 – one of them limits
    seconds = {env: sum(each.seconds for each in found) for env, found in costs.items()}
    left = 60 * budget.minutes - (time.monotonic() - started) - again_s - _PAGES_S
    spent = {env: min(FIRST, whole[env]) * each for env, each in seconds.items()}
    return shared(left + sum(spent.values()), seconds, whole)


async def _cost(
    playing: _Playing, subject: CardSubject, policy: Policy, env: CardEnv, whole: int
) -> Cost | None:
    """What an episode takes: of the `FIRST` that the run does not have yet, and where these are
    over too soon to tell, of as many more again.
    """
    before = playing.runs.get((subject.name, env.name))
    stored, more = 0 if before is None else count(before).episodes, FIRST
    while True:
        started = time.monotonic()
        run = await playing.play(subject, policy, env, min(whole, stored + more))
        took = time.monotonic() - started
        if run is None:
            return None
        counts = count(run)
        new = counts.episodes - stored
        if took >= _LONG_ENOUGH_S or counts.episodes >= min(whole, MOST) or new <= 0:
            tokens = (counts.prompt_tokens + counts.output_tokens) / max(1, counts.episodes)
            return Cost(took / max(1, new), tokens)
        stored, more = counts.episodes, 2 * more


def _taken(plan: CardPlan, whole: Mapping[str, int], budget: Budget) -> str:
    if budget.minutes is not None:
        limit = f"within about {budget.minutes:g} minutes"
    elif budget.tokens is not None:
        limit = f"within about {budget.tokens:,} tokens"
    else:
        limit = "without a limit"
    taken = ", ".join(f"{n} of {whole[env]} {env}" for env, n in plan.episodes.items())
    return f"Asked {limit}, the same of everybody, in the order of one seed: {taken}."


def _unasked(playing: _Playing) -> list[str]:
    return [
        f"{subject} could not be asked in {env}: {reason}"
        for (subject, env), reason in playing.refused.items()
    ]
