"""The bars of the estimators: exactness under chance, recovery of known weights, coverage, error
rates.
"""

import math

import numpy as np
import pytest
from scipy import stats

from valueagents.contracts.environment import MIN_CONTESTED
from valueagents.contracts.plugins import make_policy
from valueagents.measuring import chance
from valueagents.measuring.comparison import compare
from valueagents.measuring.flips import sign_flip_test
from valueagents.measuring.inference import ratio_estimates
from valueagents.measuring.scores import score


@pytest.fixture(scope="module")
def random_scores(random_run):
    return score(random_run)


@pytest.fixture(scope="module")
def known_scores(known_run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            chance, "DRAWS", 100
        )  # the chance test is not the point, and the slowest part
        return score(known_run)


@pytest.fixture(scope="module")
def truth():
    return make_policy("known:normal?seed=4").weights


@pytest.fixture(scope="module")
def known_against_random(known_run, random_run):
    return compare(known_run, random_run)


def test_under_uniform_probabilities_no_axis_has_a_propensity(random_scores):
    values = [axis["E3p"].value for axis in random_scores.axes]
    assert len(values) == 20
    assert max(map(abs, values)) <= 1e-12


def test_every_axis_of_the_bundled_dilemmas_is_contested_often_enough(random_scores):
    assert min(axis.contested for axis in random_scores.axes) >= MIN_CONTESTED


def test_no_axes_of_the_bundled_dilemmas_are_collinear(random_scores):
    assert max(axis.details["E4"]["variance inflation"] for axis in random_scores.axes) <= 5


def test_a_random_policy_shows_nothing(random_scores):
    assert random_scores.chance.p > 0.001
    assert random_scores.warnings == []


def test_known_weights_show(known_scores):
    assert known_scores.chance.p == 1 / 101
    assert known_scores.informed


def test_known_weights_are_recovered_from_2000_decisions(known_scores, truth):
    assert known_scores.counts.decisions == 2000
    found = [axis["E4"].value for axis in known_scores.axes]
    assert np.corrcoef(found, truth)[0, 1] >= 0.97
    assert stats.linregress(truth, found).slope == pytest.approx(
        1, abs=0.15
    )  # in log-odds, not only in their order


def test_most_intervals_of_the_weights_hold_the_known_weight(known_scores, truth):
    held = sum(
        axis["E4"].low <= w <= axis["E4"].high
        for axis, w in zip(known_scores.axes, truth, strict=True)
    )
    assert held >= 17  # of 20: at 95 % fewer would be a 1.6 % event


def test_known_weights_decide_the_propensities_too(known_scores, truth):
    for estimator in ("E3", "E3p"):
        found = [axis[estimator].value for axis in known_scores.axes]
        assert np.corrcoef(found, truth)[0, 1] >= 0.9, estimator


def test_place_and_length_did_not_sway_the_known_policy(known_scores):
    for effect in known_scores.effects["E4"].values():
        assert effect.low <= 0 <= effect.high


def test_known_and_random_policy_meet_the_same_situations_and_differ_as_the_weights_do(
    known_against_random, truth
):
    found = known_against_random
    assert (found.paired_situations, found.only_first, found.only_second) == (192, 0, 0)
    axes = found["E3p"].axes
    assert found.headline == "E3p"
    differences = [axis.difference.value for axis in axes]
    assert np.corrcoef(differences, truth)[0, 1] >= 0.9
    strong = [axis for axis, w in zip(axes, truth, strict=True) if abs(w) > 0.5]
    assert all(axis.differs for axis in strong)


def test_a_policy_does_not_differ_from_itself(known_run):
    assert not any(axis.differs for axis in compare(known_run, known_run)["E3p"].axes)


@pytest.mark.parametrize("clusters", [12, 100], ids=["t", "bootstrap"])
def test_intervals_cover_the_truth_about_as_often_as_they_say(clusters):
    rng, replicates = np.random.default_rng(9), 500
    sizes = np.tile(rng.integers(5, 15, size=(clusters, 1)), replicates).astype(float)
    common = rng.normal(
        0, 0.2, size=(clusters, replicates)
    )  # what the decisions of a cluster share
    sums = sizes * (0.3 + common) + np.sqrt(sizes) * rng.normal(size=(clusters, replicates))
    covered = np.mean([e.low <= 0.3 <= e.high for e in ratio_estimates([sums], [sizes], seed=0)])
    assert 0.92 <= covered <= 0.975


def test_sign_flips_call_the_same_different_as_rarely_as_they_say():
    rng, alone, jointly, replicates = np.random.default_rng(10), 0, 0, 400
    for _ in range(replicates):
        test = sign_flip_test(rng.standard_t(3, size=(9, 5)), seed=0)
        alone += sum(p <= 0.05 for p in test.p) / 5
        jointly += min(test.p_max_t) <= 0.05
    error = math.sqrt(0.05 * 0.95 / replicates)
    assert alone / replicates == pytest.approx(0.05, abs=3 * error)
    assert jointly / replicates == pytest.approx(0.05, abs=3 * error)
