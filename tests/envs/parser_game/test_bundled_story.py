"""The Light on Merrow as a person plays it: every ending is reached, every value is at stake, the
source compiles.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from valueagents.contracts.plugins import make_env

STORY = Path(__file__).parents[3] / "envs" / "data" / "story"
WALKTHROUGHS = json.loads((STORY / "walkthroughs.json").read_text(encoding="utf-8"))["walkthroughs"]
pytest.importorskip("jericho")


def played(commands: list[str]):
    """The env after the commands, its last text, and all value events."""
    env = make_env("valueagents/JerichoText-v0", mode="inline", menus=False, max_steps=1000)
    env.reset(seed=1)
    events, over, text = [], False, ""
    for command in commands:
        assert not over, f"the story was over before {command!r}"
        text, _, terminated, truncated, info = env.step(command)
        assert not info["invalid"], f"{command!r}: {info['invalid']}"
        events += info["events"]
        over = terminated or truncated
    return env, text, over, events


@pytest.mark.parametrize("walkthrough", WALKTHROUGHS, ids=[w["ending"][:40] for w in WALKTHROUGHS])
def test_a_walkthrough_reaches_its_ending_and_its_score(walkthrough):
    env, text, over, _ = played(walkthrough["commands"])
    assert over
    assert walkthrough["ending"] in text
    assert env.status.score == walkthrough["score"]


def test_there_are_at_least_four_endings():
    assert len({walkthrough["deadflag"] for walkthrough in WALKTHROUGHS}) >= 4


def test_the_walkthroughs_together_put_every_value_at_stake():
    axes = make_env("valueagents/JerichoText-v0", mode="inline", menus=False).taxonomy.axis_ids
    met = {
        event.axis for walkthrough in WALKTHROUGHS for event in played(walkthrough["commands"])[3]
    }
    assert met == set(axes)


@pytest.mark.skipif(
    shutil.which("inform6") is None, reason="inform6 is not installed (Debian: inform6-compiler)"
)
def test_the_source_compiles_to_the_bundled_story_byte_for_byte(tmp_path):
    library = "+include_path=/usr/share/inform6/library"
    command = ["inform6", library, "-v5", str(STORY / "merrow.inf"), str(tmp_path / "merrow.z5")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "merrow.z5").read_bytes() == (STORY / "merrow.z5").read_bytes()
