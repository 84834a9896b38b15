"""Two-way inference over seeds and items, against straight-line sums and the formulas."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from valueagents.measuring.studies.contrast import (
    holm,
    in_general,
    own_weights,
    placebo_weights,
    primary_weights,
    target_weights,
)
from valueagents.measuring.studies.crossed import Linear, fieller, linear
from valueagents.measuring.studies.systematic import control_floor, mean_square, systematic_drift


def exactly(value):
    return pytest.approx(value, abs=1e-12, rel=1e-12)


def drawn_cells(rng, *, targets=4, seeds=3, items=30, contested=0.5):
    cells = rng.normal(size=(targets, seeds, items, targets))
    at_stake = rng.random((items, targets)) < contested
    at_stake[:targets] |= np.eye(targets, dtype=bool)
    return np.where(at_stake, cells, np.nan)


def test_a_weighted_sum_and_its_two_way_error_are_those_of_straight_line_sums():
    rng = np.random.default_rng(1)
    cells, cluster = drawn_cells(rng), np.arange(30) // 2
    weights = primary_weights(4)
    found = linear(cells, cluster, weights)
    value, by_seed, parts = 0.0, np.zeros(3), np.zeros((3, 15))
    for t, v in itertools.product(range(4), range(4)):
        known = [i for i in range(30) if not np.isnan(cells[t, 0, i, v])]
        of_seed = [np.mean([cells[t, s, i, v] for i in known]) for s in range(3)]
        value += weights[t, v] * np.mean(of_seed)
        for s in range(3):
            by_seed[s] += weights[t, v] * (of_seed[s] - np.mean(of_seed)) / 3
            for i in known:
                off = cells[t, s, i, v] - of_seed[s]
                parts[s, cluster[i]] += weights[t, v] * off / (3 * len(known))
    left = parts - parts.mean(axis=0)
    seed_part = 3 / 2 * (by_seed**2).sum()
    item_part = 15 / 14 * (parts.sum(axis=0) ** 2).sum()
    shared = 3 / 2 * 15 / 14 * (left**2).sum()
    assert found.value == exactly(value)
    assert found.seed_variance == exactly(seed_part)
    assert found.item_variance == exactly(item_part)
    assert found.variance == exactly(max(seed_part + item_part - shared, seed_part, item_part))
    df = found.variance**2 / (seed_part**2 / 2 + item_part**2 / 14)
    tested = found.tested()
    assert tested.df == exactly(max(1.0, df))
    assert tested.p == exactly(2 * stats.t.sf(abs(value) / found.variance**0.5, tested.df))
    half = stats.t.ppf(0.975, tested.df) * found.variance**0.5
    assert tested.estimate.high - tested.estimate.value == exactly(half)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), targets=st.integers(2, 6), seeds=st.integers(1, 4))
def test_habits_and_shared_controls_cancel_from_every_contrast(seed, targets, seeds):
    rng = np.random.default_rng(seed)
    cells, cluster = drawn_cells(rng, targets=targets, seeds=seeds), np.arange(30) // 2
    habit = rng.normal(0, 10, (targets, seeds, 1, 1))
    control = rng.normal(0, 10, (1, seeds, 30, targets))
    contrasts = [primary_weights(targets)]
    if targets > 2:
        contrasts += [target_weights(targets, t) for t in range(targets)]
    for weights in contrasts:
        assert weights.sum(axis=0) == pytest.approx(np.zeros(targets), abs=1e-12)
        assert weights.sum(axis=1) == pytest.approx(np.zeros(targets), abs=1e-12)
        one, other = (linear(each, cluster, weights) for each in (cells, cells + habit + control))
        assert other.value == pytest.approx(one.value, abs=1e-10)
        assert other.variance == pytest.approx(one.variance, abs=1e-10)


def test_the_targets_contrasts_average_to_the_primary_and_hold_no_other_diagonal():
    for targets in (3, 4, 10):
        each = [target_weights(targets, t) for t in range(targets)]
        assert np.mean(each, axis=0) == pytest.approx(primary_weights(targets), abs=1e-12)
        for t, weights in enumerate(each):
            assert np.diag(weights)[np.arange(targets) != t] == exactly(np.zeros(targets - 1))


def test_a_placebos_contrast_is_of_the_target_against_the_other_values():
    weights = placebo_weights(3, 1)
    assert weights.tolist() == [[-0.5, 1.0, -0.5], [0.5, -1.0, 0.5]]


def test_one_seed_has_an_interval_over_items_and_no_test():
    cells = drawn_cells(np.random.default_rng(2), seeds=1)
    found = linear(cells, np.arange(30), primary_weights(4)).tested()
    assert found.p is None
    assert found.estimate.low is not None
    assert "these adapters only" in found.estimate.reason


def test_a_value_without_items_leaves_the_contrast_undefined():
    cells = drawn_cells(np.random.default_rng(2))
    cells[..., 1] = np.nan
    found = linear(cells, np.arange(30), primary_weights(4)).tested()
    assert found.estimate.value is None
    assert found.p is None
    assert linear(cells, np.arange(30), own_weights(4, 0)).tested().estimate.value is not None


def test_an_item_that_one_adapter_left_unanswered_counts_for_none():
    cells = drawn_cells(np.random.default_rng(3))
    item = int(np.flatnonzero(~np.isnan(cells[0, 0, :, 0]))[0])
    without = cells.copy()
    without[:, :, item, 0] = np.nan
    cells[2, 1, item, 0] = np.nan
    weights = own_weights(4, 0)
    kept, dropped = (linear(each, np.arange(30), weights) for each in (cells, without))
    assert kept.value == exactly(dropped.value)


def test_clusters_are_those_in_which_the_heaviest_value_is_at_stake():
    cells = np.full((3, 2, 12, 3), np.nan)
    rng = np.random.default_rng(4)
    for v, items in enumerate((slice(0, 6), slice(4, 9), slice(9, 12))):
        cells[:, :, items, v] = rng.normal(size=cells[:, :, items, v].shape)
    assert linear(cells, np.arange(12), target_weights(3, 1)).clusters == 5
    assert linear(cells, np.arange(12), primary_weights(3)).clusters == 12


def _of(value, variance, by_seed, clusters=40):
    deviations = np.array(by_seed)
    seed = len(deviations) / (len(deviations) - 1) * float((deviations**2).sum())
    return Linear(value, deviations, seed, variance - seed, variance, clusters)


def test_fiellers_interval_holds_the_ratios_that_a_test_would_not_refuse():
    above, below = _of(0.3, 0.01, [0.02, -0.03, 0.01]), _of(1.0, 0.02, [0.03, -0.02, -0.01])
    found = fieller(above, below)
    shared = 3 / 2 * float(above.by_seed @ below.by_seed)
    reach = stats.t.ppf(0.975, min(above.df, below.df))
    for end in (found.low, found.high):
        variance = above.variance - 2 * end * shared + end**2 * below.variance
        assert abs(above.value - end * below.value) == pytest.approx(reach * variance**0.5)
    assert found.low < found.value < found.high


def test_a_ratio_over_what_is_not_clear_of_0_is_none():
    found = fieller(_of(0.3, 0.01, [0.02, -0.02]), _of(0.1, 0.02, [0.03, -0.03]))
    assert found.value is None
    assert "not clear of 0" in found.reason


def test_systematic_drift_is_the_mean_product_of_different_seeds():
    shifts = np.random.default_rng(5).normal(0.5, 1, (4, 3))
    pairs = [shifts[a] * shifts[b] for a, b in itertools.permutations(range(4), 2)]
    assert mean_square(shifts) == exactly(np.mean(pairs))
    noise = np.random.default_rng(6).normal(0, 1, (2_000, 3, 4))
    assert abs(np.mean([mean_square(each) for each in noise])) < 0.05
    assert systematic_drift(np.full((3, 2), 0.4)).value == exactly(0.4)
    assert "not above 0" in systematic_drift(np.array([[1.0], [-1.0]])).reason
    assert "two seeds" in systematic_drift(np.ones((1, 2))).reason


def test_the_floor_is_over_all_pairs_of_controls_and_not_0_by_algebra():
    levels = np.array([[0.0, 0.1], [0.3, 0.1], [0.6, 0.4]])
    pairs = [levels[a] - levels[b] for a, b in itertools.combinations(range(3), 2)]
    found = control_floor(levels)
    assert found.value == exactly(np.sqrt(np.mean(np.square(pairs))))
    assert found.low >= 0
    assert control_floor(levels[:1]).value is None


def test_holms_adjustment_is_the_step_down_one():
    assert holm([0.01, None, 0.04, 0.03]) == [exactly(0.03), None, exactly(0.06), exactly(0.06)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_values_in_general_are_a_t_over_the_targets():
    cells = drawn_cells(np.random.default_rng(7))
    each = [linear(cells, np.arange(30), target_weights(4, t)).tested() for t in range(4)]
    found = in_general(each, seeds=3)
    values = [one.estimate.value for one in each]
    assert found.p == exactly(stats.ttest_1samp(values, 0.0).pvalue)
    assert found.df == 3
    assert in_general(each[:2], seeds=3).estimate.value is None
    assert in_general(each, seeds=1).p is None
