"""The inference under the scores, against scipy, written-out formulas and enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from valueagents.measuring import flips, inference
from valueagents.measuring.flips import benjamini_hochberg, sign_flip_test
from valueagents.measuring.inference import (
    Estimate,
    cluster_estimates,
    clustered_variance,
    percentile_interval,
    ratio_estimates,
    t_estimate,
    t_test,
)
from valueagents.measuring.sums import cluster_sums

REAL = st.floats(-3, 3, allow_nan=False).map(lambda x: round(x, 3))


def clustered(count, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, size=count).astype(float)
    return sizes * rng.normal(0.3, 0.5, count), sizes


def one_axis(numerator, denominator, seed=0):
    [estimate] = ratio_estimates([np.c_[numerator]], [np.c_[denominator]], seed=seed)
    return estimate


def moderated_scales(columns):
    """sqrt((Σ d² + n · median of mean squares) / 2), n the differences of an axis other than 0."""
    squares = [math.fsum(d * d for d in column) for column in columns]
    counts = [sum(d != 0 for d in column) for column in columns]
    common = float(np.median([s / n for s, n in zip(squares, counts, strict=True)]))
    return [math.sqrt((s + n * common) / 2) for s, n in zip(squares, counts, strict=True)]


def enumerated_p(differences):
    """Two-sided p by axis and step-down max-T p, by walking all sign flips in plain Python."""
    columns = list(zip(*differences, strict=True))
    scales = moderated_scales(columns)
    observed = [abs(sum(c)) / s for c, s in zip(columns, scales, strict=True)]
    alone, jointly, flips = [0] * len(columns), [0] * len(columns), 0
    for signs in itertools.product((-1, 1), repeat=len(differences)):
        flips += 1
        flipped = [
            abs(sum(a * b for a, b in zip(signs, c, strict=True))) / s
            for c, s in zip(columns, scales, strict=True)
        ]
        for v, bar in enumerate(observed):
            alone[v] += flipped[v] >= bar - 1e-9
            rest = [f for f, o in zip(flipped, observed, strict=True) if o <= bar]
            jointly[v] += max(rest) >= bar - 1e-9
    found, least = [n / flips for n in jointly], 0.0
    for v in sorted(range(len(columns)), key=lambda v: -observed[v]):
        found[v] = least = max(least, found[v])
    return [n / flips for n in alone], found


def test_cluster_sums_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    values, clusters = rng.normal(size=(40, 3)), rng.integers(5, size=40)
    expected = np.zeros((7, 3))
    for row, cluster in zip(values, clusters, strict=True):
        expected[cluster] += row
    np.testing.assert_allclose(cluster_sums(values, clusters, 7), expected, atol=1e-12)


def test_no_decisions_sum_to_no_clusters():
    assert cluster_sums(np.zeros((0, 3)), np.zeros(0, dtype=np.int64), 0).shape == (0, 3)


@pytest.mark.parametrize("cells", [4_000_000, 1_000], ids=["one chunk", "many chunks"])
def test_the_percentile_interval_is_scipys(monkeypatch, cells):
    monkeypatch.setattr(inference, "_CELLS_A_CHUNK", cells)
    numerator, denominator = clustered(80)
    estimate = one_axis(numerator, denominator)
    reference = stats.bootstrap(
        (numerator, denominator),
        lambda n, d, axis: n.sum(axis=axis) / d.sum(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    tolerance = 0.06 * (
        reference.high - reference.low
    )  # the Monte Carlo error of 2,000 draws is 0.015 of the width
    assert estimate.value == pytest.approx(numerator.sum() / denominator.sum(), abs=1e-12)
    assert estimate.low == pytest.approx(reference.low, abs=tolerance)
    assert estimate.high == pytest.approx(reference.high, abs=tolerance)
    assert estimate.reason is None


def test_below_fifty_clusters_of_equal_size_the_interval_is_that_of_the_t_test():
    values = np.random.default_rng(2).normal(0.2, 1.0, 49)
    estimate = one_axis(3 * values, np.full(49, 3.0))
    reference = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx(
        (reference.low, reference.high), abs=1e-12
    )
    assert estimate.reason == "49 clusters, fewer than 50: t interval"


def test_below_fifty_clusters_of_unequal_size_the_error_is_cochrans():
    numerator, denominator = clustered(12)
    ratio = sum(numerator) / sum(denominator)
    squares = sum((n - ratio * d) ** 2 for n, d in zip(numerator, denominator, strict=True))
    error = math.sqrt(12 / 11 * squares) / sum(denominator)
    estimate = one_axis(numerator, denominator)
    assert estimate.high - estimate.value == pytest.approx(
        2.200985160082949 * error, abs=1e-9
    )  # t(0.975, 11)
    assert estimate.value - estimate.low == pytest.approx(2.200985160082949 * error, abs=1e-9)


def test_fifty_contributing_clusters_are_enough_for_the_bootstrap():
    assert one_axis(*clustered(50)).reason is None


def test_clusters_that_say_nothing_of_an_axis_do_not_count_for_it():
    numerator, denominator = clustered(10)
    padded = one_axis(np.r_[numerator, np.zeros(60)], np.r_[denominator, np.zeros(60)])
    alone = one_axis(numerator, denominator)
    assert (padded.value, padded.low, padded.high) == pytest.approx(
        (alone.value, alone.low, alone.high), abs=1e-15
    )
    assert padded.reason == alone.reason


@pytest.mark.parametrize("clusters", [20, 60])
def test_axes_are_estimated_apart(clusters):
    first, second = clustered(clusters, seed=1), clustered(clusters, seed=2)
    second[0][:15] = second[1][:15] = 0  # which say nothing of the second axis
    both = ratio_estimates([np.c_[first[0], second[0]]], [np.c_[first[1], second[1]]], seed=0)
    assert both == [one_axis(*first), one_axis(*second)]


def test_one_cluster_has_a_value_and_no_interval():
    assert one_axis([1.5], [3.0]) == Estimate(0.5, None, None, "one cluster: no interval")


@pytest.mark.parametrize("clusters", [0, 1, 60])
def test_nothing_to_estimate_from_is_none_with_a_reason(clusters):
    expected = Estimate(None, None, None, "no decision to estimate it from")
    assert one_axis(np.zeros(clusters), np.zeros(clusters)) == expected


@pytest.mark.parametrize("clusters", [2, 60])
def test_identical_clusters_of_unknown_range_have_no_interval(clusters):
    estimate = one_axis(np.full(clusters, 0.5), np.full(clusters, 2.0))
    assert (estimate.value, estimate.low, estimate.high) == (0.25, None, None)
    assert f"all {clusters} clusters alike: no interval" in estimate.reason


@pytest.mark.parametrize("clusters", [3, 60])
@pytest.mark.parametrize("value", [-1.0, 0.0, 0.25, 1.0])
@pytest.mark.parametrize("rounding", [0.0, 1e-17])
def test_identical_clusters_have_an_interval_within_the_range_and_never_of_no_width(
    clusters, value, rounding
):
    sums = np.full((clusters, 1), value)
    sums[0] += rounding
    extremes = clusters * np.array([[-1.0], [1.0]])
    [estimate] = ratio_estimates([sums], [np.ones((clusters, 1))], extremes, seed=0)
    t2 = float(stats.t.ppf(0.975, clusters - 1)) ** 2
    others = t2 / (clusters + t2)  # Wilson's upper end of 0 of n
    assert estimate.low == pytest.approx(value - others * (value + 1), abs=1e-9)
    assert estimate.high == pytest.approx(value + others * (1 - value), abs=1e-9)
    assert -1 <= estimate.low < estimate.high <= 1
    assert estimate.reason.startswith(f"all {clusters} clusters alike: Wilson's bound")


def test_a_t_interval_ends_where_the_scale_does():
    """Three items of a survey, −1, +1 and +1: t reaches from −2.54 to +3.20."""
    sums, ones = np.array([[-1.0], [1.0], [1.0]]), np.ones((3, 1))
    [estimate] = ratio_estimates([sums], [ones], np.array([[-3.0], [3.0]]), seed=0)
    assert (estimate.low, estimate.high) == (-1.0, 1.0)
    assert estimate.reason == "3 clusters, fewer than 50: t interval"
    [free] = ratio_estimates([sums], [ones], seed=0)
    assert (free.low, free.high) == pytest.approx((-2.5351, 3.2018), abs=1e-4)


def test_a_cluster_without_which_a_number_is_the_same_to_rounding_does_not_move_it():
    sums = {"x": np.array([[0.1], [0.1 + 1e-17], [0.1], [0.1 - 1e-17]]), "n": np.ones((4, 1))}
    found = cluster_estimates(sums, lambda t: {"mean": (t["x"] / t["n"])[:, 0]}, seed=0)["mean"]
    assert found.value == pytest.approx(0.1)
    assert found.low is found.high is None
    assert found.reason == "the same whichever cluster is left out: no interval"


def test_the_seed_decides_the_bootstrap_draws():
    data = clustered(60)
    assert one_axis(*data, seed=1) == one_axis(*data, seed=1)
    assert one_axis(*data, seed=1) != one_axis(*data, seed=2)


def test_a_t_interval_of_two_residuals_is_twelve_errors_wide_to_either_side():
    error = math.sqrt(clustered_variance([np.array([[1.0], [-1.0]])], [[2]])[0])  # sqrt(2/1 · 2)
    estimate = t_estimate(0.0, error, 2)
    assert estimate.high == pytest.approx(12.706204736174698 * 2)  # t(0.975, 1)
    assert estimate.low == -estimate.high


@pytest.mark.parametrize(
    ("value", "units", "estimate"),
    [
        (math.nan, 9, Estimate(reason="no decision to estimate it from")),
        (math.inf, 9, Estimate(reason="no decision to estimate it from")),
        (0.5, 1, Estimate(0.5, reason="with care; one item: no interval")),
        (0.5, 0, Estimate(0.5, reason="with care; no item: no interval")),
    ],
)
def test_where_there_is_no_t_interval_the_reason_is_given(value, units, estimate):
    assert t_estimate(value, 0.1, units, "with care", unit="item") == estimate


def test_the_t_test_is_scipys_and_tests_nothing_that_does_not_vary():
    values = np.random.default_rng(3).normal(0.4, 1, 15)
    reference = stats.ttest_1samp(values, 0).pvalue
    assert t_test(float(values.mean()), float(stats.sem(values)), 15) == pytest.approx(
        reference, abs=1e-12
    )
    assert t_test(0.4, 0.0, 15) is None
    assert t_test(0.4, 0.1, 1) is None


def test_the_percentiles_are_of_the_draws_that_are_finite():
    draws = np.r_[np.arange(41.0), np.nan, np.inf]
    assert percentile_interval(draws) == (pytest.approx(1.0), pytest.approx(39.0))
    assert all(math.isnan(end) for end in percentile_interval(np.array([np.nan])))


def two_way_by_hand(above, below, first, second):
    """Half the t interval of Σ above / Σ below, clustered by two kinds of units at once, in plain
    Python.
    """
    ratio = sum(above) / sum(below)
    residuals = [a - ratio * b for a, b in zip(above, below, strict=True)]

    def variance(units):
        sums = {}
        for unit, residual in zip(units, residuals, strict=True):
            sums[unit] = sums.get(unit, 0.0) + residual
        return len(sums) / (len(sums) - 1) * math.fsum(s * s for s in sums.values()), len(sums)

    ways = [variance(units) for units in (first, second, list(zip(first, second, strict=True)))]
    both, larger = ways[0][0] + ways[1][0] - ways[2][0], max(ways[0][0], ways[1][0])
    freedom = min(ways[0][1], ways[1][1]) - 1
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(max(both, larger)) / sum(below)
    return ratio, half, both > larger


@pytest.mark.parametrize(
    ("habit", "adds_up"), [(0.0, False), (2.0, True)], ids=["larger of the two", "sum of both"]
)
def test_two_ways_of_clusters_give_the_error_of_cameron_gelbach_and_miller(habit, adds_up):
    """Where both kinds of units have habits their variances add up; the larger of them is the
    least.
    """
    rng = np.random.default_rng(13)
    first, second = np.arange(240) // 4, rng.integers(9, size=240)
    habits = habit * (rng.normal(size=60)[first] + rng.normal(size=9)[second])
    above = rng.normal(0.3, 1, 240) + habits
    ones = np.ones((240, 1))
    pairs, third = np.unique(first * 9 + second, return_inverse=True)
    ways = [(first, 60), (second, 9), (third, len(pairs))]
    sums = [
        [cluster_sums(column, codes, count) for codes, count in ways]
        for column in (above[:, None], ones)
    ]
    [estimate] = ratio_estimates(*sums, seed=0)
    value, half, added = two_way_by_hand(
        above.tolist(), [1.0] * 240, first.tolist(), second.tolist()
    )
    assert added == adds_up
    assert estimate.value == pytest.approx(value, abs=1e-12)
    assert (estimate.high - estimate.value, estimate.value - estimate.low) == pytest.approx(
        (half, half), abs=1e-12
    )
    assert estimate.reason == "9 clusters, fewer than 50: t interval"


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(REAL, REAL), min_size=1, max_size=6).filter(
        lambda rows: np.all(np.any(rows, axis=0))
    )
)
def test_the_exact_sign_flip_p_is_that_of_enumeration(differences):
    test = sign_flip_test(np.array(differences), seed=0)
    alone, jointly = enumerated_p(differences)
    assert test.p == pytest.approx(alone)
    assert test.p_max_t == pytest.approx(jointly)
    assert (
        test.method
        == f"sign-flip over {len(differences)} clusters, all {2 ** len(differences)} flips"
    )


def test_the_max_t_p_is_never_below_the_one_alone():
    test = sign_flip_test(np.random.default_rng(3).normal(0.3, 1, size=(12, 8)), seed=0)
    assert all(alone <= jointly for alone, jointly in zip(test.p, test.p_max_t, strict=True))
    assert min(test.p) < min(test.p_max_t)


@pytest.mark.parametrize("cells", [4_000_000, 999], ids=["one chunk", "many chunks"])
def test_drawn_flips_come_close_to_all_of_them(monkeypatch, cells):
    differences = np.random.default_rng(4).normal(0.2, 1, size=(14, 2))
    monkeypatch.setattr(flips, "_CELLS_A_CHUNK", cells)
    test = sign_flip_test(differences, seed=0)
    assert test.method == "sign-flip over 14 clusters, 10000 drawn flips"
    alone, jointly = enumerated_p(differences.tolist())
    assert test.p == pytest.approx(alone, abs=0.02)
    assert test.p_max_t == pytest.approx(jointly, abs=0.02)


def test_flips_are_exact_over_the_clusters_of_each_axis():
    """Twenty axes of six clusters each: 120 clusters in all, of which an axis moves in six."""
    rng, differences = np.random.default_rng(7), np.zeros((120, 20))
    for v in range(20):
        differences[6 * v : 6 * v + 6, v] = rng.normal(size=6)
    test = sign_flip_test(differences, seed=0)
    assert test.method == "sign-flip over the 6 clusters in which a value differs, all flips"
    own = [enumerated_p([(d,) for d in differences[6 * v : 6 * v + 6, v]]) for v in range(20)]
    assert test.p == pytest.approx([alone[0] for alone, _ in own], abs=1e-12)


def test_what_rounding_leaves_is_no_difference():
    column = np.array([1.0, 2.0, -0.5, 3.0])
    test = sign_flip_test(np.c_[column, [1e-17, -1e-17, 1e-17, 1e-17]], seed=0)
    assert test.p[1] is test.p_max_t[1] is None


def test_a_moved_axis_among_nineteen_that_rest_is_found_on_six_clusters_each():
    rng, found, called = np.random.default_rng(8), 0, 0
    for _ in range(40):
        differences = np.zeros((120, 20))
        for v in range(20):
            differences[6 * v : 6 * v + 6, v] = rng.normal(3.0 * (v == 0), 1, size=6)
        p = sign_flip_test(differences, seed=0).p_max_t
        found += p[0] <= 0.05
        called += min(p[1:]) <= 0.05
    assert found >= 36  # 0.99 of them in a long simulation
    assert called <= 6  # 0.03 of them


def test_thirteen_clusters_are_still_flipped_exactly():
    test = sign_flip_test(np.ones((13, 1)), seed=0)
    assert test.method == "sign-flip over 13 clusters, all 8192 flips"
    assert test.p == [2 / 8192]


def test_a_drawn_p_is_never_zero():
    assert sign_flip_test(np.ones((100, 1)), seed=0).p == [1 / 10_001]


def test_one_cluster_can_show_nothing():
    assert sign_flip_test(np.array([[5.0]]), seed=0).p == [1.0]


def test_an_axis_without_differences_has_no_p_and_leaves_the_others_alone():
    column = np.array([1.0, 2.0, -0.5, 3.0])
    test = sign_flip_test(np.c_[np.zeros(4), column], seed=0)
    assert test.p == [None, *sign_flip_test(np.c_[column], seed=0).p]
    assert test.p_max_t == [None, *enumerated_p([(d,) for d in column])[1]]


@pytest.mark.parametrize("clusters", [0, 1, 20])
def test_no_differences_at_all_say_so(clusters):
    test = sign_flip_test(np.zeros((clusters, 2)), seed=0)
    assert (test.method, test.p, test.p_max_t) == (
        "none: all differences are 0",
        [None, None],
        [None, None],
    )


def test_benjamini_hochberg_finds_the_four_of_the_papers_example():
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.324,
        0.4262,
        0.5719,
        0.6528,
        0.759,
    ]
    adjusted = benjamini_hochberg([*reversed(p), 1.0])
    assert [value <= 0.05 for value in adjusted] == [False] * 10 + [True] * 4 + [False]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=9))
def test_benjamini_hochberg_is_the_step_up_formula_over_the_defined_and_scipys(p):
    defined = sorted(value for value in p if value is not None)
    expected = []
    for value in p:
        steps = [
            larger * len(defined) / rank
            for rank, larger in enumerate(defined, 1)
            if value is not None and larger >= value
        ]
        expected.append(min(1.0, *steps, 1.0) if steps else None)
    assert benjamini_hochberg(p) == [
        None if e is None else pytest.approx(e, abs=1e-12) for e in expected
    ]
    if defined:
        found = sorted(value for value in benjamini_hochberg(p) if value is not None)
        np.testing.assert_allclose(
            found, np.sort(stats.false_discovery_control(defined)), atol=1e-12
        )


def test_no_p_at_all_stays_so():
    assert benjamini_hochberg([None, None]) == [None, None]
    assert benjamini_hochberg([]) == []
