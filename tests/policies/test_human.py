"""A person at the terminal, by the command line and its input."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from valueagents.contracts.decision import Option
from valueagents.contracts.policy import View
from valueagents.errors import PolicyError
from valueagents.policies.human import HumanPolicy
from valueagents.running.runs import Run

WORDS = ["run", "--env", "valueagents/Dilemma-v0", "--policy", "human"]


def _typed(out: Path, typed: str, episodes: int) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from valueagents.cli import main; main()",
        *WORDS,
        "--episodes",
        str(episodes),
        "--out",
        str(out),
    ]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_person_types_numbers_and_goes_on_after_the_input_has_ended(out: Path):
    done = _typed(out, "1\nwhat?\n9\n2\n", 2)
    assert done.returncode == 0, done.stderr
    assert "  1. " in done.stdout
    assert "  2. " in done.stdout
    assert "> " in done.stdout
    choices = [
        decision.choice for episode in Run(out).store.episodes() for decision in episode.decisions
    ]
    assert [(choice.raw, choice.reading) for choice in choices] == [
        ("1", "parsed"),
        ("what?", "failed"),
        ("9", "failed"),
        ("2", "parsed"),
    ]
    ended = _typed(out, "2\n", 4)
    assert (
        "the input has ended; run the command again to go on"
        in str(Run(out).failed()) + ended.stderr
    )
    assert len(Run(out).episodes()) == 3


def test_what_is_typed_in_free_text_is_said(monkeypatch: pytest.MonkeyPatch):
    view = View("Task.", (), "A gate.", (Option("zqx", "open gate"),), 0, free_text=True)
    for typed, text, reading in (
        (" open the gate ", "open the gate", "parsed"),
        ("", None, "failed"),
    ):
        monkeypatch.setattr("builtins.input", lambda _, typed=typed: typed)
        choice = asyncio.run(HumanPolicy().decide(view))
        assert (choice.option, choice.text, choice.reading) == (None, text, reading)


def test_a_person_is_shown_neither_ids_nor_the_menu_of_an_env_of_free_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("builtins.input", lambda _: "1")
    view = View("Task.", (), "A gate.", (Option("zqx", "open gate"),), 0)
    assert asyncio.run(HumanPolicy().decide(view)).option == "zqx"
    asyncio.run(HumanPolicy().decide(View("Task.", (), "A gate.", view.menu, 0, free_text=True)))
    shown = capsys.readouterr().out
    assert shown.count("open gate") == 1
    assert "zqx" not in shown


def test_the_end_of_the_input_is_an_error_that_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch):
    def ended(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    with pytest.raises(PolicyError, match="run the command again to go on"):
        asyncio.run(HumanPolicy().decide(View("Task.", (), "A gate.", (Option("a", "b"),), 0)))


def test_the_name_is_part_of_the_identity():
    assert HumanPolicy(name="Ada").identity() != HumanPolicy(name="Bo").identity()
