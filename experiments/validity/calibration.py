"""Do the estimators find what is there, and nothing else? The calibration table, on simulated and
on bundled menus.

Every estimator of the registry that one run is enough for is put to the same questions, a plug-in's
too. Simulated: 20 values, 4 options, sparse signed labels, 60 episodes of 40 decisions; the policy
is a softmax over weights ~ N(0, 0.6): a true conditional logit, which favours E4. Region B offers
two of the values four times as often. In the menus that repeat, 120 menus come again and again, and
every policy has a taste of its own for every option (sd 1) that is not a value. Bundled: the menus
that a random policy meets there, choices drawn again and again by known weights (in games the menus
are then those of the random walk, which is all that a conditional likelihood needs); where the env
gives covariates, every policy has a taste for each of them, too, which E4 is to hold constant. E7
has no row of false differences: on common states one policy answers alike to the last digit.

correlation   of an estimator's numbers with the true weights, over the axes
coverage      share of axes whose interval holds the truth: the weight where the estimator estimates
              weights, else its own value on a thousand episodes of the same policy
appeal        the same policies with a taste of their own (sd 1) for every option that they meet
              once each: correlation and root mean square error of E4p, from probabilities, beside
              E4, from one drawn choice a menu
two regions   share of axes on which one policy is called different between two regions, each axis
              alone at 5 %: by the estimator's own test where it brings one, else by its two
              intervals
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy import stats

from valueagents.arrays import FloatArray
from valueagents.experiments.validity.simulation import (
    AXES,
    DECISIVENESS,
    MENUS,
    OPTIONS,
    SPREAD,
    TAXONOMY,
    TRUTH_EPISODES,
    play,
    prepare_worker,
    reordered,
    simulate,
)
from valueagents.measuring.answers import Answers
from valueagents.measuring.deviations import Form
from valueagents.measuring.estimators.declaration import Difference, Estimator
from valueagents.measuring.estimators.logit import SCALE, compare_weights
from valueagents.measuring.estimators.registry import estimator, of_one_run
from valueagents.measuring.measured import measure
from valueagents.measuring.reading import read_answers
from valueagents.measuring.scores import result_of
from valueagents.running.execution import RunConfig, execute

APPEAL, LEVEL = 1.0, 0.05
SIMULATED = "simulated"
BUNDLED = {  # env and options: episodes of the random policy
    "valueagents/Dilemma-v0": 2000,
    "valueagents/Dilemma-v0 bank=dilemmas-2": 2000,
    "valueagents/Judgement-v0": 2000,
    "valueagents/Survey-v0": 2000,
    "valueagents/ChoiceScript-v0": 60,
    "valueagents/Jericho-v0": 30,  # its menus take half an hour of two cores the first time
}

CalibrationRow = dict[str, float]
Numbers = dict[str, FloatArray]
"""Estimator -> (V, 3) value, low and high; NaN where undefined."""


def calibrated() -> list[Estimator]:
    """The estimators that have rows in the table."""
    return [each for each in of_one_run() if each.calibrated]


def numbers(answers: Answers, wanted: Sequence[Estimator]) -> Numbers:
    """What the estimators say of answers."""
    measured = measure(answers, of_one_run())
    found: Numbers = {}
    for each in wanted:
        estimates = result_of(each, measured).axes
        found[each.id] = np.array([[e.value, e.low, e.high] for e in estimates], dtype=np.float64)
    return found


def form_of(each: Estimator) -> Form:
    """The form of answers that an estimator of weights takes."""
    return "probability" if each.needs == "probabilities" else "choice"


def correlation(found: FloatArray, weights: FloatArray) -> float:
    """Of the numbers that there are with the weights."""
    known = ~np.isnan(found[:, 0])
    return float(np.corrcoef(found[known, 0], weights[known])[0, 1])


def root_mean_square_error(found: FloatArray, weights: FloatArray) -> float:
    """Of the numbers that there are."""
    known = ~np.isnan(found[:, 0])
    return float(np.sqrt(np.mean((found[known, 0] - weights[known]) ** 2)))


def covered(found: FloatArray, truth: FloatArray) -> float:
    """Share of (V, 3) estimates with an interval whose interval holds the truth."""
    known = ~np.isnan(found).any(axis=1) & ~np.isnan(truth)
    return float(np.mean((found[known, 1] <= truth[known]) & (truth[known] <= found[known, 2])))


def apart(one: FloatArray, two: FloatArray) -> float:
    """Share of (V, 3) estimates whose difference is significant, errors from the intervals."""
    reach = stats.norm.ppf(1 - LEVEL / 2)
    known = ~np.isnan(one).any(axis=1) & ~np.isnan(two).any(axis=1)
    errors = [(each[known, 2] - each[known, 1]) / 2 / reach for each in (one, two)]
    return float(np.mean(np.abs(one[known, 0] - two[known, 0]) > reach * np.hypot(*errors)))


def called(found: Difference) -> float:
    """Share of axes called different, each alone at 5 %."""
    return float(np.mean([axis.p <= LEVEL for axis in found.axes if axis.p is not None]))


def scale_seen(found: Difference) -> float:
    """1 if the scales of the weights are called different."""
    return float((found.effects[SCALE].p or 1.0) <= LEVEL)


def simulated(seed: int) -> CalibrationRow:
    """One replicate of every simulated row."""
    rng = np.random.default_rng([seed, 0])
    w = rng.normal(0, SPREAD, AXES)
    a, b = play(rng, simulate(rng), w), play(rng, simulate(rng, rich=True), w)
    decisive = play(rng, simulate(rng), DECISIVENESS * w)
    long = play(rng, simulate(rng, episodes=TRUTH_EPISODES), w)
    other = play(rng, simulate(rng), rng.normal(0, SPREAD, AXES))
    wanted = calibrated()
    of_means = [each for each in wanted if not each.weights]
    here, there, truth, others = (
        numbers(a, wanted),
        numbers(b, wanted),
        numbers(long, of_means),
        numbers(other, wanted),
    )
    row: CalibrationRow = {}
    uniform = play(rng, a, np.zeros(AXES))
    for each in of_means:
        if each.needs == "probabilities":
            row[f"{each.id} under uniform p, largest"] = float(
                np.abs(numbers(uniform, [each])[each.id][:, 0]).max()
            )
    for each in wanted:
        expected = w if each.weights else truth[each.id][:, 0]
        row[f"correlation with the truth, {each.id}"] = correlation(here[each.id], w)
        row[f"coverage, {each.id}"] = covered(here[each.id], expected)
        row[f"two regions, {each.id}"] = (
            called(compare_weights(a, b, form_of(each)))
            if each.weights
            else apart(here[each.id], there[each.id])
        )
        row[f"other weights seen (power), {each.id}"] = (
            called(compare_weights(a, other, form_of(each)))
            if each.weights
            else apart(here[each.id], others[each.id])
        )
    scaled = compare_weights(decisive, a)
    row["1.5 times as decisive, E4"] = called(scaled)
    row["1.5 times as decisive, scale seen"] = scale_seen(scaled)
    return row | _repeated_menus(rng, w)


def _repeated_menus(rng: np.random.Generator, w: FloatArray) -> CalibrationRow:
    """Two policies of equal values and different tastes for options, on 120 menus that come again
    and again.
    """
    menus = simulate(rng, menus=MENUS)
    pair = []
    for _ in range(2):
        taste = rng.normal(0, APPEAL, (MENUS, OPTIONS))
        order = reordered(rng, menus)
        pair.append(play(rng, order, w, taste[np.array(order.menu.to_pylist(), dtype=int)].ravel()))
    one, two = pair
    crossed = as_game(one), as_game(two)
    return {
        "repeated menus, E4 by episode and menu": called(compare_weights(*crossed)),
        "repeated menus, E4p by episode and menu": called(compare_weights(*crossed, "probability")),
        "repeated menus, E4 by episode alone": called(compare_weights(one, two)),
    }


def as_game(answers: Answers) -> Answers:
    """The same answers clustered as a game's: by episode and menu."""
    return replace(answers, independent_menus=False)


def bundled(seed: int, answers: Answers) -> CalibrationRow:
    """One replicate on a bundled env's menus.

    The two regions are those of its clusters with even and odd codes.
    """
    rng = np.random.default_rng([seed, 1])
    w = rng.normal(0, SPREAD, len(answers.taxonomy.axes))
    tastes = {name: rng.normal(0, SPREAD) for name in answers.covariates}
    played = play(rng, answers, w, _appeal(answers, tastes))
    e4 = numbers(played, [estimator("E4")])["E4"]
    known = ~np.isnan(e4[:, 0])
    here, there = (answers.select(np.flatnonzero(answers.cluster % 2 == side)) for side in (0, 1))
    one, two = (play(rng, side, w, _appeal(side, tastes)) for side in (here, there))
    decisive = play(rng, there, DECISIVENESS * w, DECISIVENESS * _appeal(there, tastes))
    same, scaled = compare_weights(one, two), compare_weights(one, decisive)
    errors = np.abs(e4[:, 0] - w)
    return {
        "correlation with the truth, E4": correlation(e4, w),
        "coverage, E4": covered(e4, w),
        "two regions, E4": called(same),
        "1.5 times as decisive, E4": called(scaled),
        "1.5 times as decisive, scale seen": scale_seen(scaled),
        **_with_appeal(rng, answers, w),
        "axes": float(known.sum()),
        **{f"|E4 - truth|, {TAXONOMY.axes[v].id}": float(errors[v]) for v in np.flatnonzero(known)},
    }


def _appeal(answers: Answers, tastes: Mapping[str, float]) -> FloatArray:
    """(N,) what covariates add to the utility of options: a taste is log-odds a standard deviation;
    0 for an option that lacks the number.
    """
    appeal = np.zeros(len(answers.x))
    for name, taste in tastes.items():
        z = answers.covariates[name]
        appeal += taste * np.nan_to_num((z - np.nanmean(z)) / np.nanstd(z))
    return appeal


def _with_appeal(rng: np.random.Generator, answers: Answers, w: FloatArray) -> CalibrationRow:
    """How near E4p and E4 come to the weights of a policy with a taste for options, each menu met
    once.
    """
    _, first = np.unique(np.array(answers.shown.to_pylist()), return_index=True)
    once = answers.select(np.sort(first))
    played = play(rng, once, w, rng.normal(0, APPEAL, len(once.p)))
    row: CalibrationRow = {}
    found = numbers(played, [estimator("E4p"), estimator("E4")])
    for name, each in found.items():
        if np.isnan(each[:, 0]).all():
            continue
        row[f"appeal, correlation with the truth, {name}"] = correlation(each, w)
        row[f"appeal, root mean square error, {name}"] = root_mean_square_error(each, w)
    return row


def on_menus_of(
    name: str, out: Path, episodes: int | None = None
) -> Callable[[int], CalibrationRow]:
    """`bundled` on the menus that the random policy met in an env (its id, then its options); its
    run is kept in a folder of `out`.
    """
    episodes = episodes or BUNDLED[name]
    env, *options = name.split()
    config = RunConfig(
        env=env,
        env_options=dict(option.split("=", 1) for option in options),
        policy="random",
        episodes=episodes,
        seed=1,
    )
    folder = "-".join([env.removeprefix("valueagents/"), *options, str(episodes)])
    done = execute(config, out / folder)
    return partial(bundled, answers=read_answers(done).detached())


def table(title: str, rows: list[CalibrationRow]) -> None:
    """Print the mean of every row with its Monte Carlo error."""
    print(f"\n{title} ({len(rows)} replicates)")
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        print(
            f"  {name:42s} {values.mean():9.4g} ± {values.std(ddof=1) / np.sqrt(len(values)):.2g}",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--menus",
        nargs="*",
        default=[SIMULATED, *BUNDLED],
        help="simulated, or ids of bundled envs, each with its options: 'ENV NAME=VALUE'",
    )
    parser.add_argument(
        "--episodes", type=int, help="of the random policy in every bundled env, not the table's"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/calibration"), help="keeps the random policy's runs"
    )
    given = parser.parse_args()
    with ProcessPoolExecutor(
        given.processes, get_context("spawn"), initializer=prepare_worker
    ) as pool:
        for name in given.menus:
            replicate = (
                simulated if name == SIMULATED else on_menus_of(name, given.out, given.episodes)
            )
            table(name, list(pool.map(replicate, range(given.replicates), chunksize=1)))


if __name__ == "__main__":
    main()
