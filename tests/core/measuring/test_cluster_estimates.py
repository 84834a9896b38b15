"""Named statistics of cluster totals, of seeds and of policies, against scipy and written-out
formulas.
"""

import math

import numpy as np
import pytest
from scipy import stats

from valueagents.measuring.inference import cluster_estimates, over_policies, over_units


def exactly(value):
    return pytest.approx(value, abs=1e-12, rel=1e-12)


def ratio(totals):
    return {"ratio": totals["above"][:, 0] / totals["below"][:, 0]}


def ratio_of(above, below, **settings):
    """The estimate of Σ above / Σ below over clusters."""
    sums = {"above": np.reshape(above, (-1, 1)), "below": np.reshape(below, (-1, 1))}
    return cluster_estimates(sums, ratio, seed=1, **settings)["ratio"]


def test_the_bootstrap_interval_is_scipys():
    rng = np.random.default_rng(1)
    above, below = rng.normal(2, 1, 200), rng.uniform(1, 3, 200)
    found = ratio_of(above, below)
    theirs = stats.bootstrap(
        (above, below), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, method="percentile",
        n_resamples=9999, vectorized=True, rng=2,
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert found.value == exactly(above.sum() / below.sum())
    assert found.low == pytest.approx(theirs.low, abs=0.1 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.1 * width)


def test_a_difference_hangs_on_the_fewer_clusters_of_its_parts():
    rng = np.random.default_rng(3)
    few, many = rng.normal(2, 1, 5), rng.normal(1, 0.1, 80)
    sums = {
        "few": np.r_[few, np.zeros(80)][:, None],
        "many": np.r_[np.zeros(5), many][:, None],
        "counts": np.repeat([[1.0, 0.0], [0.0, 1.0]], [5, 80], axis=0),
    }

    def both(totals):
        one = totals["few"][:, 0] / totals["counts"][:, 0]
        other = totals["many"][:, 0] / totals["counts"][:, 1]
        return {"one": one, "other": other, "apart": one - other}

    found = cluster_estimates(sums, both, seed=1, differences={"apart": ("one", "other")})["apart"]
    half = stats.t.ppf(0.975, 4) * math.hypot(stats.sem(few), stats.sem(many))
    assert found.high - found.value == exactly(half)
    assert found.reason == "5 clusters, fewer than 50: t interval"


def test_a_mean_of_absolute_values_lies_in_its_own_interval():
    """Noise about 0 has a mean |total| that every resample exceeds."""
    noise = {"noise": np.random.default_rng(4).normal(size=(100, 40))}

    def size(totals):
        return {"size": np.abs(totals["noise"]).mean(axis=1)}

    pushed_up = cluster_estimates(noise, size, seed=1)["size"]
    found = cluster_estimates(noise, size, seed=1, folded={"size"})["size"]
    assert pushed_up.value < pushed_up.low
    assert found.low < found.value < found.high
    assert found.reason is None


def test_few_clusters_get_the_t_interval_of_the_jackknife():
    values = np.random.default_rng(1).normal(size=12)
    found = ratio_of(values, np.ones(12))
    low, high = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == (exactly(low), exactly(high))
    assert found.reason == "12 clusters, fewer than 50: t interval"


@pytest.mark.parametrize(
    ("above", "below", "value", "said"),
    [
        (np.zeros(0), np.zeros(0), None, "nothing to estimate"),
        (np.zeros(5), np.zeros(5), None, "nothing to estimate"),
        (np.array([1.0]), np.array([2.0]), 0.5, "rests on one cluster"),
        (np.ones(60), np.ones(60), 1.0, "whichever cluster is left out"),
    ],
)
def test_what_has_no_interval_says_why(above, below, value, said):
    found = ratio_of(above, below)
    assert (found.value, found.low, found.high) == (value, None, None)
    assert said in found.reason


def moments(totals):
    """Three numbers, of which two are made of columns that lie elsewhere when the sums change
    places.
    """
    mean = totals["wide"] / totals["count"]
    first, spread = mean[:, 0], mean.max(axis=1) - mean.min(axis=1)
    return {"first": first, "spread": spread, "apart": first - spread}


@pytest.mark.parametrize("clusters", [12, 80], ids=["jackknife", "bootstrap"])
def test_in_whatever_order_sums_and_numbers_are_named_they_come_out_the_same(clusters):
    rng = np.random.default_rng(6)
    sums = {"wide": rng.normal(size=(clusters, 3)), "count": rng.uniform(1, 2, (clusters, 1))}
    settings = {"seed": 5, "differences": {"apart": ("first", "spread")}, "folded": ("spread",)}
    found = cluster_estimates(sums, moments, **settings)

    def backwards(totals):
        return dict(reversed(moments(totals).items()))

    turned = cluster_estimates(dict(reversed(sums.items())), backwards, **settings)
    assert list(turned) == ["apart", "spread", "first"]
    for name, estimate in found.items():
        assert (estimate.low, estimate.high) != (None, None)
        numbers = (turned[name].value, turned[name].low, turned[name].high)
        assert numbers == exactly((estimate.value, estimate.low, estimate.high)), name
        assert turned[name].reason == estimate.reason


def test_a_number_has_the_same_interval_whatever_else_is_computed_beside_it():
    rng = np.random.default_rng(7)
    sums = {"above": rng.normal(size=(70, 1)), "below": rng.uniform(1, 2, (70, 1))}

    def more(totals):
        return {"other": totals["above"][:, 0], **ratio(totals)}

    assert (
        cluster_estimates(sums, more, seed=2)["ratio"]
        == cluster_estimates(sums, ratio, seed=2)["ratio"]
    )


def test_seeds_are_units_of_their_own():
    values = [0.1, 0.4, 0.2]
    found = over_units(values, "seed")
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.value, found.low, found.high) == (
        exactly(np.mean(values)),
        exactly(low),
        exactly(high),
    )
    assert found.reason == "3 seeds, fewer than 6: exploratory"
    assert over_units([None], "seed").value is None
    assert over_units([0.1, None], "seed").reason == "one seed: no interval; 1 undefined left out"


def test_over_policies_each_named_number_has_the_interval_of_its_own_resamples():
    x = np.random.default_rng(8).normal(0.5, 1, size=(60, 2))

    def statistics(sample):
        return {
            "mean": float(sample[:, 0].mean()),
            "undefined": math.nan,
            "spread": float(sample[:, 1].std()),
        }

    def turned(sample):
        return dict(reversed(statistics(sample).items()))

    found, other = over_policies(x, statistics, seed=3), over_policies(x, turned, seed=3)
    assert found == other
    theirs = stats.bootstrap((x[:, 0],), np.mean, method="percentile", rng=1).confidence_interval
    width = theirs.high - theirs.low
    assert found["mean"].value == exactly(x[:, 0].mean())
    assert (found["mean"].low, found["mean"].high) == pytest.approx(
        (theirs.low, theirs.high), abs=0.1 * width
    )
    assert (found["undefined"].value, found["mean"].reason) == (None, None)
    assert found["undefined"].reason == "nothing that varies over the policies"
    few = over_policies(x[:49], statistics, seed=3)
    assert few["mean"].reason == "49 policies, fewer than 50: its interval is too narrow"
