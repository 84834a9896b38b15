"""E5 against choix, on random comparisons and on decisions."""

import choix
import numpy as np
import pytest

from valueagents.measuring.estimators.bradley_terry import fit, is_connected


def comparisons(count, values, seed):
    rng = np.random.default_rng(seed)
    strength = rng.normal(0, 1, values)
    pairs = np.array([rng.choice(values, 2, replace=False) for _ in range(count)])
    first = rng.random(count) < 1 / (1 + np.exp(strength[pairs[:, 1]] - strength[pairs[:, 0]]))
    return np.where(first, pairs[:, 0], pairs[:, 1]), np.where(first, pairs[:, 1], pairs[:, 0])


@pytest.mark.parametrize("seed", range(20))
def test_strengths_are_those_of_choix(seed):
    winner, loser = comparisons(400, 8, seed)
    assert is_connected(winner, loser, 8)
    data = list(zip(winner.tolist(), loser.tolist(), strict=True))
    found, _ = fit(winner, loser, 8, 0.0)
    np.testing.assert_allclose(found, choix.ilsr_pairwise(8, data), atol=1e-6)
    np.testing.assert_allclose(found, choix.opt_pairwise(8, data, tol=1e-12), atol=1e-5)


def test_a_value_that_always_wins_is_not_connected():
    assert not is_connected(np.array([0, 0, 1]), np.array([1, 2, 2]), 3)
    assert is_connected(np.array([0, 1, 2]), np.array([1, 2, 0]), 3)
