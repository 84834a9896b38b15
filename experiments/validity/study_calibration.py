"""Does a study call what is there, and nothing else? Its inference on simulated studies, with the
menus of the bundled dilemmas; the rules that it replaces beside it.

No value effect, training noise of sd 0.3 logit an option, side effects alike in all seeds of sd h
an option, habits of adapters, one control a seed shared by all targets. Then effects: a share of
probability moved onto options that serve the target, of all targets or of half of them.

these values        the primary contrast is called at 5 %
values in general   likewise, targets as a sample
a target            share of targets called by their contrast, unadjusted
any, adjusted       any target that did not move is called after Holm's adjustment
coverage            share of 95 % intervals that hold the truth: the mean over all replicates
old: a target       its shift against the control, t over seeds, one target alone
old: any            likewise after Benjamini-Hochberg over the targets
old: the answer     the mean shift over targets, t between targets
old: items          the primary contrast of the first seed, items sampled only
"""

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
from scipy import stats

from valueagents.arrays import FloatArray
from valueagents.experiments.studies.simulated_study import (
    Noise,
    StudyMenus,
    menus_of,
    simulate,
    weights_for,
)
from valueagents.experiments.validity.simulation import prepare_worker
from valueagents.measuring.flips import benjamini_hochberg
from valueagents.measuring.reading import read_answers
from valueagents.measuring.studies.contrast import (
    holm,
    in_general,
    primary_weights,
    target_weights,
)
from valueagents.measuring.studies.crossed import Tested, linear
from valueagents.measuring.sums import known_mean
from valueagents.running.execution import RunConfig, execute

ENV, LEVEL = "valueagents/Dilemma-v0", 0.05
TARGETS = ("SDT", "STI", "HED", "ACH", "POD", "SEP", "COR", "TRA", "BEC", "UNC")
SIDE_EFFECTS, EFFECT = (0.0, 0.25, 0.5, 1.0), 0.05


class StudySetting(msgspec.Struct, frozen=True):
    """A simulated study: `movers` of its targets move by `effect`."""

    targets: int
    seeds: int
    side_effects: float
    effect: float = 0.0
    movers: int = 0

    def __str__(self) -> str:
        """In words."""
        moved = f", {self.movers} move by {self.effect:g}" if self.movers else ""
        return f"{self.targets} targets, {self.seeds} seeds, h = {self.side_effects:g}{moved}"


SETTINGS = (
    *(StudySetting(10, seeds, h) for seeds in (3, 6) for h in SIDE_EFFECTS),
    StudySetting(4, 3, 0.5),
    StudySetting(4, 6, 0.0),
    StudySetting(2, 3, 0.5),
    StudySetting(2, 6, 0.5),
    StudySetting(10, 3, 0.0, EFFECT, 10),
    StudySetting(10, 3, 0.5, EFFECT, 10),
    StudySetting(10, 6, 0.5, EFFECT, 10),
    StudySetting(10, 6, 0.5, EFFECT, 5),
    StudySetting(10, 6, 0.0, 2 * EFFECT, 9),
    StudySetting(4, 6, 0.5, 2 * EFFECT, 3),
)


class StudyReplicate(msgspec.Struct, frozen=True):
    """A study's numbers: value, low, high and p of the primary and of each target's contrast; the
    rest are p.
    """

    primary: tuple[float, float, float, float]
    general: float
    targets: list[tuple[float, float, float, float]]
    old_targets: list[float]
    old_answer: float
    old_items: float


def dilemmas(targets: Sequence[str]) -> StudyMenus:
    """The menus of the bundled dilemmas on some values."""
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(env=ENV, policy="random", seed=1)
        answers = read_answers(execute(config, Path(folder) / "random")).detached()
    return menus_of(answers, tuple(targets))


def replicate(
    seed: int, setting: StudySetting, menus: StudyMenus, weights: FloatArray
) -> StudyReplicate:
    """One simulated study, by the rules that stand and by those that they replace."""
    rng = np.random.default_rng([seed, setting.targets, setting.seeds])
    noise = Noise(side_effects=setting.side_effects)
    cells = simulate(rng, menus, seeds=setting.seeds, noise=noise, weights=weights)
    count, cluster = setting.targets, menus.cluster
    of = partial(linear, cells, cluster)
    contrasts = [of(target_weights(count, t)).tested() for t in range(count)] if count > 2 else []
    by_seed = known_mean(cells, axis=2)  # (T, S, V)
    own = np.stack([by_seed[t, :, t] for t in range(count)])  # (T, S)
    first = linear(cells[:, :1], cluster, primary_weights(count)).tested()
    return StudyReplicate(
        primary=_numbers(of(primary_weights(count)).tested()),
        general=_p(in_general(contrasts, seeds=setting.seeds).p),
        targets=[_numbers(each) for each in contrasts],
        old_targets=[float(p) for p in stats.ttest_1samp(own, 0.0, axis=1).pvalue],
        old_answer=float(stats.ttest_1samp(own.mean(axis=1), 0.0).pvalue),
        old_items=0.0 if _leaves_out_0(first) else 1.0,
    )


def rates(setting: StudySetting, done: Sequence[StudyReplicate]) -> dict[str, float]:
    """The shares of the table."""
    primary = np.array([each.primary for each in done])
    row = {
        "these values": _called(primary[:, 3]),
        "coverage": _covered(primary),
        "values in general": _called(np.array([each.general for each in done])),
    }
    still = slice(setting.movers, None)
    if setting.targets > 2:
        targets = np.array([each.targets for each in done])  # (R, T, 4)
        adjusted = np.array([holm(list(each)) for each in targets[:, :, 3]], dtype=np.float64)
        row["coverage, a target"] = float(
            np.mean([_covered(targets[:, t]) for t in range(setting.targets)])
        )
        if setting.movers < setting.targets:
            row["a target"] = _called(targets[:, still, 3])
            row["any, adjusted"] = float((adjusted[:, still] <= LEVEL).any(axis=1).mean())
        if setting.movers:
            row["a mover, adjusted"] = _called(adjusted[:, : setting.movers])
    old = np.array([each.old_targets for each in done])
    family = np.array([benjamini_hochberg(list(each)) for each in old], dtype=np.float64)
    if setting.movers < setting.targets:
        row["old: a target"] = _called(old[:, still])
        row["old: any"] = float((family[:, still] <= LEVEL).any(axis=1).mean())
    row["old: the answer"] = _called(np.array([each.old_answer for each in done]))
    row["old: items"] = _called(np.array([each.old_items for each in done]))
    return row


def calibrate(
    setting: StudySetting,
    menus: StudyMenus,
    replicates: int,
    pool: ProcessPoolExecutor | None = None,
) -> dict[str, float]:
    """The shares of a setting over so many simulated studies."""
    weights = np.zeros(setting.targets)
    if setting.movers:
        weights[: setting.movers] = weights_for(menus, setting.effect)[: setting.movers]
    one = partial(replicate, setting=setting, menus=menus, weights=weights)
    seeds = range(replicates)
    done = list(map(one, seeds) if pool is None else pool.map(one, seeds, chunksize=25))
    return rates(setting, done)


def _numbers(tested: Tested) -> tuple[float, float, float, float]:
    found = tested.estimate
    known = [np.nan if each is None else each for each in (found.value, found.low, found.high)]
    return (known[0], known[1], known[2], _p(tested.p))


def _p(p: float | None) -> float:
    return 1.0 if p is None else p


def _leaves_out_0(tested: Tested) -> bool:
    low, high = tested.estimate.low, tested.estimate.high
    return low is not None and high is not None and (low > 0 or high < 0)


def _called(p: FloatArray) -> float:
    return float(np.mean(p <= LEVEL))


def _covered(numbers: FloatArray) -> float:
    truth = numbers[:, 0].mean()
    return float(np.mean((numbers[:, 1] <= truth) & (truth <= numbers[:, 2])))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="settings whose line holds this text")
    given = parser.parse_args()
    with ProcessPoolExecutor(
        given.processes, get_context("spawn"), initializer=prepare_worker
    ) as pool:
        for setting in (each for each in SETTINGS if given.only in str(each)):
            menus = dilemmas(TARGETS[: setting.targets])
            row = calibrate(setting, menus, given.replicates, pool)
            print(f"\n{setting} ({given.replicates} replicates)")
            for name, share in row.items():
                error = np.sqrt(share * (1 - share) / given.replicates)
                print(f"  {name:22s}{100 * share:7.1f} % ± {100 * error:.1f}", flush=True)


if __name__ == "__main__":
    main()
