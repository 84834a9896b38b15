"""Hand-made runs of one-decision episodes on two axes, A and B: what comparisons are tested on."""

import numpy as np

from valueagents.contracts.decision import Annotation, Choice, Decision, Episode, Option
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import Axis, Taxonomy

TWO = Taxonomy(
    id="two", version=1, source="tests", axes=(Axis("A", "Alpha", "a"), Axis("B", "Beta", "b"))
)
PLUS, MINUS = {"A": 1.0}, {"A": -1.0}


def decision(situation, values, chosen, p=None, order=None):
    """A decision of that situation; `chosen` and `p` follow `values`, which are shown in
    `order`.
    """
    order = range(len(values)) if order is None else order
    menu = tuple(Option(f"o{k}", f"option {k}") for k in order)
    annotation = Annotation("two/1", tuple(values[k] for k in order), "tests", "tests")
    shown_p = None if p is None else tuple(p[k] for k in order)
    choice = Choice(
        None if chosen is None else f"o{chosen}", "failed" if chosen is None else "drawn", shown_p
    )
    return Decision(f"situation {situation}", menu, choice, annotation)


def made_run(path, decisions, *, clusters=None, taxonomy=TWO, policy="test"):
    """A run of one-decision episodes; `clusters[i]` names the cluster of the i-th, by default its
    observation.
    """
    header = RunHeader(
        "test/T-v0", {}, policy, 0, "Choose.", {}, {"policy": str(path)}, taxonomy, True, False
    )
    store = RunStore.create(path, header)
    with store.writing() as writer:
        for i, each in enumerate(decisions):
            cluster = each.observation if clusters is None else str(clusters[i])
            writer.episode(Episode(f"{i:05d}", None, 0, 0, cluster, (each,), "terminated"))
    return Run(path)


def pair(tmp_path, first, second, **settings):
    """Two runs; settings go to both."""
    return made_run(tmp_path / "first", first, **settings), made_run(
        tmp_path / "second", second, **settings
    )


def menus_of(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        [
            {"A": float(rng.choice([-1, 0, 1])), "B": float(rng.choice([-0.5, 0, 0.5]))}
            for _ in range(rng.integers(2, 5))
        ]
        for _ in range(count)
    ]
