"""`valueagents compare` of two games with replays of what only one of them met (E6 from E7), by
hand.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from valueagents.contracts.decision import Decision, situation_hash
from valueagents.running.runs import Run

Cli = Callable[..., Any]
GAME = "valueagents/ChoiceScript-v0"
POLICIES = ("known:HED=2,ACH=-1.5", "random")


@pytest.fixture
def games(valueagents: Cli, tmp_path: Path) -> list[Path]:
    """Two policies that soon part, five episodes of four decisions each."""
    runs = [tmp_path / name for name in ("first", "second")]
    for path, policy in zip(runs, POLICIES, strict=True):
        words = (
            "--env",
            GAME,
            "--env-option",
            "max_steps=4",
            "--policy",
            policy,
            "--episodes",
            "5",
            "--seed",
            "3",
        )
        done = valueagents("run", *words, "--out", path)
        assert done.returncode == 0, done.stderr
    return runs


@pytest.fixture
def replays(valueagents: Cli, games: list[Path], tmp_path: Path) -> list[Path]:
    """The same two policies on all that either of them met."""
    pools = [word for path in games for word in ("--pool", path)]
    policies = [word for policy in POLICIES for word in ("--policy", policy)]
    done = valueagents("replay", *pools, *policies, "--out", tmp_path / "replay", "--json")
    assert done.returncode == 0, done.stderr
    return [Path(each["run"]) for each in json.loads(done.stdout)["runs"]]


def decisions(path: Path) -> list[tuple[str, Decision]]:
    """What was shown until then, and the decision, for every decision of a run."""
    run = Run(path)
    return [
        (situation_hash(run.header.task, episode, step), decision)
        for episode in run.episodes()
        for step, decision in enumerate(episode.decisions)
    ]


def amounts(decision: Decision, axis: str) -> list[float]:
    """x of every option; all are annotated here."""
    assert decision.annotation is not None
    found = [option.get(axis, 0.0) for option in decision.annotation.values]
    assert None not in found
    return [x for x in found if x is not None]


def taken(decision: Decision, axis: str) -> float:
    assert decision.chosen is not None
    return amounts(decision, axis)[decision.chosen]


def expected(decision: Decision, axis: str) -> float:
    p = decision.choice.probabilities
    assert p is not None
    return sum(q * x for q, x in zip(p, amounts(decision, axis), strict=True))


def split_by_hand(
    games: Sequence[Path], replays: Sequence[Path], axis: str
) -> tuple[float, float, float]:
    """Difference of the rates, exposure and choice, from the stored decisions alone."""
    met: list[dict[str, list[float]]] = []
    for path in games:
        chosen: dict[str, list[float]] = {}
        for shown, decision in decisions(path):
            chosen.setdefault(shown, []).append(taken(decision, axis))
        met.append(chosen)
    asked = [
        {shown: expected(decision, axis) for shown, decision in decisions(path)} for path in replays
    ]
    states = sorted(met[0].keys() | met[1].keys())
    totals = [sum(len(xs) for xs in chosen.values()) for chosen in met]
    exposure = choice = 0.0
    for state in states:
        d = [len(met[i].get(state, [])) / totals[i] for i in (0, 1)]
        u = [
            sum(met[i][state]) / len(met[i][state]) if state in met[i] else asked[i][state]
            for i in (0, 1)
        ]
        exposure += (d[0] - d[1]) * (u[0] + u[1]) / 2
        choice += (d[0] + d[1]) / 2 * (u[0] - u[1])
    rates = [
        100 * sum(map(sum, chosen.values())) / total
        for chosen, total in zip(met, totals, strict=True)
    ]
    return rates[0] - rates[1], 100 * exposure, 100 * choice


def test_with_both_replays_a_difference_of_rates_is_exposure_and_choice(
    valueagents: Cli, games: list[Path], replays: list[Path]
) -> None:
    words = ("--replayed-first", replays[0], "--replayed-second", replays[1])
    done = valueagents("compare", *games, *words, "--json")
    assert done.returncode == 0, done.stderr
    split = json.loads(done.stdout)["differences"]["E6"]["axes"]
    moved = 0
    for axis in split:
        difference, exposure, choice = split_by_hand(games, replays, axis["axis"])
        parts = axis["parts"]
        assert axis["difference"]["value"] == pytest.approx(difference, abs=1e-9)
        assert parts["exposure"]["value"] == pytest.approx(exposure, abs=1e-9)
        assert parts["choice"]["value"] == pytest.approx(choice, abs=1e-9)
        total = parts["exposure"]["value"] + parts["choice"]["value"]
        assert total == pytest.approx(axis["difference"]["value"], abs=1e-9)
        moved += abs(exposure) > 1e-6 and abs(choice) > 1e-6
    assert moved >= 5
    printed = valueagents("compare", *games, *words).stdout
    assert "met by one policy only" not in printed


def test_without_a_replay_the_parts_say_what_is_missing(
    valueagents: Cli, games: list[Path], replays: list[Path]
) -> None:
    """One policy's replay is not enough where each met states that the other did not."""
    alone, one_sided = (
        json.loads(valueagents("compare", *games, *words, "--json").stdout)["differences"]["E6"][
            "axes"
        ]
        for words in ((), ("--replayed-first", replays[0]))
    )
    for axes in (alone, one_sided):
        for axis in axes:
            assert axis["difference"]["value"] is not None
            assert axis["parts"]["exposure"]["value"] is None
            assert (
                "met by one policy only: ask both there (a replay)"
                in axis["parts"]["choice"]["reason"]
            )
    printed = valueagents("compare", *games).stdout
    assert printed.count("met by one policy only") == 1


def test_a_replay_that_is_no_run_is_one_line(
    valueagents: Cli, games: list[Path], tmp_path: Path
) -> None:
    done = valueagents("compare", *games, "--replayed-first", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "nowhere" in done.stderr
    assert done.stderr.count("\n") == 1
