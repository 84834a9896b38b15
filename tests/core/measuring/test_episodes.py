"""Games compared by the sums of paired episodes, against straight-line loops over the decisions."""

import math

import msgspec
import numpy as np
import pytest
from scipy import stats

from two_axes import TWO, decision
from valueagents.contracts.decision import Episode
from valueagents.measuring.comparison import compare
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader, RunStore

MENUS = [
    [{"A": 1.0, "B": 0.5}, {"A": -1.0}],
    [{"A": 0.5}, {"B": -1.0}, {}],
    [{"A": -0.5, "B": 1.0}, {"A": 1.0}],
    [{"B": 0.5}, {"A": 0.5, "B": 1.0}],
    [{"A": -1.0}, {"B": 1.0}, {"A": 1.0, "B": -1.0}],
]


def plays(seed, episodes, lean=0.0):
    """Repetition -> the (menu number, probabilities) of four to nine decisions."""
    rng, played = np.random.default_rng(seed), {}
    for number in episodes:
        steps = []
        for _ in range(rng.integers(4, 10)):
            kind = int(rng.integers(len(MENUS)))
            odds = np.exp([lean * option.get("A", 0.0) + rng.normal() for option in MENUS[kind]])
            steps.append((kind, tuple((odds / odds.sum()).tolist())))
        played[number] = steps
    return played


def game_run(path, played, run_seed=1):
    """A run of a game: no two of its states are met twice, but its menus come again."""
    header = RunHeader(
        "test/G-v0", {}, path.name, run_seed, "Play.", {}, {"policy": str(path)}, TWO, False, False
    )
    store = RunStore.create(path, header)
    with store.writing() as writer:
        for number, steps in played.items():
            decisions = []
            for t, (kind, p) in enumerate(steps):
                menu = [{"A": 0.0, "B": 0.0, **option} for option in MENUS[kind]]
                told = f"{path.name} {number} {t}" if t else "the beginning"
                made = decision(told, menu, 0, p)
                named = [f"{kind}-{k}" for k in range(len(menu))]
                decisions.append(with_texts(made, named))
            identity = f"{path.name}-{number:03d}"
            episode = Episode(
                identity, None, number, number, identity, tuple(decisions), "terminated"
            )
            writer.episode(episode)
    return Run(path)


def with_texts(made, names):
    """The decision with options of these texts, by which a menu is known again."""
    options = tuple(
        msgspec.structs.replace(option, text=name)
        for option, name in zip(made.menu, names, strict=True)
    )
    return msgspec.structs.replace(made, menu=options)


def terms(played, axis):
    """(episode, menu, Σ p x − m) of every contested decision."""
    found = []
    for number, steps in played.items():
        for kind, p in steps:
            x = [option.get(axis, 0.0) for option in MENUS[kind]]
            if len(set(x)) > 1:
                expected = sum(q * y for q, y in zip(p, x, strict=True))
                found.append((number, kind, expected - sum(x) / len(x)))
    return found


def by_hand(first, second, axis):
    """The mean difference of the sums of shared episodes, and its two-way error."""
    shared = sorted(set(first) & set(second))
    rows = [(e, m, d) for e, m, d in terms(first, axis) if e in shared]
    rows += [(e, m, -d) for e, m, d in terms(second, axis) if e in shared]
    mean = math.fsum(d for *_, d in rows) / len(shared)
    lengths = {e: len(first[e]) + len(second[e]) for e in shared}
    residuals = [(e, m, d) for e, m, d in rows]
    for played in (first, second):  # every decision of an episode takes its share of the mean
        for e in shared:
            residuals += [(e, kind, -mean / lengths[e]) for kind, _ in played[e]]

    def variance(unit):
        sums = {}
        for e, m, r in residuals:
            sums[unit(e, m)] = sums.get(unit(e, m), 0.0) + r
        met = {unit(e, m) for e, m, _ in rows}
        return len(met) / (len(met) - 1) * math.fsum(s * s for s in sums.values()), len(met)

    (one, n), (two, k), (both, _) = (
        variance(unit) for unit in (lambda e, m: e, lambda e, m: m, lambda e, m: (e, m))
    )
    return mean, math.sqrt(max(one + two - both, one, two)) / len(shared), min(n, k)


def test_the_difference_and_its_error_are_those_of_a_loop_over_shared_episodes(tmp_path):
    first, second = plays(1, range(30), lean=1.0), plays(2, range(6, 36))
    found = compare(game_run(tmp_path / "a", first), game_run(tmp_path / "b", second))
    verdict = found[found.headline]
    assert verdict.name == "propensity from p, sum over an episode"
    assert (verdict.unit, verdict.clusters) == ("episode and menu, two-way", 24)
    assert found.paired_situations == 5  # first menus: nothing could be said of situations
    for axis in verdict.axes:
        mean, error, units = by_hand(first, second, axis.axis)
        half = float(stats.t.ppf(0.975, units - 1)) * error
        assert axis.difference.value == pytest.approx(mean, abs=1e-12)
        assert axis.difference.high - mean == pytest.approx(half, abs=1e-9)
        p = 2 * float(stats.t.sf(abs(mean) / error, units - 1))
        assert axis.p == pytest.approx(p, abs=1e-9)
        assert axis.situations is None
    assert verdict.axes[0].difference.value > 0


def test_runs_of_different_seeds_have_no_episode_in_common(tmp_path):
    one = game_run(tmp_path / "a", plays(1, range(30)))
    other = game_run(tmp_path / "b", plays(2, range(30)), run_seed=2)
    found = compare(one, other)
    assert found[found.headline].name == "propensity from p"
    assert found[found.headline].unit == "menu"


def test_seeds_of_a_game_are_compared_by_the_mean_differences_of_their_episodes(tmp_path):
    sides = [[], []]
    for seed in range(6):
        for k, side in enumerate(sides):
            played = plays(10 * seed + k, range(20), lean=1.0 - k)
            side.append(game_run(tmp_path / f"{'ab'[k]}{seed}", played, run_seed=seed))
    verdict = compare(*sides)["E3p"]
    alone = [
        [axis.difference.value for axis in compare(a, b)["E3p"].axes]
        for a, b in zip(*sides, strict=True)
    ]
    assert verdict.unit == "training seed"
    assert [axis.difference.value for axis in verdict.axes] == pytest.approx(
        np.mean(alone, axis=0).tolist(), abs=1e-12
    )
    assert verdict.axes[0].p == 2 / 2**6


def test_fewer_contested_decisions_than_the_env_asks_for_are_not_enough(tmp_path):
    few = [game_run(tmp_path / name, plays(3, range(2))) for name in "ab"]
    verdict = compare(*few)["E3p"]
    assert "contested decisions in episodes from the same env seeds, 20 needed" in (
        verdict.axes[0].difference.reason or ""
    )
    assert verdict.axes[0].p is None
