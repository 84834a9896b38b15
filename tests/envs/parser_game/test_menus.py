"""Menus of a story without a memory map: what commands did, told from what happens by itself.

`fair.z5` has a cat that wanders, a clock, keys, verbs about the program in German, and two keys with
one noun. Its map is there to judge by, not to find by.
"""

import shutil
from pathlib import Path

import pytest

from valueagents.envs.parser_game.actions import Menus
from valueagents.envs.parser_game.env import kept_options
from valueagents.envs.parser_game.play import GameSettings, Play
from valueagents.envs.parser_game.reactions import reactions
from valueagents.envs.parser_game.story import read_story

pytest.importorskip("jericho")
STORIES = Path(__file__).parents[1] / "stories"
WALKTHROUGH = (STORIES / "fair.walkthrough").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def play(tmp_path: Path) -> Play:
    story = tmp_path / "fair.z5"
    shutil.copyfile(STORIES / "fair.z5", story)
    return Play(GameSettings(str(story)))


def menu_after(play: Play, commands: list[str]) -> list[str]:
    play.start(1)
    for command in commands:
        play.send(command)
    return [option.text for option in Menus(play, tries=2).find().menu]


def test_what_wanders_ticks_or_prints_otherwise_is_no_effect_of_a_command(play: Play) -> None:
    menu = menu_after(play, WALKTHROUGH[:1])
    assert set(menu) == {
        "north", "east", "drop penny", "attack mayor", "put penny in stall",
        "ask mayor about fair", "wait",
    }  # fmt: skip


def test_verbs_about_the_program_are_no_options_in_any_language(play: Play) -> None:
    menu = menu_after(play, WALKTHROUGH[:5])
    verbs = {text.split()[0] for text in menu}
    assert not verbs & {"sichern", "laden", "beenden", "neustart", "protokoll", "ausfuehrlich"}
    assert not verbs & {"knapp", "save", "restore", "verbose", "look", "inventory", "examine"}


def test_a_noun_that_two_things_have_is_told_by_its_adjective(play: Play) -> None:
    menu = menu_after(play, WALKTHROUGH[:5])
    assert {"take iron key", "take brass key"} <= set(menu)
    assert not any(text.split()[-1] in ("iron", "brass", "oak") for text in menu)


@pytest.mark.slow
def test_the_walkthrough_is_offered_move_by_move(play: Play) -> None:
    menus = Menus(play, tries=2)
    play.start(1)
    for command in WALKTHROUGH[1:]:
        if play.machine.waits_for_key and command not in ("y", "1"):
            play.send("y")
        found, index = menus.match(command)
        assert not found.menu[index].id.startswith("said:"), command
        play.send(command)


def test_rules_of_a_thing_are_read_from_its_code() -> None:
    story = read_story(STORIES / "fair.z5")
    known = reactions(story)
    assert known.knows_rules
    mayor = next(n for n in story.objects if n in known_numbers(story, "mayor"))
    drum = next(n for n in story.objects if n in known_numbers(story, "drum"))
    assert len(known.rules_of(mayor)) >= 1
    attack = shared_constants(known, mayor, drum)
    assert attack  # both have a rule for being attacked


def known_numbers(story: object, name: str) -> list[int]:
    from valueagents.envs.parser_game.dictionary import object_name

    return [n for n in story.objects if object_name(story, n) == name]  # type: ignore[attr-defined, arg-type]


def shared_constants(known: object, *numbers: int) -> frozenset[int]:
    sets = [
        frozenset().union(*known.rules_of(n))  # type: ignore[attr-defined]
        for n in numbers
    ]
    return frozenset.intersection(*sets)


def test_a_cut_keeps_waiting_and_what_the_text_names() -> None:
    play = Play(GameSettings(str(STORIES / "orchard.z5")))
    play.start(1)
    menu = Menus(play, tries=1).find().menu
    kept = [menu[k].text for k in kept_options(menu, "The loaf of bread smells good.", 3)]
    assert len(kept) == 3
    assert kept[-1] == "wait"
    assert all("bread" in text for text in kept[:-1])
    assert kept_options(menu, "", len(menu)) == list(range(len(menu)))
