"""What a story may not do, whatever its verbs are called: save, restore, write files, beep, go on
after it quit – played in a small story with German verbs, of each version that has its own
instructions for that.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from valueagents.envs.parser_game.env import JerichoTextEnv
from valueagents.envs.parser_game.play import GameSettings, Play

pytest.importorskip("jericho")
STORIES = Path(__file__).parents[1] / "stories"
VERSIONS = [3, 4, 5]


@pytest.fixture(params=VERSIONS)
def story(request: pytest.FixtureRequest) -> str:
    return str(STORIES / f"program.z{request.param}")


def said(env: JerichoTextEnv, *commands: str) -> list[str]:
    return [env.step(command)[0] for command in commands]


def test_saving_and_restoring_fail_in_any_language(
    story: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = JerichoTextEnv(story=story, mode="inline", menus=False)
    env.reset(seed=1)
    failed = ["failed", "not restored"] if story.endswith("3") else ["result 0", "result 0"]
    assert said(env, "warten", "sichern", "warten", "laden", "warten") == [
        "b=1", failed[0], "b=2", failed[1], "b=3",
    ]  # fmt: skip
    said(env, "strom", "band", "warten", "lesen", "warten")
    assert list(tmp_path.iterdir()) == []


def test_a_story_that_quits_is_over(story: str) -> None:
    env = JerichoTextEnv(story=story, mode="inline", menus=False)
    env.reset(seed=1)
    *_, truncated, _ = env.step("ende")
    assert truncated
    assert env.reset(seed=1)[0] == "Start"
    assert said(env, "warten") == ["b=1"]


def test_a_story_that_restarts_itself_is_over(story: str) -> None:
    env = JerichoTextEnv(story=story, mode="inline", menus=False)
    env.reset(seed=1)
    *_, truncated, _ = env.step("neu")
    assert truncated


def test_control_characters_are_not_part_of_a_text(story: str) -> None:
    env = JerichoTextEnv(story=story, mode="inline", menus=False)
    env.reset(seed=1)
    (text,) = said(env, "bytes")
    assert "rung" in text
    assert "[31m" in text
    assert not any(ord(character) < 32 for character in text if character != "\n")


def test_a_turn_that_the_interpreter_cuts_says_so(story: str) -> None:
    env = JerichoTextEnv(story=story, mode="inline", menus=False)
    env.reset(seed=1)
    long, short = said(env, "viel", "warten")
    assert long.endswith("is cut.]")
    assert short == "b=1"


def test_a_story_writes_no_byte_to_stdout(story: str) -> None:
    code = (
        "import sys; from valueagents.envs.parser_game.env import JerichoTextEnv; "
        "env = JerichoTextEnv(story=sys.argv[1], mode='inline', menus=False); env.reset(seed=1); "
        "[env.step(c) for c in ('piep', 'bytes', 'lesen', 'warten')]"
    )
    done = subprocess.run([sys.executable, "-c", code, story], capture_output=True, check=True)
    assert done.stdout == b""


def test_what_a_story_wrote_is_gone_when_the_next_episode_begins() -> None:
    env = JerichoTextEnv(story=str(STORIES / "program.z5"), menus=False)
    env.reset(seed=1)
    assert env._folder is not None
    said(env, "script", "warten")  # by a bit in the header, which no instruction announces
    Path(env._folder, "left").write_text("x", encoding="utf-8")
    env.reset(seed=1)
    assert os.listdir(env._folder) == []
    env.close()


def test_undo_with_a_noun_is_a_verb_of_the_story() -> None:
    play = Play(GameSettings(str(STORIES / "orchard.z5")))
    play.start(1)
    assert play.why_refused("undo box") is None
    assert play.send("undo child").text
    assert play.why_refused("undo") is not None
