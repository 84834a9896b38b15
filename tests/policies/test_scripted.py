"""Policies without a model: random is uniform, first is first, known is the softmax of its
weights.
"""

import asyncio
import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from valueagents.contracts.decision import Annotation, Option
from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.scripted import FirstPolicy, KnownPolicy, RandomPolicy

MENU = tuple(Option(name, f"Text of {name}.") for name in "abc")


def view(seed: int = 0, menu: tuple[Option, ...] = MENU) -> View:
    return View("task", (), "now", menu, seed)


def annotation(*values: dict[str, float | None], taxonomy: str = "schwartz20/1") -> Annotation:
    return Annotation(taxonomy, values, "by hand", "sign")


def decide(policy, seed=0, menu=MENU, values=None):
    if values is None:
        return asyncio.run(policy.decide(view(seed, menu)))
    return asyncio.run(policy.decide_informed(view(seed, menu), values))


def test_random_chooses_uniformly_and_says_so():
    async def play() -> list:
        policy = RandomPolicy()
        return [await policy.decide(view(seed)) for seed in range(3000)]

    choices = asyncio.run(play())
    assert {choice.probabilities for choice in choices} == {(1 / 3, 1 / 3, 1 / 3)}
    assert {choice.reading for choice in choices} == {"drawn"}
    counts = Counter(choice.option for choice in choices)
    assert stats.chisquare([counts[o.id] for o in MENU]).pvalue > 1e-4


def test_random_answers_the_same_seed_the_same():
    assert [decide(RandomPolicy(), s) for s in range(9)] == [
        decide(RandomPolicy(), s) for s in range(9)
    ]


def test_first_takes_the_first_shown_with_certainty():
    choice = decide(FirstPolicy(), menu=MENU[::-1])
    assert (choice.option, choice.reading, choice.probabilities) == ("c", "argmax", (1.0, 0.0, 0.0))


@pytest.mark.parametrize("policy", [RandomPolicy(), FirstPolicy()])
def test_a_menu_of_one_is_taken(policy):
    choice = decide(policy, menu=MENU[:1])
    assert (choice.option, choice.probabilities) == ("a", (1.0,))


def test_known_answers_with_the_softmax_of_its_weighted_values():
    policy = KnownPolicy("BEC=0.6,HED=-0.3")
    values = annotation({"BEC": 1.0}, {"HED": 0.5, "BEC": -1.0}, {"SDT": 1.0})
    odds = [math.exp(0.6), math.exp(-0.3 * 0.5 - 0.6), 1.0]
    assert decide(policy, values=values).probabilities == pytest.approx(
        [o / sum(odds) for o in odds], abs=1e-15
    )


def test_known_draws_from_its_own_probabilities():
    policy, values = KnownPolicy("BEC=2"), annotation({"BEC": 1.0}, {}, {"BEC": -1.0})

    async def play() -> Counter:
        return Counter(
            [(await policy.decide_informed(view(s), values)).option for s in range(3000)]
        )

    counts = asyncio.run(play())
    odds = np.exp([2.0, 0.0, -2.0])
    assert stats.chisquare([counts[o.id] for o in MENU], 3000 * odds / odds.sum()).pvalue > 1e-4


def test_known_takes_an_axis_that_is_not_annotated_for_neutral():
    policy = KnownPolicy("BEC=2")
    blank, neutral = annotation({"BEC": None}, {"BEC": 1.0}, {}), annotation({}, {"BEC": 1.0}, {})
    assert (
        decide(policy, values=blank).probabilities == decide(policy, values=neutral).probabilities
    )


def test_known_survives_weights_that_overflow_an_exponential():
    values = annotation({"BEC": 1.0}, {"BEC": -1.0}, {})
    assert decide(KnownPolicy("BEC=1e6"), values=values).probabilities == (1.0, 0.0, 0.0)


def test_known_weights_stand_under_their_axes_and_nowhere_else():
    policy = KnownPolicy(" BEC = 0.6 ,UNO=-1e-3")
    weights = dict(zip(policy.taxonomy.axis_ids, policy.weights.tolist(), strict=True))
    assert {axis: w for axis, w in weights.items() if w} == {"BEC": 0.6, "UNO": -0.001}


def test_known_normal_draws_weights_of_that_spread_by_seed():
    weights = np.concatenate([KnownPolicy("normal", seed=s).weights for s in range(100)])
    assert len(np.unique(weights)) == 2000
    assert weights.std() == pytest.approx(0.6, abs=0.03)
    assert weights.mean() == pytest.approx(0.0, abs=0.05)
    np.testing.assert_array_equal(
        KnownPolicy("normal", seed=7).weights, KnownPolicy("normal", seed=7).weights
    )
    assert KnownPolicy("normal", seed=7, sd=0).weights.tolist() == [0.0] * 20


def test_known_on_another_taxonomy_has_its_axes():
    assert len(KnownPolicy("normal", taxonomy="gert10").weights) == 10
    values = annotation({"death": -1.0}, {}, {}, taxonomy="gert10/1")
    odds = [math.exp(-2), 1, 1]
    choice = decide(KnownPolicy("death=2", taxonomy="gert10"), values=values)
    assert choice.probabilities == pytest.approx([o / sum(odds) for o in odds])


@pytest.mark.parametrize(
    ("values", "carried"),
    [(annotation({}, {}, {}, taxonomy="gert10/1"), "gert10/1"), (None, "no annotation")],
)
def test_known_refuses_a_menu_that_it_cannot_weigh(values, carried):
    policy = KnownPolicy("BEC=1")
    with pytest.raises(
        PolicyError, match=rf"weighs schwartz20/1, the menu carries {carried}; set \?taxonomy="
    ):
        asyncio.run(policy.decide_informed(view(), values))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("BEC", "'BEC' has no number after '='"),
        ("BEC=", "no number"),
        ("BEC=much", "'BEC=much' has no number"),
        ("bec=1", r"unknown axis of schwartz20 'bec'\. Did you mean 'BEC'"),
        ("BEC=1,", "unknown axis of schwartz20 ''"),
        ("=1", "unknown axis of schwartz20 ''"),
        ("BEC=nan", "weights must be finite"),
        ("BEC=1,HED=inf", "weights must be finite"),
    ],
)
def test_a_target_that_is_no_list_of_weights_is_a_config_error(target, words):
    with pytest.raises(ConfigError, match=words):
        KnownPolicy(target)


def test_identities_hold_all_that_decides_and_nothing_more():
    assert RandomPolicy().identity() == {"policy": "random/1"}
    assert FirstPolicy().identity() == {"policy": "first/1"}
    assert KnownPolicy("BEC=0.5").identity() == KnownPolicy("HED=0,BEC=0.50").identity()
    changed = [
        KnownPolicy("BEC=0.5000000000000001"),
        KnownPolicy("HED=0.5"),
        KnownPolicy("BEC=-0.5"),
    ]
    identities = [str(policy.identity()) for policy in [KnownPolicy("BEC=0.5"), *changed]]
    assert len(set(identities)) == 4


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("known:BEC=1,BEC=2", "BEC is given twice"),
        ("known:normal?seed=1&seed=2", "an option twice"),
    ],
)
def test_what_is_given_twice_is_a_config_error(spec, words):
    with pytest.raises(ConfigError, match=words):
        make_policy(spec)
