"""Covariates in the choice weights: known weights of values and covariates come back, missing
numbers are counted and never invented, two runs are held to the same terms.
"""

from dataclasses import replace

import numpy as np
import pytest

from valueagents.experiments.validity.simulation import AXES, play, simulate
from valueagents.measuring.answers import Answers
from valueagents.measuring.choice_weights import held_constant
from valueagents.measuring.estimators.logit import compare_weights
from valueagents.measuring.estimators.registry import estimator, of_one_run
from valueagents.measuring.measured import measure
from valueagents.measuring.scores import result_of

TASTE = 0.4
FORMS = [("E4", "E4w"), ("E4p", "E4pw")]


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.6, AXES)


@pytest.fixture(scope="module")
def menus() -> Answers:
    """Menus whose options are rated from 0 to 10; what serves the first value is rated higher."""
    rng = np.random.default_rng(2)
    menus = simulate(rng)
    rated = np.clip(5 + 2.5 * menus.x[:, 0] + rng.normal(0, 1.5, len(menus.x)), 0, 10)
    return replace(menus, covariates={"rated": rated})


@pytest.fixture(scope="module")
def played(menus, truth) -> Answers:
    rng = np.random.default_rng(3)
    return play(rng, menus, truth, TASTE * menus.covariates["rated"])


def found(answers: Answers, name: str):
    return result_of(estimator(name), measure(answers, of_one_run(covariates=True)))


def values(result) -> np.ndarray:
    return np.array([each.value for each in result.axes], dtype=float)


@pytest.mark.parametrize(("held", "raw"), FORMS)
def test_weights_of_values_and_of_the_covariate_come_back(played, truth, held, raw):
    with_it, without = found(played, held), found(played, raw)
    weight = with_it.effects["rated"]
    assert weight.low < TASTE < weight.high
    assert weight.high - weight.low < 0.2
    assert weight.value == pytest.approx(TASTE, abs=0.05)
    assert np.corrcoef(values(with_it), truth)[0, 1] > 0.98
    assert values(with_it)[0] == pytest.approx(truth[0], abs=0.2)
    assert values(without)[0] > truth[0] + 0.6  # 0.4 a point, 2.5 points a unit of x, as simulated
    assert "rated" not in without.effects


@pytest.mark.parametrize("unit", [0.01, 1000.0])
def test_the_unit_of_a_covariate_scales_its_weight_and_nothing_else(played, unit):
    rescaled = replace(played, covariates={"rated": played.covariates["rated"] * unit})
    one, other = found(played, "E4"), found(rescaled, "E4")
    assert values(other) == pytest.approx(values(one), abs=1e-6)
    assert other.effects["rated"].value * unit == pytest.approx(one.effects["rated"].value)


def test_without_covariates_nothing_changes(played):
    bare = replace(played, covariates={})
    assert found(bare, "E4") == found(bare, "E4w") == found(played, "E4w")
    assert "E4w" not in {each.id for each in of_one_run()}
    assert {"E4w", "E4pw"} <= {each.id for each in of_one_run(covariates=True)}


def lacking(answers: Answers, decisions: np.ndarray) -> Answers:
    """The same, where one option of each of these decisions has no number."""
    rated = answers.covariates["rated"].copy()
    rated[answers.start[decisions] + 1] = np.nan
    return replace(answers, covariates={"rated": rated})


def test_decisions_with_an_option_that_lacks_the_number_are_left_out_and_counted(played):
    gone = np.arange(0, len(played.size), 10)
    result = found(lacking(played, gone), "E4")
    kept = np.setdiff1d(np.arange(len(played.size)), gone)
    assert values(result) == pytest.approx(values(found(played.select(kept), "E4")), abs=1e-6)
    assert result.warnings == [
        "choice weights: 240 of 2400 decisions are left out: an option lacks rated"
    ]
    assert found(lacking(played, gone), "E4w") == found(played, "E4w")


def test_a_covariate_that_most_decisions_lack_is_left_out_and_said(played):
    gone = np.arange(0, 1300)
    result = found(lacking(played, gone), "E4p")
    assert values(result) == pytest.approx(values(found(played, "E4pw")))
    assert "rated" not in result.effects
    assert result.warnings == [
        "choice weights: rated is not held constant: 1100 of 2400 decisions have it for every"
        " option"
    ]


def test_a_covariate_that_never_differs_is_left_out_and_said(played):
    level = replace(played, covariates={"rated": np.full(len(played.x), 5.0)})
    held = held_constant(level, "choice", ["rated"])
    assert (held.names, held.whole.all()) == ((), True)
    assert held.notes == ("rated is not held constant: it never differs within a menu",)
    empty = held_constant(level.select(np.zeros(0, dtype=int)), "choice", ["rated"])
    assert not len(empty.whole)


def test_a_taste_for_the_covariate_is_no_difference_of_values(menus, truth):
    rng = np.random.default_rng(4)
    plain = play(rng, menus, truth)
    tasting = play(rng, menus, truth, TASTE * menus.covariates["rated"])
    held = compare_weights(tasting, plain, "probability")
    raw = compare_weights(tasting, plain, "probability", covariates=False)
    assert (held.estimator, raw.estimator) == ("E4p", "E4pw")
    assert held.name == "normalised weights w / |w|, rated held constant"
    assert raw.name == "normalised weights w / |w|"
    assert not any(axis.differs for axis in held.axes)
    assert raw.axes[0].differs


def test_two_runs_are_held_to_the_covariates_that_both_have(played):
    bare = replace(played, covariates={})
    found = compare_weights(played, bare)
    assert found.warnings == ["E4: rated is not held constant: only one of the runs has it"]
    assert [axis.difference.value for axis in found.axes] == pytest.approx([0.0] * AXES)
