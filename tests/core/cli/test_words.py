"""Words that make no command: one line, whatever is wrong with them, and exit code 2."""

from collections.abc import Callable, Iterator
from typing import Any, get_args, get_type_hints

import pytest
import typer
from typer.models import OptionInfo

from valueagents.cli.app import COMMANDS
from valueagents.contracts.plugins import commands

Cli = Callable[..., Any]  # the fixture of conftest.py


def _numeric_options() -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """The words of each command, those of plug-ins too, an option of it that takes a number, and
    the least number that it takes.
    """
    functions: dict[tuple[str, ...], Any] = {(each.__name__,): each for each in COMMANDS}
    for name, plugged_in in commands().items():
        if isinstance(plugged_in, typer.Typer):
            for each in plugged_in.registered_commands:
                functions[name, each.name or each.callback.__name__] = each.callback
        else:
            functions[(name,)] = plugged_in
    for words, function in functions.items():
        for name, hint in get_type_hints(function, include_extras=True).items():
            kinds = {hint, *get_args(hint), *(k for part in get_args(hint) for k in get_args(part))}
            settings = [part for part in kinds if isinstance(part, OptionInfo)]
            if kinds & {int, float} and settings:
                yield words, f"--{name.replace('_', '-')}", settings[0].min


NUMBERS = list(_numeric_options())


def test_every_number_on_the_command_line_has_a_least_value() -> None:
    assert len(NUMBERS) >= 15
    assert [option for *option, least in NUMBERS if least is None] == []


@pytest.mark.parametrize(("words", "option", "least"), NUMBERS, ids=str)
def test_a_number_below_the_least_is_one_line(
    valueagents: Cli, words: tuple[str, ...], option: str, least: float
) -> None:
    done = valueagents(*words, option, str(least - 1))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: Invalid value for '{option}': ")


@pytest.mark.parametrize("option", ["--seed", "--timeout-s"])
@pytest.mark.parametrize("number", ["-1e999", "x", "", "nan", "9" * 5000 + "x"])
def test_what_is_no_number_is_one_line(valueagents: Cli, option: str, number: str) -> None:
    done = valueagents("run", option, number)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: Invalid value for '{option}': ")
    assert len(done.stderr) < 600


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score"], "Missing argument"),
        (["run", "--env"], "Option '--env' requires an argument"),
        (["run", "--sed", "1"], "No such option: --sed"),
        (["--sed"], "No such option: --sed"),
        (["scor"], "No such command 'scor'"),
        (["train", "survy"], "No such command 'survy'"),
        (["intervention", "a", "b", "--target", "HED", "--direction", "left"], "Invalid value for"),
    ],
)
def test_words_that_make_no_command_are_one_line(
    valueagents: Cli, words: list[str], said: str
) -> None:
    done = valueagents(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.endswith("--help\n")


def test_no_words_at_all_are_answered_with_help(valueagents: Cli) -> None:
    done = valueagents()
    assert (done.returncode, "Usage: " in done.stderr + done.stdout) == (2, True)
