"""A card from its first question to its pages. Whatever was played is in run directories under
`out`: the same command after a kill goes on, and asks nothing twice.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from valueagents.contracts.policy import Policy
from valueagents.errors import PolicyError
from valueagents.experiments.card.budget import (
    ENOUGH,
    FIRST,
    FORMAT,
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
from valueagents.policies.sharing import SharedModels
from valueagents.report.answer import answer
from valueagents.report.figures import write_figures
from valueagents.report.page import page
from valueagents.report.results_tables import write_tables
from valueagents.report.template import write_page
from valueagents.running.execution import RunConfig, execute_async
from valueagents.running.header import RUN_FILE
from valueagents.running.progress import show_progress
from valueagents.running.runs import Run

TITLE = "What does it value?"
_LONG_ENOUGH_S = 3.0
_ONE_DIGIT = 10
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
    """What is known while a card is made: how many situations each env has, the runs, and why
    somebody could not be asked.
    """

    subjects: Sequence[CardSubject]
    envs: Sequence[CardEnv]
    whole: Mapping[str, int]
    models: SharedModels
    out: Path
    seed: int
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)

    def by_model(self) -> list[CardSubject]:
        """The subjects, those on one model one after another: each model is loaded once."""
        return sorted(self.subjects, key=lambda each: self.models.place(each.spec))

    def stored(self, subject: CardSubject, env: CardEnv) -> int:
        """How many episodes its run has."""
        folder = self._folder(subject, env)
        return count(Run(folder)).episodes if (folder / RUN_FILE).exists() else 0

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
        folder = self._folder(subject, env)
        try:
            with show_progress(f"{subject.name}, {env.name}") as progress:
                run = await execute_async(config, folder, policy=policy, progress=progress)
        except PolicyError as error:
            self.refused[key] = str(error)
            return None
        self.runs[key] = run
        return run

    def _folder(self, subject: CardSubject, env: CardEnv) -> Path:
        return self.out / "runs" / subject.folder / env.name.replace(" ", "-")


def make_card(
    subjects: Sequence[CardSubject],
    out: Path,
    *,
    budget: Budget,
    seed: int = 0,
    low_mass: bool = False,
    figures: bool = False,
) -> Card:
    """The pages are in `out`: `card.html` over all, and one for each subject of several; tables
    beside. `low_mass` as in `score`.

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
        low_mass=low_mass,
        seed=seed,
    )
    write_tables(results, out / "tables")
    if figures:
        write_figures(results, out / "figures")
    return Card(_write_pages(results, playing, notes), answer(results))


def _write_pages(results: Results, playing: _Playing, notes: Sequence[str]) -> list[Path]:
    subjects, out = playing.subjects, playing.out
    over_all = page(results, title=TITLE, notes=[*notes, *_unasked(playing, subjects)])
    pages = [write_page(over_all, out / "card.html")]
    if len(subjects) > 1:
        for each in subjects:
            if each.name in results.policies:
                told = [*notes, *_unasked(playing, [each])]
                own = page(results.of(each.name), title=TITLE, notes=told)
                pages.append(write_page(own, out / f"{each.folder}.html"))
    return pages


async def _play(
    subjects: Sequence[CardSubject], out: Path, budget: Budget, seed: int, started: float
) -> tuple[_Playing, list[str]]:
    full = budget.minutes is None and budget.tokens is None
    envs, notes = await card_envs(out, full=full, seed=seed)
    models = SharedModels(each.spec for each in subjects)
    whole = {env.name: env.situations for env in envs}
    playing = _Playing(subjects, envs, whole, models, out, seed)
    try:
        plan = await _plan(playing, budget, started)
        for subject in playing.by_model():
            policy = await models.policy(subject.spec)
            can = asked(envs, policy)
            for env in can:
                await playing.play(subject, policy, env, plan.episodes[env.name])
            for env in (env for env in envs if env not in can):
                playing.refused[subject.name, env.name] = "it chooses by annotations of values"
    finally:
        await models.close()
    return playing, [_taken(playing, plan, budget), *notes]


async def _plan(playing: _Playing, budget: Budget, started: float) -> CardPlan:
    """The plan of the folder, if it was made for the same; else a new one."""
    told = {
        "subjects": [each.spec for each in playing.subjects],
        "budget": msgspec.to_builtins(budget),
        "seed": playing.seed,
        "envs": dict(playing.whole),
    }
    plan = read_plan(playing.out)
    if plan is not None and plan.asked == told:
        return plan
    episodes, all_of_it = dict(playing.whole), None
    if budget.minutes is not None or budget.tokens is not None:
        episodes, all_of_it = await _planned(playing, budget, started)
    for env in playing.envs:  # what somebody has answered already all are asked
        stored = (playing.stored(subject, env) for subject in playing.subjects)
        episodes[env.name] = max(episodes[env.name], *stored)
    plan = CardPlan(FORMAT, told, episodes, all_of_it)
    write_plan(playing.out, plan)
    return plan


async def _planned(
    playing: _Playing, budget: Budget, started: float
) -> tuple[dict[str, int], float]:
    """Episodes of every env, from what the first few of everybody cost, and what all of them would;
    what an earlier command asked counts as if it were asked now.
    """
    costs: dict[str, list[Cost]] = {env.name: [] for env in playing.envs}
    loading_s: dict[int, float] = {}
    asking_s = 0.0
    for subject in playing.by_model():
        policy = await playing.models.policy(subject.spec)
        envs = asked(playing.envs, policy)
        loading = time.monotonic()
        await playing.play(subject, policy, envs[0], playing.stored(subject, envs[0]) + 1)
        loading_s.setdefault(playing.models.place(subject.spec), time.monotonic() - loading)
        for env in envs:
            asking = time.monotonic()
            cost = await _cost(playing, subject, policy, env)
            asking_s += time.monotonic() - asking
            if cost is not None:
                costs[env.name].append(cost)
    if budget.tokens is not None:
        tokens = {env: sum(each.tokens for each in found) for env, found in costs.items()}
        return shared(float(budget.tokens), tokens, playing.whole), _total(tokens, playing.whole)
    assert budget.minutes is not None  # noqa: S101 – one of them limits
    again_s = sum(loading_s.values()) if len(loading_s) > 1 else 0.0  # one model stays loaded
    seconds = {env: sum(each.seconds for each in found) for env, found in costs.items()}
    else_s = time.monotonic() - started - asking_s + again_s + _PAGES_S
    all_s = else_s + _total(seconds, playing.whole)
    return shared(60 * budget.minutes - else_s, seconds, playing.whole), all_s / 60


def _total(costs: Mapping[str, float], whole: Mapping[str, int]) -> float:
    return sum(cost * whole[env] for env, cost in costs.items())


async def _cost(
    playing: _Playing, subject: CardSubject, policy: Policy, env: CardEnv
) -> Cost | None:
    """What an episode takes: of the `FIRST` that the run does not have yet, and where these are
    over too soon to tell, of more again. Nothing where the run has them all.
    """
    whole, stored, more = playing.whole[env.name], playing.stored(subject, env), FIRST
    while True:
        started = time.monotonic()
        upto = min(whole, stored + more)
        run = await playing.play(subject, policy, env, upto)
        took = time.monotonic() - started
        if run is None:
            return None
        counts = count(run)
        tokens = (counts.prompt_tokens + counts.output_tokens) / max(1, counts.episodes)
        new = upto - stored
        if new <= 0:
            return Cost(0.0, tokens)
        over = counts.episodes >= min(whole, ENOUGH) or counts.episodes == stored
        if over or took >= _LONG_ENOUGH_S:
            return Cost(took / new, tokens)
        stored, more = counts.episodes, 2 * more


def _taken(playing: _Playing, plan: CardPlan, budget: Budget) -> str:
    """What was asked, and what asking all of it would take."""
    unit = "minutes" if budget.minutes is not None else "tokens"
    limit = budget.minutes if budget.minutes is not None else budget.tokens
    within = "without a limit" if limit is None else f"within about {limit:,g} {unit}"
    alike = ", the same of everybody" if len(playing.subjects) > 1 else ""
    taken = ", ".join(f"{n} of {playing.whole[env]} {env}" for env, n in plan.episodes.items())
    said = f"Asked {within}{alike}, in the order of one seed: {taken}."
    if plan.all_of_it is None or plan.episodes == dict(playing.whole):
        return said
    return f"{said} All of them would take about {_rounded(plan.all_of_it)} {unit}."


def _rounded(amount: float) -> str:
    """Two digits of it, or the whole number below ten."""
    return f"{amount:.0f}" if amount < _ONE_DIGIT else f"{float(f'{amount:.2g}'):,.0f}"


def _unasked(playing: _Playing, subjects: Sequence[CardSubject]) -> list[str]:
    names = [each.name for each in subjects]
    return [
        f"{subject} could not be asked in {env}: {reason.removesuffix('.')}."
        for (subject, env), reason in playing.refused.items()
        if subject in names
    ]
