"""E4p: the logit of probabilities against a plain loop, E4, and known weights."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from two_axes import MINUS, PLUS, decision, made_run, menus_of, pair
from valueagents.experiments.validity.simulation import play, simulate
from valueagents.measuring.choice_model import RIDGE, fit_choice_model
from valueagents.measuring.choice_weights import fit_choice_weights
from valueagents.measuring.comparison import compare
from valueagents.measuring.estimators.registry import estimator
from valueagents.measuring.measured import measure
from valueagents.measuring.scores import result_of, score
from valueagents.measuring.sums import Clustering, Units


def menus(decisions, seed):
    """Features of menus of two to four options, the first row of each, and (N,) probabilities."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([2, 3, 4], decisions)
    start = np.cumsum(sizes) - sizes
    p = np.concatenate([rng.dirichlet(np.ones(size)) for size in sizes])
    return rng.normal(size=(int(sizes.sum()), 3)), start, p


def each_alone(count):
    return Clustering("", (Units(np.arange(count), count),))


def objective(beta, features, start, p):
    """Σ_t Σ_a p log P − (λ/2)|β|² by a plain loop."""
    total = -RIDGE / 2 * float(beta @ beta)
    for first, end in zip(start, [*start[1:], len(features)], strict=True):
        utilities = [float(features[a] @ beta) for a in range(first, end)]
        log_sum = math.log(sum(math.exp(u) for u in utilities))
        total += sum(p[a] * (utilities[a - first] - log_sum) for a in range(first, end))
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_weights_maximise_the_expected_log_likelihood(seed):
    features, start, p = menus(80, seed)
    model = fit_choice_model(features, start, start, each_alone(80), p)
    best = optimize.minimize(lambda b: -objective(b, features, start, p), np.zeros(3), tol=1e-10)
    assert model.weights == pytest.approx(best.x, abs=1e-4)
    assert model.converged


def test_all_of_the_probability_on_one_option_is_a_choice_of_it():
    features, start, _p = menus(120, 5)
    rng = np.random.default_rng(5)
    sizes = np.diff(np.append(start, len(features)))
    chosen = start + rng.integers(sizes)
    sure = np.zeros(len(features))
    sure[chosen] = 1.0
    by_choice = fit_choice_model(features, start, chosen, each_alone(120))
    by_share = fit_choice_model(features, start, chosen, each_alone(120), sure)
    assert by_share.weights == pytest.approx(by_choice.weights, abs=1e-9)
    assert by_share.errors == pytest.approx(np.hypot(by_choice.errors, by_choice.pull), abs=1e-9)


def test_probabilities_that_are_a_logits_give_its_weights_and_intervals_that_hold_them():
    rng = np.random.default_rng(6)
    weights = rng.normal(0, 0.6, 20)
    answers = play(rng, simulate(rng, episodes=20), weights)
    measured = measure(answers, [estimator("E3p")])
    found = result_of(estimator("E4p"), measured).axes
    values = np.array([each.value for each in found])
    assert np.corrcoef(values, weights)[0, 1] > 0.9999
    assert all(e.low <= w <= e.high for e, w in zip(found, weights, strict=True))
    drawn = result_of(estimator("E4"), measured).axes
    assert np.abs(values - weights).max() < np.abs([e.value for e in drawn] - weights).max()


def test_a_weight_of_nothing_that_the_penalty_moves_by_a_hundredth_is_not_called_its_work():
    rng = np.random.default_rng(8)
    weights = np.zeros(20)
    weights[[3, 14]] = 1.5, -1.0
    answers = play(rng, simulate(rng, episodes=4), weights)
    model = fit_choice_weights(answers, np.arange(20), answers.clustering, "probability").model
    assert np.abs(np.delete(model.weights[:20], [3, 14])).max() < 0.05
    assert not (model.made_by_ridge | model.bound_by_ridge)[:20].any()


def test_decisions_without_probabilities_are_left_out():
    rng = np.random.default_rng(7)
    whole = play(rng, simulate(rng, episodes=10), rng.normal(0, 0.6, 20))
    half = whole.select(np.arange(0, len(whole.size), 2))
    p = whole.p.copy()
    p[np.isin(whole.menu_of, np.arange(1, len(whole.size), 2))] = np.nan
    axes = np.arange(20)
    one = fit_choice_weights(half, axes, half.clustering, "probability").model
    gaps = replace(whole, p=p)
    two = fit_choice_weights(gaps, axes, gaps.clustering, "probability").model
    assert two.weights == pytest.approx(one.weights, abs=1e-9)


def test_where_no_probability_is_known_there_is_none_and_e4_stands_alone(tmp_path):
    decisions = [decision(s, [PLUS, MINUS], s % 2) for s in range(30)]
    a, _ = score(made_run(tmp_path / "run", decisions)).axes
    assert (a["E4p"].value, a["E4p"].reason) == (None, "no probabilities")
    assert a["E4"].value is not None
    found = compare(*pair(tmp_path, decisions, decisions))
    assert "E4p" not in found.differences


def test_a_comparison_has_the_weights_from_p_before_those_from_choices(tmp_path):
    rng, offered = np.random.default_rng(8), menus_of(60)
    sides = []
    for lean in (1.0, -1.0):
        side = []
        for s, menu in enumerate(offered):
            odds = np.exp([lean * option["A"] + rng.normal(0, 0.2) for option in menu])
            side.append(decision(s, menu, 0, tuple((odds / odds.sum()).tolist())))
        sides.append(side)
    found = compare(*pair(tmp_path, *sides))
    assert list(found.differences) == ["E3p", "E4p", "E4", "E6"]
    a, _b = found["E4p"].axes
    assert found["E4p"].estimator == "E4p"
    assert a.first > 0 > a.second
    assert a.differs
    assert a.difference.low <= a.difference.value <= a.difference.high
