"""Profiles of several policies on the same values: what circle checks and validity are computed
from.

A profile is a policy's mean propensity on each axis (E3p where all runs hold probabilities, else
E3), over the situations that *all* policies met. On common situations the choice of items does not
tell policies apart, so here a profile needs no minimum of contested decisions, as a score does: it
is only ever compared with the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.errors import ConfigError
from valueagents.measuring.answers import Answers, common_form, require_comparable
from valueagents.measuring.deviations import Form, propensity_terms
from valueagents.measuring.pairing import by_situation, last_meetings, situation_units
from valueagents.measuring.reading import Source, read_answers
from valueagents.measuring.sums import Clustering, Units, cluster_means, known_mean
from valueagents.running.runs import Run, require_distinct
from valueagents.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Profiles:
    """U policies on S common situations.

    `cells` (U, S, V): propensity, NaN where not contested or not answered.

    `contested` (S, V): the options differ on a value, answered or not. `cluster` (S,) codes; `ways`
    and `unit`: how situations are clustered, by item or menu, or, for pooled decisions of games, by
    episode and menu. `factors` (S,) levels by name. `menus` (V, V): to first order, what each
    weight does to each propensity (Σ of the covariances of x within menus, by row over the
    contested ones).
    """

    taxonomy: Taxonomy
    labels: list[str]
    form: Form
    cells: FloatArray
    contested: BoolArray
    cluster: IntArray
    ways: tuple[Units, ...]
    unit: str
    factors: dict[str, npt.NDArray[np.str_]]
    menus: FloatArray

    @property
    def situations(self) -> int:
        """How many situations all policies met."""
        return int(self.cells.shape[1])

    def of(self, situations: BoolArray | None = None) -> FloatArray:
        """(U, V) profiles over all or some situations; NaN where a policy has none."""
        return known_mean(self.cells if situations is None else self.cells[:, situations], axis=1)

    def axis(self, v: int, situations: BoolArray) -> FloatArray:
        """(U,) the column of one axis over some situations."""
        return known_mean(self.cells[:, situations, v], axis=1)


def centred(x: FloatArray) -> FloatArray:
    """(…, V) profiles minus each one's own mean over the axes it has (Schwartz 2021: centre, never
    divide).
    """
    means: FloatArray = x - known_mean(x)[..., None]
    return means


def profiles(
    runs: Sequence[Source | Sequence[Source]], labels: Sequence[str] | None = None
) -> Profiles:
    """The profiles of runs on one taxonomy, one a policy; several runs of a policy (seeds) are
    averaged situation by situation.

    Raises ConfigError if no situation is common to all, or a policy comes twice, be it with another
    seed.
    """
    if not runs:
        raise ConfigError("profiles need at least one run")
    seeds = [_read(each) for each in runs]
    read = [answers for each in seeds for answers in each]
    opened = [each[0].run for each in seeds if each[0].run is not None]
    require_distinct(opened, "policy", lambda header: header.policy_identity)
    form = common_form(*read)
    for answers in read:
        require_comparable(read[0], answers)
    met = [_met(each, form) for each in seeds]
    common = met[0][0]
    for names, _ in met[1:]:
        common = np.intersect1d(common, names, assume_unique=True)
    if not len(common):
        raise ConfigError(
            "the runs have no situation in common; run all policies on the same env with the same"
            " --seed"
        )
    places = _places(seeds[0], common)
    shown = [answers.select(last_meetings(answers, common[place])) for answers, place in places]
    clusters = [each.cluster_names.take(pa.array(each.cluster)).to_pylist() for each in shown]
    cluster = np.unique(_put(clusters, places), return_inverse=True)[1].astype(np.int64)
    independent = all(answers.independent_menus for answers in read)
    clustering = _clustering(places, common, cluster, independent=independent)
    return Profiles(
        taxonomy=read[0].taxonomy,
        labels=list(labels) if labels is not None else [run.header.policy for run in opened],
        form=form,
        cells=np.stack([means[np.searchsorted(names, common)] for names, means in met]),
        contested=np.vstack([each.deviations().contested for each in shown])[_order(places)],
        cluster=cluster,
        ways=clustering.ways,
        unit=clustering.unit,
        factors={
            name: _put([each.columns.factor(name).tolist() for each in shown], places)
            for name in read[0].columns.factors()
        },
        menus=_first_order(shown),
    )


def _read(runs: Source | Sequence[Source]) -> list[Answers]:
    if isinstance(runs, Answers | Run | Path | str):
        return [read_answers(runs)]
    return [read_answers(run) for run in runs]


def _met(seeds: Sequence[Answers], form: Form) -> tuple[npt.NDArray[np.str_], FloatArray]:
    """The situations that a policy met, sorted, and its (S, V) propensities there."""
    each = [
        by_situation(answers, answers.per_decision(lambda met: propensity_terms(met, form)))
        for answers in seeds
    ]
    if len(each) == 1:
        return each[0]
    names, code = np.unique(np.concatenate([met for met, _ in each]), return_inverse=True)
    return names, cluster_means(np.vstack([values for _, values in each]), code, len(names))


def _places(
    seeds: Sequence[Answers], common: npt.NDArray[np.str_]
) -> list[tuple[Answers, IntArray]]:
    """The seeds with the places of the common situations that each is the first to have met."""
    owed, found = np.ones(len(common), dtype=np.bool_), []
    for answers in seeds:
        mine = owed & np.isin(common, answers.shown.unique().to_pylist())
        owed &= ~mine
        if mine.any():
            found.append((answers, np.flatnonzero(mine)))
    return found


def _order(places: Sequence[tuple[Answers, IntArray]]) -> IntArray:
    """(S,) where each situation stands among those of the seeds one after another."""
    return np.argsort(np.concatenate([place for _, place in places]))


def _put(
    parts: Sequence[Sequence[str]], places: Sequence[tuple[Answers, IntArray]]
) -> npt.NDArray[np.str_]:
    """(S,) the texts of every part at its places."""
    texts = np.concatenate([np.asarray(part, dtype=np.str_) for part in parts])
    found: npt.NDArray[np.str_] = texts[_order(places)]
    return found


def _clustering(
    places: Sequence[tuple[Answers, IntArray]],
    common: npt.NDArray[np.str_],
    cluster: IntArray,
    *,
    independent: bool,
) -> Clustering:
    """How the situations are clustered; where no one seed met all of them, by item or menu."""
    if len(places) == 1:
        answers, _ = places[0]
        at = last_meetings(answers, common)
        return situation_units(answers, at, independent=independent)[1]
    own = Units(cluster, int(cluster.max()) + 1)
    return Clustering("item" if independent else "menu", (own,))


def _first_order(met: Sequence[Answers]) -> FloatArray:
    """(V, V) what each weight does to each propensity: the covariances of x within menus,
    summed.
    """
    width = len(met[0].taxonomy.axes)
    above, contested = np.zeros((width, width)), np.zeros(width, dtype=np.int64)
    for answers in met:
        deviations = answers.deviations()
        spread = deviations.centred / np.sqrt(np.repeat(answers.size, answers.size))[:, None]
        above += spread.T @ spread
        contested += deviations.contested.sum(axis=0)
    effects: FloatArray = above / np.maximum(1, contested)[:, None]
    return effects
