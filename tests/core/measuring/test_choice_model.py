"""E4 against statsmodels, scipy.optimize and written-out derivatives."""

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import optimize

from valueagents.measuring import choice_model
from valueagents.measuring.answers import Answers
from valueagents.measuring.choice_model import fit_choice_model
from valueagents.measuring.choice_weights import NUISANCES, Design
from valueagents.measuring.columns import Columns
from valueagents.measuring.sums import Clustering, Units
from valueagents.taxonomy import load_taxonomy


def choices(decisions, weights, seed=0, options=(2, 3, 4)):
    """Menus with normal features and softmax choices: features, start, chosen rows."""
    rng = np.random.default_rng(seed)
    menus = [rng.normal(size=(rng.choice(options), len(weights))) for _ in range(decisions)]
    start = np.cumsum([0, *(len(menu) for menu in menus)])[:-1]
    chosen = [
        s + int(np.argmax(menu @ weights + rng.gumbel(size=len(menu))))
        for s, menu in zip(start, menus, strict=True)
    ]
    return np.vstack(menus), start, np.array(chosen)


def objective(beta, features, start, chosen, ridge):
    """The penalised log-likelihood by a plain loop."""
    total = -ridge / 2 * float(beta @ beta)
    for first, end, row in zip(start, [*start[1:], len(features)], chosen, strict=True):
        utilities = [float(features[a] @ beta) for a in range(first, end)]
        total += utilities[row - first] - math.log(sum(math.exp(u) for u in utilities))
    return total


def slope(function, beta, h=1e-5):
    """The gradient by central differences."""
    steps = h * np.eye(len(beta))
    return np.array([(function(beta + step) - function(beta - step)) / (2 * h) for step in steps])


def fit(features, start, chosen, clusters=None):
    codes = np.arange(len(start)) if clusters is None else clusters
    rows = np.asarray(features, dtype=float), np.asarray(start), np.asarray(chosen)
    return fit_choice_model(*rows, clustered(codes, len(codes)))


def clustered(codes, count):
    return Clustering("", (Units(codes, count),))


@pytest.mark.parametrize("seed", range(4))
def test_without_ridge_the_fit_is_statsmodels(monkeypatch, seed):
    from statsmodels.discrete.conditional_models import ConditionalLogit

    monkeypatch.setattr(choice_model, "RIDGE", 1e-9)
    features, start, chosen = choices(60, np.random.default_rng(seed).normal(0, 0.8, 3), seed)
    menus = np.repeat(np.arange(60), np.diff([*start, len(features)]))
    taken = np.zeros(len(features))
    taken[chosen] = 1
    reference = ConditionalLogit(taken, features, groups=menus).fit(method="newton", disp=False)
    model = fit(features, start, chosen)
    np.testing.assert_allclose(model.weights, reference.params, atol=1e-5)


def test_a_start_from_samples_ends_where_the_fit_of_all_ends(monkeypatch):
    rows = choices(400, np.array([0.8, -0.5, 0.0]), seed=3)
    at_once = fit(*rows)
    monkeypatch.setattr(choice_model, "_DECISIONS_A_PART", 4)
    monkeypatch.setattr(choice_model, "_SAMPLES", (10, 3))
    by_samples = fit(*rows)
    np.testing.assert_allclose(by_samples.weights, at_once.weights, atol=1e-7)
    np.testing.assert_allclose(
        by_samples.errors, at_once.errors, rtol=1e-3
    )  # those of the point before the last step
    assert by_samples.converged


def test_with_the_ridge_the_fit_maximises_the_penalised_likelihood():
    features, start, chosen = choices(40, np.array([1.0, -2.0]))
    best = optimize.minimize(
        lambda b: -objective(b, features, start, chosen, 1.0), np.zeros(2), tol=1e-10
    )
    model = fit(features, start, chosen)
    np.testing.assert_allclose(model.weights, best.x, atol=1e-5)
    assert model.converged


def test_the_errors_are_the_cluster_sandwich():
    features, start, chosen = choices(30, np.array([0.7, 0.2]))
    clusters = np.arange(30) // 5
    model = fit_choice_model(features, start, chosen, clustered(clusters, 6))

    def gradient(beta):
        return slope(lambda b: objective(b, features, start, chosen, 1.0), beta)

    hessian = np.array(
        [slope(lambda b, f=f: gradient(b)[f], model.weights, h=1e-3) for f in range(2)]
    )
    meat = np.zeros((2, 2))
    for first in range(0, 30, 5):  # the 5 decisions of a cluster on their own
        low, high = start[first], [*start, len(features)][first + 5]
        own = features[low:high], start[first : first + 5] - low, chosen[first : first + 5] - low
        g = slope(lambda b, own=own: objective(b, *own, 0.0), model.weights)
        meat += np.outer(g, g) * 6 / 5
    bread = np.linalg.inv(hessian)
    np.testing.assert_allclose(model.errors, np.sqrt(np.diag(bread @ meat @ bread)), rtol=1e-4)


def test_decisions_of_one_cluster_that_agree_count_once():
    features, start, chosen = choices(60, np.array([0.8]))
    twice = (
        np.vstack([features, features]),
        np.r_[start, start + len(features)],
        np.r_[chosen, chosen + len(features)],
    )
    alone = fit_choice_model(*twice, clustered(np.arange(120), 120))
    together = fit_choice_model(*twice, clustered(np.tile(np.arange(60), 2), 60))
    assert together.weights == pytest.approx(alone.weights)
    assert together.errors[0] == pytest.approx(
        alone.errors[0] * math.sqrt(2 * (60 / 59) / (120 / 119))
    )


def test_what_is_the_same_for_a_whole_menu_sways_no_choice():
    features, start, chosen = choices(50, np.array([0.8, -0.4]))
    sizes = np.diff([*start, len(features)])
    lifted = features + np.repeat(np.random.default_rng(1).normal(size=(50, 2)), sizes, axis=0)
    np.testing.assert_allclose(
        fit(lifted, start, chosen).weights, fit(features, start, chosen).weights, atol=1e-8
    )


def test_a_feature_that_never_varies_within_a_menu_is_all_ridge():
    features, start, chosen = choices(50, np.array([0.8]))
    model = fit(np.c_[features, np.ones(len(features))], start, chosen)
    assert model.weights[1] == pytest.approx(0, abs=1e-9)
    assert model.bound_by_ridge[1]
    assert not model.bound_by_ridge[0]


def test_near_copies_inflate_the_variance_and_unrelated_features_do_not():
    features, start, chosen = choices(400, np.array([0.3, 0.3, 0.0]))
    features[:, 1] = features[:, 0] + 0.1 * features[:, 1]
    inflation = fit(features, start, chosen).inflation
    assert inflation[0] > 20
    assert inflation[1] > 20
    assert 1 <= inflation[2] < 1.1


def test_separable_choices_get_a_finite_weight():
    features = np.tile([[1.0], [-1.0]], (40, 1))
    model = fit(features, np.arange(0, 80, 2), np.arange(0, 80, 2))
    expected = optimize.brentq(
        lambda w: 40 * 2 / (1 + math.exp(2 * w)) - w, 0, 10
    )  # where the gradient is 0
    assert model.weights[0] == pytest.approx(expected, abs=1e-6)
    assert model.converged


def test_one_decision_moves_the_weight_to_where_its_gradient_vanishes():
    model = fit([[1.0], [0.0]], [0], [0])
    expected = optimize.brentq(lambda w: 1 / (1 + math.exp(w)) - w, 0, 10)
    assert model.weights[0] == pytest.approx(expected, abs=1e-6)


def test_menus_of_one_option_say_nothing():
    model = fit([[1.0], [-1.0], [0.5]], [0, 1, 2], [0, 1, 2])
    assert model.weights.tolist() == [0.0]
    assert model.bound_by_ridge.tolist() == [True]


def test_huge_features_do_not_overflow():
    features, start, chosen = choices(30, np.array([1.0]))
    model = fit(1e4 * features, start, chosen)
    assert np.isfinite(model.weights).all()
    assert np.isfinite(model.errors).all()


def test_the_order_of_the_options_does_not_matter():
    features, start, chosen = choices(30, np.array([0.7, -0.2]), options=(3,))
    backwards = features.reshape(30, 3, 2)[:, ::-1].reshape(90, 2)
    model = fit(backwards, start, start + 2 - (chosen - start))
    np.testing.assert_allclose(model.weights, fit(features, start, chosen).weights, atol=1e-9)


def test_running_out_of_steps_is_reported(monkeypatch):
    monkeypatch.setattr(choice_model, "_MAX_STEPS", 1)
    assert not fit(*choices(30, np.array([3.0]))).converged


def test_the_nuisances_are_place_from_zero_to_one_and_hundreds_of_characters():
    sizes, rows = np.array([3, 1, 2]), 6
    names = pa.array(["a", "b", "c"])
    answers = Answers(
        taxonomy=load_taxonomy("schwartz20"),
        x=np.zeros((rows, 20)),
        start=np.array([0, 3, 4]),
        size=sizes,
        chosen=np.array([0, 3, 4]),
        p=np.full(rows, np.nan),
        characters=np.array([10.0, 20, 30, 40, 50, 600]),
        cluster=np.arange(3),
        cluster_names=names,
        menu=names,
        shown=names,
        columns=Columns(None, np.arange(3)),
    )
    features = Design(answers, np.zeros(0, dtype=np.int64))[0:6]
    assert NUISANCES == ("position", "length")
    assert features.tolist() == [[0, 0.1], [0.5, 0.2], [1, 0.3], [0, 0.4], [0, 0.5], [1, 6.0]]


@pytest.mark.parametrize("elsewhere", [0.0, 1.0, 0.3])
def test_a_feature_is_at_stake_only_where_the_options_differ_in_it(elsewhere):
    """All options of 57 menus have the same x, whatever it is: its weight hangs on the three other
    menus.
    """
    features, start, chosen = choices(60, np.array([0.8, -0.5]), options=(3,))
    features[9:, 1] = elsewhere
    assert fit(features, start, chosen).units.tolist() == [60, 3]
