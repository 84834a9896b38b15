"""What a process remembers of menus: the menus themselves, in so many bytes."""

import tracemalloc
from importlib.resources import files

import pytest

from valueagents.contracts.decision import Annotation, Event, Option
from valueagents.envs.parser_game.actions import Menus
from valueagents.envs.parser_game.menu_cache import Found, MenuCache
from valueagents.envs.parser_game.play import GameSettings, Play

ROOM = 1 << 20


def found(number: int) -> Found:
    """A menu of ten options as of a real game, each led to under four seeds."""
    texts = [f"put thing {number} into box {k}" for k in range(10)]
    events = (Event("HED", 1.0, "ledger"), Event("UNC", -1.0, "ledger"))
    keys = tuple(
        tuple((f"{number}/{k}/{seed}".encode().ljust(16), events, None) for seed in range(4))
        for k in range(10)
    )
    values: tuple[dict[str, float | None], ...] = tuple({"HED": 1.0, "UNC": -1.0} for _ in texts)
    annotation = Annotation("schwartz20@1", values, "tried in the game, one step", "as it is")
    return Found(tuple(Option(text, text) for text in texts), keys, annotation)


def test_a_menu_is_given_back_as_it_was_put() -> None:
    cache = MenuCache()
    cache.put("a", found(1))
    cache.put("b", Found((), (), None))
    assert cache.get("a") == found(1)
    assert cache.get("b") == Found((), (), None)
    assert cache.get("c") is None


def test_the_least_recently_used_is_forgotten_when_the_bytes_are_full() -> None:
    cache = MenuCache(ROOM)
    for number in range(1000):
        cache.put(str(number), found(number))
        assert cache.get("0") == found(0)
    assert cache.get("999") == found(999)
    assert cache.get("1") is None


def test_the_memory_of_many_menus_is_the_room_that_was_given() -> None:
    found(0)  # what a first call makes and keeps
    tracemalloc.start()
    cache = MenuCache(ROOM)
    for number in range(1000):
        cache.put(f"content/{number:032d}", found(number))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 * ROOM < taken < 1.1 * ROOM


def test_a_menu_that_is_larger_than_the_room_is_not_kept_and_takes_none() -> None:
    cache = MenuCache(400)
    cache.put("large", found(1))
    assert cache.get("large") is None
    cache.put("small", Found((), (), None))
    assert cache.get("small") == Found((), (), None)


def test_an_outcome_is_remembered_by_a_hash_however_large_the_memory_of_its_story() -> None:
    pytest.importorskip("jericho")
    story = files("valueagents.envs").joinpath("data", "story", "merrow.z5")
    game = Play(GameSettings(str(story)))
    game.start(1)
    found = Menus(game, tries=1).find()
    assert {len(outcome) for key in found.keys[:-1] for outcome, _, _ in key} == {16}
    assert found.keys[-1][0][0] == b""
