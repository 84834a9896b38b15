"""Games compared by their episodes: sums over each, paired where both runs began from one env seed.

Two runs of a game soon part, so few situations are met by both (15 of two runs of a choice game,
nearly all of them first menus). What both have are episodes from the same env seeds. Sums, not
means: one choice can open further contested menus, which shifts the mean of an episode's decisions
even where choices are random (E[D] as far as −0.25 in a constructed case).

Arrays: E paired episodes, T decisions of both runs in them, V axes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.answers import Answers
from valueagents.measuring.columns import codes_of
from valueagents.measuring.deviations import Deviations, Terms
from valueagents.measuring.inference import clustered_variance
from valueagents.measuring.pairing import Pairing
from valueagents.measuring.sums import Units, cluster_sums, crossed


@dataclass(frozen=True, slots=True)
class EpisodeSums:
    """First minus second run, the mean over E pairs of episodes of the sum over an episode's
    decisions.

    difference, error: (V,), the error clustered by pair and by menu.
    units: (V,) pairs or menus in which the axis is at stake, of the kind that has fewer.
    contested: (V,) decisions that count, of the run that has fewer.
    """

    pairs: int
    unit: str
    difference: FloatArray
    error: FloatArray
    units: IntArray
    contested: IntArray


def episode_sums(both: Pairing, terms: Callable[[Deviations], Terms]) -> EpisodeSums | None:
    """The paired sums of two runs of a game; None for other envs, simulated answers, runs of
    different seeds, and fewer than two episodes in common.
    """
    runs = both.first, both.second
    if any(each.run is None or each.independent_menus for each in runs):
        return None
    seeds = {each.run.header.seed for each in runs if each.run is not None}
    names = [_names(each) for each in runs]
    shared = np.intersect1d(names[0], names[1])
    if len(seeds) > 1 or len(shared) < 2:
        return None
    kept = [np.flatnonzero(np.isin(each, shared)) for each in names]
    values = [each.per_decision(terms)[rows] for each, rows in zip(runs, kept, strict=True)]
    counted = [~np.isnan(each) for each in values]
    pair_of = np.concatenate(
        [np.searchsorted(shared, each[rows]) for each, rows in zip(names, kept, strict=True)]
    )
    menus = [each.menu.take(pa.array(rows)) for each, rows in zip(runs, kept, strict=True)]
    menu, kinds = codes_of(pa.concat_arrays(menus))
    signed = np.vstack([np.nan_to_num(values[0]), -np.nan_to_num(values[1])])
    clustering = crossed("episode", Units(pair_of, len(shared)), Units(menu, len(kinds)))
    difference = signed.sum(axis=0) / len(shared)
    share = 1 / np.bincount(pair_of, minlength=len(shared))[pair_of]
    residuals = signed - difference * share[:, None]
    at_stake = np.vstack(counted).astype(np.float64)
    counts = [
        (cluster_sums(at_stake, way.codes, way.count) > 0).sum(axis=0) for way in clustering.ways
    ]
    sums = [cluster_sums(residuals, way.codes, way.count) for way in clustering.ways]
    return EpisodeSums(
        pairs=len(shared),
        unit=clustering.unit,
        difference=difference,
        error=np.sqrt(clustered_variance(sums, counts)) / len(shared),
        units=np.min(counts[:2], axis=0),
        contested=np.min([each.sum(axis=0) for each in counted], axis=0),
    )


def _names(answers: Answers) -> npt.NDArray[np.str_]:
    """(T,) what says which episode of the run's plan a decision is of: with the run's seed it
    decides the env's.
    """
    situation = answers.columns.texts("situation")
    repetition = answers.columns.read("repetition").to_numpy(zero_copy_only=False)
    named: npt.NDArray[np.str_] = np.char.add(
        np.char.add(situation, "#"), repetition.astype(np.str_)
    )
    return named
