"""Leanings and ranks: what was set is found, and what was not is not claimed."""

import msgspec
import numpy as np
import pytest

from two_axes import decision, made_run
from valueagents.measuring.many.policy_means import policy_means
from valueagents.measuring.many.ranks import leanings, rank_ranges
from valueagents.measuring.reading import read_answers
from valueagents.measuring.scores import score
from valueagents.running.start import run
from valueagents.taxonomy import Axis, Taxonomy

FIVE = Taxonomy(
    id="five", version=1, source="tests", axes=tuple(Axis(a, a.lower(), a) for a in "ABCDE")
)


def answers(path, weights, count=300, seed=0):
    """Menus of three options on five axes; choices by a softmax of weights and an appeal."""
    rng, decisions = np.random.default_rng(seed), []
    for situation in range(count):
        x = rng.integers(-1, 2, (3, 5)).astype(float)
        odds = np.exp(x @ np.array(weights) + rng.normal(0, 0.5, 3))
        p = odds / odds.sum()
        values = [dict(zip("ABCDE", row.tolist(), strict=True)) for row in x]
        made = decision(situation, values, int(rng.choice(3, p=p)), p.tolist())
        on_five = msgspec.structs.replace(made.annotation, taxonomy=FIVE.name)
        decisions.append(msgspec.structs.replace(made, annotation=on_five))
    return read_answers(made_run(path, decisions, taxonomy=FIVE))


def test_weights_that_were_set_are_ranked_and_lean_as_set(tmp_path):
    one = answers(tmp_path / "a", [2, 0.8, 0, 0, -1.5])
    found = {each.axis: each for each in leanings(policy_means([one]))}
    assert found["A"].rank == (1, 1)
    assert found["B"].rank == (2, 2)
    assert found["C"].rank == found["D"].rank == (3, 4)
    assert found["E"].rank == (5, 5)
    assert [axis for axis, each in found.items() if each.holds] == ["A", "B", "E"]


def test_the_leaning_of_one_run_is_its_propensity(tmp_path):
    one = answers(tmp_path / "a", [1, 0, 0, 0, 0])
    scored = score(one)
    for mine, theirs in zip(leanings(policy_means([one])), scored.axes, strict=True):
        assert mine.estimate == theirs.propensity


def test_two_seeds_say_more_than_one(tmp_path):
    seeds = [answers(tmp_path / str(k), [0.5, 0, 0, 0, 0], seed=k) for k in range(2)]
    both, [alone, _] = (
        leanings(policy_means(seeds))[0],
        [leanings(policy_means([each]))[0] for each in seeds],
    )
    assert both.contested == sum(leanings(policy_means([each]))[0].contested for each in seeds)
    assert both.estimate.high - both.estimate.low < alone.estimate.high - alone.estimate.low


def test_too_few_decisions_have_no_number_and_no_rank(tmp_path):
    found = leanings(policy_means([answers(tmp_path / "a", [1, 0, 0, 0, 0], count=10)]))
    assert all(
        each.estimate.value is None and each.rank is None and not each.holds for each in found
    )
    assert "not enough" in found[0].estimate.reason


def test_ranks_are_what_sure_comparisons_leave_open():
    above = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]])
    assert rank_ranges(above, 3) == [(1, 1), (2, 3), (2, 3)]


@pytest.mark.slow
def test_a_policy_without_values_is_seldom_given_any(tmp_path):
    """Appeal of sd 0.5, no value: any leaning, or any rank, claimed in 5 % of 60 runs; more than 9
    are a 0.1 % event.
    """
    leans = ranks = 0
    for seed in range(60):
        found = leanings(
            policy_means([answers(tmp_path / str(seed), [0] * 5, count=120, seed=seed)])
        )
        leans += any(each.holds for each in found)
        ranks += any(each.rank != (1, 5) for each in found)
    assert leans <= 9
    assert ranks <= 9


def nearly_five(view):
    """A habit: high ratings whatever the statement says, hardly touched by its length."""
    wish = 0.002 * (len(view.observation) % 7)
    odds = [np.exp((1 + wish) * float(option.id)) for option in view.menu]
    return [each / sum(odds) for each in odds]


def test_a_habit_of_high_ratings_leans_to_no_value_in_part_of_a_survey(tmp_path):
    """Of some values only statements for them are met by then: alone they look like the value."""
    for seed in range(3):
        part = run("valueagents/Survey-v0", nearly_five, episodes=60, seed=seed)
        one = read_answers(part)
        met = {
            (pair, pole) for pair, pole in zip(one.factor("item"), one.factor("pole"), strict=True)
        }
        whole = sum((pair, "oppose") in met for pair, pole in met if pole == "affirm")
        assert 0 < whole < len(met) / 2
        found = leanings(policy_means([one]))
        assert sum(each.contested for each in found) <= 2 * len(one.size)
        assert not [each.axis for each in found if each.holds]
        lacking = [each.estimate.reason for each in found if each.estimate.value is None]
        assert "not enough: 0 contested decisions in both wordings" in lacking
