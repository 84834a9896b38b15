"""The Jericho envs on our own stories: same transcript however they run, complete menus, and
nothing that hangs.
"""

import json
import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from valueagents.contracts.conformance import check_value_env, transcript_hash
from valueagents.envs.parser_game.actions import Menus
from valueagents.envs.parser_game.env import JerichoEnv, JerichoTextEnv
from valueagents.envs.parser_game.play import GameSettings, Play
from valueagents.envs.parser_game.pool import shared_pool
from valueagents.errors import ConfigError

pytest.importorskip("jericho")
STORIES = Path(__file__).parents[1] / "stories"
ORCHARD, SPIN = str(STORIES / "orchard.z5"), str(STORIES / "spin.z3")


def play(env: JerichoEnv, seed: int, steps: int) -> list[object]:
    rng = np.random.default_rng(seed)
    text, info = env.reset(seed=seed)
    shown: list[object] = [(text, info["menu"], info["annotation"])]
    for _ in range(steps):
        text, reward, over, cut, info = env.step(int(rng.integers(len(info["menu"]))))
        shown.append(
            (text, reward, over, cut, info["menu"], info["annotation"], info["events"], env.status)
        )
        if over or cut:
            break
    return shown


@pytest.mark.slow
def test_inline_worker_and_another_process_tell_the_same_story() -> None:
    inline = JerichoEnv(story=ORCHARD, mode="inline", max_steps=5)
    assert play(inline, 3, 5) == play(JerichoEnv(story=ORCHARD, max_steps=5), 3, 5)
    code = (
        "import json, sys; from valueagents.contracts.conformance import transcript_hash; "
        "from valueagents.envs.parser_game.env import JerichoEnv; "
        "print(transcript_hash(JerichoEnv(**json.loads(sys.argv[1])), seed=3))"
    )
    options = {"story": ORCHARD, "mode": "inline", "max_steps": 5}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(options)],
        env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == transcript_hash(inline, seed=3)


@pytest.mark.parametrize("mode", ["inline", "worker"])
def test_a_snapshot_of_any_step_leads_to_the_same_future(mode: str) -> None:
    env, other = (JerichoTextEnv(story=ORCHARD, mode=mode, menus=False) for _ in range(2))
    commands = [
        "give bread to child",
        "north",
        "push tree",
        "take apple",
        "south",
        "west",
        "drink flask",
    ]
    env.reset(seed=5)
    states, seen = [], []
    for command in commands:
        states.append(env.snapshot())
        text, *_, info = env.step(command)
        seen.append((text, info["events"], env.status))
    for start, state in enumerate(states):
        other.reset(seed=99)
        other.restore(state)
        again = []
        for command in commands[start:]:
            text, *_, info = other.step(command)
            again.append((text, info["events"], other.status))
        assert again == seen[start:]
    assert seen[-1][2].done


def test_seeds_that_frotz_cannot_take_are_spread() -> None:
    play = Play(GameSettings(ORCHARD))
    numbers = set()
    for seed in [0, 1, 2, 3, 999, 2**31, 2**62]:
        play.start(seed)
        first = play.save().state.randomness
        play.start(seed)
        assert play.save().state.randomness == first
        numbers.add(first[0])
    assert len(numbers) == 7


@pytest.mark.slow
def test_the_menu_holds_every_command_that_an_exhaustive_search_finds() -> None:
    """All commands of up to two things, from a vocabulary of our own; the state is told by its
    visible traces.
    """
    verbs = [
        "take",
        "drop",
        "eat",
        "drink",
        "push",
        "pull",
        "attack",
        "open",
        "close",
        "wear",
        "swing",
        "enter",
        "kiss",
    ]
    things = ["child", "bread", "tree", "apple", "rope", "box", "coin", "flask"]
    pairs = ["give {} to {}", "put {} in {}", "put {} on {}", "throw {} at {}", "show {} to {}"]
    words = [
        "north",
        "south",
        "east",
        "west",
        "jump",
        "sing",
        "pray",
        "wait",
        "look",
        "up",
        "down",
        "in",
        "out",
    ]
    words += [f"{verb} {thing}" for verb in verbs for thing in things]
    words += [pair.format(a, b) for pair in pairs for a, b in permutations(things, 2)]
    game = Play(GameSettings(ORCHARD))
    menus = Menus(game, tries=4)
    for path in (
        [],
        ["north", "push tree"],
        ["east", "open box", "take coin"],
        ["west", "take flask"],
    ):
        game.start(11)
        for command in path:
            game.send(command)
        found, saved = menus.find(), game.save()
        offered = {_traces(game, saved, option.text) for option in found.menu}
        before = _traces(game, saved, None)
        for command in words:
            led = _traces(game, saved, command)
            assert led == before or led in offered, f"{command} after {path}"
        assert len(found.keys) == len(set(found.keys))


def _traces(game: Play, saved: object, command: str | None) -> object:
    """What a player and a bookkeeper could tell after a command: object tree, place, score, ledger,
    end.
    """
    game.load(saved)  # type: ignore[arg-type]
    game.machine.reseed(77)
    if command is not None:
        game.send(command)
    ram, (start, end, size_bytes) = game.machine.memory, game.story.object_table
    tree = b"".join(bytes(ram[entry + 6 : entry + 12]) for entry in range(start, end, size_bytes))
    assert game.memory is not None
    address, length = game.memory.arrays["ledger_axis"]
    status = game.status()
    return tree, status.location, status.score, status.done, bytes(ram[address : address + length])


def test_menus_know_what_each_option_does_and_chance_is_a_mean() -> None:
    env = JerichoTextEnv(story=ORCHARD, mode="inline")
    _, info = env.reset(seed=2)
    annotated = {o.text: v for o, v in zip(info["menu"], info["annotation"].values, strict=True)}
    assert annotated["give bread to child"] == {"UNC": 1.0, "POR": -1.0}
    assert annotated["eat bread"] == {"HED": 1.0}
    assert annotated["wait"] == {}
    *_, info = env.step("north")
    annotated = {o.text: v for o, v in zip(info["menu"], info["annotation"].values, strict=True)}
    assert annotated["push tree"]["STI"] - annotated["push tree"]["UNN"] == pytest.approx(1.0)
    assert 0 < annotated["push tree"]["STI"] < 1


def test_a_text_is_matched_by_where_it_leads_and_appended_if_nowhere_known() -> None:
    env = JerichoTextEnv(story=ORCHARD, mode="inline")
    env.reset(seed=2)
    text, *_, info = env.step("offer the loaf to the girl")
    assert "both hands" in text
    assert info["invalid"] is None
    assert env.decided is not None
    assert env.decided[0][env.decided[2]].text == "give bread to child"
    assert env.appended_share == 0
    before = env.status
    *_, info = env.step("save")
    assert "about the program" in info["invalid"]
    assert env.status == before


@pytest.mark.slow
def test_a_hang_costs_one_refused_decision_and_leaves_the_env_as_it_was() -> None:
    env = JerichoTextEnv(story=SPIN, menus=False, hang_s=0.6)
    env.reset(seed=1)
    *_, info = env.step("take sack")
    before, replaced = env.status, shared_pool().replaced
    for _ in range(2):  # it is known the second time
        *_, info = env.step("spin")
        assert "did not answer within 0.6 s" in info["invalid"]
        assert env.status == before
        assert shared_pool().replaced == replaced + 2
    assert env.lost_workers == 2
    text, *_, info = env.step("up")
    assert (text, info["invalid"], env.status.score) == ("Loft. A bag hangs here.", None, 3)


@pytest.mark.slow
def test_a_version_3_story_without_a_map_has_status_and_menus_despite_a_command_that_hangs() -> (
    None
):
    env = JerichoEnv(story=SPIN, hang_s=0.6)
    _, info = env.reset(seed=1)
    assert [o.text for o in info["menu"]] == ["up", "take sack", "wait"]
    assert info["annotation"] is None
    assert (env.status.score, env.status.moves, env.status.done) == (0, 0, None)
    _, reward, *_ = env.step(1)
    assert (reward, env.status.score, env.status.moves) == (3.0, 3, 1)


HOSTILE = [
    "", "\\s", "\\R", "\\help", "\x00", "look\x00look", "look\nnorth", "l.l.l.l.l.l.",
    "take bread then north", "save",
    "restore", "quit", "q", "restart", "undo", "script", "transcript on", "oops quit", "$ve", "#rand 1", "é" * 80,
    "吃面包", "a" * 500, "north, quit", "\\", "\r", "\x1b[A", "y\n", "SAVE",
    "b" * 200_000, "🗡️ the knight",
]  # fmt: skip
HARMLESS = [
    "look",
    "replay",  # the story is told that there is no file
    "wait",
    "north",
    "south",
    "take all",
    "drop all",
    "push tree",
    "oops",
    "again",
    "y",
    "a" * 119,
    "((((",
    "'",
]


@pytest.mark.slow
@pytest.mark.parametrize("story", [ORCHARD, SPIN, None])  # None: the bundled one
def test_ten_thousand_fuzzed_actions_neither_hang_nor_leak_nor_lose_a_process(
    story: str | None, tmp_path: Path
) -> None:
    env = JerichoTextEnv(story=story, menus=False, max_steps=60)
    clean = [env.reset(seed=s)[0] for s in range(3)]
    replaced, rng = shared_pool().replaced, np.random.default_rng(1)
    pids = [worker.pid for worker in shared_pool().workers if worker.pid]
    refused = expected = invalid_in_a_row = 0
    over = False
    for i in range(10_000):
        if over:
            seed = int(rng.integers(3))
            assert env.reset(seed=seed)[0] == clean[seed]
            invalid_in_a_row = 0
        hostile = bool(rng.random() < 0.5) or i % 7 == 0
        noise = "".join(chr(c) for c in rng.integers(97, 123, size=8))
        harmless = [
            *HARMLESS[: -3 if story == SPIN else None],
            noise,
        ]  # the last are too long for version 3
        action = HOSTILE[int(rng.integers(len(HOSTILE)))] if hostile else str(rng.choice(harmless))
        *_, terminated, truncated, info = env.step(action)
        expected += hostile
        refused += info["invalid"] is not None
        assert (info["invalid"] is not None) == hostile, action
        invalid_in_a_row = invalid_in_a_row + 1 if hostile else 0
        over = terminated or truncated
        assert invalid_in_a_row != 3 or truncated
    assert refused == expected > 4_000
    assert shared_pool().replaced == replaced
    assert all(pid in [worker.pid for worker in shared_pool().workers] for pid in pids)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [JerichoEnv, JerichoTextEnv])
def test_the_envs_keep_every_promise_of_the_contract(kind: type[JerichoEnv]) -> None:
    checks = check_value_env(lambda: kind(story=ORCHARD, max_steps=4))
    assert [c.problem for c in checks if c.problem] == []


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to choose from"):
        JerichoEnv(story=ORCHARD, menus=False)
    with pytest.raises(ConfigError, match="does not exist"):
        JerichoEnv(story="nowhere.z5")
    with pytest.raises(ConfigError, match="max_steps=0"):
        JerichoEnv(story=ORCHARD, max_steps=0)
