"""Sums of decisions by menu and by cluster: what every estimator and every interval is computed
from.

Arrays: T decisions with N options in all, V columns, C clusters.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from valueagents.arrays import BoolArray, FloatArray, IntArray

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Units:
    """Which of `count` units each of T decisions belongs to: (T,) codes."""

    codes: IntArray
    count: int


@dataclass(frozen=True, slots=True)
class Clustering:
    """What is independent of what.

    `ways` holds one kind of unit, or two that cross and third their intersection.

    Two ways: an episode's decisions hang together, and so do all meetings of one menu, whatever the
    episode.
    """

    unit: str
    ways: tuple[Units, ...]

    @property
    def count(self) -> int:
        """Units of the first kind."""
        return self.ways[0].count


def crossed(unit: str, first: Units, second: Units) -> Clustering:
    """Clustering by both kinds of units; by the first alone where no unit of the second meets two
    of the first.
    """
    pairs, codes = np.unique(first.codes * max(1, second.count) + second.codes, return_inverse=True)
    if len(pairs) == len(np.unique(second.codes)):
        return Clustering(unit, (first,))
    return Clustering(f"{unit} and menu, two-way", (first, second, Units(codes, len(pairs))))


def add_cluster_sums(totals: FloatArray, values: FloatArray, codes: IntArray) -> None:
    """Add (T, V) values to the (C, V) totals of their clusters."""
    if (codes[1:] < codes[:-1]).any():
        order = np.argsort(codes, kind="stable")
        values, codes = values[order], codes[order]
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    totals[codes[first]] += np.add.reduceat(values, first, axis=0)


def cluster_sums(values: FloatArray, clusters: IntArray, count: int) -> FloatArray:
    """The (C, V) sums of (T, V) values over the clusters 0..count-1."""
    rows = np.arange(len(values))
    ones = np.ones(len(values))
    membership = sparse.csr_array((ones, (clusters, rows)), shape=(count, len(values)))
    sums: FloatArray = membership @ values
    return sums


def cluster_means(values: FloatArray, clusters: IntArray, count: int) -> FloatArray:
    """The (C, V) means of the (T, V) values that are known (not NaN); NaN for a cluster without
    one.
    """
    known = ~np.isnan(values)
    sums = cluster_sums(np.where(known, values, 0.0), clusters, count)
    with np.errstate(invalid="ignore"):
        means: FloatArray = sums / cluster_sums(known.astype(np.float64), clusters, count)
    return means


def run_sums(values: FloatArray, start: IntArray, weights: FloatArray | None = None) -> FloatArray:
    """The (T, …) sums of (N, …) values, weighted by (N,) weights, over the runs of rows that begin
    at `start`.

    A matrix product where all runs are of one length, else a sparse one: `np.add.reduceat` along
    the first of two axes takes twenty times as long.
    """
    width = int(np.prod(values.shape[1:]))
    flat = values.reshape(len(values), width)
    weights = np.ones(len(values)) if weights is None else weights
    length = len(values) // max(1, len(start))
    if length * len(start) == len(values) and (np.diff(start) == length).all():
        sums = weights.reshape(len(start), 1, length) @ flat.reshape(len(start), length, width)
    else:
        runs = np.append(start, len(values))
        membership = sparse.csr_array(
            (weights, np.arange(len(values)), runs), shape=(len(start), len(values))
        )
        sums = membership @ flat
    found: FloatArray = sums.reshape(len(start), *values.shape[1:])
    return found


def known_mean(values: FloatArray, axis: int = -1) -> FloatArray:
    """The means of the numbers that are known (not NaN) along an axis; NaN where none is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: FloatArray = np.where(known, values, 0.0).sum(axis=axis) / known.sum(axis=axis)
    return means


def varying(values: FloatArray) -> BoolArray:
    """(…, V) true for the columns of (…, U, V) values that are known everywhere and differ by more
    than rounding.
    """
    if not values.shape[-2]:
        return np.zeros((*values.shape[:-2], values.shape[-1]), dtype=np.bool_)
    varies: BoolArray = np.ptp(values, axis=-2) > _ROUNDING
    return varies


def at_places(values: FloatArray, places: BoolArray) -> list[float | None]:
    """The values at the true places, None elsewhere."""
    found = iter(values.tolist())
    return [next(found) if place else None for place in places]
