"""Memory maps and rules that no story's memory can hold are refused with their place."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from valueagents.envs.parser_game.memory import map_path, read_map
from valueagents.envs.parser_game.rules import read_rules
from valueagents.envs.parser_game.story import Story, read_story
from valueagents.errors import DataError


@pytest.fixture(scope="module")
def story() -> Story:
    return read_story(Path(str(files("valueagents.envs").joinpath("data", "story", "merrow.z5"))))


def read_changed(story: Story, folder: Path, changes: dict[str, Any]) -> None:
    """Read the bundled map with other values."""
    right = json.loads(map_path(story.path).read_text(encoding="utf-8"))
    (folder / "x.map.json").write_text(json.dumps(right | changes), encoding="utf-8")
    read_map(folder / "x.map.json", story)


def test_the_bundled_map_is_right(story: Story, tmp_path: Path) -> None:
    read_changed(story, tmp_path, {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"globals": {"score": -2}}, "globals.score is from -2 to 0"),
        ({"globals": {"score": 10**9}}, "globals.score is from 1000000000"),
        ({"arrays": {"ledger": [100, -4]}}, "arrays.ledger is from 100 to 96"),
        ({"world": [[10, 20], [30, 25]]}, "world[1] is from 30 to 25"),
        ({"world": [[-10, 20]]}, "world[0] is from -10 to 20"),
        ({"noise_attributes": [48]}, "there is no attribute 48"),
        ({"creature_attributes": [-1]}, "there is no attribute -1"),
    ],
)
def test_an_address_that_is_none_is_named(
    story: Story, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=r"^x\.map\.json: ") as raised:
        read_changed(story, tmp_path, changes)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('command = "x"\nvalues = {BEC = 1e308}', "rule 1: BEC = 1e+308; an amount lies between"),
        ('command = "x"\nvalues = {BEC = nan}', "BEC = nan is not a finite number"),
        ('command = "(x"\nvalues = {BEC = 1}', "is not a regular expression"),
        ('command = "x{5000}"\nvalues = {BEC = 1}', "is not a regular expression"),
        ("becomes = {address = 2900, value = 65536}\nvalues = {BEC = 1}", "no 16-bit number"),
        ("becomes = {address = -1, value = 1}\nvalues = {BEC = 1}", "address -1 is outside"),
        ("moved = {object = 1, to = -1}\nvalues = {BEC = 1}", "object 1 moved to -1"),
        ("location = -1\nvalues = {BEC = 1}", "location -1 does not exist"),
    ],
)
def test_a_rule_that_could_not_hold_is_named(
    story: Story, tmp_path: Path, rule: str, said: str
) -> None:
    header = 'format = "valueagents-rules"\nversion = 1\ntaxonomy = "schwartz20"\n[[rule]]\n'
    (tmp_path / "rules.toml").write_text(header + rule, encoding="utf-8")
    with pytest.raises(DataError, match=r"^rules\.toml") as raised:
        read_rules(tmp_path / "rules.toml", story)
    assert said in str(raised.value)
