"""E6 of hand-made runs, against straight-line loops and the infinitesimal jackknife."""

import numpy as np
import pytest
from scipy import stats

from two_axes import MINUS, PLUS, decision, made_run, menus_of, pair
from valueagents.measuring.comparison import compare


def exactly(value):
    return pytest.approx(value, abs=1e-12)


def test_the_split_of_the_rates_adds_up_and_is_that_of_a_loop(tmp_path):
    rng, menus = np.random.default_rng(12), menus_of(30)
    visits = [[*range(30), *rng.integers(30, size=70).tolist()] for _ in "12"]
    picks = [[int(rng.integers(len(menus[s]))) for s in where] for where in visits]
    sides = [
        [decision(s, menus[s], c) for s, c in zip(w, p, strict=True)]
        for w, p in zip(visits, picks, strict=True)
    ]
    found = compare(*pair(tmp_path, *sides))["E6"].axes
    for split, name in zip(found, "AB", strict=True):
        d, u = [], []
        for where, chosen in zip(visits, picks, strict=True):
            taken = [
                [menus[s][c][name] for t, c in zip(where, chosen, strict=True) if t == s]
                for s in range(30)
            ]
            d.append([len(each) / 100 for each in taken])
            u.append([sum(each) / len(each) for each in taken])
        states = list(zip(*d, *u, strict=True))
        assert split.parts["exposure"].value == exactly(
            100 * sum((d1 - d2) * (u1 + u2) / 2 for d1, d2, u1, u2 in states)
        )
        assert split.parts["choice"].value == exactly(
            100 * sum((d1 + d2) / 2 * (u1 - u2) for d1, d2, u1, u2 in states)
        )
        assert split.difference.value == exactly(
            split.parts["exposure"].value + split.parts["choice"].value
        )


def test_the_interval_of_the_split_is_that_of_the_infinitesimal_jackknife_over_the_clusters(
    tmp_path,
):
    rng, states, size, groups = np.random.default_rng(14), 6, 1200, 60
    menus = [
        [{"A": float(rng.choice([-1, 0.5])), "B": 1.0}, {"A": float(rng.choice([-1, 1]))}]
        for _ in range(states)
    ]
    group = np.arange(size) // (size // groups)
    where, picks = [], []
    for lean in (0.3, 0.6):  # an episode has a habit, and leans to some states
        habit = rng.beta(2, 2, groups)[group]
        where.append(
            (rng.binomial(states - 1, lean, groups)[group] + rng.integers(3, size=size)) % states
        )
        picks.append((rng.random(size) < habit).astype(int))
    sides = [
        [decision(s, menus[s], c) for s, c in zip(met.tolist(), taken.tolist(), strict=True)]
        for met, taken in zip(where, picks, strict=True)
    ]
    found = compare(*pair(tmp_path, *sides, clusters=group))["E6"]

    def parts(name, weights):
        x = np.array([[option.get(name, 0.0) for option in menu] for menu in menus])
        d, u = [], []
        for met, taken in zip(where, picks, strict=True):
            n = np.bincount(met, weights, minlength=states)
            d.append(n / n.sum())
            u.append(np.bincount(met, weights * x[met, taken], minlength=states) / n)
        exposure, choice = (
            ((d[0] - d[1]) * (u[0] + u[1]) / 2).sum(),
            ((d[0] + d[1]) / 2 * (u[0] - u[1])).sum(),
        )
        return np.array([exposure + choice, exposure, choice]) * 100

    assert (found.unit, found.clusters) == ("item", groups)
    for split, name in zip(found.axes, "AB", strict=True):
        moved = [
            parts(name, 1 + 1e-5 * (group == g)) - parts(name, 1 - 1e-5 * (group == g))
            for g in range(groups)
        ]
        errors = np.sqrt(groups / (groups - 1) * ((np.array(moved) / 2e-5) ** 2).sum(axis=0))
        for estimate, error in zip(
            (split.difference, split.parts["exposure"], split.parts["choice"]),
            errors.tolist(),
            strict=True,
        ):
            half = float(stats.t.ppf(0.975, groups - 1)) * error
            assert (estimate.high - estimate.value, estimate.value - estimate.low) == pytest.approx(
                (half, half)
            )


def test_the_split_says_why_there_is_none(tmp_path):
    runs = (
        [decision(s, [PLUS, MINUS], None if s else 0) for s in range(3)],
        [decision(s, [PLUS, MINUS], None) for s in (0, 1)],
    )
    a, _ = compare(*pair(tmp_path, *runs))["E6"].axes
    assert (a.difference.value, a.difference.reason) == (None, "no decision to estimate it from")
    alone = [decision(s, [PLUS, MINUS], s % 2) for s in range(4)]
    a, _ = compare(*pair(tmp_path / "alone", alone, alone, clusters=["one"] * 4))["E6"].axes
    assert (a.parts["choice"].value, a.parts["choice"].low, a.parts["choice"].reason) == (
        0.0,
        None,
        "one cluster: no interval",
    )


def test_a_state_that_one_policy_never_met_needs_a_replay(tmp_path):
    one = [decision(s, [PLUS, MINUS], 0) for s in range(25)]
    two = [decision(s, [PLUS, MINUS], 1) for s in range(24)]
    runs = pair(tmp_path, one, two)
    a, _ = compare(*runs)["E6"].axes
    assert (a.difference.value, a.parts["exposure"].value, a.parts["choice"].value) == (
        exactly(200.0),
        None,
        None,
    )
    assert a.parts["exposure"].reason.startswith("1 of 25 states were met by one policy only")


@pytest.mark.parametrize("p", [None, (0.25, 0.75)], ids=["choices", "probabilities"])
def test_a_replay_says_what_a_policy_would_choose_where_it_never_was(tmp_path, p):
    """The second policy was not in situation 24; asked there, it takes the second option, or leans
    to it.
    """
    one = [decision(s, [PLUS, MINUS], 0) for s in range(25)]
    two = [decision(s, [PLUS, MINUS], 1) for s in range(24)]
    runs = pair(tmp_path, one, two)
    asked = made_run(tmp_path / "asked", [decision(24, [PLUS, MINUS], 1, p)])
    a, _ = compare(*runs, replayed=(None, asked))["E6"].axes
    there = -1.0 if p is None else 0.25 - 0.75
    exposure = (
        sum((1 / 25 - 1 / 24) * (1 - 1) / 2 for _ in range(24)) + (1 / 25 - 0) * (1 + there) / 2
    )
    choice = sum((1 / 25 + 1 / 24) / 2 * (1 + 1) for _ in range(24)) + (1 / 25 + 0) / 2 * (
        1 - there
    )
    assert a.parts["exposure"].value == exactly(100 * exposure)
    assert a.parts["choice"].value == exactly(100 * choice)
    assert a.difference.value == exactly(200.0)
    assert a.parts["exposure"].value + a.parts["choice"].value == exactly(200.0)


def test_a_replay_of_other_states_leaves_the_split_undefined(tmp_path):
    runs = pair(tmp_path, *([decision(s, [PLUS, MINUS], 0) for s in range(n)] for n in (25, 24)))
    elsewhere = made_run(tmp_path / "asked", [decision("elsewhere", [PLUS, MINUS], 1)])
    a, _ = compare(*runs, replayed=(None, elsewhere))["E6"].axes
    assert (a.parts["exposure"].value, a.parts["choice"].value) == (None, None)
    assert a.parts["choice"].reason.startswith("1 of 25 states were met by one policy only")


def test_over_seeds_it_is_the_mean_of_their_splits_with_the_wider_interval(tmp_path):
    rng, menus = np.random.default_rng(16), menus_of(12)
    firsts, seconds, single = [], [], []
    for seed in range(3):
        sides = []
        for _ in "12":
            where = [*range(12), *rng.integers(12, size=40).tolist()]
            picks = [int(rng.integers(len(menus[s]))) for s in where]
            sides.append([decision(s, menus[s], c) for s, c in zip(where, picks, strict=True)])
        (tmp_path / str(seed)).mkdir()
        first, second = pair(tmp_path / str(seed), *sides)
        firsts.append(first)
        seconds.append(second)
        single.append(compare(first, second)["E6"])
    found = compare(firsts, seconds)["E6"]
    assert (found.unit, found.clusters) == ("training seed", 3)
    for v, axis in enumerate(found.axes):
        for name in ("exposure", "choice"):
            values = np.array([each.axes[v].parts[name].value for each in single])
            over_seeds = stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
            own = [each.axes[v].parts[name] for each in single]
            half = max(over_seeds, np.mean([(each.high - each.low) / 2 for each in own]))
            part = axis.parts[name]
            assert part.value == exactly(values.mean())
            assert (part.low, part.high) == (
                exactly(values.mean() - half),
                exactly(values.mean() + half),
            )
        whole = axis.parts["exposure"].value + axis.parts["choice"].value
        assert axis.difference.value == exactly(whole)


def test_seeds_that_agree_by_chance_are_no_more_certain_than_one_of_them(tmp_path):
    rng, menus = np.random.default_rng(18), menus_of(20)
    sides = []
    for _ in "12":
        where = [*range(20), *rng.integers(20, size=40).tolist()]
        picks = [int(rng.integers(len(menus[s]))) for s in where]
        sides.append([decision(s, menus[s], c) for s, c in zip(where, picks, strict=True)])
    runs = []
    for seed in "12":
        (tmp_path / seed).mkdir()
        runs.append(pair(tmp_path / seed, *sides))
    one = compare(*runs[0])["E6"].axes[0].difference
    both = compare([a for a, _ in runs], [b for _, b in runs])["E6"].axes[0].difference
    assert (both.low, both.high) == (exactly(one.low), exactly(one.high))
    assert both.low < both.high
