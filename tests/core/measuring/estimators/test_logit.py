"""E4 between two policies: scale and direction, and what cannot be compared."""

import math

import numpy as np
import pytest

from two_axes import MINUS, PLUS, decision, made_run, menus_of, pair
from valueagents.measuring.choice_weights import WEAK
from valueagents.measuring.comparison import compare
from valueagents.measuring.estimators.logit import SCALE


def exactly(value):
    return pytest.approx(value, abs=1e-12)


def test_a_more_decisive_policy_differs_in_scale_and_not_in_direction(tmp_path):
    rng, menus = np.random.default_rng(13), menus_of(600)

    def side(weights):
        odds = [np.exp([sum(w * o[v] for v, w in weights.items()) for o in menu]) for menu in menus]
        return [
            decision(s, m, int(rng.choice(len(m), p=q / q.sum())))
            for s, (m, q) in enumerate(zip(menus, odds, strict=True))
        ]

    found = compare(*pair(tmp_path, side({"A": 2.4, "B": 1.2}), side({"A": 1.0, "B": 0.5})))["E4"]
    assert found.unit == "item"
    assert found.effects[SCALE].estimate.low > 0
    assert found.effects[SCALE].estimate.value == pytest.approx(math.log(2.4), abs=0.3)
    assert found.effects[SCALE].p < 0.01
    assert not any(axis.differs for axis in found.axes)
    assert sum(axis.first**2 for axis in found.axes) == pytest.approx(1)
    turned = compare(
        *pair(tmp_path / "turned", side({"A": 1.5, "B": -1}), side({"A": 1.5, "B": 1}))
    )["E4"]
    assert turned.axes[1].differs


def test_weights_that_cannot_be_compared_say_why(tmp_path):
    few = [decision(s, [PLUS, MINUS], 0) for s in range(5)]
    found = compare(*pair(tmp_path, few, few))["E4"]
    scale = found.effects[SCALE].estimate
    assert (scale.value, scale.reason) == (
        None,
        "no axis has enough contested decisions in both runs",
    )
    assert found.axes[0].difference.reason == "not enough: 5 contested decisions, 20 needed"
    alone = [decision(s, [PLUS, MINUS], s % 3 // 2, order=[s % 2, 1 - s % 2]) for s in range(30)]
    found = compare(*pair(tmp_path / "alone", alone, alone, clusters=["one"] * 30))["E4"]
    assert (
        found.effects[SCALE].estimate.reason
        == found.axes[0].difference.reason
        == "one cluster in a run: no test"
    )
    assert found.axes[0].p is None


def test_weights_that_the_ridge_sets_are_not_compared(tmp_path):
    """One deterministic policy, met 60 and 600 times: |w| grows with the number of choices only."""
    menus = menus_of(600, seed=3)
    best = [int(np.argmax([2 * option["A"] + option["B"] for option in menu])) for menu in menus]
    every = [decision(s, m, best[s]) for s, m in enumerate(menus)]
    found = compare(*pair(tmp_path, every[:60], every))["E4"]
    assert found.effects[SCALE].p is None
    assert found.effects[SCALE].estimate.reason == WEAK
    assert {axis.difference.reason for axis in found.axes} == {WEAK}
    [warning] = found.warnings
    assert warning.startswith("E4: A, B left out of the directions")


def test_one_axis_alone_has_a_scale_and_no_direction(tmp_path):
    rng = np.random.default_rng(8)
    orders = [[0, 1], [1, 0]]  # with one of them only, a place and a value would be the same
    sides = [
        [decision(s, [PLUS, MINUS], int(rng.random() < q), order=orders[s % 2]) for s in range(300)]
        for q in (0.1, 0.3)
    ]
    found = compare(*pair(tmp_path, *sides))["E4"]
    assert found.effects[SCALE].estimate.value == pytest.approx(
        math.log(math.log(9) / math.log(7 / 3)), abs=0.5
    )
    assert found.effects[SCALE].p is not None
    assert found.axes[0].difference.value is None
    assert found.axes[0].difference.reason == "one axis alone has no direction to compare"


def test_a_policy_has_the_same_weights_as_itself(tmp_path):
    rng, menus = np.random.default_rng(2), menus_of(60)
    run = made_run(
        tmp_path / "run", [decision(s, m, int(rng.integers(len(m)))) for s, m in enumerate(menus)]
    )
    found = compare(run, run)["E4"]
    assert [axis.difference.value for axis in found.axes] == [0.0, 0.0]
    assert [axis.p for axis in found.axes] == [None, None]


def test_a_value_whose_weight_the_ridge_sets_takes_the_scale_with_it(tmp_path):
    """The policy is decisive on A: left out of the scale, it would make the other policy the more
    decisive one.
    """
    rng, menus = np.random.default_rng(6), menus_of(600, seed=4)
    sides = [
        [
            decision(s, m, int(np.argmax([lean * 50 * o["A"] + rng.gumbel() for o in m])))
            for s, m in enumerate(menus)
        ]
        for lean in (1, 0)
    ]
    found = compare(*pair(tmp_path, *sides))["E4"]
    assert found.effects[SCALE].estimate.value is None
    assert (
        found.effects[SCALE].estimate.reason
        == "the ridge penalty sets some weights, and with them the scale"
    )
    assert found.axes[0].difference.reason == WEAK
