"""`valueagents agreement` on a tiny model: two runs, one line of what they have in common."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from valueagents.cli.app import app
from valueagents.errors import ConfigError
from valueagents.running.runs import Run

HEADER = {
    "format": "valueagents-items",
    "version": 1,
    "taxonomy": "schwartz20",
    "task": "Decide.",
    "provenance": "tests",
    "scaling": "sign",
}


@pytest.fixture
def command(tiny_model: Path, tmp_path: Path) -> list[str]:
    options = [
        {"id": "a", "text": "Go.", "values": {"BEC": 1}},
        {"id": "b", "text": "Stay.", "values": {"BEC": -1}},
    ]
    items = [{"id": f"i{k}", "text": f"Door {k}.", "options": options} for k in range(4)]
    file = tmp_path / "items.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in (HEADER, *items)))
    words = ["agreement", "--env", "valueagents/Dilemma-v0", "--env-option", f"data={file}"]
    policy = ["--policy", f"transformers:{tiny_model}", "--episodes", "4"]
    return [*words, *policy, "--out", str(tmp_path / "out")]


def test_a_sample_is_played_by_both_readings_and_compared(command: list[str], tmp_path: Path):
    readings = ["--reading", "label", "--reading", "label&rotations=none"]
    done = CliRunner().invoke(app, [*command, *readings])
    assert done.exit_code == 0, done.output
    assert "the same option: " in done.output
    assert "of 4 situations (independent readings: " in done.output
    assert "rotations=none" in done.output
    runs = [Run(tmp_path / "out" / name) for name in ("1-label", "2-label")]
    assert [run.header.policy_identity["rotations"] for run in runs] == ["all", "none"]
    used = [run.decisions()["prompt"].to_pylist() for run in runs]
    assert len(used[0]) == len(used[1]) == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--reading", "say"], "two different readings"),
        (["--reading", "say", "--reading", "say"], "two different readings"),
        (["--policy", "transformers:x?reading=say"], "names a reading"),
    ],
)
def test_what_is_not_two_readings_of_one_policy_is_refused_before_anything_is_played(
    command: list[str], tmp_path: Path, more: list[str], message: str
):
    done = CliRunner().invoke(app, [*command, *more])
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)
    assert not (tmp_path / "out").exists()
