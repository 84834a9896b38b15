"""The keys that a text asks for."""

from pathlib import Path

import pytest

from valueagents.envs.parser_game.env import JerichoEnv
from valueagents.envs.parser_game.keys import keys_asked, numbers_listed

FAIR = str(Path(__file__).parents[1] / "stories" / "fair.z5")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Really? (press Y or N) ", ("y", "n")),
        ("Are you sure [Y/N]?", ("y", "n")),
        ("Do you want that? Yes or no: ", ("y", "n")),
        ("A sign:\n1) up\n2) down\n3) leave it\nType a number: ", ("1", "2", "3")),
        ("[1] Talk.\n[2] Fight.\n", ("1", "2")),
        ("Press S to start, or R to read on.", ("s", "r")),
        ("(N)ew game, (R)estore, (Q)uit", ("n", "r", "q")),
        ("[Press any key to go on.]", ("enter",)),
        ("The wind howls. [MORE]", ("enter",)),
        ("Press a key.", ("enter",)),
        ("", ("enter",)),
    ],
)
def test_a_text_tells_its_keys(text: str, keys: tuple[str, ...]) -> None:
    assert keys_asked(text) == keys


def test_a_list_of_numbers_may_be_answered_in_a_line() -> None:
    assert numbers_listed("What do you say?\n1. Yes.\n2. No.\n") == ("1", "2")
    assert numbers_listed("It is 1. Maybe.") == ()


def menu_after(env: JerichoEnv, *wanted: str) -> list[str]:
    """The menu after options that must all be there."""
    _, info = env.reset(seed=1)
    for text in wanted:
        menu = [option.text for option in info["menu"]]
        *_, info = env.step(menu.index(text))
    return [option.text for option in info["menu"]]


def test_key_prompts_offer_the_keys_that_they_name() -> None:
    pytest.importorskip("jericho")
    env = JerichoEnv(story=FAIR, mode="inline", tries=1)
    assert menu_after(env) == ["enter"]
    assert menu_after(env, "enter", "east", "push lever") == ["1", "2", "3"]
    assert menu_after(env, "enter", "east", "pull bell") == ["y", "n"]
    assert "west" in menu_after(env, "enter", "east", "pull bell", "y")
