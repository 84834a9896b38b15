"""Variance components: the ANOVA's in balanced designs, right on average in unbalanced ones, and
never a number where facets cannot be told apart.
"""

import numpy as np
import pytest

from valueagents.measuring.components import (
    dependability,
    generalisability,
    variance_components,
)


def _codes(*sizes: int) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def test_a_balanced_one_way_design_gives_the_mean_squares_of_the_anova():
    y = np.array([1.0, 3.0, 2.0, 6.0, 9.0, 12.0, 3.0, 1.0, 2.0])
    found = variance_components(y, {"prompt": _codes(3, 3, 3)})
    groups = y.reshape(3, 3)
    between = 3 * ((groups.mean(axis=1) - y.mean()) ** 2).sum() / 2
    within = ((groups - groups.mean(axis=1, keepdims=True)) ** 2).sum() / 6
    assert found.rest == pytest.approx(within)
    assert found.facets == {"prompt": pytest.approx((between - within) / 3)}
    assert found.error == pytest.approx(between / 9)  # the variance of a mean of three prompts
    assert found.mean == pytest.approx(y.mean())


def test_a_balanced_crossed_design_gives_those_of_the_two_way_anova():
    rng = np.random.default_rng(1)
    table = rng.normal(size=(5, 1)) + 2 * rng.normal(size=(1, 4)) + rng.normal(size=(5, 4))
    item, prompt = (each.ravel() for each in np.indices(table.shape))
    found = variance_components(table.ravel(), {"item": item, "prompt": prompt})
    rows, columns, whole = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = ((table - rows[:, None] - columns + whole) ** 2).sum() / 12
    assert found.rest == pytest.approx(rest)
    assert found.facets["item"] == pytest.approx((4 * rows.var(ddof=1) - rest) / 4)
    assert found.facets["prompt"] == pytest.approx((5 * columns.var(ddof=1) - rest) / 5)


def test_unbalanced_components_are_right_on_average():
    rng = np.random.default_rng(2)
    item, prompt = rng.integers(0, 30, 200), rng.integers(0, 6, 200)
    found = []
    for _ in range(400):
        y = 0.5 + rng.normal(0, 1.0, 30)[item] + rng.normal(0, 0.7, 6)[prompt]
        made = variance_components(y + rng.normal(0, 1.5, 200), {"item": item, "prompt": prompt})
        found.append((made.facets["item"], made.facets["prompt"], made.rest))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / 20
    assert np.abs(mean - [1.0, 0.49, 2.25]).max() < 0.1
    assert (np.abs(mean - [1.0, 0.49, 2.25]) < 4 * error + 0.02).all()


def test_what_does_not_vary_or_varies_with_every_value_is_left_to_the_rest():
    y = np.array([1.0, 2.0, 4.0, 3.0])
    found = variance_components(y, {"seed": np.zeros(4, int), "item": np.arange(4)})
    assert found.facets == {}
    assert found.rest == pytest.approx(y.var(ddof=1))
    assert found.error == pytest.approx(y.var(ddof=1) / 4)


def test_facets_that_vary_together_give_a_reason_and_no_number():
    code = _codes(3, 3)
    found = variance_components(np.arange(6.0), {"seed": code, "reading": 1 - code})
    assert found.rest is found.error is found.coefficient is None
    assert found.reason == "the effects of seed, reading cannot be told apart"


def test_no_component_is_under_0():
    y = np.array([1.0, -1.0, 1.0, -1.0])  # the prompts' means are more alike than chance
    assert variance_components(y, {"prompt": _codes(2, 2)}).facets == {"prompt": 0.0}


@pytest.mark.parametrize("y", [[], [1.0]])
def test_fewer_than_two_values_are_not_enough(y):
    found = variance_components(np.array(y), {})
    assert found.rest is None
    assert "at least 2" in found.reason


@pytest.mark.parametrize(
    ("mean", "error", "coefficient"),
    [(2.0, 1.0, 0.75), (-2.0, 1.0, 0.75), (1.0, 2.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, None)],
)
def test_dependability_is_the_share_of_the_square_that_is_not_error(mean, error, coefficient):
    assert dependability(mean, error) == coefficient


def test_generalisability_is_the_policies_share():
    assert generalisability(3.0, 1.0) == 0.75
    assert generalisability(0.0, 0.0) is None
