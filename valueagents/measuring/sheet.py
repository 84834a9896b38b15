"""A run as a report shows it: its scores, and what it takes to judge and to repeat it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from valueagents.contracts.decision import Decision, Failure
from valueagents.measuring.answers import Answers
from valueagents.measuring.counts import Counts
from valueagents.measuring.scores import Scores, score
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader

SAMPLE = 12
"""Decisions and failures of a run that a report shows."""


@dataclass(frozen=True, slots=True)
class SampleOption:
    """An option of a sampled decision: its text, its probability if known, and its values other
    than 0.
    """

    text: str
    p: float | None
    chosen: bool
    values: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class SampleDecision:
    """A decision as the agent met it."""

    name: str
    text: str
    reading: str
    options: list[SampleOption]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A run: its scores, its header, the command that makes it again, its cost, a sample and its
    failures.
    """

    scores: Scores
    header: RunHeader
    command: str
    wall_s: float
    sessions: int
    software: dict[str, str]
    sample: list[SampleDecision]
    failures: list[Failure]


def sheet(answers: Answers, *, low_mass: bool = False, sample: int = SAMPLE) -> Sheet:
    """The sheet of answers that were read from a run, with so many sampled decisions."""
    scores = score(answers, low_mass=low_mass)
    assert answers.run is not None  # noqa: S101 – `score` refuses answers without a run
    run, sessions = answers.run, answers.run.store.sessions()
    return Sheet(
        scores=scores,
        header=run.header,
        command=command_of(run, scores.counts),
        wall_s=sum(session.get("wall_s", 0.0) for session in sessions),
        sessions=sum("start" in session for session in sessions),
        software=next(
            (session["software"] for session in reversed(sessions) if "software" in session), {}
        ),
        sample=_sample(run, sample),
        failures=run.failed()[:SAMPLE],
    )


def command_of(run: Run, counts: Counts) -> str:
    """The command that makes the run again."""
    header = run.header
    options = [
        part
        for name, value in header.env_options.items()
        for part in ("--env-option", f"{name}={value}")
    ]
    episodes = counts.episodes + counts.failed_episodes
    words = ["valueagents", "run", "--env", header.env, *options, "--policy", header.policy]
    words += ["--episodes", str(episodes), "--seed", str(header.seed), "--out", "DIR"]
    return shlex.join(words)


def _sample(run: Run, count: int) -> list[SampleDecision]:
    """The first decisions of the episodes that the run stored first; the others are not read."""
    episodes = sorted(islice(run.store.episodes(), count), key=lambda each: each.identity)
    return [
        _shown(episode.situation or episode.identity[:8], episode.decisions[0])
        for episode in episodes
    ]


def _shown(name: str, decision: Decision) -> SampleDecision:
    probabilities: Sequence[Any] = decision.choice.probabilities or [None] * len(decision.menu)
    values = decision.annotation.values if decision.annotation else ({},) * len(decision.menu)
    options = [
        SampleOption(
            option.text, p, k == decision.chosen, {axis: x for axis, x in marks.items() if x}
        )
        for k, (option, p, marks) in enumerate(
            zip(decision.menu, probabilities, values, strict=True)
        )
    ]
    return SampleDecision(name, decision.observation, decision.choice.reading, options)
