"""A story of each version of the Z-machine that our compiler makes is played by menu.

The library compiles for versions 5 to 8; versions 3 and 4 have a story without it.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from valueagents.envs.parser_game.env import JerichoEnv
from valueagents.envs.parser_game.memory import map_path
from valueagents.envs.parser_game.story import read_story

pytest.importorskip("jericho")
STORIES = Path(__file__).parents[1] / "stories"
needs_inform = pytest.mark.skipif(
    shutil.which("inform6") is None, reason="inform6 is not installed (Debian: inform6-compiler)"
)


def compiled(source: str, version: int, folder: Path) -> Path:
    story = folder / f"{source}.z{version}"
    library = "+include_path=/usr/share/inform6/library"
    command = ["inform6", library, f"-v{version}", str(STORIES / f"{source}.inf"), str(story)]
    subprocess.run(command, check=True, capture_output=True)
    return story


@needs_inform
@pytest.mark.parametrize("version", [5, 6, 7, 8])
def test_a_story_of_the_library_is_played_to_its_end_without_a_map(
    version: int, tmp_path: Path
) -> None:
    story = compiled("orchard", version, tmp_path)
    assert read_story(story).version == version
    assert not map_path(story).exists()
    env = JerichoEnv(story=str(story), mode="inline", tries=1)
    _, info = env.reset(seed=1)
    menu = [option.text for option in info["menu"]]
    assert {"north", "east", "west", "eat bread", "give bread to child", "wait"} <= set(menu)
    *_, info = env.step(menu.index("east"))
    menu = [option.text for option in info["menu"]]
    assert {"west", "open box", "pull rope"} <= set(menu)
    text, _, terminated, _, _ = env.step(menu.index("pull rope"))
    assert terminated
    assert "You have won" in text


@needs_inform
@pytest.mark.parametrize("version", [3, 4, 5, 8])
def test_a_story_without_a_library_has_menus(version: int, tmp_path: Path) -> None:
    story = compiled("program", version, tmp_path)
    env = JerichoEnv(story=str(story), mode="inline", tries=1)
    _, info = env.reset(seed=1)
    assert info["menu"]
    for _ in range(3):
        text, *_, info = env.step(len(info["menu"]) - 1)
        assert text
        assert info["menu"]
