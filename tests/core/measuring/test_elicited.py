"""What the scores say of the way of asking: components over prompts and policies, other
normalisers, an offered "none of these".
"""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from valueagents.cli.app import app
from valueagents.contracts.decision import Annotation, Choice, Decision, Episode, Option
from valueagents.measuring.reading import read_answers
from valueagents.measuring.scores import score
from valueagents.report import write_report
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import Axis, Taxonomy

TWO = Taxonomy(
    id="two", version=1, source="tests", axes=(Axis("A", "Alpha", "a"), Axis("B", "Beta", "b"))
)
VALUES = ({"A": 1.0, "B": None}, {"A": -1.0, "B": None})
PROMPTS = 4


def _written(path: Path, choices: list[Choice], **identity: str) -> Run:
    """A run of these answers, an item each."""
    header = RunHeader(
        env="tests/Env-v0",
        env_options={},
        policy=identity.get("policy", "tests"),
        seed=int(identity.pop("seed", "0")),
        task="Decide.",
        env_identity={"env": "tests/Env-v0", "content": "0"},
        policy_identity={"policy": "tests", "reading": "likelihood/2", **identity},
        taxonomy=TWO,
        independent_menus=True,
        min_contested=2,
        informed=False,
    )
    store = RunStore.create(path, header)
    menu = (Option("o0", "Go."), Option("o1", "Stay."))
    with store.writing() as writer:
        for i, choice in enumerate(choices):
            annotation = Annotation("two/1", VALUES, "tests", "tests")
            made = Decision(f"{i}.", menu, choice, annotation)
            writer.episode(Episode(f"{i:08}", f"s{i}", 0, i, f"s{i}", (made,), "terminated"))
    return Run(path)


def _choice(p: float, prompt: int = 0, **fields: object) -> Choice:
    return Choice("o0", "drawn", (p, 1 - p), prompt=f"p{prompt}", **fields)


def test_prompts_that_answer_otherwise_are_a_component_and_lower_the_coefficient(tmp_path: Path):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.03, 400)

    def spread(effect: float, name: str):
        places = [i % PROMPTS for i in range(400)]
        answers = [
            _choice(0.6 + effect * (k - 1.5) + float(e), k)
            for k, e in zip(places, noise, strict=True)
        ]
        return score(_written(tmp_path / name, answers)).elicited.spread

    alike, apart = spread(0.0, "alike"), spread(0.1, "apart")
    assert alike.varied == apart.varied == ["item", "prompt"]
    assert alike.not_varied == ["order", "seed", "reading"]
    effects = 2 * 0.1 * (np.arange(PROMPTS) - 1.5)  # of x: p goes from −1 to 1
    assert apart.axes["A"].facets["prompt"] == pytest.approx(effects.var(ddof=1), rel=0.1)
    assert alike.axes["A"].facets["prompt"] < 1e-4
    assert alike.axes["A"].coefficient > 0.98 > apart.axes["A"].coefficient
    assert apart.axes["B"].reason.startswith("not enough: 0")


def test_over_several_policies_the_coefficient_is_that_of_their_ranks(tmp_path: Path):
    rng = np.random.default_rng(1)
    items = rng.normal(0, 0.1, 60)

    def runs(spread: float, name: str) -> list[Run]:
        return [
            _written(
                tmp_path / f"{name}{k}",
                [
                    _choice(float(np.clip(0.5 + spread * k + item + e, 0, 1)), i % PROMPTS)
                    for i, (item, e) in enumerate(zip(items, rng.normal(0, 0.02, 60), strict=True))
                ],
                model=f"m{k}",
            )
            for k in (-2, -1, 0, 1, 2)
        ]

    first, *others = runs(0.05, "apart")
    apart = score(first, beside=others).elicited.spread
    assert (apart.runs, apart.policies) == (5, 5)
    assert apart.coefficient.startswith("Eρ²")
    truth = (2 * 0.05 * np.arange(-2, 3)).var(ddof=1)
    assert apart.axes["A"].facets["policy"] == pytest.approx(truth, rel=0.1)
    assert apart.axes["A"].coefficient > 0.99
    same, *again = runs(0.0, "same")
    assert score(same, beside=again).elicited.spread.axes["A"].coefficient < 0.7


def test_runs_that_were_asked_otherwise_are_of_one_policy(tmp_path: Path):
    answers = [_choice(0.4 + 0.01 * (i % 7), i % 3) for i in range(40)]
    one = _written(tmp_path / "one", answers, normaliser="sum")
    moved = [_choice(0.6 + 0.01 * (i % 7), i % 3) for i in range(40)]
    other = _written(tmp_path / "other", moved, normaliser="token")
    spread = score(one, beside=[other]).elicited.spread
    assert spread.policies == 1
    assert "reading" in spread.varied
    assert spread.axes["A"].facets["reading"] == pytest.approx((0.4**2) / 2, rel=0.05)


def test_a_sign_that_turns_with_the_normaliser_is_shown_with_all_of_them(tmp_path: Path):
    beside = {"sum": (0.7, 0.3), "pmi": (0.45, 0.55)}
    run = _written(
        tmp_path / "run", [_choice(0.4, beside=beside) for _ in range(20)], normaliser="token"
    )
    found = score(run).elicited.normalisers
    assert found.own == "token"
    assert found.axes == {
        "A": {"token": pytest.approx(-0.2), "sum": pytest.approx(0.4), "pmi": pytest.approx(-0.1)}
    }
    assert found.turned == ["A"]
    printed = CliRunner().invoke(app, ["score", str(run.path)]).output
    assert "turns with the normaliser: A token -0.200, pmi -0.100, sum +0.400" in printed
    assert "warning: whether 1 of 1 values count as promoted or violated hangs on how" in printed


def test_normalisers_that_agree_turn_nothing_and_a_run_without_them_says_nothing(tmp_path: Path):
    agreeing = [_choice(0.6, beside={"sum": (0.7, 0.3)}) for _ in range(20)]
    assert score(_written(tmp_path / "a", agreeing)).elicited.normalisers.turned == []
    silent = score(_written(tmp_path / "b", [_choice(0.6)] * 20))
    assert silent.elicited.normalisers is None
    assert silent.elicited.neither is None


def test_none_of_these_is_counted_and_bounds_the_score_at_its_worst_and_best(tmp_path: Path):
    choices = [_choice(0.7, neither=0.2)] * 10 + [_choice(0.7, neither=0.5)] * 10
    run = _written(tmp_path / "run", choices, reading="label/1")
    scores = score(run)
    found = scores.elicited.neither
    assert (found.decisions, found.likeliest) == (20, 10)
    assert found.mean == pytest.approx(0.35)
    assert scores.axes[0]["E3p"].value == pytest.approx(0.4)  # it stands outside m and x
    assert found.axes["A"].lowest == pytest.approx((0.8 * 0.4 - 0.2 + 0.5 * 0.4 - 0.5) / 2)
    assert found.axes["A"].highest == pytest.approx((0.8 * 0.4 + 0.2 + 0.5 * 0.4 + 0.5) / 2)
    assert found.axes["B"].lowest is None
    printed = CliRunner().invoke(app, ["score", str(run.path)]).output
    assert "none of these was offered in 20 decisions: 0.35 of the probability" in printed


def test_a_spoken_none_of_these_is_counted_and_bounds_the_score(tmp_path: Path):
    said = [Choice("o0", "parsed", neither=0.0)] * 15 + [Choice(None, "abstained", neither=1.0)] * 5
    scores = score(_written(tmp_path / "run", said, reading="say/4"))
    found = scores.elicited.neither
    assert scores.counts.readings == {"abstained": 5, "parsed": 15}
    assert scores.axes[0]["E3"].value == 1.0  # of those that took an option
    assert (found.decisions, found.likeliest, found.mean) == (20, 5, 0.25)
    assert (found.axes["A"].lowest, found.axes["A"].highest) == (0.5, 1.0)


def test_the_record_holds_prompt_neither_and_what_stands_beside(tmp_path: Path):
    beside = {"sum": (0.25, 0.75)}
    run = _written(tmp_path / "run", [_choice(0.6, 3, neither=0.1, beside=beside)] * 3)
    table = run.decisions()
    assert table["prompt"].to_pylist() == ["p3"] * 3
    assert table["neither"].to_pylist() == [0.1] * 3
    assert table["beside"].to_pylist() == [[("sum", [0.25, 0.75])]] * 3
    assert read_answers(run).factor("prompt").tolist() == ["p3"] * 3
    assert run.episodes()[0].decisions[0].choice.beside == beside
    assert len(run.to_pandas()) == len(run.to_polars()) == 3


def test_a_report_shows_components_turned_signs_and_bounds(tmp_path: Path):
    beside = {"sum": (0.7, 0.3)}
    choices = [_choice(0.4 + 0.01 * (i % 5), i % 3, beside=beside, neither=0.2) for i in range(30)]
    run = _written(tmp_path / "run", choices, normaliser="token")
    html = write_report([run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "What the numbers owe to the way of asking" in html
    assert "Not varied here, so not known: order, seed, reading." in html
    assert (
        "The sign turns with the normaliser of the likelihood: A token -0.160, sum +0.400" in html
    )
    assert "was offered in 30 decisions" in html
