"""The contract of a policy: drawing with the decision's seed, the informed door, defaults."""

import asyncio
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from valueagents.contracts.decision import Choice, Option
from valueagents.contracts.policy import DesignPlace, Exchange, InformedPolicy, Policy, View, draw

MENU = tuple(Option(name, f"Text of {name}.") for name in "abcd")
VIEW = View("task", (), "now", MENU, 1)


class Plain(Policy):
    def identity(self):
        return {"policy": "plain"}

    async def decide(self, view):
        return Choice(view.menu[-1].id, "argmax")


class Informed(InformedPolicy):
    def identity(self):
        return {"policy": "informed"}

    async def decide_informed(self, view, annotation):
        return Choice(None, "refused")


def test_a_view_holds_what_may_be_shown_and_no_field_more():
    assert View.__struct_fields__ == (
        "task",
        "transcript",
        "observation",
        "menu",
        "seed",
        "free_text",
        "asks",
        "design",
    )
    assert Exchange.__struct_fields__ == ("observation", "action", "menu", "taken")
    assert DesignPlace.__struct_fields__ == ("place", "repetition", "seed")
    assert Option.__struct_fields__ == ("id", "text")


def test_a_view_is_frozen_so_that_no_policy_can_change_what_another_reads():
    with pytest.raises(AttributeError):
        VIEW.menu = ()


def test_draws_follow_the_probabilities():
    p = (0.1, 0.2, 0.3, 0.4)
    counts = Counter(draw(MENU, p, seed) for seed in range(4000))
    assert stats.chisquare([counts[o.id] for o in MENU], [4000 * q for q in p]).pvalue > 1e-4


def test_a_draw_is_the_same_for_the_same_seed():
    assert [draw(MENU, (0.25,) * 4, s) for s in range(50)] == [
        draw(MENU, (0.25,) * 4, s) for s in range(50)
    ]
    assert len({draw(MENU, (0.25,) * 4, s) for s in range(50)}) == 4


@given(st.integers(0, 3), st.integers(0, 2**63 - 1))
@settings(max_examples=40, deadline=None)
def test_a_certain_option_is_always_drawn(k, seed):
    assert draw(MENU, tuple(float(i == k) for i in range(4)), seed) == MENU[k].id


def test_an_impossible_option_is_never_drawn_and_unnormalised_odds_are_shared_out():
    counts = Counter(draw(MENU, (0.0, 3.0, 0.0, 1.0), seed) for seed in range(2000))
    assert set(counts) == {"b", "d"}
    assert stats.binomtest(counts["b"], 2000, 0.75).pvalue > 1e-4


def test_one_option_is_drawn_whatever_its_probability_rounds_to():
    assert draw(MENU[:1], (1.0,), 3) == "a"
    assert draw(MENU[:1], (0.9999999,), 3) == "a"


def test_probabilities_that_do_not_match_the_menu_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        draw(MENU, (0.0, 0.0), 1)


def test_an_informed_policy_cannot_be_asked_without_the_annotation():
    with pytest.raises(TypeError, match="Informed must be asked through decide_informed"):
        asyncio.run(Informed().decide(VIEW))


def test_a_policy_enters_as_itself_and_leaves_errors_alone():
    async def enter() -> None:
        policy = Plain()
        async with policy as entered:
            assert entered is policy
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        asyncio.run(enter())


def test_an_estimate_is_seconds_by_decisions_and_none_without_ground():
    assert Plain().estimate_s(100, None) is None

    class Timed(Plain):
        seconds_per_decision = 0.5

    assert Timed().estimate_s(100, 5) == 50.0
    assert Timed().estimate_s(0, 0) == 0.0


def test_a_policy_that_lacks_half_the_contract_cannot_be_made():
    class Half(Policy):
        async def decide(self, view):
            return Choice(None, "failed")

    with pytest.raises(TypeError, match="identity"):
        Half()


def test_a_view_can_be_written_as_json():
    exchange = Exchange("Zoë 🦊\n", "Go.", MENU, 0)
    design = DesignPlace(3, 1, 2**62)
    view = View("task", (exchange,), "now", MENU, 2**63 - 1, asks="rate", design=design)
    assert msgspec.json.decode(msgspec.json.encode(view), type=View) == view
