"""Does `compare` find one value that moved among nineteen that did not, on few items a value?

The bundled survey (six pairs of statements a value) and the bundled judgements (8 to 38 posts). Two
policies answer the same items, the second with a shift of every item's slope on every value,
N(0, 0.1) logits a unit of x: what training leaves behind. One value in turn gets another 0.3 on all
its items, three standard deviations. No value is primary. Printed are

power        share of replicates in which the moved value is called different
false calls  share of replicates in which any value is that shares no item with the moved one;
             and where none was moved, any value at all
no family    the same power, had Benjamini–Hochberg been asked of the exact p values
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from valueagents.arrays import FloatArray
from valueagents.measuring.answers import Answers
from valueagents.measuring.estimators.declaration import Compared, Difference
from valueagents.measuring.estimators.mean import FALSE_DISCOVERY_RATE, paired_difference
from valueagents.measuring.estimators.probability_propensity import PROBABILITY_PROPENSITY
from valueagents.measuring.flips import benjamini_hochberg
from valueagents.measuring.pairing import pair
from valueagents.measuring.reading import read_answers
from valueagents.running.execution import RunConfig, execute

ENVS = {"valueagents/Survey-v0": 240, "valueagents/Judgement-v0": 160}
"""Env -> episodes that meet every item once."""
NOISE, MOVED, BASE = 0.1, 3.0, 0.5
"""Sd of an item's shift, the moved value's shift in such sd, sd of the base policy's utilities."""


def answered(answers: Answers, utility: FloatArray) -> Answers:
    """The same menus with the probabilities of a softmax over (N,) utilities."""
    menus = answers.menu_of
    odds = np.exp(utility - np.maximum.reduceat(utility, answers.start)[menus])
    return replace(answers, p=odds / np.add.reduceat(odds, answers.start)[menus])


def replicate(answers: Answers, seed: int, moved: int | None) -> Difference:
    """The comparison of two policies, of which the second moved that value (None: none)."""
    rng = np.random.default_rng([seed, 0 if moved is None else 1])
    base = rng.normal(0, BASE, len(answers.p))
    slopes = rng.normal(0, NOISE, (answers.clusters, answers.x.shape[1]))
    if moved is not None:
        slopes[:, moved] += MOVED * NOISE
    per_option = slopes[answers.cluster[answers.menu_of]]
    shift = (np.nan_to_num(answers.x) * per_option).sum(axis=1)
    both = pair(answered(answers, base + shift), answered(answers, base))
    return paired_difference(PROBABILITY_PROPENSITY, Compared([both], seed=seed))


def apart_from(answers: Answers, moved: int) -> list[int]:
    """The values that no item contests together with the moved one."""
    contested = answers.deviations().contested
    together = contested[contested[:, moved]].any(axis=0)
    return np.flatnonzero(~together).tolist()


def rates(answers: Answers, replicates: int) -> dict[str, float]:
    """The shares, by name."""
    counts = dict.fromkeys(("power", "false calls, one moved", "false calls, none moved"), 0)
    counts["power, Benjamini–Hochberg on the exact p"] = 0
    for seed in range(replicates):
        v = seed % len(answers.taxonomy.axes)
        found, still = replicate(answers, seed, v), replicate(answers, seed, None)
        adjusted = benjamini_hochberg([axis.p for axis in found.axes])[v]
        counts["power"] += found.axes[v].differs
        counts["false calls, one moved"] += any(
            found.axes[w].differs for w in apart_from(answers, v)
        )
        counts["false calls, none moved"] += any(axis.differs for axis in still.axes)
        counts["power, Benjamini–Hochberg on the exact p"] += (
            adjusted is not None and adjusted <= FALSE_DISCOVERY_RATE
        )
    return {name: count / replicates for name, count in counts.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("runs/few-clusters"))
    given = parser.parse_args(argv)
    for env, episodes in ENVS.items():
        config = RunConfig(env=env, policy="random", episodes=episodes, seed=1)
        done = execute(config, given.out / env.removeprefix("valueagents/"))
        found = rates(read_answers(done).detached(), given.replicates)
        print(f"\n{env}, {given.replicates} replicates")
        for name, share in found.items():
            error = (share * (1 - share) / given.replicates) ** 0.5
            print(f"  {name:42s} {share:.3f} ± {error:.3f}", flush=True)


if __name__ == "__main__":
    main()
