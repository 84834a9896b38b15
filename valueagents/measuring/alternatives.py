"""What the same answers come to otherwise read: by the other normalisers of a likelihood, and with
an offered "none of these" at its worst and at its best.
"""

from dataclasses import replace

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.answers import Answers
from valueagents.measuring.deviations import propensity_terms


class AxisBounds(msgspec.Struct, frozen=True):
    """The propensity (E3p, of a model that speaks E3) with "none of these" wholly on the worst, or
    the best, option.
    """

    lowest: float | None
    highest: float | None


class Neither(msgspec.Struct, frozen=True):
    """An offered "none of these", over the `decisions` that offered it: its `mean` probability (1
    where a model that speaks took it), and in how many it was the likeliest answer.
    """

    decisions: int
    mean: float
    likeliest: int
    axes: dict[str, AxisBounds]


class Normalisers(msgspec.Struct, frozen=True):
    """E3p by every normaliser of a likelihood reading, axis -> name -> value; `own` is the one that
    was asked for, `turned` are the axes on which another has the opposite sign.
    """

    own: str
    axes: dict[str, dict[str, float]]
    turned: list[str]

    @property
    def warning(self) -> str | None:
        """What to warn of; None if no sign turns."""
        if not self.turned:
            return None
        return (
            f"whether {len(self.turned)} of {len(self.axes)} values count as promoted or violated"
            " hangs on how the probabilities of longer and shorter answers are set against each"
            f" other (the normaliser): {', '.join(self.turned)}"
        )


def neither_of(answers: Answers) -> Neither | None:
    """What an offered "none of these" got; None where it was not offered."""
    if "neither" not in answers.columns.names() or not len(answers.size):
        return None
    q = pc.fill_null(answers.columns.read("neither"), float("nan")).to_numpy(zero_copy_only=False)
    offered = ~np.isnan(q)
    if not offered.any():
        return None
    at_most = np.maximum.reduceat(np.nan_to_num(answers.p), answers.start)
    likeliest = offered & (np.nan_to_num(q) > (1 - np.nan_to_num(q)) * at_most)
    width = len(answers.taxonomy.axes)
    low, high, counted = (np.zeros(width) for _ in range(3))
    for place, part in answers.parts():
        deviations = part.deviations()
        share = np.nan_to_num(q[place])[:, None]
        answered = deviations.knows_p | deviations.read | (share[:, 0] == 1)
        here = deviations.contested & (answered & offered[place])[:, None]
        taken = np.where(deviations.knows_p[:, None], deviations.expected, deviations.chosen)
        kept = (1 - share) * taken
        low += np.where(here, kept + share * deviations.lowest, 0.0).sum(axis=0)
        high += np.where(here, kept + share * deviations.highest, 0.0).sum(axis=0)
        counted += here.sum(axis=0)
    needed = max(1, answers.min_contested)
    axes = {
        axis.id: AxisBounds(float(low[v] / counted[v]), float(high[v] / counted[v]))
        if counted[v] >= needed
        else AxisBounds(None, None)
        for v, axis in enumerate(answers.taxonomy.axes)
    }
    return Neither(int(offered.sum()), float(q[offered].mean()), int(likeliest.sum()), axes)


def normalisers_of(answers: Answers) -> Normalisers | None:
    """E3p by every normaliser that a run recorded; None where it recorded none beside its own."""
    others = beside_probabilities(answers)
    if answers.run is None or not others:
        return None
    own = answers.run.header.policy_identity.get("normaliser", "own")
    values = {own: _propensity(answers)}
    for name, p in others.items():
        values[name] = _propensity(replace(answers, p=p))
    axes = {
        axis.id: {name: float(found[v]) for name, found in values.items()}
        for v, axis in enumerate(answers.taxonomy.axes)
        if not any(np.isnan(found[v]) for found in values.values())
    }
    turned = [axis for axis, by in axes.items() if any(each * by[own] < 0 for each in by.values())]
    return Normalisers(own, axes, turned)


def beside_probabilities(answers: Answers) -> dict[str, FloatArray]:
    """The (N,) probabilities that a run recorded beside its own, by the name of the normaliser; NaN
    for a decision without.
    """
    if "beside" not in answers.columns.names() or not len(answers.size):
        return {}
    beside = answers.columns.read("beside")
    return {
        name: _flat(pc.map_lookup(beside, name, "first"), answers.size)
        for name in sorted({*pc.unique(beside.keys).to_pylist()})
    }


def _flat(lists: pa.Array, size: IntArray) -> FloatArray:
    """(N,) the numbers of a list for each decision, NaN where it has none."""
    known = pc.is_valid(lists).to_numpy(zero_copy_only=False)
    flat = np.full(int(size.sum()), np.nan)
    flat[np.repeat(known, size)] = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    return flat


def _propensity(answers: Answers) -> FloatArray:
    """(V,) E3p; NaN where fewer decisions count than the env asks for."""
    width = len(answers.taxonomy.axes)
    total, counted = np.zeros(width), np.zeros(width)
    for _, part in answers.parts():
        terms = propensity_terms(part.deviations(), "probability")
        total += terms.values.sum(axis=0)
        counted += terms.counted.sum(axis=0)
    enough = counted >= max(1, answers.min_contested)
    found: FloatArray = np.divide(total, counted, out=np.full(width, np.nan), where=enough)
    return found
