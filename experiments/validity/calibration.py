"""Do the estimators find what is there, and nothing else? The calibration table, on simulated and on bundled worlds.

Simulated: 20 values, 4 options, sparse signed labels, 60 episodes of 40 decisions; the policy is a softmax over weights
~ N(0, 0.6): a true conditional logit, which favours E4. Region B offers two of the values four times as often. In the
world of repeated menus 120 menus come again and again, and every policy has a taste of its own for every option (sd 1)
that is no value. Bundled: the menus that a random policy meets there, choices drawn again and again by known weights
(in games the menus are then those of the random walk, which is all that a conditional likelihood needs). E7 has no row
of false differences: on common states one policy answers alike to the last digit.
"""

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
from scipy import stats
from threadpoolctl import threadpool_limits

from valueagents.measuring.answers import DecisionArrays, decision_arrays, joint_clustering
from valueagents.measuring.estimators.logit import fit_choice_weights
from valueagents.measuring.estimators.weight_comparison import WeightComparison, compare_weights
from valueagents.measuring.inference import FloatArray, add_cluster_sums, ratio_estimates
from valueagents.running.runs import RunConfig, run
from valueagents.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy("schwartz20")
AXES, OPTIONS, EPISODES, STEPS = len(TAXONOMY.axes), 4, 60, 40
SPREAD, LABELLED, RICHER, MENUS, APPEAL = 0.6, 0.15, 4, 120, 1.0
DECISIVENESS, LEVEL = 1.5, 0.05
TRUTH_EPISODES = 1000
BUNDLED = {  # env: episodes of the random policy
    "valueagents/Dilemma-v0": 2000,
    "valueagents/Judgement-v0": 2000,
    "valueagents/Survey-v0": 2000,
    "valueagents/ChoiceScript-v0": 60,
    "valueagents/Jericho-v0": 30,  # its menus take half an hour of two cores the first time
}

Row = dict[str, float]


def world(
    rng: np.random.Generator, *, rich: bool = False, episodes: int = EPISODES, menus: int | None = None
) -> DecisionArrays:
    """Menus without choices; `menus` many different ones, by default all are."""
    decisions = episodes * STEPS
    often = np.full(AXES, LABELLED)
    often[:2] *= RICHER if rich else 1
    kinds = decisions if menus is None else menus
    labels = (rng.random((kinds, OPTIONS, AXES)) < often) * rng.choice([-1.0, 1.0], (kinds, OPTIONS, AXES))
    kind = np.arange(kinds) if menus is None else rng.integers(kinds, size=decisions)
    start = OPTIONS * np.arange(decisions)
    names = pa.array([f"{rng.integers(1 << 62)}" for _ in range(episodes)])
    return DecisionArrays(
        taxonomy=TAXONOMY,
        x=labels[kind].reshape(-1, AXES),
        start=start,
        size=np.full(decisions, OPTIONS),
        chosen=start,
        p=np.full(decisions * OPTIONS, np.nan),
        characters=rng.integers(20, 80, decisions * OPTIONS).astype(float),
        cluster=np.repeat(np.arange(episodes), STEPS),
        cluster_names=names,
        menu=pa.array([str(k) for k in kind]),
        shown=pa.array([str(k) for k in kind]),
    )


def play(
    rng: np.random.Generator, arrays: DecisionArrays, weights: FloatArray, appeal: FloatArray | float = 0.0
) -> DecisionArrays:
    """The same menus with choices and probabilities of a softmax over weights (and a taste for each option)."""
    utility = np.nan_to_num(arrays.x) @ weights + appeal
    menus = arrays.menu_of
    odds = np.exp(utility - np.maximum.reduceat(utility, arrays.start)[menus])
    p = odds / np.add.reduceat(odds, arrays.start)[menus]
    noisy = np.log(p) + rng.gumbel(size=len(p))
    best = np.lexsort((noisy, menus))[np.cumsum(arrays.size) - 1]
    return replace(arrays, chosen=best, p=p)


def propensities(arrays: DecisionArrays) -> list[FloatArray]:
    """(V, 3) value, low and high of E2, E3 and E3p."""
    deviations = arrays.deviations()
    above, below = (np.zeros((arrays.clusters, 3 * AXES)) for _ in range(2))
    at_stake = deviations.contested.astype(float)
    add_cluster_sums(above, np.hstack([100 * deviations.taken, deviations.chosen, deviations.expected]), arrays.cluster)
    add_cluster_sums(below, np.hstack([deviations.annotated.astype(float), at_stake, at_stake]), arrays.cluster)
    found = [[e.value, e.low, e.high] for e in ratio_estimates(above, below, seed=0)]
    return np.split(np.array(found, dtype=float), 3)


def contested(arrays: DecisionArrays) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """(V,) decisions on each axis."""
    counts: np.ndarray[tuple[int], np.dtype[np.int64]] = arrays.deviations().contested.sum(axis=0)
    return counts


def weights_compared(
    one: DecisionArrays, two: DecisionArrays, *, independent: bool, needed: int = 20
) -> WeightComparison:
    """E4 of two policies."""
    joint = joint_clustering([one, two], independent_menus=independent)
    return compare_weights((one, two), joint, (contested(one), contested(two)), needed=needed, level=LEVEL)


def called(found: WeightComparison) -> float:
    """Share of axes called different, each alone at 5 %."""
    return float(np.mean([axis.p <= LEVEL for axis in found.axes if axis.p is not None]))


def apart(one: FloatArray, two: FloatArray) -> float:
    """Share of (V, 3) estimates whose difference is significant, errors from the intervals."""
    errors = [(each[:, 2] - each[:, 1]) / 2 / stats.norm.ppf(0.975) for each in (one, two)]
    return float(np.mean(np.abs(one[:, 0] - two[:, 0]) > stats.norm.ppf(0.975) * np.hypot(*errors)))


def covered(found: FloatArray, truth: FloatArray) -> float:
    """Share of (V, 3) intervals that hold the truth."""
    return float(np.mean((found[:, 1] <= truth) & (truth <= found[:, 2])))


def fitted(
    arrays: DecisionArrays, *, independent: bool, needed: int = 20
) -> tuple[FloatArray, "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    """(A, 3) weights of E4 with intervals, and the A axes that have enough contested decisions."""
    axes = np.flatnonzero(contested(arrays) >= needed)
    [clustering] = joint_clustering([arrays], independent_menus=independent)
    model = fit_choice_weights(arrays, axes, clustering)
    found = [model.estimate(i) for i in range(len(axes))]
    return np.array([[e.value, e.low, e.high] for e in found], dtype=float), axes


def simulated(seed: int) -> Row:
    """One replicate of every simulated row."""
    rng = np.random.default_rng([seed, 0])
    w = rng.normal(0, SPREAD, AXES)
    a, b = play(rng, world(rng), w), play(rng, world(rng, rich=True), w)
    decisive = play(rng, world(rng), DECISIVENESS * w)
    truth = propensities(play(rng, world(rng, episodes=TRUTH_EPISODES), w))[2][:, 0]
    e4, _ = fitted(a, independent=True)
    (a2, a3, a3p), (b2, b3, b3p) = propensities(a), propensities(b)
    other = play(rng, world(rng), rng.normal(0, SPREAD, AXES))
    scaled = weights_compared(decisive, a, independent=True)
    menus = world(rng, menus=MENUS)
    pair = []
    for _ in range(2):
        taste = rng.normal(0, APPEAL, (MENUS, OPTIONS))
        order = world_order(rng, menus)
        pair.append(play(rng, order, w, taste[np.array(order.menu.to_pylist(), dtype=int)].ravel()))
    uniform = play(rng, a, np.zeros(AXES))
    return {
        "E3p under uniform p, largest": float(np.abs(propensities(uniform)[2][:, 0]).max()),
        "correlation with the truth, E2": float(np.corrcoef(a2[:, 0], w)[0, 1]),
        "correlation with the truth, E3": float(np.corrcoef(a3[:, 0], w)[0, 1]),
        "correlation with the truth, E3p": float(np.corrcoef(a3p[:, 0], w)[0, 1]),
        "correlation with the truth, E4": float(np.corrcoef(e4[:, 0], w)[0, 1]),
        "coverage, E3": covered(a3, truth),
        "coverage, E3p": covered(a3p, truth),
        "coverage, E4": covered(e4, w),
        "two regions, E2": apart(a2, b2),
        "two regions, E3": apart(a3, b3),
        "two regions, E3p": apart(a3p, b3p),
        "two regions, E4": called(weights_compared(a, b, independent=True)),
        "1.5 times as decisive, E4": called(scaled),
        "1.5 times as decisive, scale seen": float((scaled.scale_p or 1.0) <= LEVEL),
        "repeated menus, E4 by episode and menu": called(weights_compared(pair[0], pair[1], independent=False)),
        "repeated menus, E4 by episode alone": called(weights_compared(pair[0], pair[1], independent=True)),
        "other weights seen (power), E4": called(weights_compared(a, other, independent=True)),
        "other weights seen (power), E3": apart(a3, propensities(other)[1]),
    }


def world_order(rng: np.random.Generator, menus: DecisionArrays) -> DecisionArrays:
    """The same menus met in another order, in other episodes."""
    names = pa.array([f"{rng.integers(1 << 62)}" for _ in range(menus.clusters)])
    mixed = menus.select(rng.permutation(len(menus.size)))
    return replace(mixed, cluster=menus.cluster, cluster_names=names)


def bundled(seed: int, arrays: DecisionArrays, independent: bool, needed: int) -> Row:
    """One replicate on a bundled world's menus. The two regions are those of its clusters with even and odd codes."""
    rng = np.random.default_rng([seed, 1])
    w = rng.normal(0, SPREAD, len(arrays.taxonomy.axes))
    played = play(rng, arrays, w)
    e4, axes = fitted(played, independent=independent, needed=needed)
    here, there = (arrays.select(np.flatnonzero(arrays.cluster % 2 == side)) for side in (0, 1))
    one, two, decisive = play(rng, here, w), play(rng, there, w), play(rng, there, DECISIVENESS * w)
    same, scaled = (weights_compared(one, other, independent=independent, needed=needed) for other in (two, decisive))
    errors = np.abs(e4[:, 0] - w[axes])
    return {
        "correlation with the truth, E4": float(np.corrcoef(e4[:, 0], w[axes])[0, 1]),
        "coverage, E4": covered(e4, w[axes]),
        "two regions, E4": called(same),
        "1.5 times as decisive, E4": called(scaled),
        "1.5 times as decisive, scale seen": float((scaled.scale_p or 1.0) <= LEVEL),
        "axes": float(len(axes)),
        **{f"|E4 - truth|, {TAXONOMY.axes[v].id}": error for v, error in zip(axes, errors.tolist(), strict=True)},
    }


def on_menus_of(env: str, out: Path, episodes: int | None = None) -> Callable[[int], Row]:
    """`bundled` on the menus that the random policy met; its run is kept in a folder of `out`."""
    episodes = episodes or BUNDLED[env]
    config = RunConfig(env=env, policy="random", episodes=episodes, seed=1)
    done = run(config, out / f"{env.removeprefix('valueagents/')}-{episodes}")
    arrays = decision_arrays(done.decisions_file(), done.header.taxonomy)
    return partial(bundled, arrays=arrays, independent=done.header.independent_menus, needed=done.header.min_contested)


def prepare_worker() -> None:
    """One thread of BLAS, since those of several processes wait for one another; the process ends with its parent."""
    threadpool_limits(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()  # which a killed parent ends, too
        os._exit(1)


def table(title: str, rows: list[Row]) -> None:
    """Print the mean of every row with its Monte Carlo error."""
    print(f"\n{title} ({len(rows)} replicates)")
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        print(f"  {name:42s} {values.mean():9.4g} ± {values.std(ddof=1) / np.sqrt(len(values)):.2g}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--worlds", nargs="*", default=["simulated", *BUNDLED], help="which of the worlds")
    parser.add_argument("--episodes", type=int, help="of the random policy in every bundled world, not the table's")
    parser.add_argument("--out", type=Path, default=Path("runs/calibration"), help="keeps the random policy's runs")
    given = parser.parse_args()
    with ProcessPoolExecutor(given.processes, get_context("spawn"), initializer=prepare_worker) as pool:
        for name in given.worlds:
            replicate = simulated if name == "simulated" else on_menus_of(name, given.out, given.episodes)
            table(name, list(pool.map(replicate, range(given.replicates), chunksize=1)))


if __name__ == "__main__":
    main()
