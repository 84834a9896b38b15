"""`check_value_env` passes a small honest story, and each way of breaking it fails the one check
that it breaks.
"""

import itertools
import json
from collections.abc import Callable

import gymnasium
import msgspec
import numpy as np
import pytest

from valueagents.contracts.conformance import check_other_process, check_value_env, transcript_hash
from valueagents.contracts.decision import Annotation, Covariate, Event, Factor, Option
from valueagents.contracts.environment import Turn, ValueEnv
from valueagents.taxonomy import load_taxonomy

(
    GYMNASIUM,
    VECTOR,
    MENUS,
    ANNOTATIONS,
    FACTORS,
    INVALID,
    SAME_SEED,
    SITUATIONS,
    SNAPSHOTS,
    TRYING,
) = [
    "gymnasium's own check_env passes",
    "two envs in a SyncVectorEnv step together",
    "menus have unique ids and texts and fit the action space",
    "annotations fit the menu and the taxonomy and survive JSON",
    "factors are declared once, and a menu has no other factor or level",
    "a wrong action is refused, moves nothing, and the third in a row truncates",
    "same seed, same actions: same transcript",
    "situations are unique, and a walk meets each once",
    "restoring a snapshot gives the same future",
    "trying options moves nothing, draws nothing, and says the same of the same state",
]

DOORS = {  # room -> id and text of each way out, the room it leads to, what it does to the axes
    "hall": [
        ("down", "Take the stairs down.", "cellar", {"bad_self": -0.5}),
        ("out", "Step outside.", "garden", {"good_self": 1.0}),
    ],
    "cellar": [
        ("up", "Climb back up.", "hall", {"good_self": 0.5}),
        (
            "help",
            "Lift the beam off the stranger.",
            "garden",
            {"good_others": 1.0, "bad_self": None},
        ),
        (
            "rob",
            "Take the stranger's purse and run.",
            "garden",
            {"bad_others": -1.0, "good_self": 1.0},
        ),
    ],
    "garden": [
        ("rest", "Sit down under the pear tree.", "end", {}),
        ("in", "Go back in.", "hall", {}),
    ],
}


class Story(ValueEnv):
    """Four rooms, a candle that burns down by chance, coins that are counted; two beginnings."""

    taxonomy = load_taxonomy("jiminy")
    task = "You are a guest in an old house."
    version = "1"

    def __init__(self, *, max_menu: int = 3, render_mode: str | None = None) -> None:
        super().__init__(max_menu=max_menu, render_mode=render_mode)
        self.room, self.candle, self.coins = "hall", 9, 0

    def situations(self) -> tuple[str, ...]:
        return ("calm", "storm", "snow")

    def start(self, situation: str | None) -> Turn:
        self.room, self.candle, self.coins = "hall", 9, 0
        return self.look(
            f"Outside: {situation}. Draughts: {self.np_random.integers(100)}.", situation=situation
        )

    def advance(self, option: Option) -> Turn:
        self.room = next(to for name, _, to, _ in DOORS[self.room] if name == option.id)
        self.candle -= int(self.np_random.integers(1, 3))
        earned = 5 if option.id == "rob" else 0
        self.coins += earned
        events = (Event("bad_others", 1.0, "purse"),) if earned else ()
        if self.room == "end" or self.candle <= 0:
            return Turn(
                f"It ends with {self.coins} coins.",
                reward=self.coins,
                events=events,
                terminated=True,
            )
        return self.look(f"Candle: {self.candle}.", reward=self.coins, events=events)

    def look(self, text: str, **fields) -> Turn:
        doors = DOORS[self.room]
        values = tuple(value for *_, value in doors)
        annotation = Annotation(self.taxonomy.name, values, "by the storyteller", "by hand")
        return Turn(
            f"{self.room}. {text}", tuple(Option(i, t) for i, t, *_ in doors), annotation, **fields
        )

    def save_state(self) -> bytes:
        return json.dumps([self.room, self.candle, self.coins]).encode()

    def load_state(self, state: bytes) -> None:
        self.room, self.candle, self.coins = json.loads(state)


def broken(make: Callable[[], ValueEnv]) -> dict[str, str]:
    return {
        check.promise: check.problem for check in check_value_env(make) if check.problem is not None
    }


def test_an_honest_story_passes_every_check():
    checks = check_value_env(Story)
    assert [check.promise for check in checks] == [
        GYMNASIUM, VECTOR, MENUS, ANNOTATIONS, FACTORS, INVALID, SAME_SEED, SITUATIONS, SNAPSHOTS, TRYING,
    ]  # fmt: skip
    assert [check.problem for check in checks] == [None] * 10


def test_a_story_without_snapshots_or_situations_passes_too():
    class Plain(Story):
        save_state = ValueEnv.save_state

        def situations(self):
            return ()

    assert broken(Plain) == {}


class StockSpace(Story):
    def __init__(self):
        super().__init__()
        self.observation_space = gymnasium.spaces.Text(20)


def test_an_observation_outside_its_space_fails_gymnasiums_check():
    assert list(broken(StockSpace)) == [GYMNASIUM]


def test_envs_of_different_spaces_fail_the_vector_check():
    class Sized(Story):
        save_state = ValueEnv.save_state

    sizes = itertools.count(3)
    assert list(broken(lambda: Sized(max_menu=next(sizes)))) == [VECTOR]


class TwinTexts(Story):
    def look(self, text, **fields):
        turn = super().look(text, **fields)
        if self.room != "cellar":
            return turn
        menu = (*turn.menu[:2], Option("rob", turn.menu[1].text))
        return Turn(turn.text, menu, turn.annotation, **fields)


class TwinIds(Story):
    def look(self, text, **fields):
        turn = super().look(text, **fields)
        menu = (turn.menu[0], *(Option(turn.menu[0].id, o.text) for o in turn.menu[1:]))
        return Turn(turn.text, menu, turn.annotation, **fields)


class BlankText(Story):
    def look(self, text, **fields):
        turn = super().look(text, **fields)
        return Turn(
            turn.text,
            (turn.menu[0], Option(turn.menu[1].id, " \n"), *turn.menu[2:]),
            turn.annotation,
            **fields,
        )


class DeadEnd(Story):
    def look(self, text, **fields):
        turn = super().look(text, **fields)
        return Turn(turn.text, (), None, **fields) if self.room == "garden" else turn

    situations = ValueEnv.situations
    save_state = ValueEnv.save_state


def test_a_menu_that_repeats_a_text_in_a_later_room_fails_by_that_text():
    problems = broken(TwinTexts)
    assert list(problems) == [MENUS]
    assert "option texts repeat" in problems[MENUS]
    assert "Lift the beam" in problems[MENUS]


def test_a_question_that_no_prompt_puts_fails_by_its_name():
    class Shouting(Story):
        asks = "shout"

    problems = broken(Shouting)
    assert list(problems) == [MENUS]
    assert "asks is 'shout', not one of choose, rate, judge" in problems[MENUS]


def test_a_menu_that_repeats_an_id_fails():
    problems = broken(TwinIds)
    assert list(problems) == [MENUS]
    assert "option ids repeat: ['down', 'down']" in problems[MENUS]


def test_an_option_without_words_fails():
    assert broken(BlankText) == {MENUS: "AssertionError: an option has no text"}


def test_a_room_without_a_way_out_fails():
    problems = broken(DeadEnd)
    assert list(problems) == [MENUS]
    assert "a menu of 0 in an action space of 3" in problems[MENUS]


def test_a_menu_larger_than_the_action_space_fails():
    problems = broken(lambda: Story(max_menu=2))
    assert problems[MENUS] == "AssertionError: a menu of 3 in an action space of 2"


def annotated(change: Callable[[Story, tuple], tuple]) -> type[Story]:
    class Annotated(Story):
        def look(self, text, **fields):
            turn = super().look(text, **fields)
            values = change(self, turn.annotation.values)
            annotation = Annotation(self.taxonomy.name, values, "by the storyteller", "by hand")
            return Turn(turn.text, turn.menu, annotation, **fields)

    return Annotated


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda env, values: values[:-1], "annotation of 1 options on a menu of 2"),
        (lambda env, values: ({"bad_self": 2.0}, *values[1:]), "is 2.0, outside"),
        (lambda env, values: ({"bad_selv": 1.0}, *values[1:]), "Did you mean 'bad_self'"),
    ],
    ids=["one short", "two", "foreign axis"],
)
def test_an_annotation_that_does_not_fit_fails(change, words):
    problems = broken(annotated(change))
    assert list(problems) == [ANNOTATIONS]
    assert words in problems[ANNOTATIONS]


def test_nan_in_an_annotation_is_not_taken_for_not_annotated():
    assert ANNOTATIONS in broken(
        annotated(lambda env, values: ({"bad_self": float("nan")}, *values[1:]))
    )


def test_an_annotation_that_does_not_fit_in_a_later_room_fails_too():
    later = annotated(lambda env, values: values[:-1] if env.room == "garden" else values)
    assert list(broken(later)) == [ANNOTATIONS]


def test_an_annotation_on_another_taxonomy_fails():
    class Foreign(Story):
        def look(self, text, **fields):
            turn = super().look(text, **fields)
            annotation = Annotation(
                "gert10/1", ({},) * len(turn.menu), "by the storyteller", "by hand"
            )
            return Turn(turn.text, turn.menu, annotation, **fields)

    problems = broken(Foreign)
    assert list(problems) == [ANNOTATIONS]
    assert "on taxonomy 'gert10/1', not on 'jiminy/1'" in problems[ANNOTATIONS]


ROOM = Factor("room", "Where the guest is.", ("hall", "cellar", "garden"))
GUEST = Factor("guest", "Who it is.")


def factored(*declared: Factor, levels: Callable[[Story], dict]) -> type[Story]:
    class Factored(Story):
        factors = declared

        def look(self, text, **fields):
            return super().look(text, factors=levels(self), **fields)

    return Factored


COINS = Covariate("coins", "What the option earns.", "coins", 0)


@pytest.mark.parametrize(
    ("declared", "numbers", "words"),
    [
        ((COINS,), lambda menu: {"coins": (5.0, *[None] * (len(menu) - 1))}, None),
        ((), lambda menu: {"coins": (0,) * len(menu)}, "unknown covariate 'coins'"),
        ((COINS,), lambda menu: {"coins": (1,)}, "has 1 numbers for a menu of"),
        ((COINS,), lambda menu: {"coins": (-1,) * len(menu)}, "it lies between 0 and inf"),
        ((COINS, COINS), lambda menu: {}, "covariate 'coins' is declared 2 times"),
    ],
)
def test_covariates_are_declared_and_every_option_has_a_number_in_range_or_none(
    declared, numbers, words
):
    class Counted(Story):
        covariates = declared

        def look(self, text, **fields):
            turn = super().look(text, **fields)
            annotation = msgspec.structs.replace(turn.annotation, covariates=numbers(turn.menu))
            return msgspec.structs.replace(turn, annotation=annotation)

    problems = broken(Counted)
    if words is None:
        assert problems == {}
    else:
        assert list(problems) == ["annotations fit the menu and the taxonomy and survive JSON"]
        assert words in next(iter(problems.values()))


def test_a_story_that_declares_its_factors_passes_every_check_snapshots_included():
    assert (
        broken(factored(ROOM, GUEST, levels=lambda env: {"room": env.room, "guest": "Zoë"})) == {}
    )
    assert (
        broken(
            factored(
                ROOM, GUEST, levels=lambda env: {"room": env.room} if env.room == "hall" else {}
            )
        )
        == {}
    )


@pytest.mark.parametrize(
    ("declared", "levels", "words"),
    [
        (
            (),
            lambda env: {"room": env.room},
            "unknown factor 'room'. Its level is 'hall'; declare the factor, or leave",
        ),
        ((GUEST,), lambda env: {"guess": "Zoë"}, "unknown factor 'guess'. Did you mean 'guest'"),
        (
            (ROOM,),
            lambda env: {"room": env.room + "s"},
            "unknown level of factor 'room' 'halls'. Did you mean 'hall'",
        ),
        ((ROOM, ROOM), lambda env: {}, "factor 'room' is declared 2 times"),
        ((Factor(" ", "Nothing."),), lambda env: {}, "lacks a name or a meaning"),
        ((Factor("room", ""),), lambda env: {}, "factor 'room' lacks a name or a meaning"),
        ((Factor("room", "Where.", ("a", "b", "a")),), lambda env: {}, "lists its level 'a' twice"),
    ],
)
def test_a_factor_or_level_that_is_not_declared_as_it_should_be_fails(declared, levels, words):
    problems = broken(factored(*declared, levels=levels))
    assert list(problems) == [FACTORS]
    assert words in problems[FACTORS]


def test_a_level_that_is_not_declared_in_a_later_room_fails_too():
    hall_only = Factor("room", "Where the guest is.", ("hall", "cellar"))
    assert list(broken(factored(hall_only, levels=lambda env: {"room": env.room}))) == [FACTORS]


def test_a_level_that_is_no_text_fails():
    assert (
        "levels are texts, not {'guest': 3}"
        in broken(factored(GUEST, levels=lambda env: {"guest": 3}))[FACTORS]
    )


def test_factors_that_depend_on_more_than_the_seed_fail():
    number = itertools.count()
    moody = factored(GUEST, levels=lambda env: {"guest": str(next(number))})
    assert SAME_SEED in broken(moody)


class Clamping(Story):
    def step(self, action):
        known = isinstance(action, int | np.integer) and 0 <= action < len(self._turn.menu)
        return super().step(action if known else 0)


class Patient(Story):
    def step(self, action):
        text, reward, terminated, truncated, info = super().step(action)
        if info["invalid"]:
            self._over = truncated = False
        return text, reward, terminated, truncated, info


class Scolding(Story):
    def step(self, action):
        text, reward, terminated, truncated, info = super().step(action)
        return f"No! {text}" if info["invalid"] else text, reward, terminated, truncated, info


class Punishing(Story):
    def step(self, action):
        text, reward, terminated, truncated, info = super().step(action)
        return text, -1.0 if info["invalid"] else reward, terminated, truncated, info


class Raising(Story):
    def step(self, action):
        if not isinstance(action, int | np.integer):
            raise TypeError("an action is a number")
        return super().step(action)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (Clamping, "step(None) was accepted"),
        (Patient, "after 3 wrong actions truncated is False"),
        (Scolding, "step(None) moved the env"),
        (Punishing, "step(None) ended or rewarded the episode"),
        (Raising, "an action is a number"),
    ],
)
def test_a_wrong_action_that_is_not_refused_in_the_agreed_way_fails(env, words):
    problems = broken(env)
    assert list(problems) == [INVALID]
    assert words in problems[INVALID]


def test_two_envs_that_tell_different_stories_fail():
    number = itertools.count()

    class Moody(Story):
        save_state = ValueEnv.save_state

        def __init__(self):
            super().__init__()
            self.mood = next(number)

        def advance(self, option):
            turn = super().advance(option)
            return Turn(
                f"{turn.text} Mood: {self.mood}.",
                turn.menu,
                turn.annotation,
                terminated=turn.terminated,
            )

    problems = broken(Moody)
    assert list(problems) == [SAME_SEED]
    assert "two envs tell different stories" in problems[SAME_SEED]


class RepeatedSituation(Story):
    def situations(self):
        return ("calm", "storm", "calm")


class WrongSituation(Story):
    def start(self, situation):
        turn = super().start(situation)
        return Turn(turn.text, turn.menu, turn.annotation, situation="calm")


class UnlistedSituation(Story):
    def start(self, situation):
        turn = super().start(situation)
        return Turn(turn.text, turn.menu, turn.annotation, situation=f"{situation}!")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (RepeatedSituation, "situation ids repeat"),
        (WrongSituation, "a walk met a situation twice"),
        (UnlistedSituation, "not listed"),
    ],
)
def test_situations_that_are_not_what_they_are_called_fail(env, words):
    problems = broken(env)
    assert list(problems) == [SITUATIONS]
    assert words in problems[SITUATIONS]


class ForgetsCandle(Story):
    def load_state(self, state):
        self.room, _, self.coins = json.loads(state)


class ForgetsToSave(Story):
    def save_state(self):
        return b""

    def load_state(self, state):
        pass


class OwnDice(Story):
    """A generator that the seed reaches and a snapshot does not."""

    def reset(self, *, seed=None, options=None):
        if seed is not None or not hasattr(self, "dice"):
            self.dice = np.random.default_rng(seed)
        return super().reset(seed=seed, options=options)

    def advance(self, option):
        turn = super().advance(option)
        thrown = self.dice.integers(10**9)
        return Turn(f"{turn.text} {thrown}", turn.menu, turn.annotation, terminated=turn.terminated)


class StartsOver(Story):
    """Restoring goes back to the start of the episode, whenever the snapshot was taken."""

    def load_state(self, state):
        self.room, self.candle, self.coins = "hall", 9, 0


class CountsOn(Story):
    """Snapshots leave out what only the reward shows."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def start(self, situation):
        self.steps = 0
        return super().start(situation)

    def advance(self, option):
        self.steps += 1
        turn = super().advance(option)
        return Turn(
            turn.text, turn.menu, turn.annotation, reward=self.steps, terminated=turn.terminated
        )


class Tried(Story):
    """The same story, its menus annotated by trying."""

    annotate_by_trying = True

    def look(self, text, **fields):
        turn = super().look(text, **fields)
        return Turn(turn.text, turn.menu, **fields)


class CountsTries(Tried):
    """Counts beside its state how often it was moved, and says so."""

    moved = 0

    def advance(self, option):
        self.moved += 1
        turn = super().advance(option)
        return Turn(
            f"{turn.text} {self.moved}", turn.menu, events=turn.events, terminated=turn.terminated
        )


class ThoughtfulTries(Tried):
    """Draws for each try from a generator that no state decides."""

    def reseed(self, state_key, number):
        super().reseed(str(id(self)), number)

    def advance(self, option):
        turn = super().advance(option)
        events = (Event("good_self", float(self.np_random.random()), "luck"),)
        return Turn(turn.text, turn.menu, events=events, terminated=turn.terminated)


class SwapsGenerators(Tried):
    """Every step has a generator of its own and leaves it as often drawn from as the story was
    moved.
    """

    moved = 0

    def advance(self, option):
        self.moved += 1
        self.np_random = np.random.default_rng(7)
        turn = super().advance(option)
        self.np_random.random(self.moved)
        return turn


def test_a_story_whose_tries_leave_another_generator_behind_fails():
    assert (
        "trying options drew from the generator of the real steps"
        in broken(SwapsGenerators)[TRYING]
    )


def test_a_story_whose_options_are_tried_passes_every_check():
    assert broken(Tried) == {}


def test_a_story_that_tries_change_fails():
    problems = broken(CountsTries)
    assert (
        "an episode whose options are tried goes another way; save all that moves"
        in problems[TRYING]
    )


def test_a_story_whose_tries_depend_on_more_than_the_state_fails():
    assert "the same state is annotated in two ways" in broken(ThoughtfulTries)[TRYING]


def test_a_story_whose_tries_cannot_be_taken_fails_with_the_option_that_could_not():
    class Stuck(Tried):
        def advance(self, option):
            return super().advance(
                Option("up", "Climb the wall.") if option.id == "out" else option
            )

    assert "Stuck, option 'out': StopIteration" in broken(Stuck)[TRYING]


@pytest.mark.parametrize("env", [ForgetsCandle, ForgetsToSave, OwnDice, StartsOver, CountsOn])
def test_a_snapshot_that_leaves_something_out_fails(env):
    assert list(broken(env)) == [SNAPSHOTS]


def test_nothing_that_an_env_raises_escapes_the_check_and_each_problem_is_one_line():
    class Unfinished(Story):
        def start(self, situation):
            raise NotImplementedError("no start\nyet")

    problems = broken(Unfinished)
    assert set(problems) == {
        GYMNASIUM,
        VECTOR,
        MENUS,
        ANNOTATIONS,
        FACTORS,
        INVALID,
        SAME_SEED,
        SITUATIONS,
        SNAPSHOTS,
    }
    assert problems[MENUS] == "NotImplementedError: no start"


def test_a_transcript_hash_depends_on_the_seed_and_on_every_word():
    class OtherWord(Story):
        def look(self, text, **fields):
            return super().look(text.replace("Candle", "Kerze"), **fields)

    assert transcript_hash(Story(), seed=1) == transcript_hash(Story(), seed=1)
    assert (
        len(
            {transcript_hash(Story(), seed=s) for s in range(5)}
            | {transcript_hash(OtherWord(), seed=1)}
        )
        == 6
    )


HASHED = """
from valueagents.contracts.decision import Option
from valueagents.contracts.environment import Turn, ValueEnv
from valueagents.taxonomy import load_taxonomy

class HashEnv(ValueEnv):
    taxonomy, task, version = load_taxonomy("jiminy"), "Wait.", "1"
    def __init__(self, *, honest: bool = False):
        super().__init__(max_menu=1)
        self.honest = honest
    def start(self, situation):
        order = sorted if self.honest else list
        return Turn("".join(order({"a", "b", "c", "d", "e", "f", "g", "h"})), (Option("x", "Go."),))
    def advance(self, option):
        return Turn("", terminated=True)
"""


@pytest.fixture
def hash_env(tmp_path, monkeypatch):
    """An env that lets the order of a set through, installed for this and other processes."""
    (tmp_path / "hash_env_of_a_test.py").write_text(HASHED)
    dist = tmp_path / "hash_env_of_a_test-0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: hash-env-of-a-test\nVersion: 0\n")
    (dist / "entry_points.txt").write_text(
        "[valueagents.envs]\ntest/Hash-v0 = hash_env_of_a_test:HashEnv\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "test/Hash-v0"


def test_another_process_with_another_hash_seed_finds_what_depends_on_the_process(hash_env):
    problem = check_other_process(hash_env, {}).problem
    assert problem is not None
    assert "transcripts differ" in problem
    assert check_other_process(hash_env, {"honest": True}).problem is None


def test_an_env_that_cannot_be_made_in_another_process_fails_with_its_last_words():
    problem = check_other_process("valueagents/Dilemma-v0", {"setting": "homme"}).problem
    assert problem is not None
    assert "Did you mean 'home'" in problem


def test_the_dilemmas_are_the_same_in_another_process():
    assert check_other_process("valueagents/Dilemma-v0", {}).problem is None
