"""Menus annotated by trying: one switch for any env that can go back, and what it must never do to
the real steps.
"""

import json

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from valueagents.contracts.counterfactual import Scaling, TriedMenus, annotation_of_tries
from valueagents.contracts.decision import Annotation, Covariate, Event, Option
from valueagents.contracts.environment import Refused, Turn, ValueEnv
from valueagents.errors import ConfigError, DataError, EnvError
from valueagents.taxonomy import load_taxonomy

BET, PASS = Option("bet", "Bet a coin."), Option("pass", "Keep it.")
WINS = 0.3


class Fair(ValueEnv):
    """Bets on a wheel: three in ten win. Passing is always good for the self, and draws nothing."""

    taxonomy = load_taxonomy("jiminy")
    task = "You are at a fair."
    version = "1"
    annotate_by_trying = True

    def __init__(self, *, tries: int = 8) -> None:
        self.tries = tries
        self.taken: list[str] = []
        super().__init__(max_menu=2)

    def start(self, situation: str | None) -> Turn:
        self.day, self.coins = int(self.np_random.integers(10**6)), 5
        return Turn(f"Day {self.day}.", (BET, PASS))

    def advance(self, option: Option) -> Turn:
        self.taken.append(option.id)
        won = option.id == "bet" and self.np_random.random() < WINS
        self.coins += 1 if won else -1
        event = Event("good_others" if won else "good_self", 1.0, option.id)
        events = (event,) if won or option.id == "pass" else ()
        return Turn(f"{self.coins} coins.", (BET, PASS), events=events, terminated=self.coins == 0)

    def save_state(self) -> bytes:
        return json.dumps([self.day, self.coins]).encode()

    def load_state(self, state: bytes) -> None:
        self.day, self.coins = json.loads(state)


class Unlabelled(Fair):
    annotate_by_trying = False


def transcript(env: ValueEnv, seed: int, actions: list[int]) -> list[object]:
    seen: list[object] = [env.reset(seed=seed)[0]]
    for action in actions:
        text, reward, terminated, truncated, info = env.step(action)
        seen.append((text, reward, terminated, truncated, info["events"]))
        if terminated or truncated:
            break
    return seen


def test_every_menu_has_the_values_of_what_each_option_would_do():
    env = Fair()
    _, info = env.reset(seed=1)
    bet, keep = info["annotation"].values
    assert keep == {"good_self": 1.0}
    assert set(bet) <= {"good_others"}
    assert bet.get("good_others", 0.0) * 8 % 1 == 0
    assert (info["annotation"].taxonomy, info["annotation"].provenance) == (
        "jiminy/1",
        "tried in the env, one step",
    )
    assert info["annotation"].scaling == "sum of the step's events / 1, cut at ±1"
    assert env.step(1)[4]["annotation"].values[1] == {"good_self": 1.0}


class Counted(Fair):
    """Says how many coins there are: the number of an option is what it adds."""

    covariates = (Covariate("coins", "What the option adds.", "coins", -1, 1),)

    def totals(self) -> dict[str, float]:
        return {"coins": float(self.coins)}


def test_a_covariate_of_an_option_is_what_a_try_adds_to_its_total_and_nothing_else_changes():
    env = Counted(tries=4000)
    _, info = env.reset(seed=1)
    bet, keep = info["annotation"].covariates["coins"]
    assert keep == -1.0
    assert bet == pytest.approx(2 * WINS - 1, abs=0.05)
    assert env.coins == 5
    assert info["annotation"].values == Fair(tries=4000).reset(seed=1)[1]["annotation"].values
    assert Fair().reset(seed=1)[1]["annotation"].covariates == {}


def test_the_mean_over_tries_converges_on_the_expectation():
    _, info = Fair(tries=4000).reset(seed=1)
    assert info["annotation"].values[0]["good_others"] == pytest.approx(WINS, abs=0.03)


def test_one_try_does_not_foretell_the_draw_of_the_real_step():
    tried, won = [], []
    for seed in range(400):
        env = Fair(tries=1)
        _, info = env.reset(seed=seed)
        tried.append(info["annotation"].values[0].get("good_others", 0.0))
        won.append(float(bool(env.step(0)[4]["events"])))
    assert 0.2 < np.mean(tried) < 0.4
    assert 0.2 < np.mean(won) < 0.4
    assert abs(np.corrcoef(tried, won)[0, 1]) < 0.2


@pytest.mark.parametrize("seed", range(5))
def test_an_episode_goes_the_same_way_whether_its_options_are_tried_or_not(seed):
    actions = [0, 1, 0, 0, 1, 0, 0, 0, 0]
    tried, untried = Fair(), Unlabelled()
    assert transcript(tried, seed, actions) == transcript(untried, seed, actions)
    assert tried.np_random.bit_generator.state == untried.np_random.bit_generator.state
    assert tried.reset()[0] == untried.reset()[0]


def test_what_the_step_really_caused_is_kept_apart_from_the_mean():
    for seed in range(30):
        env = Fair()
        env.reset(seed=seed)
        decided_on = env._turn.annotation
        events = env.step(0)[4]["events"]
        assert events in ((), (Event("good_others", 1.0, "bet"),))
        assert env.decided == ((BET, PASS), decided_on, 0)


def test_an_option_that_draws_nothing_is_tried_once_and_one_that_draws_so_often_as_is_said():
    env = Fair(tries=5)
    env.reset(seed=1)
    assert env.taken == ["bet"] * 5 + ["pass"]


def test_a_menu_that_is_met_again_is_not_tried_again_whatever_the_generator_holds():
    env = Fair()
    _, first = env.reset(seed=1)
    here = env.snapshot()
    _, _, _, _, after = env.step(1)
    env.taken.clear()
    env.restore(here)
    env.np_random.random(3)
    assert env.step(1)[4]["annotation"] == after["annotation"]
    assert env.taken == ["pass"]
    assert env.reset(seed=1)[1]["annotation"] == first["annotation"]
    assert env.taken == ["pass"]


def test_menus_are_remembered_up_to_a_number_of_bytes_the_least_recently_met_forgotten():
    env, menus = Fair(tries=1), TriedMenus(size_bytes=1500)  # room for three, of some 430 each
    env.reset(seed=1)

    def was_tried(coins: int) -> bool:
        env.coins = coins
        env.taken.clear()
        menus.annotation(env, (BET, PASS))
        return env.taken != []

    assert [was_tried(coins) for coins in (1, 2, 3, 1, 4)] == [True, True, True, False, True]
    assert [was_tried(coins) for coins in (3, 1, 4, 2)] == [False, False, False, True]


def test_the_same_state_is_annotated_alike_by_another_env_and_after_other_episodes():
    env, other = Fair(), Fair()
    env.reset(seed=1)
    other.reset(seed=2)
    other.step(0)
    annotation = env.step(1)[4]["annotation"]
    other.restore(env.snapshot())
    other.np_random.random(
        3
    )  # what the real generator holds does not enter the state that is tried
    assert other.try_options((BET, PASS)) == annotation


def test_a_menu_in_another_order_has_its_values_in_that_order():
    env = Fair()
    env.reset(seed=1)
    assert env.try_options((PASS, BET)).values[0] == {"good_self": 1.0}
    assert env.try_options((BET, PASS)).values[1] == {"good_self": 1.0}


class Peeking(Fair):
    """Looks ahead on its own: a snapshot in a step, steps from there, and back."""

    looking = False

    def advance(self, option):
        if self.looking:
            return super().advance(option)
        here, self.looking = self.snapshot(), True
        ahead = super().advance(option).text
        self.restore(here)
        self.looking = False
        turn = super().advance(option)
        assert turn.text == ahead
        return turn


def test_an_env_that_goes_ahead_and_back_in_its_own_steps_can_be_tried():
    actions = [0, 1, 0, 0, 1]
    assert transcript(Peeking(), 4, actions) == transcript(Unlabelled(), 4, actions)
    assert Peeking().reset(seed=4)[1]["annotation"] == Fair().reset(seed=4)[1]["annotation"]


def test_snapshots_within_snapshots_have_the_futures_that_they_had():
    env = Fair()
    env.reset(seed=3)
    outer = env.snapshot()
    env.step(0)
    inner = env.snapshot()
    later = [env.step(0) for _ in range(2)]
    env.restore(outer)
    again = env.step(0)
    env.restore(inner)
    np.testing.assert_equal([env.step(0) for _ in range(2)], later)
    env.restore(outer)
    np.testing.assert_equal(env.step(0), again)
    assert again[4]["annotation"] is not None


class Aliased(Fair):
    """Holds on to the generator that it was given."""

    def start(self, situation):
        turn = super().start(situation)
        self.wheel = self.np_random
        return turn

    def advance(self, option):
        assert self.wheel is self.np_random
        return super().advance(option)


def test_an_env_that_holds_on_to_its_generator_is_reseeded_too():
    assert Aliased().reset(seed=5)[1]["annotation"] == Fair().reset(seed=5)[1]["annotation"]


class Breaking(Fair):
    error: Exception = KeyError("no such stall")

    def advance(self, option):
        self.np_random.random()
        self.coins = 99
        if option.id == "pass":
            raise self.error
        return super().advance(option)


def test_an_option_that_cannot_be_taken_is_one_error_that_names_env_and_option():
    env = Breaking()
    with pytest.raises(
        EnvError, match=r"Breaking, option 'pass': KeyError: 'no such stall'.*mend `advance`"
    ):
        env.reset(seed=1)
    with pytest.raises(EnvError, match=r"call reset\(\) first"):
        env.step(0)


def test_an_episode_is_over_where_an_option_of_its_next_menu_cannot_be_taken():
    class Collapsing(Fair):
        def advance(self, option):
            if self.coins < 5:
                raise KeyError("no such stall")
            return super().advance(option)

    env = Collapsing()
    env.reset(seed=1)
    with pytest.raises(EnvError, match="Collapsing, option 'bet'"):
        env.step(1)
    with pytest.raises(EnvError, match=r"call reset\(\) first"):
        env.step(0)


def test_after_an_option_that_cannot_be_taken_state_and_generator_are_as_they_were():
    env = Breaking()
    env.annotate_by_trying = False
    env.reset(seed=1)
    before = env.snapshot()
    with pytest.raises(EnvError, match="option 'pass'"):
        env.try_options((BET, PASS))
    assert env.snapshot() == before


def test_an_error_of_ours_is_passed_on_as_it_is():
    class Misprinted(Breaking):
        error = DataError("fair.txt, line 3: the wheel has no end")

    with pytest.raises(DataError, match=r"^fair\.txt, line 3: the wheel has no end$"):
        Misprinted().reset(seed=1)


def test_an_option_that_the_env_refuses_does_nothing_to_values():
    class Closed(Fair):
        def advance(self, option):
            if option.id == "pass":
                raise Refused("the gate is shut")
            return super().advance(option)

    assert Closed().reset(seed=1)[1]["annotation"].values[1] == {}


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            Event("good_selv", 1.0, "x"),
            r"Giving, option 'pass': unknown axis of jiminy 'good_selv'.*'good_self'",
        ),
        (
            Event("good_self", float("nan"), "x"),
            "Giving, option 'pass': the amount of its event on good_self is nan",
        ),
        (Event("good_self", float("inf"), "x"), "good_self is inf; give a finite number"),
    ],
)
def test_an_event_that_is_no_amount_on_an_axis_is_an_error_that_names_the_option(event, words):
    class Giving(Fair):
        def advance(self, option):
            return Turn("", (BET, PASS), events=(event,) if option.id == "pass" else ())

    with pytest.raises(EnvError, match=words):
        Giving().reset(seed=1)


def test_an_env_that_annotates_a_menu_itself_must_choose():
    class Both(Fair):
        def start(self, situation):
            turn = super().start(situation)
            return Turn(turn.text, turn.menu, Annotation("jiminy/1", ({}, {}), "by hand", "sign"))

    with pytest.raises(
        EnvError,
        match=r"Both sets annotate_by_trying and annotates the menu \['bet', 'pass'\] itself",
    ):
        Both().reset(seed=1)


@pytest.mark.parametrize("missing", ["save_state", "load_state"])
def test_an_env_that_cannot_go_back_is_refused_when_it_is_made(missing):
    class Fleeting(Fair):
        pass

    setattr(Fleeting, missing, getattr(ValueEnv, missing))
    with pytest.raises(
        EnvError, match="Fleeting sets annotate_by_trying but cannot go back; write save_state"
    ):
        Fleeting()


def test_fewer_than_one_try_is_refused():
    with pytest.raises(EnvError, match="tries=0; at least 1"):
        Fair(tries=0)


@pytest.mark.parametrize("unit", [0, -1.0, float("nan"), float("inf")])
def test_a_scaling_by_nothing_is_refused(unit):
    with pytest.raises(ConfigError, match="a number above 0"):
        Scaling(unit)


def test_amounts_are_summed_scaled_and_cut_before_the_mean_is_taken():
    tries = [
        [Event("good_self", 2.0, "a"), Event("good_self", 1.0, "b")],
        [Event("good_self", -12.0, "a")],
        [],
        [],
    ]
    menu_tries = [tries, [[Event("bad_self", 0.1, "a")]]]
    annotation = annotation_of_tries(
        menu_tries, load_taxonomy("jiminy"), provenance="x", scaling=Scaling(4.0)
    )
    assert annotation.values == ({"good_self": (0.75 - 1.0) / 4}, {"bad_self": 0.025})
    assert annotation.scaling == "sum of the step's events / 4, cut at ±1"


def test_an_env_says_in_its_content_how_it_is_tried_and_nothing_if_it_is_not():
    assert Unlabelled().content() is None
    assert Fair(tries=3).content() != Fair(tries=4).content()


def test_the_last_turn_and_one_that_is_cut_are_not_tried():
    class Short(Fair):
        def advance(self, option):
            turn = super().advance(option)
            return Turn(turn.text, turn.menu, events=turn.events, truncated=True)

    env = Short()
    env.reset(seed=1)
    env.taken.clear()
    assert env.step(0)[4]["annotation"] is None
    assert env.taken == ["bet"]


def shown(vector: gymnasium.vector.VectorEnv) -> list[object]:
    try:
        observations, info = vector.reset(seed=[3, 4])
        seen: list[object] = [list(observations), list(info["annotation"])]
        for actions in ([0, 1], [1, 0], [0, 0]):
            observations, *_, info = vector.step(np.array(actions))
            seen += [list(observations), list(info["annotation"]), list(info["events"])]
    finally:
        vector.close()
    return seen


def test_envs_of_a_vector_are_annotated_alike_in_one_process_and_in_several():
    together = shown(SyncVectorEnv([Fair, Fair]))
    assert shown(AsyncVectorEnv([Fair, Fair], shared_memory=False)) == together
    assert together[1] == [Fair().reset(seed=seed)[1]["annotation"] for seed in (3, 4)]
