"""The mass of the offered answers gates scores; decisions that took more than one attempt are
counted and bounded.
"""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from valueagents.cli.app import app
from valueagents.contracts.decision import Annotation, Choice, Decision, Episode, Option
from valueagents.measuring.comparison import compare
from valueagents.measuring.scores import score
from valueagents.measuring.studies import registry
from valueagents.measuring.studies.declaration import Metric
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import Axis, Taxonomy

TWO = Taxonomy(
    id="two", version=1, source="tests", axes=(Axis("A", "Alpha", "a"), Axis("B", "Beta", "b"))
)
VALUES = ({"A": 1.0}, {"A": -1.0})


def made_run(
    path: Path,
    choices: list[Choice],
    *,
    reading: str = "label/1",
    texts: tuple[str, str] = ("Go.", "Stay."),
):
    header = RunHeader(
        env="tests/Env-v0",
        env_options={},
        policy=path.name,
        seed=0,
        task="Decide.",
        env_identity={"env": "tests/Env-v0", "content": "0"},
        policy_identity={"policy": path.name, "reading": reading},
        taxonomy=TWO,
        independent_menus=True,
        min_contested=20,
        informed=False,
    )
    store = RunStore.create(path, header)
    menu = (Option("o0", texts[0]), Option("o1", texts[1]))
    with store.writing() as writer:
        for i, choice in enumerate(choices):
            made = Decision(
                f"Situation {i}.", menu, choice, Annotation("two/1", VALUES, "tests", "tests")
            )
            writer.episode(Episode(f"{i:08}", f"s{i}", 0, i, f"s{i}", (made,), "terminated"))
    return Run(path)


def answers(mass: float | None, count: int = 40) -> list[Choice]:
    return [Choice(f"o{i % 2}", "drawn", (0.5, 0.5), mass=mass) for i in range(count)]


def test_scores_are_refused_where_the_offered_answers_had_next_to_no_probability_unless_asked_for(
    tmp_path: Path,
):
    run = made_run(tmp_path / "run", answers(0.01))
    refused = score(run)
    assert refused.axes[0]["E3"].value is None
    assert "0.01 of the model's probability, under 0.05" in (refused.axes[0]["E3"].reason or "")
    asked_for = score(run, low_mass=True)
    assert asked_for.axes[0]["E3"].value == pytest.approx(0.0)
    printed = CliRunner().invoke(app, ["score", str(run.path)]).stdout
    assert (
        "probability of the offered answers: 0.01 on average; under 0.5 in 40 of 40 decisions"
        in printed
    )
    assert "ask for the scores with --low-mass" in printed


@pytest.mark.parametrize(("mass", "warned"), [(0.3, True), (0.9, False)])
def test_scores_of_little_mass_are_warned_of(tmp_path: Path, mass: float, warned: bool):
    scores = score(made_run(tmp_path / "run", answers(mass)))
    assert scores.axes[0]["E3"].value is not None
    assert (
        any("of the model's probability on average, under 0.5" in text for text in scores.warnings)
        is warned
    )


@pytest.mark.parametrize(
    ("reading", "texts", "defined"),
    [
        ("likelihood/1", ("Go now, quickly.", "Stay."), False),
        ("likelihood/1", ("YTA", "NTA"), True),
        ("say/1", ("Go.", "Stay."), False),
    ],
)
def test_the_mass_is_a_gate_only_where_answers_could_exhaust_what_is_said(
    tmp_path: Path, reading: str, texts: tuple[str, str], defined: bool
):
    scores = score(made_run(tmp_path / "run", answers(1e-9), reading=reading, texts=texts))
    assert (scores.mass is not None) is defined
    assert (scores.axes[0]["E3"].value is None) is defined


def test_a_comparison_is_refused_where_one_run_had_next_to_no_mass_unless_asked_for(tmp_path: Path):
    paths = [tmp_path / name for name in ("full", "empty")]
    full, empty = (made_run(path, answers(m)) for path, m in zip(paths, (0.9, 0.01), strict=True))
    for pair in ((full, empty), (empty, full)):
        refused = compare(*pair)
        for difference in refused.differences.values():
            for axis in difference.axes:
                assert axis.difference.value is None
                assert str(empty.path) in (axis.difference.reason or "")
                assert (axis.p, axis.differs, axis.first, axis.second) == (None, False, None, None)
            assert difference.effects == {}
        asked_for = compare(*pair, low_mass=True)
        assert asked_for["E3p"].axes[0].difference.value == pytest.approx(0.0)
        assert any("under 0.5" in warning for warning in asked_for.warnings)
    page = tmp_path / "page.html"
    assert CliRunner().invoke(app, ["report", *map(str, paths), "--out", str(page)]).exit_code == 0
    told = "Nothing is compared: fewer than two policies have numbers here; empty: the offered"
    assert told in page.read_text()
    asked = CliRunner().invoke(app, ["report", *map(str, paths), "--out", str(page), "--low-mass"])
    assert asked.exit_code == 0
    assert "Nothing is compared" not in page.read_text()
    assert "--low-mass" not in page.read_text()
    printed = CliRunner().invoke(app, ["compare", *map(str, paths)]).stdout
    assert "ask for the scores with --low-mass" in printed
    printed = CliRunner().invoke(app, ["compare", *map(str, paths), "--low-mass"]).stdout
    assert "--low-mass" not in printed


def test_a_comparison_of_little_mass_is_warned_of(tmp_path: Path):
    runs = [made_run(tmp_path / str(m), answers(m)) for m in (0.9, 0.3)]
    found = compare(*runs)
    assert found["E3p"].axes[0].difference.value is not None
    [warning] = [text for text in found.warnings if "of the model's probability" in text]
    assert warning.startswith(str(runs[1].path))
    again = made_run(tmp_path / "again", answers(0.8))
    assert not any("probability" in text for text in compare(runs[0], again).warnings)


class _Count(msgspec.Struct):
    decisions: int


def test_a_metric_is_refused_where_a_run_had_next_to_no_mass_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    counting = Metric(
        id="counting",
        formula="n",
        source="tests",
        needs="a run",
        compute=lambda run: _Count(Run(run).decisions().num_rows),
    )
    monkeypatch.setattr(registry, "metric", lambda _: counting)
    empty, little, full = (
        str(made_run(tmp_path / str(mass), answers(mass)).path) for mass in (0.01, 0.3, 0.9)
    )
    refused = CliRunner().invoke(app, ["metric", "counting", empty])
    assert refused.exit_code != 0
    assert "0.01 of the model's probability, under 0.05" in str(refused.exception)
    for arguments in ([empty, "--low-mass"], [little], [full]):
        caplog.clear()
        found = CliRunner().invoke(app, ["metric", "counting", *arguments])
        assert "decisions" in found.stdout
        assert ("under 0.5" in caplog.text) is (arguments != [full])


def test_retried_decisions_are_counted_by_place_and_bounded_by_axis(tmp_path: Path):
    rng = np.random.default_rng(4)
    choices = []
    for _ in range(60):
        place, attempts = int(rng.integers(2)), int(rng.integers(1, 4))
        choices.append(Choice(f"o{place}", "parsed", attempts=attempts))
    scores = score(made_run(tmp_path / "run", choices, reading="say/1"))
    again = [choice for choice in choices if choice.attempts > 1]
    assert scores.counts.retried_decisions == len(again)
    assert scores.retries is not None
    for place, (count, retried) in enumerate(scores.retries.places):
        here = [choice for choice in choices if choice.option == f"o{place}"]
        assert (count, retried) == (len(here), sum(choice.attempts > 1 for choice in here))
    kept = sum(1 if choice.option == "o0" else -1 for choice in choices if choice.attempts == 1)
    axis = scores.retries.axes["A"]
    assert (axis.contested, axis.retried) == (60, len(again))
    assert axis.lowest == pytest.approx((kept - len(again)) / 60)
    assert axis.highest == pytest.approx((kept + len(again)) / 60)
    assert scores.retries.axes["B"].lowest is None
    assert any("took more than one attempt: if attempts failed" in text for text in scores.warnings)
    printed = CliRunner().invoke(app, ["score", str(tmp_path / "run")]).stdout
    assert f"{len(again)} of 60 decisions took more than one attempt" in printed
    assert f"A {len(again)} of 60, from {axis.lowest:+.3f} to {axis.highest:+.3f}" in printed


def test_without_a_retry_nothing_is_said_of_retries(tmp_path: Path):
    scores = score(made_run(tmp_path / "run", answers(0.9)))
    assert scores.retries is None
    assert scores.counts.retried_decisions == 0


def test_cut_and_withheld_answers_are_counted_and_printed(tmp_path: Path):
    ends = ["stop"] * 30 + ["length"] * 3 + ["refusal", "content_filter"]
    choices = [Choice("o0", "parsed", finish_reason=end) for end in ends]
    run = made_run(tmp_path / "run", choices, reading="say/1")
    counts = score(run).counts
    assert (counts.answers_cut, counts.withheld) == (3, 2)
    assert (
        "3 answers cut, 2 withheld by the server"
        in CliRunner().invoke(app, ["score", str(run.path)]).stdout
    )


def test_a_run_of_which_no_answer_could_be_read_ends_with_code_3(tmp_path: Path):
    source = tmp_path / "mumbling.py"
    source.write_text(
        "from valueagents.contracts.decision import Choice\n"
        "def mumbling(view):\n    return Choice(None, 'failed', raw='Hm.')\n"
    )
    command = [
        "run",
        "--env",
        "valueagents/Dilemma-v0",
        "--policy",
        f"{source}:mumbling",
        "--episodes",
        "3",
    ]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "run")])
    assert done.exit_code == 3
    assert "answers could be read as an option; look at their texts" in done.stderr
    read = CliRunner().invoke(
        app, [*command[:4], "random", *command[5:], "--out", str(tmp_path / "other")]
    )
    assert read.exit_code == 0
