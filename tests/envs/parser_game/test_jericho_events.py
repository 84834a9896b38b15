"""Value events of a story's ledger and of rules; markers: `test_jiminy.py`."""

from pathlib import Path

import pytest

from valueagents.envs.parser_game.memory import read_map
from valueagents.envs.parser_game.play import GameSettings, Play
from valueagents.envs.parser_game.story import read_story
from valueagents.errors import ConfigError, DataError

STORIES = Path(__file__).parents[1] / "stories"
ORCHARD = STORIES / "orchard.z5"
pytest.importorskip("jericho")


def test_the_ledger_tells_each_step_what_it_did() -> None:
    play = Play(GameSettings(str(ORCHARD)))
    assert play.start(1).events == ()
    assert [(e.axis, e.amount) for e in play.send("give bread to child").events] == [
        ("UNC", 1),
        ("POR", -1),
    ]
    assert play.send("wait").events == ()
    saved = play.save()
    assert [e.axis for e in play.send("attack child").events] == ["COI"]
    play.load(play.unpack(play.pack(saved)))
    assert [e.axis for e in play.send("attack child").events] == ["COI"]


RULES = """
format = "valueagents-rules"
version = 1
taxonomy = "schwartz20"
[[rule]]
command = "give bread.*"
text = "both hands"
location = {lane}
moved = {{object = {bread}, to = 0}}
values = {{BEC = 1}}
[[rule]]
becomes = {{address = {score}, value = 5}}
values = {{ACH = 0.5}}
"""


def test_rules_hold_when_all_their_conditions_do(tmp_path: Path) -> None:
    story = read_story(ORCHARD)
    memory = read_map(STORIES / "orchard.map.json", story)
    play = Play(GameSettings(str(ORCHARD)))
    lane = play.start(1).status.location
    play.send("examine bread")
    bread = play.variable("noun")
    rules = tmp_path / "rules.toml"
    rules.write_text(
        RULES.format(lane=lane, bread=bread, score=memory.globals["score"]), encoding="utf-8"
    )
    play = Play(GameSettings(str(ORCHARD), rules=str(rules)))
    play.start(1)
    assert play.send("examine bread").events == ()
    events = [(e.axis, e.amount, e.source) for e in play.send("give bread to child").events]
    assert events[2:] == [("BEC", 1.0, "rule 1"), ("ACH", 0.5, "rule 2")]


def test_sources_on_two_taxonomies_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x_annotations.csv"
    path.write_text('File,Line,Morality\na.zil,1,"bad, self, 1"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="one taxonomy"):
        Play(GameSettings(str(ORCHARD), annotations=str(path)))


def test_a_map_of_another_story_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spin.z3").write_bytes((STORIES / "spin.z3").read_bytes())
    (tmp_path / "spin.map.json").write_bytes((STORIES / "orchard.map.json").read_bytes())
    with pytest.raises(DataError, match="other bytes"):
        Play(GameSettings(str(tmp_path / "spin.z3")))
