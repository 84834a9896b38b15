"""A taxonomy of the user's, from its file to scores, comparisons and reports made elsewhere."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
AXES = {"AUT": ("Autonomy", 0), "SAF": ("Safety", 130), "COM": ("Skill", 60), "REL": ("Ties", 220)}
DILEMMA = "valueagents/Dilemma-v0"


def taxonomy(*, angles: bool, wants: str = "this") -> str:
    lines = ['id = "needs4"', "version = 1", 'source = "made up"', 'main_grouping = "kinds"']
    for axis, (name, angle) in AXES.items():
        lines += ["[[axes]]", f'id = "{axis}"', f'name = "{name}"', f'wants = "{wants}"']
        lines += [f"angle = {angle}"] if angles else []
    return "\n".join([*lines, "[groupings.kinds]", 'Self = ["AUT", "COM"]', 'Us = ["SAF", "REL"]'])


def items() -> str:
    header = {"format": "valueagents-items", "version": 1, "taxonomy": "../needs.toml"}
    header |= {"task": "Decide.", "provenance": "made up", "scaling": "+1 serves"}
    ids = list(AXES)
    rows = [
        {
            "id": f"item{i}",
            "text": f"Situation {i}.",
            "options": [
                {"id": "a", "text": "One way.", "values": {ids[i % 4]: 1}},
                {"id": "b", "text": "Another.", "values": {ids[(i + 1 + i // 4 % 3) % 4]: 1}},
            ],
        }
        for i in range(48)
    ]
    return "\n".join(json.dumps(each) for each in [header, *rows]) + "\n"


@pytest.fixture(params=[True, False], ids=["angles", "no angles"])
def runs(
    valueagents: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> list[Path]:
    """A known policy and the random one, moved to where no file of the user's is."""
    here = tmp_path / "here"
    (here / "data").mkdir(parents=True)
    (here / "needs.toml").write_text(taxonomy(angles=request.param), encoding="utf-8")
    (here / "data" / "items.jsonl").write_text(items(), encoding="utf-8")
    monkeypatch.chdir(here)
    for out, policy in (("one", "known:AUT=2?taxonomy=needs.toml"), ("two", "random")):
        data = ("--env-option", "data=data/items.jsonl")
        words = ("--env", DILEMMA, *data, "--policy", policy, "--episodes", "96", "--seed", "1")
        done = valueagents("run", *words, "--out", out)
        assert done.returncode == 0, done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(here / "one", elsewhere)
    shutil.move(here / "two", elsewhere)
    shutil.rmtree(here / "data")
    (here / "needs.toml").unlink()
    monkeypatch.chdir(elsewhere)
    return [Path("one"), Path("two")]


def test_a_run_is_scored_compared_and_reported_where_its_taxonomys_file_is_not(
    valueagents: Cli, runs: list[Path], request: pytest.FixtureRequest
) -> None:
    done = valueagents("score", runs[0], "--json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert scores["taxonomy"] == "needs4/1"
    assert [axis["axis"] for axis in scores["axes"]] == list(AXES)
    lean = {axis["axis"]: axis["estimates"]["E3p"]["value"] for axis in scores["axes"]}
    assert lean["AUT"] > 0.3 > max(lean["SAF"], lean["COM"], lean["REL"])

    done = valueagents("score", runs[0], "--grouping", "kinds")
    assert "Self" in done.stdout
    done = valueagents("compare", *runs, "--primary", "AUT", "--json")
    found = json.loads(done.stdout)
    assert found["differences"]["E3p"]["axes"][0]["differs"]

    done = valueagents("report", *runs, "--out", "page.html")
    assert done.returncode == 0, done.stderr
    page = Path("page.html").read_text(encoding="utf-8")
    with_angles = "no angles" not in request.node.name
    assert ("Leanings on the circle in" in page) == with_angles
    assert "violated  ←  0 as by chance  →  promoted" in page
    assert all(name in page for name, _ in AXES.values())

    done = valueagents("circle", *runs, "--out", "circle.html")
    assert done.returncode == 0, done.stderr
    said = "too few policies" if with_angles else "the axes of needs4/1 have no angles"
    assert said in done.stdout
    assert said in Path("circle.html").read_text(encoding="utf-8")


def test_a_taxonomy_that_was_changed_under_its_name_is_told_apart(
    valueagents: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    Path("data/items.jsonl").write_text(items(), encoding="utf-8")
    words = ("--env", DILEMMA, "--env-option", "data=data/items.jsonl", "--policy", "random")
    for out, wants in (("one", "this"), ("two", "that and more")):
        Path("needs.toml").write_text(taxonomy(angles=False, wants=wants), encoding="utf-8")
        assert valueagents("run", *words, "--out", out).returncode == 0
    done = valueagents("compare", "one", "two")
    assert done.returncode == 2
    assert "both on taxonomy needs4/1, but its content was changed" in done.stderr
    assert "raise `version`" in done.stderr
    done = valueagents("run", *words, "--episodes", "60", "--out", "one")
    assert done.returncode == 2
    assert "its taxonomy is needs4/1-" in done.stderr


def test_the_axes_and_groups_of_a_file_are_listed(
    valueagents: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("needs.toml").write_text(taxonomy(angles=True), encoding="utf-8")
    done = valueagents("taxonomies", "needs.toml")
    assert "130°" in done.stdout
    assert "grouping kinds: Self AUT, COM; Us SAF, REL" in done.stdout
    done = valueagents("taxonomies", "needs.toml", "--json")
    assert json.loads(done.stdout)["axes"][1]["angle"] == 130
    done = valueagents("taxonomies", "need.toml")
    assert done.returncode == 2
    assert "unknown taxonomy file 'need.toml'. Did you mean 'needs.toml'?" in done.stderr


def test_items_that_name_a_file_that_is_not_there_are_refused_with_the_line(
    valueagents: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(items(), encoding="utf-8")
    done = valueagents(
        "run", "--env", DILEMMA, "--env-option", f"data={path}", "--policy", "random", "--out", "x"
    )
    assert done.returncode == 2
    assert "error: items.jsonl, line 1: unknown taxonomy file" in done.stderr


def test_a_choice_game_is_annotated_on_axes_of_the_users(
    valueagents: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = tmp_path / "game"
    game.mkdir()
    (tmp_path / "needs.toml").write_text(taxonomy(angles=True), encoding="utf-8")
    (game / "startup.txt").write_text(
        "*title T\n*scene_list\n  startup\n\nA door.\n*choice\n"
        "  #Go alone.\n    *comment value: AUT +1, REL -1\n    Gone.\n    *finish\n"
        "  #Ask a friend.\n    *comment value: REL +1\n    Asked.\n    *finish\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    env = ("--env", "valueagents/ChoiceScript-v0", "--env-option", "game=game")
    own = ("--env-option", "taxonomy=needs.toml")
    policy = ("--policy", "known:AUT=9?taxonomy=needs.toml")
    done = valueagents("run", *env, *own, *policy, "--episodes", "30", "--out", "run")
    assert done.returncode == 0, done.stderr
    scores = json.loads(valueagents("score", "run", "--json").stdout)
    assert scores["axes"][0]["estimates"]["E1"]["value"] == 30
    lines = {"format": "valueagents-lines", "version": 1, "taxonomy": "../needs.toml"}
    lines |= {"provenance": "me", "events": {"startup:13": {"SAF": 1}}}
    (game / "annotations.json").write_text(json.dumps(lines), encoding="utf-8")
    done = valueagents("run", *env, *policy, "--episodes", "30", "--out", "other")
    assert done.returncode == 0, done.stderr
