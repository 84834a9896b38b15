"""Paired comparisons of hand-made runs, against straight-line loops and enumerated flips."""

import itertools
import math

import msgspec
import numpy as np
import pytest
from scipy import stats

from two_axes import MINUS, PLUS, decision, made_run, menus_of, pair
from valueagents.errors import ConfigError
from valueagents.measuring.comparison import Comparison, compare
from valueagents.taxonomy import Axis, Taxonomy, load_taxonomy


def drawn(rng, size):
    return tuple(rng.dirichlet(np.ones(size)).tolist())


def mean_above(values, axis, weights):
    """Σ weight · x minus the menu's mean; None where the axis is not contested."""
    x = [option.get(axis, 0.0) for option in values]
    if len(set(x)) == 1:
        return None
    return sum(w * y for w, y in zip(weights, x, strict=True)) - sum(x) / len(x)


def paired(*sides, **settings):
    """The paired difference that the comparison's verdict rests on."""
    found = compare(*sides, **settings)
    return found[found.headline]


def exactly(value):
    return pytest.approx(value, abs=1e-12)


def test_differences_are_those_of_a_loop_over_the_shared_situations(tmp_path):
    rng, menus = np.random.default_rng(1), menus_of(100)
    ps = [[drawn(rng, len(menu)) for menu in menus] for _ in range(2)]
    runs = pair(
        tmp_path, *([decision(s, menu, 0, p[s]) for s, menu in enumerate(menus)] for p in ps)
    )
    found = compare(*runs)
    verdict = found[found.headline]
    assert (found.headline, found.paired_situations) == ("E3p", 100)
    for axis, name in zip(verdict.axes, "AB", strict=True):
        both = [
            [mean_above(menu, name, q) for q in qs] for menu, *qs in zip(menus, *ps, strict=True)
        ]
        differences = [one - two for one, two in both if one is not None]
        assert axis.axis == name
        assert axis.situations == axis.clusters == len(differences)
        assert axis.difference.value == exactly(math.fsum(differences) / len(differences))


def test_where_a_run_lacks_some_probabilities_the_choices_are_compared(tmp_path):
    rng, menus = np.random.default_rng(2), menus_of(60)
    first = [int(rng.integers(len(menu))) for menu in menus]
    second = [None if rng.random() < 0.2 else int(rng.integers(len(menu))) for menu in menus]
    a = made_run(
        tmp_path / "a", [decision(s, m, first[s], drawn(rng, len(m))) for s, m in enumerate(menus)]
    )
    b = made_run(
        tmp_path / "b",
        [
            decision(s, m, second[s], drawn(rng, len(m)) if s % 2 else None)
            for s, m in enumerate(menus)
        ],
    )
    found = compare(a, b)
    verdict = found[found.headline]
    assert found.headline == "E3"
    for axis, name in zip(verdict.axes, "AB", strict=True):
        read = [
            s for s in range(60) if second[s] is not None and len({o[name] for o in menus[s]}) > 1
        ]
        differences = [menus[s][first[s]][name] - menus[s][second[s]][name] for s in read]
        assert axis.situations == len(read)
        assert axis.difference.value == exactly(math.fsum(differences) / len(differences))


def test_repeated_meetings_of_a_situation_are_averaged_before_they_are_paired(tmp_path):
    often = [
        decision(s, [PLUS, MINUS], c) for s in range(30) for c in ([0, 0, 0, 1] if s == 0 else [1])
    ]
    once = [decision(s, [PLUS, MINUS], 1) for s in range(30)]
    a, _ = paired(*pair(tmp_path, often, once)).axes
    assert a.situations == 30
    assert a.difference.value == exactly(1.5 / 30)  # mean of +1, +1, +1, -1, against -1


def test_situations_are_paired_whatever_the_order_of_the_options(tmp_path):
    menu, p = [PLUS, {}, {"A": 0.5}], (0.2, 0.3, 0.5)
    orders = list(itertools.permutations(range(3)))
    one = [decision(s, menu, 0, p) for s in range(24)]
    other = [decision(s, menu, 0, p, order=orders[s % 6]) for s in range(24)]
    found = compare(*pair(tmp_path, one, other))
    verdict = found[found.headline]
    assert (found.paired_situations, found.only_first, found.only_second) == (24, 0, 0)
    assert verdict.axes[0].difference.value == exactly(0.0)


def test_a_changed_word_is_another_situation(tmp_path):
    one = [decision(s, [PLUS, MINUS], 0) for s in range(30)]
    other = [decision(s, [PLUS, MINUS], 0) for s in range(25)] + [decision("ä", [PLUS, MINUS], 0)]
    found = compare(*pair(tmp_path, one, other))
    assert (found.paired_situations, found.only_first, found.only_second) == (25, 5, 1)


def test_clusters_are_the_units_of_the_flips_and_of_the_interval(tmp_path):
    rng, menus = np.random.default_rng(3), menus_of(48)
    clusters = [f"post {s // 6}" for s in range(48)]
    ps = [[drawn(rng, len(menu)) for menu in menus] for _ in range(2)]
    runs = pair(
        tmp_path,
        *([decision(s, m, 0, p[s]) for s, m in enumerate(menus)] for p in ps),
        clusters=clusters,
    )
    found = compare(*runs)
    verdict = found[found.headline]
    assert verdict.test == "sign-flip over 8 clusters, all 256 flips"
    sums = np.zeros((8, 2))
    for s, menu in enumerate(menus):
        for v, name in enumerate("AB"):
            one, two = (mean_above(menu, name, p[s]) for p in ps)
            sums[s // 6, v] += 0.0 if one is None else one - two
    flips = np.abs(np.array(list(itertools.product((-1, 1), repeat=8))) @ sums)
    for v, axis in enumerate(verdict.axes):
        assert axis.clusters == 8
        assert axis.p == exactly((flips[:, v] >= flips[-1, v] - 1e-9).mean())
        assert axis.difference.reason == "8 clusters, fewer than 50: t interval"
    squares = (sums**2).mean(axis=0)
    standard = flips / np.sqrt(squares + np.median(squares))
    first, second = np.argsort(-standard[-1])  # step-down: the larger against both
    largest = (standard.max(axis=1) >= standard[-1, first] - 1e-9).mean()
    jointly = {first: largest, second: max(largest, verdict.axes[second].p)}
    assert [axis.p_max_t for axis in verdict.axes] == exactly([jointly[0], jointly[1]])


def test_a_difference_is_found_where_it_is_and_nowhere_else(tmp_path):
    rng = np.random.default_rng(4)
    menu = [
        {"A": 1.0, "B": 1.0},
        {"A": 1.0, "B": -1.0},
        {"A": -1.0, "B": 1.0},
        {"A": -1.0, "B": -1.0},
    ]

    def leaning(weight):
        odds = np.exp([weight * option["A"] for option in menu]) * rng.uniform(0.5, 2, 4)
        return tuple((odds / odds.sum()).tolist())

    runs = pair(
        tmp_path, *([decision(s, menu, 0, leaning(w)) for s in range(80)] for w in (0.5, 0.0))
    )
    a, b = paired(*runs).axes
    assert (a.differs, b.differs) == (True, False)
    assert 0 < a.difference.low < a.difference.value < a.difference.high
    assert b.difference.low < 0 < b.difference.high
    assert a.p == a.p_max_t == 1 / 10_001


def test_the_other_way_round_the_signs_change_and_the_p_values_stay(tmp_path):
    rng, menus = np.random.default_rng(5), menus_of(40)
    runs = pair(
        tmp_path,
        *([decision(s, m, 0, drawn(rng, len(m))) for s, m in enumerate(menus)] for _ in range(2)),
    )
    for there, back in zip(paired(*runs).axes, paired(*reversed(runs)).axes, strict=True):
        assert back.difference.value == exactly(-there.difference.value)
        assert (back.difference.low, back.difference.high) == exactly(
            (-there.difference.high, -there.difference.low)
        )
        assert (back.p, back.p_max_t) == (there.p, there.p_max_t)


def test_the_primary_axis_is_tested_alone_and_the_others_as_a_family(tmp_path):
    taxonomy = Taxonomy(
        id="two", version=1, source="tests", axes=tuple(Axis(a, a, a) for a in "ABCD")
    )
    rng = np.random.default_rng(6)
    menus = [[{a: float(rng.choice([-1, 1])) for a in "ABCD"} for _ in range(3)] for _ in range(60)]
    runs = pair(
        tmp_path,
        *([decision(s, m, int(rng.integers(3))) for s, m in enumerate(menus)] for _ in range(2)),
        taxonomy=taxonomy,
    )
    found = compare(*runs, primary="C")
    verdict = found[found.headline]
    alone = [axis.p for axis in verdict.axes]
    family = stats.false_discovery_control([alone[0], alone[1], alone[3]]).tolist()
    assert [axis.p_family for axis in verdict.axes] == [
        exactly(family[0]),
        exactly(family[1]),
        None,
        exactly(family[2]),
    ]
    assert [axis.differs for axis in verdict.axes] == [
        p <= 0.05 for p in (family[0], family[1], alone[2], family[2])
    ]
    assert found.primary == "C"
    assert "except C" in verdict.family
    whole = paired(*runs)
    assert [axis.p_family for axis in whole.axes] == exactly(
        stats.false_discovery_control(alone).tolist()
    )
    assert "except" not in whole.family


@pytest.mark.parametrize(("primary", "differs"), [(None, False), ("A", True)])
def test_naming_the_primary_axis_beforehand_spares_it_the_adjustment(tmp_path, primary, differs):
    menus = [[{"A": 1.0, "B": 1.0 if s % 2 else -1.0}, {}] for s in range(24)]
    clusters = [s % 12 for s in range(24)]  # 10 of 12 lean to A; to B 6 of 12
    one = [
        decision(s, menu, 0, (0.8, 0.2) if clusters[s] < 10 else (0.2, 0.8))
        for s, menu in enumerate(menus)
    ]
    other = [decision(s, menu, 0, (0.5, 0.5)) for s, menu in enumerate(menus)]
    a, b = paired(*pair(tmp_path, one, other, clusters=clusters), primary=primary).axes
    assert a.p == exactly(
        2 * (1 + 12 + 66) / 2**12
    )  # 0.039, twice as much when adjusted for two axes
    assert b.p == 1.0
    assert a.differs == differs


def test_a_run_does_not_differ_from_itself(tmp_path):
    rng, menus = np.random.default_rng(7), menus_of(70)
    run = made_run(
        tmp_path / "run", [decision(s, m, 0, drawn(rng, len(m))) for s, m in enumerate(menus)]
    )
    found = compare(run, run)
    verdict = found[found.headline]
    assert verdict.test == "none: all differences are 0"
    assert (found.paired_situations, found.only_first, found.only_second) == (70, 0, 0)
    for axis in verdict.axes:
        low, high = axis.difference.low, axis.difference.high
        assert axis.difference.value == 0
        assert low == exactly(-high)
        assert 0.02 < high < 0.15  # at most 4 in 70 situations could be others
        assert (axis.p, axis.p_family, axis.p_max_t, axis.differs) == (None, None, None, False)


def test_fewer_than_twenty_shared_contested_situations_are_not_enough(tmp_path):
    menus = [[{"A": 1.0, "B": 1.0 if s < 19 else 0.0}, {}] for s in range(20)]
    runs = pair(tmp_path, *([decision(s, m, c) for s, m in enumerate(menus)] for c in (0, 1)))
    a, b = paired(*runs).axes
    assert (a.situations, a.difference.value, a.differs) == (20, 1.0, True)
    assert b.difference.value is None
    assert b.difference.reason == "not enough: 19 shared contested situations, 20 needed"
    assert (b.p, b.p_family, b.p_max_t, b.differs) == (None, None, None, False)


def test_an_axis_that_is_not_annotated_is_left_out_of_its_situation(tmp_path):
    menus = [[{"A": None if s < 5 else 1.0, "B": 1.0}, {}] for s in range(30)]
    runs = pair(tmp_path, *([decision(s, m, c) for s, m in enumerate(menus)] for c in (0, 1)))
    assert [axis.situations for axis in paired(*runs).axes] == [25, 30]


def test_the_seed_decides_the_drawn_flips(tmp_path):
    rng, menus = np.random.default_rng(8), menus_of(60)
    runs = pair(
        tmp_path,
        *([decision(s, m, int(rng.integers(len(m)))) for s, m in enumerate(menus)] for _ in "12"),
    )
    assert compare(*runs, seed=1) == compare(*runs, seed=1)
    assert paired(*runs, seed=1).axes[0].p != paired(*runs, seed=2).axes[0].p


def test_paths_are_compared_as_their_runs(tmp_path):
    one, two = pair(tmp_path, *([decision(s, [PLUS, MINUS], c) for s in range(25)] for c in (0, 1)))
    assert compare(str(one.path), two.path) == compare(one, two)


def test_a_comparison_says_what_was_compared(tmp_path):
    one = made_run(
        tmp_path / "one", [decision(s, [PLUS, MINUS], 0) for s in range(25)], policy="brave"
    )
    two = made_run(
        tmp_path / "two", [decision(s, [PLUS, MINUS], 1) for s in range(25)], policy="meek"
    )
    found = compare(one, two)
    verdict = found[found.headline]
    assert (found.first, found.second) == (str(one.path), str(two.path))
    assert (found.first_policy, found.second_policy, found.taxonomy) == ("brave", "meek", "two/1")
    assert verdict.test == "sign-flip over 25 clusters, 10000 drawn flips"
    assert verdict.axes[0].difference.value == 2.0


@pytest.mark.parametrize("replies", [[0, 1], [None, None]], ids=["read", "unread"])
def test_a_comparison_comes_back_from_json_and_holds_no_nan(tmp_path, replies):
    runs = pair(tmp_path, *([decision(s, [PLUS, MINUS], c) for s in range(30)] for c in replies))
    found = compare(*runs)
    assert (
        msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found
    )  # NaN would come back as None


def test_runs_on_different_taxonomies_cannot_be_compared(tmp_path):
    one = made_run(tmp_path / "one", [decision(0, [PLUS, MINUS], 0)])
    other = made_run(tmp_path / "other", [], taxonomy=load_taxonomy("gert10"))
    with pytest.raises(
        ConfigError,
        match=r"one' is on taxonomy two/1, '.*other' on gert10/1: they cannot be compared",
    ):
        compare(one, other)


def test_runs_that_share_no_situation_are_told_to_use_the_same_env_and_seed(tmp_path):
    one, two = ([decision(s, [PLUS, MINUS], 0)] for s in ("here", "there"))
    with pytest.raises(
        ConfigError, match=r"share no situation; run both on the same env with the same --seed"
    ):
        compare(*pair(tmp_path, one, two))


def test_an_empty_run_shares_no_situation(tmp_path):
    with pytest.raises(ConfigError, match="share no situation"):
        compare(*pair(tmp_path, [], [decision(0, [PLUS, MINUS], 0)]))


def test_an_unknown_primary_axis_is_answered_with_the_nearest(tmp_path):
    runs = pair(tmp_path, *([decision(0, [PLUS, MINUS], c)] for c in (0, 1)))
    with pytest.raises(ConfigError, match=r"unknown axis of two 'a'\. Did you mean 'A'\?"):
        compare(*runs, primary="a")


def test_lists_of_runs_are_tested_seed_by_seed(tmp_path):
    rng, menus = np.random.default_rng(11), menus_of(40)

    def runs(side):
        made = []
        for seed in range(6):
            ps = [drawn(rng, len(menu)) for menu in menus]
            made.append(
                made_run(
                    tmp_path / f"{side}{seed}",
                    [decision(s, m, 0, ps[s]) for s, m in enumerate(menus)],
                )
            )
        return made

    first, second = runs("a"), runs("b")
    found = compare(first, second)
    verdict = found[found.headline]
    assert (verdict.unit, verdict.test) == (
        "training seed",
        "sign-flip over 6 clusters, all 64 flips",
    )
    assert found.warnings == []
    alone = [
        [axis.difference.value for axis in paired(a, b).axes]
        for a, b in zip(first, second, strict=True)
    ]
    assert [axis.difference.value for axis in verdict.axes] == exactly(
        np.mean(alone, axis=0).tolist()
    )
    flips = np.abs(np.array(list(itertools.product((-1, 1), repeat=6))) @ np.array(alone))
    assert [axis.p for axis in verdict.axes] == exactly(
        (flips >= flips[-1] - 1e-9).mean(axis=0).tolist()
    )
    few = compare(first[:5], second[:5])
    assert few.warnings == ["exploratory: 5 seeds cannot reach p < 0.05, plan at least 6"]
    with pytest.raises(ConfigError, match="6 runs against 5: give as many first as second"):
        compare(first, second[:5])


def test_situations_with_other_annotations_are_not_compared(tmp_path):
    """Another version of the items would else pass for another policy."""
    menus = menus_of(40)
    turned = [[{**option, "A": -option["A"]} for option in menu] for menu in menus]
    sides = [[decision(s, m, 0) for s, m in enumerate(each)] for each in (menus, turned)]
    apart = sum(any(option["A"] for option in menu) for menu in menus)
    first, second = pair(tmp_path, *sides)
    with pytest.raises(
        ConfigError, match=f"different annotations in {apart} of 40 shared situations"
    ):
        compare(first, second)
    for game in (first, second):
        game.header = msgspec.structs.replace(game.header, independent_menus=False)
    assert (
        f"in {apart} shared situations the second run's annotations differ"
        in compare(first, second).warnings[0]
    )


def test_a_run_given_twice_is_no_second_seed(tmp_path):
    first, second = pair(
        tmp_path, *[[decision(s, m, k) for s, m in enumerate(menus_of(40))] for k in (0, 1)]
    )
    with pytest.raises(ConfigError, match="are of one training seed: give each once"):
        compare([first, first], [second, second])


def test_where_nothing_had_enough_situations_nothing_was_tested(tmp_path):
    few = [[decision(s, [PLUS, MINUS], k) for s in range(5)] for k in (0, 1)]
    found = compare(*pair(tmp_path, *few))
    verdict = found[found.headline]
    assert verdict.test == "nothing tested: no value has 20 shared contested situations"
    assert (
        verdict.axes[0].difference.reason == "not enough: 5 shared contested situations, 20 needed"
    )
