"""The one pairing: two runs on the situations that both met, each averaged over its meetings of a
situation.

A situation is the hash of what was shown, the order of options aside. So two policies are compared
on the same questions however often, and in whatever order of options, each of them met these.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from valueagents.arrays import FloatArray, IntArray
from valueagents.errors import ConfigError
from valueagents.measuring.answers import (
    Answers,
    common_form,
    joint_clustering,
    require_comparable,
)
from valueagents.measuring.columns import codes_of
from valueagents.measuring.deviations import Deviations, Form, Terms, propensity_terms
from valueagents.measuring.sums import Clustering, Units, cluster_means, run_sums


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two runs on the S situations that both met, in the order of their hashes.

    shown: (S,) their hashes.
    cluster: (S,) codes of the unit that a situation belongs to, `clusters` in all: the item, or
        in games, where a situation belongs to no one episode, the menu.
    ways: that clustering, of situations, by episode and menu for pooled decisions of games.
    form: how both answers are read.
    annotation_conflicts: situations whose options carry other values in the second run.
    """

    first: Answers
    second: Answers
    form: Form
    shown: npt.NDArray[np.str_]
    cluster: IntArray
    clusters: int
    unit: str
    ways: tuple[Units, ...]
    only_first: int
    only_second: int
    annotation_conflicts: int

    def means(self, values: Callable[[Answers], FloatArray]) -> tuple[FloatArray, FloatArray]:
        """(S, M) means of each run's (T, M) `values` over its meetings of a situation; NaN where
        none is known.
        """
        return _means(self.first, values, self.shown), _means(self.second, values, self.shown)

    def differences(self, values: Callable[[Answers], FloatArray]) -> FloatArray:
        """(S, M) first minus second; NaN where one of them is not known."""
        mine, theirs = self.means(values)
        return mine - theirs

    def propensity_differences(self) -> FloatArray:
        """(S, V) differences of the propensities, in the form that both runs have."""
        return self.differences(lambda answers: answers.per_decision(self._terms))

    def mean_differences(self, terms: Callable[[Deviations], Terms]) -> FloatArray:
        """(S, V) differences of the terms of a mean over decisions."""
        return self.differences(lambda answers: answers.per_decision(terms))

    def _terms(self, deviations: Deviations) -> Terms:
        return propensity_terms(deviations, self.form)


def pair(first: Answers, second: Answers, *, form: Form | None = None) -> Pairing:
    """The pairing of two runs; `form` None = probabilities where both have them everywhere.

    Raises ConfigError if they are on different taxonomies, share no situation, or (games apart,
    where hidden state may show in what a try does) carry different annotations of a shared
    situation.
    """
    require_comparable(first, second)
    mine, theirs = (codes_of(answers.shown)[1] for answers in (first, second))
    shared = np.intersect1d(_texts(mine), _texts(theirs), assume_unique=True)
    if not len(shared):
        raise ConfigError(
            f"{first.name} and {second.name} share no situation; run both on the same env with the"
            " same --seed (a replay: on the same pool)"
        )
    independent = first.independent_menus and second.independent_menus
    conflicts = _annotation_conflicts(first, second, shared)
    if conflicts and independent:
        raise ConfigError(
            f"runs {first.name} and {second.name} carry different annotations in {conflicts} of"
            f" {len(shared)} shared situations (different data file or env options?); rerun one"
            " with the other's options"
        )
    cluster, own = situation_units(first, last_meetings(first, shared), independent=independent)
    return Pairing(
        first=first,
        second=second,
        form=common_form(first, second) if form is None else form,
        shown=shared,
        cluster=cluster.codes,
        clusters=cluster.count,
        unit=own.unit,
        ways=own.ways,
        only_first=len(mine) - len(shared),
        only_second=len(theirs) - len(shared),
        annotation_conflicts=conflicts,
    )


def situation_units(
    answers: Answers, at: IntArray, *, independent: bool
) -> tuple[Units, Clustering]:
    """What the situations of the decisions `at` belong to – the item, or in games (not
    `independent`) the menu – and how they are clustered: by that, or by episode and menu for pooled
    decisions of games.
    """
    units = answers.cluster if independent else codes_of(answers.menu)[0]
    names, codes = np.unique(units[at], return_inverse=True)
    own = Units(codes.astype(np.int64), len(names))
    joint = joint_clustering([answers])[0] if independent else None
    if joint is None or len(joint.ways) == 1:
        return own, Clustering("item" if independent else "menu", (own,))
    return own, Clustering(joint.unit, tuple(_of(way, at) for way in joint.ways))


def _of(way: Units, decisions: IntArray) -> Units:
    """The units of some of the decisions, counted anew."""
    names, codes = np.unique(way.codes[decisions], return_inverse=True)
    return Units(codes.astype(np.int64), len(names))


def by_situation(answers: Answers, values: FloatArray) -> tuple[npt.NDArray[np.str_], FloatArray]:
    """The situations (S,) of a run, sorted, and the (S, M) means of (T, M) values there; NaN where
    none is known.
    """
    code, names = codes_of(answers.shown)
    return _texts(names), cluster_means(values, code, len(names))


def _means(
    answers: Answers, values: Callable[[Answers], FloatArray], shared: npt.NDArray[np.str_]
) -> FloatArray:
    names, means = by_situation(answers, values(answers))
    found: FloatArray = means[np.searchsorted(names, shared)]
    return found


def last_meetings(answers: Answers, shared: npt.NDArray[np.str_]) -> IntArray:
    """(S,) the last decision at each of the situations."""
    code, names = codes_of(answers.shown)
    last = np.zeros(len(names), dtype=np.int64)
    last[code] = np.arange(len(code))
    found: IntArray = last[np.searchsorted(_texts(names), shared)]
    return found


def _annotation_conflicts(first: Answers, second: Answers, shared: npt.NDArray[np.str_]) -> int:
    """How many of the situations have other values on their options in the second run (0 for
    simulated answers).
    """
    if first.run is None or second.run is None:
        return 0
    mine, theirs = (_marks(answers, last_meetings(answers, shared)) for answers in (first, second))
    return int((~np.isclose(mine, theirs, equal_nan=True)).any(axis=1).sum())


def _marks(answers: Answers, decisions: IntArray) -> FloatArray:
    """(S, V) Σ x[a] h(a) over the options, h a number of each option's id: no order counts, every
    sign does.
    """
    met = answers.select(decisions)
    codes, names = codes_of(pc.list_flatten(met.columns.read("option_ids")))
    numbers = np.array([1 + zlib.crc32(name.encode()) / 2**32 for name in names.to_pylist()])
    return run_sums(met.x, met.start, numbers[codes])


def _texts(names: object) -> npt.NDArray[np.str_]:
    return np.asarray(names.to_pylist(), dtype=np.str_)  # type: ignore[attr-defined]
