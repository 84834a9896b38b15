"""A questionnaire of the user's on the command line: run, scored in its own scoring, reported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
AXES = "".join(f'[[axes]]\nid = "{a}"\nname = "{a}"\nwants = "x"\n' for a in ("AUT", "REL"))
TAXONOMY = f'id = "needs2"\nversion = 1\nsource = "made up"\n{AXES}'
FORM = """
source = "made up"
taxonomy = "needs.toml"
question = "How well does this fit you?"
points = [0, 10]
labels = {0 = "not at all", 10 = "wholly"}
[scales]
AUT = [1, -2]
REL = [3, 4]
"""
SURVEY = ("run", "--env", "valueagents/Survey-v0", "--env-option", "key=form.toml")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("needs.toml").write_text(TAXONOMY, encoding="utf-8")
    Path("form.toml").write_text(FORM, encoding="utf-8")
    rows = "".join(f"{n},Statement {n}.\n" for n in range(1, 5))
    Path("texts.csv").write_text(f"number,text\n{rows}", encoding="utf-8")


def test_a_published_form_is_run_scored_and_reported(valueagents: Cli) -> None:
    words = (*SURVEY, "--env-option", "items=texts.csv", "--policy", "first", "--out", "run")
    done = valueagents(*words)
    assert done.returncode == 0, done.stderr
    scores = json.loads(valueagents("score", "run", "--json").stdout)
    # always 0 of 0 to 10: a reverse-keyed item is then 10
    assert [axis["estimates"]["Q"]["value"] for axis in scores["axes"]] == [5.0, 0.0]
    assert [axis["details"]["Q"]["items"] for axis in scores["axes"]] == [2.0, 2.0]
    assert scores["columns"]["Q"]["unit"] == "points of the answer scale"
    assert "mean rating Q" in valueagents("score", "run").stdout
    done = valueagents("report", "run", "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert "Q mean rating" in Path("page.html").read_text(encoding="utf-8")


def test_the_studys_metric_says_that_it_stretches_another_scale(valueagents: Cli) -> None:
    for policy in ("first", "random"):
        words = ("--env-option", "items=texts.csv", "--policy", policy, "--out", policy)
        assert valueagents(*SURVEY, *words).returncode == 0
    done = valueagents("metric", "survey", "first", "random", "--target", "REL")
    assert done.returncode == 0, done.stderr
    assert "has answers on 11 points; they are given on 1 to 6" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env-option", "items=texts.cvs"], "texts.cvs"),
        ([], "holds no statements: give items=FILE"),
        (["--env-option", "items=texts.csv", "--env-option", "key=pvq-rr"], "lacks items 5 to 57"),
        (["--env-option", "items=texts.csv", "--env-option", "key=from.toml"], "'form.toml'"),
    ],
)
def test_what_is_missing_is_one_clear_error(valueagents: Cli, words: list[str], said: str) -> None:
    done = valueagents(*SURVEY, *words, "--policy", "first", "--out", "run")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
