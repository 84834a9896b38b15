"""A game that TextWorld generated, played through our parser env; TextWorld itself says what can be
done in it.
"""

import json
import subprocess
import sysconfig
import warnings
from pathlib import Path

import pytest

from valueagents.envs.parser_game.env import JerichoEnv, JerichoTextEnv

textworld = pytest.importorskip(
    "textworld", reason="TextWorld is not installed (the extra valueagents[textworld])"
)
pytestmark = pytest.mark.slow
IDLE = ("look", "inventory", "examine", "goal", "wait")


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Path:
    story = tmp_path_factory.mktemp("textworld") / "tw-pantry.z8"
    make = Path(sysconfig.get_path("scripts")) / "tw-make"
    size = ["--world-size", "3", "--nb-objects", "6", "--quest-length", "3", "--seed", "7"]
    subprocess.run(
        [make, "custom", *size, "--output", story], check=True, capture_output=True, timeout=240
    )
    return story


def _walkthrough(game: Path) -> list[str]:
    found: list[str] = json.loads(game.with_suffix(".json").read_text())["metadata"]["walkthrough"]
    return found


def _admissible(game: Path, commands: list[str]) -> list[list[str]]:
    """What TextWorld says can be done before each of the commands."""
    told = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Jericho's, that it knows no such story
        env = textworld.start(str(game), textworld.EnvInfos(admissible_commands=True))
        state = env.reset()
        for command in commands:
            told.append([c for c in state.admissible_commands if c.split()[0] not in IDLE])
            state, _, _ = env.step(command)
        env.close()
    return told


def test_the_quest_can_be_done_by_menu_in_a_worker_and_is_scored(game: Path) -> None:
    env, won = JerichoEnv(story=str(game), max_steps=20), False
    text, info = env.reset(seed=1)
    total = 0.0
    for command in _walkthrough(game):
        menu = [option.text for option in info["menu"]]
        same = (
            command if command in menu else " ".join(command.split()[:2])
        )  # take teacup from refrigerator
        assert same in menu, f"{command} is not among {menu}"
        text, reward, won, _, info = env.step(menu.index(same))
        total += float(reward)
    env.close()
    assert (won, total, env.status.score) == (True, 1.0, 1), text


def test_all_that_textworld_calls_possible_leads_where_an_option_leads(game: Path) -> None:
    commands = _walkthrough(game)
    env = JerichoTextEnv(story=str(game), mode="inline", max_steps=20)
    env.reset(seed=1)
    for command, told in zip(commands, _admissible(game, commands), strict=True):
        assert told
        for possible in told:
            assert not env.choose(possible).id.startswith("said:"), (
                f"{possible} is not an option before {command}"
            )
        env.step(command)  # type: ignore[arg-type]


def test_menus_hold_nothing_that_the_game_refuses_to_understand(game: Path) -> None:
    env = JerichoEnv(story=str(game), mode="inline", max_steps=20)
    _, info = env.reset(seed=1)
    here = env.snapshot()
    for k in range(len(info["menu"])):
        env.restore(here)
        text, *_ = env.step(k)
        assert not any(
            refusal in text
            for refusal in ("You can't see any such", "not a verb I recogni", "I only understood")
        )
