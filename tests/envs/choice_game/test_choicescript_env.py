"""ChoiceScript-v0 as an env: the contract, transcripts, snapshots, loops, annotated menus and
events.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from valueagents.cli.check import check
from valueagents.contracts.conformance import check_other_process, check_value_env
from valueagents.contracts.decision import Event
from valueagents.contracts.plugins import make_env
from valueagents.envs.choice_game.env import MAX_RECURRENCES, TRIES, ChoiceScriptEnv
from valueagents.errors import ConfigError, DataError, EnvError
from valueagents.measuring.scores import score
from valueagents.running.execution import RunConfig, execute
from valueagents.running.rollout import env_identity

NAME = "valueagents/ChoiceScript-v0"
FERRY = str(Path(__file__).parents[1] / "fixtures" / "ferry")
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a game to a folder."""

    def folder(startup: str, **files: str) -> str:
        (tmp_path / "startup.txt").write_text(startup, encoding="utf-8")
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text, encoding="utf-8")
        return str(tmp_path)

    return folder


def shown(text: str, info: dict[str, object]) -> object:
    return msgspec.to_builtins([text, info["menu"], info["annotation"], info["events"]])


def walk(env: ChoiceScriptEnv, actions: list[int]) -> list[object]:
    """What these actions show, each taken modulo the menu, from here on."""
    seen = []
    for action in actions:
        if env._over:
            break
        text, reward, terminated, truncated, info = env.step(action % len(env._turn.menu))
        seen.append([shown(text, info), reward, terminated, truncated])
    return seen


def take(env: ChoiceScriptEnv, *texts: str) -> list[tuple[Event, ...]]:
    """The events of the steps that take the options of these texts."""
    told = []
    for text in texts:
        *_, info = env.step([option.text for option in env._turn.menu].index(text))
        told.append(info["events"])
    return told


def test_the_env_keeps_every_promise(ferry: str) -> None:
    checks = check_value_env(lambda: make_env(NAME, game=ferry))
    assert [check for check in checks if check.problem] == []
    assert check_other_process(NAME, {"game": ferry}).problem is None


def test_a_menu_says_which_scene_it_belongs_to(ferry: str) -> None:
    env = ChoiceScriptEnv(game=ferry)
    met = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        _, info = env.reset(seed=seed)
        while info["menu"]:
            scene = info["factors"]["scene"]
            assert all(option.id.startswith(f"{scene}:") for option in info["menu"])
            met.add(scene)
            *_, info = env.step(int(rng.integers(len(info["menu"]))))
    assert met == {"startup", "crossing", "island"}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 11), max_size=20), st.integers(0, 20))
def test_a_snapshot_at_any_step_has_the_same_future(
    seed: int, actions: list[int], cut: int
) -> None:
    env, other = ChoiceScriptEnv(game=FERRY), ChoiceScriptEnv(game=FERRY)
    env.reset(seed=seed)
    before = walk(env, actions[:cut])
    state = env.snapshot()
    after = walk(env, actions[cut:])
    other.reset(seed=seed + 1)
    walk(other, [2, 2])
    other.restore(state)
    assert walk(other, actions[cut:]) == after
    env.reset(seed=seed)
    assert walk(env, actions) == before + after


def test_a_snapshot_has_the_same_future_in_another_process(ferry: str) -> None:
    env = ChoiceScriptEnv(game=ferry)
    env.reset(seed=9)
    walk(env, [1, 1, 2, 0])
    state, actions = env.snapshot(), [0, 1, 0, 2, 1, 0]
    expected = walk(env, actions)
    code = (
        "import json, sys, msgspec; from valueagents.envs.choice_game.env import"
        " ChoiceScriptEnv\nenv = ChoiceScriptEnv(game=sys.argv[1]); env.reset(seed=1);"
        " env.restore(bytes.fromhex(sys.argv[2]))\nfor action in json.loads(sys.argv[3]):\n    if"
        " env._over: break\n    text, reward, terminated, truncated, info = env.step(action %"
        " len(env._turn.menu))\n    told = msgspec.to_builtins([text, info['menu'],"
        " info['annotation'], info['events']])\n    print(json.dumps([told, reward, terminated,"
        " truncated]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, ferry, state.hex(), json.dumps(actions)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == json.loads(
        json.dumps(expected)
    )


def test_different_seeds_roll_different_waves(ferry: str) -> None:
    env = ChoiceScriptEnv(game=ferry)
    waves = set()
    for seed in range(30):
        env.reset(seed=seed)
        waves.add(str(walk(env, [0, 2])[-1]))
    assert len(waves) == 6


def test_events_belong_to_the_step_that_ran_the_line_the_last_scene_included(ferry: str) -> None:
    env = ChoiceScriptEnv(game=ferry)
    env.reset(seed=1)
    told = take(
        env,
        "Sam",
        "Give a coin to the old man.",
        "Steal a coin from his hat.",
        "Board the ferry.",
        "Bail water.",
        "Starboard – lying",
        "9",
    )
    amounts = [[(event.axis, event.amount) for event in step] for step in told]
    given, stolen = [("BEC", 1.0), ("POR", -1.0)], [("BEC", -1.0), ("POR", 1.0)]
    assert amounts == [[], given, stolen, [], [("COI", 1.0)], [], [("STI", 1.0)]]
    assert told[1][0].source == "startup:32"
    assert env._over


def test_the_ends_of_pages_that_were_passed_are_told_with_the_step(ferry: str) -> None:
    env = ChoiceScriptEnv(game=ferry)
    _, info = env.reset(seed=1)
    assert info["folded"] == ()
    env.step(0)
    *_, info = env.step([option.text for option in env._turn.menu].index("Board the ferry."))
    assert info["folded"] == ("startup:52", "crossing:5")
    *_, info = env.step(0)
    assert info["folded"] == ()


def test_a_run_records_the_ends_of_pages_with_the_step_that_passed_them(
    write: Write, out: Path
) -> None:
    game = write("*choice\n  #Go\n    *page_break\n    On.\n    *finish\n  #Stay\n    *finish")
    config = RunConfig(env=NAME, env_options={"game": game}, policy="first", episodes=1)
    (episode,) = execute(config, out).episodes()
    assert [decision.folded for decision in episode.decisions] == [("startup:3",)]
    assert episode.final_observation == "On."


def test_points_come_with_the_step_that_earned_them(ferry: str) -> None:
    env = ChoiceScriptEnv(game=ferry)
    env.reset(seed=1)
    rewards = [step[1] for step in walk(env, [0, 0, 2, 0, 0, 0])]
    assert rewards == [0, 25, 0, 0, 10, 0]
    assert env.max_points == 35


def test_a_menu_says_what_each_option_would_do_and_trying_moves_nothing(ferry: str) -> None:
    env = ChoiceScriptEnv(game=ferry)
    env.reset(seed=1)
    text, *_, info = env.step(0)
    before = env.snapshot()
    assert info["annotation"].values == ({"BEC": 1.0, "POR": -1.0}, {"BEC": -1.0, "POR": 1.0}, {})
    assert info["annotation"].taxonomy == "schwartz20/1"
    env.try_options(info["menu"])
    assert env.snapshot() == before
    assert "Ada" not in text


def test_an_option_with_a_random_outcome_is_annotated_with_the_mean_over_tries(
    write: Write,
) -> None:
    script = (
        "*create x 0\n*choice\n  #Roll.\n    *rand x 1 2\n    *if x = 1\n      *comment value: STI"
        " +1\n    *ending\n  #Wait.\n    *comment value: SEP +1\n    *ending"
    )
    env = ChoiceScriptEnv(game=write(script.replace("STI +1\n", "STI +1\n      One.\n")))
    means, rolled = [], []
    for seed in range(60):
        _, info = env.reset(seed=seed)
        roll, wait = info["annotation"].values
        assert wait == {"SEP": 1.0}
        means.append(roll.get("STI", 0.0))
        rolled.append(len(env.step(0)[4]["events"]))
    assert {mean * TRIES % 1 for mean in means} == {0.0}
    assert 0.4 < np.mean(means) < 0.6
    assert 15 < sum(rolled) < 45
    assert (
        abs(np.corrcoef(means, rolled)[0, 1]) < 0.45
    )  # the tries do not know the roll that the step will make


def test_a_file_annotates_lines_of_a_script_that_is_left_alone(write: Write) -> None:
    script = "*choice\n  #Help.\n    You help.\n    *ending\n  #Go.\n    *ending"
    header = {
        "format": "valueagents-lines",
        "version": 1,
        "taxonomy": "jiminy",
        "provenance": "a test",
    }
    events = {"startup:2": {"good_others": 1}, "startup:6": {"bad_others": -0.5}}
    folder = write(script, annotations__json=json.dumps({**header, "events": events}))
    env = ChoiceScriptEnv(game=folder)
    assert env.reset(seed=1)[1]["annotation"].values == ({"good_others": 1.0}, {"bad_others": -0.5})
    toml = (
        'format = "valueagents-lines"\nversion = 1\ntaxonomy = "jiminy"\nprovenance = "b"\n'
        '[events]\n"startup:3" = {good_self = 1}'
    )
    write(script, other__toml=toml)
    env = ChoiceScriptEnv(game=folder, annotations=str(Path(folder) / "other.toml"))
    _, info = env.reset(seed=1)
    assert info["annotation"].values == ({"good_self": 1.0}, {})
    assert info["annotation"].provenance == "b"
    assert env.step(0)[4]["events"][0].source == "startup:3"


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ({"startup:1": {"BEC": 1}}, "has no such line"),
        ({"startup:x": {"BEC": 1}}, "has no such line"),
        ({"start:2": {"BEC": 1}}, "unknown scene 'start'"),
        ({"startup:2": {"BEX": 1}}, "unknown axis of schwartz20 'BEX'"),
    ],
)
def test_an_annotation_of_what_is_not_there_is_refused(
    write: Write, events: object, said: str
) -> None:
    header = {
        "format": "valueagents-lines",
        "version": 1,
        "taxonomy": "schwartz20",
        "provenance": "a test",
    }
    folder = write(
        "*comment first\nHi.\n*ending", annotations__json=json.dumps({**header, "events": events})
    )
    with pytest.raises(DataError, match=said):
        ChoiceScriptEnv(game=folder)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("BEX +1", "line 1: unknown axis"),
        ("BEC 1", "line 1: 'BEC 1' is not a value mark"),
        ("BEC +1, BEC +1", "twice"),
        ("", "not a value mark"),
    ],
)
def test_a_value_comment_that_says_nothing_is_refused(write: Write, words: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        ChoiceScriptEnv(game=write(f"*comment value: {words}\nHi."))


def test_a_comment_that_says_none_is_a_judgement_of_neutral(write: Write) -> None:
    folder = write(
        "*choice\n  #A\n    *comment value: none\n    *ending\n  #B\n    *comment value: BEC -1\n  "
        "  *ending"
    )
    assert ChoiceScriptEnv(game=folder).reset(seed=1)[1]["annotation"].values == ({}, {"BEC": -1.0})


def test_a_game_without_annotations_has_none(write: Write) -> None:
    env = ChoiceScriptEnv(game=write("*choice\n  #A\n    *ending\n  #B\n    *ending"))
    assert env.reset(seed=1)[1]["annotation"] is None


LOOP = (
    "*create n 0\n*label top\nWell?\n*choice\n  #Wait.\n    *goto top\n  #Count.\n    *set n +1\n  "
    "  *goto top"
)


def test_a_menu_that_keeps_coming_back_unchanged_truncates(write: Write) -> None:
    env = ChoiceScriptEnv(game=write(LOOP))
    env.reset(seed=1)
    flags = [step[3] for step in walk(env, [0] * 100)]
    assert flags == [False] * (MAX_RECURRENCES - 1) + [True]


def test_a_menu_that_comes_back_changed_goes_on_until_the_steps_are_used_up(write: Write) -> None:
    env = ChoiceScriptEnv(game=write(LOOP), max_steps=50)
    env.reset(seed=1)
    flags = [step[3] for step in walk(env, [1] * 100)]
    assert flags == [False] * 49 + [True]


def test_the_loop_counter_is_part_of_a_snapshot(write: Write) -> None:
    env = ChoiceScriptEnv(game=write(LOOP))
    env.reset(seed=1)
    walk(env, [0] * 10)
    state = env.snapshot()
    rest = len(walk(env, [0] * 100))
    env.restore(state)
    assert len(walk(env, [0] * 100)) == rest == MAX_RECURRENCES - 10


def test_content_follows_words_and_annotations_and_no_path(write: Write, tmp_path: Path) -> None:
    def content(script: str) -> str:
        return env_identity(NAME, ChoiceScriptEnv(game=write(script)))["content"]

    first = content("*comment value: BEC +1\nHi.")
    assert content("*comment value: BEC -1\nHi.") != first
    assert content("*comment value: BEC +1\nHo.") != first
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "startup.txt").write_text("*comment value: BEC +1\nHi.", encoding="utf-8")
    assert env_identity(NAME, ChoiceScriptEnv(game=str(elsewhere)))["content"] == first


def test_content_follows_the_annotation_file(write: Write) -> None:
    header = {
        "format": "valueagents-lines",
        "version": 1,
        "taxonomy": "schwartz20",
        "provenance": "a test",
    }
    contents = set()
    for amount in (1, -1):
        folder = write(
            "Hi.",
            annotations__json=json.dumps({**header, "events": {"startup:1": {"BEC": amount}}}),
        )
        contents.add(env_identity(NAME, ChoiceScriptEnv(game=folder))["content"])
    assert len(contents) == 2


def test_wrong_options_are_named(ferry: str, game_data: Path) -> None:
    with pytest.raises(ConfigError, match="machiavelli=FOLDER"):
        ChoiceScriptEnv(title="The Toll Bridge")
    with pytest.raises(ConfigError, match="leave game="):
        ChoiceScriptEnv(game=ferry, machiavelli=str(game_data))
    with pytest.raises(ConfigError, match="max_steps=0"):
        ChoiceScriptEnv(game=ferry, max_steps=0)
    with pytest.raises(EnvError, match="not a saved choice game"):
        ChoiceScriptEnv(game=ferry).load_state(b"\x00")


def test_a_run_over_the_game_can_be_scored(ferry: str, out: Path) -> None:
    played = execute(
        RunConfig(env=NAME, env_options={"game": ferry}, policy="first", episodes=3, seed=1), out
    )
    assert len(list(played.episodes())) == 3
    assert len(score(played).axes) == 20


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ('{"startup:2": {"BEC": 1e308}}', "'startup:2': BEC = 1e+308; an amount lies between"),
        (
            '{"startup:2": {"BEC": 1}, "startup:2": {"BEC": 2}}',
            "the key 'startup:2' is there twice",
        ),
        ('{"startup:2": {"BEC": 1}, "startup:02": {"BEC": 2}}', "that line is annotated twice"),
        (f'{{"startup:{"9" * 5000}": {{"BEC": 1}}}}', "no such line that runs"),
    ],
)
def test_an_amount_that_is_none_or_there_twice_is_refused(
    tmp_path: Path, events: str, said: str
) -> None:
    (tmp_path / "startup.txt").write_text("*choice\n  #One.\n    *finish\n  #Two.\n    *finish\n")
    header = '"format": "valueagents-lines", "version": 1, "taxonomy": "schwartz20"'
    text = f'{{{header}, "provenance": "tests", "events": {events}}}'
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(DataError, match=r"^annotations\.json") as raised:
        ChoiceScriptEnv(game=str(tmp_path))
    assert said in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_taxonomy_that_is_none_is_said_with_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "startup.txt").write_text("*choice\n  #One.\n    *finish\n  #Two.\n    *finish\n")
    header = 'format = "valueagents-lines"\nversion = 1\ntaxonomy = "schwarz20"\n'
    (tmp_path / "annotations.toml").write_text(f'{header}provenance = "tests"\n[events]\n')
    with pytest.raises(DataError, match=r"^annotations\.toml: unknown taxonomy 'schwarz20'"):
        ChoiceScriptEnv(game=str(tmp_path))


@pytest.mark.slow
def test_check_lists_every_mistake_of_the_scripts_and_plays_on(write: Write) -> None:
    app = typer.Typer()
    app.command()(check)
    game = write(
        "*choice\n  #Go\n    On.\n    *ending\n  #Stay\n    *ending",
        draft__txt="*nonsense\n*goto nowhere\n",
    )
    done = CliRunner().invoke(app, [NAME, "--env-option", f"game={game}"])
    assert done.exit_code == 1
    failed = [line for line in done.output.splitlines() if line.startswith("FAIL")]
    assert [line[:31] for line in failed] == [
        "FAIL  scene 'draft', line 1: un",
        "FAIL  scene 'draft', line 2: un",
    ]
