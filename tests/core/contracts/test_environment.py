"""ValueEnv: Gymnasium's five values, wrong actions, walks over situations, seeds, snapshots,
rendering, vectors.
"""

import json

import gymnasium
import msgspec
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import valueagents  # noqa: F401 – registers the envs with Gymnasium
from valueagents.contracts.decision import Annotation, Event, Factor, Option
from valueagents.contracts.environment import MAX_INVALID_IN_A_ROW, Turn, ValueEnv
from valueagents.contracts.plugins import make_env
from valueagents.contracts.text_space import TextSpace
from valueagents.errors import ConfigError, EnvError
from valueagents.taxonomy import load_taxonomy

DILEMMA = "valueagents/Dilemma-v0"
ITEMS = ("fox", "owl", "hare", "newt", "wren")


class Walk(ValueEnv):
    """Steps along a path of random pebbles; a path ends at five, is left unfinished at minus
    three.
    """

    taxonomy = load_taxonomy("stereotype")
    task = "Walk."
    version = "1"

    def __init__(self, *, items: tuple[str, ...] = ITEMS, render_mode: str | None = None) -> None:
        self.items = items
        self.place = 0
        super().__init__(max_menu=4, render_mode=render_mode)

    def situations(self) -> tuple[str, ...]:
        return self.items

    def start(self, situation: str | None) -> Turn:
        self.place = 0
        return self.look(situation=situation, cluster=situation and situation[0])

    def advance(self, option: Option) -> Turn:
        way = {"on": 1, "back": -1}[option.id]
        self.place += way
        over = {"terminated": self.place >= 5, "truncated": self.place <= -3}
        return self.look(reward=float(way), events=(Event("pro", way, "path"),), **over)

    def look(self, **fields) -> Turn:
        menu = (Option("on", f"Step on to {self.place + 1}."), Option("back", "Step back."))
        annotation = Annotation(self.taxonomy.name, ({"pro": 1.0}, {"anti": 1.0}), "nobody", "sign")
        return Turn(
            f"At {self.place}: pebble {self.np_random.integers(10**9)}.", menu, annotation, **fields
        )

    def save_state(self) -> bytes:
        return str(self.place).encode()

    def load_state(self, state: bytes) -> None:
        self.place = int(state)


def transcript(env: ValueEnv, actions: list[int], *, seed: int | None) -> list[object]:
    text, info = env.reset(seed=seed)
    seen: list[object] = [(text, info["situation"])]
    for action in actions:
        text, reward, terminated, truncated, info = env.step(action)
        seen.append((text, reward, terminated, truncated, info["menu"], info["events"]))
        if terminated or truncated:
            break
    return seen


def test_reset_shows_the_first_turn_and_its_info():
    env = Walk()
    text, info = env.reset(seed=1, options={"situation": "owl"})
    assert text.startswith("At 0: pebble ")
    assert info["menu"] == (Option("on", "Step on to 1."), Option("back", "Step back."))
    assert info["annotation"].values == ({"pro": 1.0}, {"anti": 1.0})
    assert (info["situation"], info["cluster"], info["invalid"], info["events"]) == (
        "owl",
        "o",
        None,
        (),
    )


class Labelled(Walk):
    """Says with each menu how far it is, and at the start which animal was met."""

    factors = (Factor("place", "How far along the path."), Factor("animal", "Who was met.", ITEMS))

    def look(self, **fields):
        met = fields.get("situation")
        levels = {"place": str(self.place)} | ({} if met is None else {"animal": met})
        return super().look(factors=levels, **fields)


def test_info_has_the_levels_of_the_menu_that_it_shows_a_refused_step_included():
    env = Labelled()
    assert env.reset(seed=1, options={"situation": "owl"})[1]["factors"] == {
        "place": "0",
        "animal": "owl",
    }
    assert env.step(0)[4]["factors"] == {"place": "1"}
    assert env.step(None)[4]["factors"] == {"place": "1"}
    assert env.step(1)[4]["factors"] == {"place": "0"}


def test_an_env_that_declares_no_factors_has_none():
    assert (Walk().factors, Walk().reset(seed=1)[1]["factors"]) == ((), {})


def test_what_a_user_does_with_the_factors_of_an_info_changes_no_other():
    env = Labelled()
    _, info = env.reset(seed=1)
    info["factors"]["place"] = "elsewhere"
    assert env.step(None)[4]["factors"]["place"] == "0"


def test_a_snapshot_keeps_the_levels_of_its_menu():
    env, other = Labelled(), Labelled()
    env.reset(seed=1)
    env.step(0)
    other.restore(env.snapshot())
    assert other.step(None)[4]["factors"] == {"place": "1"}


def test_the_mask_has_the_fixed_width_of_the_action_space_and_a_one_for_each_option():
    _, info = Walk().reset(seed=1)
    np.testing.assert_array_equal(info["action_mask"], [1, 1, 0, 0])
    assert info["action_mask"].dtype == np.int8


def test_step_gives_five_values_and_the_events_of_that_step():
    env = Walk()
    env.reset(seed=1)
    text, reward, terminated, truncated, info = env.step(1)
    assert text.startswith("At -1")
    assert (reward, terminated, truncated) == (-1.0, False, False)
    assert info["events"] == (Event("pro", -1, "path"),)


@pytest.mark.parametrize(
    ("action", "steps", "ending"), [(0, 5, (True, False)), (1, 3, (False, True))]
)
def test_the_last_step_ends_the_episode_with_its_own_reward_and_events(action, steps, ending):
    env = Walk()
    env.reset(seed=1)
    results = [env.step(action) for _ in range(steps)]
    assert [result[2:4] for result in results] == [(False, False)] * (steps - 1) + [ending]
    assert len(results[-1][4]["events"]) == 1


@pytest.mark.parametrize("action", [0, np.int64(0), np.int8(0), np.uint16(0)])
def test_an_index_is_any_integer(action):
    env = Walk()
    env.reset(seed=1)
    assert env.step(action)[4]["invalid"] is None


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (None, "no option was chosen"),
        (2, "option 2 is not on the menu of 2"),
        (-1, "option -1 is not on the menu of 2"),
        (10**30, "is not on the menu of 2"),
        (True, "index into the menu, not True"),
        (0.0, "index into the menu, not 0.0"),
        (float("nan"), "not nan"),
        ("on", "not 'on'"),
        ("x" * 1000, "not 'xxx"),
        ([0], r"not \[0\]"),
        (Option("on", "Step on."), "index into the menu"),
    ],
)
def test_a_wrong_action_is_refused_with_its_reason_and_moves_nothing(action, reason):
    env = Walk()
    text, before = env.reset(seed=1)
    state = env.save_state()
    again, reward, terminated, truncated, info = env.step(action)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(info["invalid"])
    assert len(info["invalid"]) < 200
    assert (again, reward, terminated, truncated) == (text, 0.0, False, False)
    assert (info["menu"], info["annotation"]) == (before["menu"], before["annotation"])
    assert env.save_state() == state


def test_a_wrong_action_does_not_repeat_the_reward_and_events_of_the_step_before():
    env = Walk()
    env.reset(seed=1)
    env.step(0)
    _, reward, _, _, info = env.step(None)
    assert (reward, info["events"]) == (0.0, ())


def test_three_wrong_actions_in_a_row_truncate_and_a_right_one_between_starts_the_count_again():
    env = Walk()
    env.reset(seed=1)
    ends = [env.step(action)[3] for action in [None, 9, 0, None, 9, 0, "x", -1, None]]
    assert ends == [False] * 8 + [True]
    assert MAX_INVALID_IN_A_ROW == 3


def test_wrong_actions_are_counted_anew_in_every_episode():
    env = Walk()
    for _ in range(3):
        env.reset(seed=1)
        assert [env.step(None)[3] for _ in range(2)] == [False, False]


def test_wrong_actions_use_no_randomness():
    plain, stumbling = Walk(), Walk()
    plain.reset(seed=3)
    stumbling.reset(seed=3)
    stumbling.step(None)
    assert plain.step(0)[0] == stumbling.step(0)[0]


@pytest.mark.parametrize("end", ["before reset", "terminated", "truncated", "three wrong"])
def test_a_step_without_a_running_episode_is_an_env_error(end):
    env = Walk()
    if end != "before reset":
        env.reset(seed=1)
        actions = {"terminated": [0] * 5, "truncated": [1] * 3, "three wrong": [None] * 3}[end]
        for action in actions:
            env.step(action)
    with pytest.raises(EnvError, match=r"call reset\(\) first"):
        env.step(0)


def test_an_episode_that_is_over_at_its_start_takes_no_step():
    class Over(Walk):
        def start(self, situation):
            return Turn("Too late.", terminated=True)

    env = Over()
    env.reset(seed=1)
    with pytest.raises(EnvError, match="reset"):
        env.step(0)


@given(st.lists(st.integers(-1, 2), max_size=12), st.integers(0, 2**64))
@settings(max_examples=25, deadline=None)
def test_the_same_seed_and_actions_give_the_same_transcript(actions, seed):
    assert transcript(Walk(), actions, seed=seed) == transcript(Walk(), actions, seed=seed)


def test_another_seed_gives_another_transcript():
    assert transcript(Walk(), [0, 0], seed=1) != transcript(Walk(), [0, 0], seed=2)


def test_a_negative_seed_is_refused_and_not_ignored():
    with pytest.raises(Exception, match="Seed must be"):
        Walk().reset(seed=-1)


def test_resets_walk_every_situation_once_then_again_in_another_order():
    env = Walk()
    walk = [env.reset(seed=8 if i == 0 else None)[1]["situation"] for i in range(15)]
    rounds = [walk[0:5], walk[5:10], walk[10:15]]
    assert all(sorted(part) == sorted(ITEMS) for part in rounds)
    assert len({tuple(part) for part in rounds}) > 1


def test_a_seed_starts_the_walk_anew_and_decides_it():
    def walk(seed: int) -> list[str]:
        env = Walk()
        return [env.reset(seed=seed if i == 0 else None)[1]["situation"] for i in range(5)]

    assert walk(3) == walk(3)
    assert len({tuple(walk(seed)) for seed in range(8)}) > 4
    env = Walk()
    env.reset(seed=99)
    env.reset()
    assert env.reset(seed=3)[1]["situation"] == walk(3)[0]


def test_a_chosen_situation_does_not_use_up_the_walk():
    env = Walk()
    walk = [env.reset(seed=8)[1]["situation"]]
    env.reset(options={"situation": "fox"})
    walk += [env.reset()[1]["situation"] for _ in range(4)]
    assert sorted(walk) == sorted(ITEMS)


def test_one_situation_is_met_again_and_again_and_none_is_none():
    alone, none = Walk(items=("fox",)), Walk(items=())
    assert [alone.reset(seed=1)[1]["situation"], alone.reset()[1]["situation"]] == ["fox", "fox"]
    assert none.reset(seed=1)[1]["situation"] is None


def test_an_unknown_situation_or_reset_option_is_answered_with_the_nearest():
    with pytest.raises(
        ConfigError, match=r"unknown situation 'foxx'\. Did you mean 'fox'\? See env\.situations"
    ):
        Walk().reset(options={"situation": "foxx"})
    with pytest.raises(
        ConfigError, match=r"unknown reset option 'situatoin'\. Did you mean 'situation'"
    ):
        Walk().reset(options={"situatoin": "fox"})
    with pytest.raises(ConfigError, match="unknown situation 'None'"):
        Walk(items=()).reset(options={"situation": None})


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_snapshot_brings_back_state_turn_generator_and_walk(steps):
    env = Walk()
    env.reset(seed=5)
    for _ in range(steps):
        env.step(0)
    state = env.snapshot()
    future = [env.step(0)[0], env.step(1)[0], env.reset()[0], env.reset()[1]["situation"]]
    other = Walk()
    other.reset(seed=77)
    for back in (env, other):
        back.restore(state)
        assert [
            back.step(0)[0],
            back.step(1)[0],
            back.reset()[0],
            back.reset()[1]["situation"],
        ] == future


def test_a_snapshot_keeps_the_count_of_wrong_actions():
    env = Walk()
    env.reset(seed=5)
    env.step(None)
    env.step(None)
    state = env.snapshot()
    env.step(0)
    env.restore(state)
    assert env.step(None)[3] is True


def test_a_snapshot_of_an_ended_episode_stays_ended_and_can_be_restored_to_a_running_one():
    env = Walk()
    env.reset(seed=5)
    running = env.snapshot()
    for _ in range(5):
        env.step(0)
    ended = env.snapshot()
    env.restore(running)
    env.step(0)
    env.restore(ended)
    with pytest.raises(EnvError, match="reset"):
        env.step(0)


def test_a_snapshot_before_any_reset_can_be_restored():
    env = Walk()
    state = env.snapshot()
    env.reset(seed=1)
    env.restore(state)
    with pytest.raises(EnvError, match="reset"):
        env.step(0)


@pytest.mark.parametrize("junk", [b"", b"\x00", b"junk", b"\x90", None])
def test_what_is_no_snapshot_is_an_env_error_that_leaves_the_env_alone(junk):
    env = Walk()
    env.reset(seed=5)
    env.step(0)
    junk = env.snapshot()[:-3] if junk is None else junk
    with pytest.raises(EnvError, match="not a snapshot of Walk"):
        env.restore(junk)
    assert env.step(0)[0].startswith("At 2")


def test_a_snapshot_with_a_damaged_generator_is_an_env_error():
    env = Walk()
    env.reset(seed=5)
    fields = msgspec.msgpack.decode(env.snapshot())
    with pytest.raises(EnvError, match="not a snapshot of Walk"):
        env.restore(msgspec.msgpack.encode({**fields, "random_state": "{'bit_generator': "}))


def test_a_snapshot_of_another_kind_of_env_is_an_env_error():
    env, dilemmas = Walk(), make_env(DILEMMA)
    env.reset(seed=5)
    dilemmas.reset(seed=5)
    with pytest.raises(EnvError, match=r"snapshot of .*Walk"):
        env.restore(dilemmas.snapshot())


def test_an_env_that_cannot_save_says_so():
    class Fleeting(Walk):
        save_state, load_state = ValueEnv.save_state, ValueEnv.load_state

    env = Fleeting()
    env.reset(seed=1)
    assert (env.can_snapshot, Walk().can_snapshot) == (False, True)
    with pytest.raises(NotImplementedError, match="Fleeting cannot save its state"):
        env.snapshot()
    with pytest.raises(NotImplementedError, match="Fleeting cannot restore a state"):
        env.load_state(b"")


def test_render_shows_the_text_and_its_numbered_menu():
    env = Walk(render_mode="ansi")
    assert env.render() is None
    text, _ = env.reset(seed=1)
    assert env.render() == f"{text}\n0. Step on to 1.\n1. Step back."
    silent = Walk()
    silent.reset(seed=1)
    assert silent.render() is None


@pytest.mark.parametrize("text", ["", "one\ntwo", "Zoë 🦊", "\x00", "\ud800"])
def test_a_text_space_holds_any_string(text):
    assert text in TextSpace()


@pytest.mark.parametrize("thing", [None, 1, b"bytes", ["a"], np.zeros(2)])
def test_a_text_space_holds_nothing_but_strings(thing):
    assert thing not in TextSpace()


def test_text_spaces_are_equal_hash_alike_and_sample_by_seed():
    one, other = TextSpace(), TextSpace()
    assert one == other
    assert hash(one) == hash(other)
    assert one != gymnasium.spaces.Discrete(2)
    one.seed(4)
    other.seed(4)
    assert one.sample() == other.sample()
    assert one.sample() != one.sample()
    assert not one.is_np_flattenable


def test_gymnasium_makes_the_dilemmas_by_their_name():
    env = gymnasium.make(DILEMMA, setting="home")
    assert isinstance(env.unwrapped, ValueEnv)
    _, info = env.reset(seed=1)
    assert info["situation"].startswith("home-")
    assert env.step(0)[2] is True


def test_gymnasiums_check_passes_on_the_dilemmas():
    from gymnasium.utils.env_checker import check_env

    check_env(gymnasium.make(DILEMMA).unwrapped)
    check_env(gymnasium.make(DILEMMA, render_mode="ansi").unwrapped)


def vector_transcript(vector: gymnasium.vector.VectorEnv) -> list[object]:
    try:
        observations, info = vector.reset(seed=[3, 4])
        seen: list[object] = [
            list(observations),
            list(info["menu"]),
            list(info["annotation"]),
            list(info["situation"]),
        ]
        for actions in ([0, 1], [1, 0], [0, 0]):
            observations, rewards, terminated, truncated, info = vector.step(np.array(actions))
            seen.append(
                [
                    list(observations),
                    list(rewards),
                    list(terminated),
                    list(truncated),
                    list(info["menu"]),
                ]
            )
    finally:
        vector.close()
    return seen


def test_dilemmas_in_one_process_and_in_several_tell_the_same():
    def make() -> gymnasium.Env:
        return gymnasium.make(DILEMMA)

    together = vector_transcript(SyncVectorEnv([make, make]))
    apart = vector_transcript(AsyncVectorEnv([make, make], shared_memory=False))
    assert together == apart


def test_a_vector_shows_what_a_single_env_with_that_seed_shows():
    seen = vector_transcript(SyncVectorEnv([lambda: make_env(DILEMMA), lambda: make_env(DILEMMA)]))
    for k, seed in enumerate([3, 4]):
        text, info = make_env(DILEMMA).reset(seed=seed)
        assert [part[k] for part in seen[:4]] == [
            text,
            info["menu"],
            info["annotation"],
            info["situation"],
        ]


def test_info_is_json_like_but_for_its_mask():
    _, info = Walk().reset(seed=1)
    info.pop("action_mask")
    assert json.loads(msgspec.json.encode(info))["annotation"]["provenance"] == "nobody"
