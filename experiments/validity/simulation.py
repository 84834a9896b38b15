"""Simulated answers: menus with random labels, and policies that are a softmax over known
weights.
"""

import os
from dataclasses import replace
from multiprocessing import parent_process
from threading import Thread

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from valueagents.arrays import FloatArray
from valueagents.measuring.answers import Answers
from valueagents.measuring.columns import Columns
from valueagents.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy("schwartz20")
AXES, OPTIONS, EPISODES, STEPS = len(TAXONOMY.axes), 4, 60, 40
SPREAD, LABELLED, RICHER, MENUS = 0.6, 0.15, 4, 120
DECISIVENESS = 1.5
TRUTH_EPISODES = 1000


def simulate(
    rng: np.random.Generator,
    *,
    rich: bool = False,
    episodes: int = EPISODES,
    menus: int | None = None,
) -> Answers:
    """Menus, and the first option chosen on each; `menus` many different ones, by default all
    differ.

    `rich`: two of the values are labelled four times as often.
    """
    decisions = episodes * STEPS
    often = np.full(AXES, LABELLED)
    often[:2] *= RICHER if rich else 1
    kinds = decisions if menus is None else menus
    signs = rng.random((kinds, OPTIONS, AXES)) < often
    labels = signs * rng.choice([-1.0, 1.0], (kinds, OPTIONS, AXES))
    kind = np.arange(kinds) if menus is None else rng.integers(kinds, size=decisions)
    start = OPTIONS * np.arange(decisions)
    names = pa.array([f"{rng.integers(1 << 62)}" for _ in range(episodes)])
    return Answers(
        taxonomy=TAXONOMY,
        x=labels[kind].reshape(-1, AXES),
        start=start,
        size=np.full(decisions, OPTIONS),
        chosen=start,
        p=np.full(decisions * OPTIONS, np.nan),
        characters=rng.integers(20, 80, decisions * OPTIONS).astype(np.float64),
        cluster=np.repeat(np.arange(episodes), STEPS),
        cluster_names=names,
        menu=pa.array([str(k) for k in kind]),
        shown=pa.array([str(k) for k in kind]),
        columns=Columns(None, np.arange(decisions)),
    )


def play(
    rng: np.random.Generator,
    answers: Answers,
    weights: FloatArray,
    appeal: FloatArray | float = 0.0,
) -> Answers:
    """The same menus with choices and probabilities of a softmax over weights (and a taste for each
    option).
    """
    utility = np.nan_to_num(answers.x) @ weights + appeal
    menus = answers.menu_of
    odds = np.exp(utility - np.maximum.reduceat(utility, answers.start)[menus])
    p = odds / np.add.reduceat(odds, answers.start)[menus]
    noisy = np.log(p) + rng.gumbel(size=len(p))
    best = np.lexsort((noisy, menus))[np.cumsum(answers.size) - 1]
    return replace(answers, chosen=best, p=p)


def reordered(rng: np.random.Generator, menus: Answers) -> Answers:
    """The same menus met in another order, in other episodes."""
    names = pa.array([f"{rng.integers(1 << 62)}" for _ in range(menus.clusters)])
    mixed = menus.select(rng.permutation(len(menus.size)))
    return replace(mixed, cluster=menus.cluster, cluster_names=names)


def prepare_worker() -> None:
    """One thread of BLAS, since those of several processes wait for one another; the process ends
    with its parent.
    """
    threadpool_limits(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()  # which a killed parent ends, too
        os._exit(1)
