"""Small choice games, and one as MACHIAVELLI writes them, that several tests play."""

from collections.abc import Callable
from pathlib import Path

import pytest

from valueagents.envs.choice_game.game import Game, assemble
from valueagents.envs.choice_game.interpreter import Interpreter
from valueagents.envs.choice_game.lines import lines_of_text

FIXTURES = Path(__file__).parent / "fixtures"


def game_of(startup: str, **scenes: str) -> Game:
    texts = {"startup": startup, **scenes}
    return assemble({name: lines_of_text(name, text) for name, text in texts.items()})


def play_of(startup: str, *choices: str, seed: int = 1, **scenes: str) -> list[str]:
    """The texts of a game in which the options of these texts are taken."""
    interpreter = Interpreter(game_of(startup, **scenes))
    texts = [interpreter.start(seed)]
    for choice in choices:
        (offer,) = [offer for offer in interpreter.state.menu if offer.text == choice]
        texts.append(interpreter.take(offer.id))
    return texts


@pytest.fixture
def play() -> Callable[..., list[str]]:
    return play_of


@pytest.fixture
def make_game() -> Callable[..., Game]:
    return game_of


@pytest.fixture
def ferry() -> str:
    return str(FIXTURES / "ferry")


@pytest.fixture
def game_data() -> Path:
    return FIXTURES / "machiavelli"
