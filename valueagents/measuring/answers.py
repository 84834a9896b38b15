"""A run's decisions as numpy arrays, sorted by episode and step: sums do not depend on the order of writing.

The annotations are the bulk (a million decisions × 6 options × 20 axes are 0.96 GB), so they are read from the file
part by part into one array, and all that is derived from them (`deviations`) is derived part by part: see `parts`.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from valueagents.errors import StoreError
from valueagents.measuring.inference import Clustering, FloatArray, IntArray, Units, crossed, run_sums
from valueagents.taxonomy import Taxonomy

BoolArray = npt.NDArray[np.bool_]

_DECISIONS_A_PART = 1_024  # with 6 options and 20 axes 1 MB: the temporaries stay near the processor
_KEYS = ("episode", "step", "cluster", "menu", "shown", "annotated", "chosen", "option_characters")


@dataclass(frozen=True, slots=True)
class DecisionArrays:
    """T annotated decisions with N options in all, on V axes. Options of a decision lie together, in shown order.

    x: (N, V) annotation, NaN not annotated.  start: (T,) first row of each menu.  size: (T,) options on it.
    chosen: (T,) row of the chosen option, -1 = unread.  p: (N,) the policy's probabilities, NaN = unknown.
    characters: (N,) length of each option's text.  cluster: (T,) codes of `cluster_names`, the units of independence.
    menu: (T,) hashes, equal where the same options were offered.  shown: (T,) situation hashes.
    """

    taxonomy: Taxonomy
    x: FloatArray
    start: IntArray
    size: IntArray
    chosen: IntArray
    p: FloatArray
    characters: FloatArray
    cluster: IntArray
    cluster_names: pa.StringArray
    menu: pa.StringArray
    shown: pa.StringArray

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return len(self.cluster_names)

    @property
    def menu_of(self) -> IntArray:
        """(N,) the decision that each option row belongs to."""
        return np.repeat(np.arange(len(self.size)), self.size)

    @property
    def position(self) -> FloatArray:
        """(N,) the place of each option on its menu, from 0."""
        return (np.arange(self.size.sum()) - np.repeat(self.start, self.size)).astype(np.float64)

    def per_menu(self, options: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """Sums over each menu, (N, …) to (T, …), each option weighted by its (N,) weight."""
        return run_sums(options, self.start, weights)

    def extremes(self, options: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The lowest and the highest of each menu, (N, V) to (T, V) each."""
        lowest, highest = options[self.start], options[self.start]
        longest = int(self.size.max(initial=0))
        if len(options) == longest * len(self.size):  # menus of one size: no need to gather their rows
            for place in range(1, longest):
                np.minimum(lowest, options[place::longest], out=lowest)
                np.maximum(highest, options[place::longest], out=highest)
            return lowest, highest
        for place in range(1, longest):
            there = np.flatnonzero(self.size > place)
            values = options[self.start[there] + place]
            lowest[there] = np.minimum(lowest[there], values)
            highest[there] = np.maximum(highest[there], values)
        return lowest, highest

    def part(self, first: int, last: int) -> "DecisionArrays":
        """The decisions first, …, last - 1 on their own (views, not copies)."""
        begin, end = (
            (int(self.start[first]), int(self.start[last - 1] + self.size[last - 1])) if first < last else (0, 0)
        )
        chosen = self.chosen[first:last]
        return replace(
            self,
            x=self.x[begin:end],
            start=self.start[first:last] - begin,
            size=self.size[first:last],
            chosen=np.where(chosen >= 0, chosen - begin, -1),
            p=self.p[begin:end],
            characters=self.characters[begin:end],
            cluster=self.cluster[first:last],
            menu=self.menu[first:last],
            shown=self.shown[first:last],
        )

    def select(self, decisions: IntArray) -> "DecisionArrays":
        """Some decisions, copied, in the given order."""
        size = self.size[decisions]
        start = np.cumsum(size) - size
        rows = np.repeat(self.start[decisions] - start, size) + np.arange(size.sum())
        chosen = self.chosen[decisions]
        return replace(
            self,
            x=self.x[rows],
            start=start,
            size=size,
            chosen=np.where(chosen >= 0, chosen - self.start[decisions] + start, -1),
            p=self.p[rows],
            characters=self.characters[rows],
            cluster=self.cluster[decisions],
            menu=self.menu.take(pa.array(decisions)),
            shown=self.shown.take(pa.array(decisions)),
        )

    def parts(self) -> list[tuple[int, int]]:
        """Ranges of decisions to work on one after another, so that what is derived needs little memory."""
        count = len(self.size)
        return [(first, min(count, first + _DECISIONS_A_PART)) for first in range(0, count, _DECISIONS_A_PART)]

    def judged(self) -> tuple[FloatArray, BoolArray]:
        """(N, V) x and (T, V) where it counts: an axis that any option of a menu lacks is 0 and left out of it."""
        if not np.isnan(self.x.sum()):
            return self.x, np.ones((len(self.size), self.x.shape[1]), dtype=np.bool_)
        annotated = ~np.isnan(self.per_menu(self.x))
        return np.where(np.repeat(annotated, self.size, axis=0), self.x, 0.0), annotated

    def deviations(self) -> "Deviations":
        """What every decision says about every axis, before any averaging."""
        x, annotated = self.judged()
        lowest, highest = self.extremes(x)
        contested = highest > lowest
        mean = np.where(contested, self.per_menu(x) / self.size[:, None], lowest)  # where not contested x - m is 0
        centred = x - np.repeat(mean, self.size, axis=0)
        read = self.chosen >= 0
        rows = np.where(read, self.chosen, self.start)
        knows_p = ~np.isnan(np.add.reduceat(self.p, self.start))
        p = np.where(np.repeat(knows_p, self.size), self.p, 0.0)
        return Deviations(
            annotated=annotated,
            contested=contested,
            read=read,
            knows_p=knows_p,
            taken=x[rows] * read[:, None],
            chosen=centred[rows] * read[:, None],
            expected=self.per_menu(centred, p),
            lowest=lowest - mean,
            highest=highest - mean,
            centred=centred,
        )


@dataclass(frozen=True, slots=True)
class Deviations:
    """What each decision says about each axis: (T, V) arrays, 0 where undefined, and where they count.

    taken: x[c].  chosen: x[c] - m.  expected: Σ_a p(a) x[a] - m.  lowest, highest: extremes of x - m.
    centred: (N, V), x - m of every option.
    annotated, contested: (T, V) masks.  read, knows_p: (T,) masks of decisions with a choice, with probabilities.
    """

    annotated: BoolArray
    contested: BoolArray
    read: BoolArray
    knows_p: BoolArray
    taken: FloatArray
    chosen: FloatArray
    expected: FloatArray
    lowest: FloatArray
    highest: FloatArray
    centred: FloatArray


def decision_arrays(source: pa.Table | Path, taxonomy: Taxonomy) -> DecisionArrays:
    """The annotated decisions of a run. Raises StoreError if its annotations do not fit the taxonomy.

    A Parquet file (`Run.decisions_file`) is read part by part, a table (`Run.decisions`) is in memory already.
    """
    if isinstance(source, pa.Table):
        table = source.select(_KEYS)
    else:
        with pq.ParquetFile(source, read_dictionary=["episode", "cluster"]) as file:
            table = file.read(columns=list(_KEYS))
    sizes = pc.list_value_length(table["option_characters"]).to_numpy().astype(np.int64)
    table = table.drop_columns(["option_characters"])  # the annotations need the memory
    menus = table["annotated"].to_numpy() & (sizes > 0)  # nothing can be chosen from an empty menu
    order = _sorted_rows(table)
    order = order[menus[order]]
    size = sizes[order]
    start = np.concatenate([[0], np.cumsum(size)[:-1]]).astype(np.int64) if len(size) else np.zeros(0, dtype=np.int64)
    chosen = table["chosen"].take(pa.array(order)).fill_null(-1).to_numpy().astype(np.int64)
    cluster, cluster_names = codes_of(table["cluster"].take(pa.array(order)))
    place = np.full(len(sizes), -1)
    place[order] = start
    options = int(size.sum())
    characters, p, x = np.empty(options), np.full(options, np.nan), np.empty((options, len(taxonomy.axes)))
    _put_lists(source, table, place, sizes, {"option_characters": characters, "probabilities": p, "x": x})
    return DecisionArrays(
        taxonomy=taxonomy,
        x=x,
        start=start,
        size=size,
        chosen=np.where(chosen >= 0, start + chosen, -1),
        p=p,
        characters=characters,
        cluster=cluster,
        cluster_names=cluster_names,
        menu=table["menu"].take(pa.array(order)).combine_chunks(),
        shown=table["shown"].take(pa.array(order)).combine_chunks(),
    )


def _sorted_rows(table: pa.Table) -> IntArray:
    """(T,) the rows of a table by episode and step."""
    episode, _ = codes_of(table["episode"])
    return np.lexsort((table["step"].to_numpy(), episode))


def joint_clustering(runs: Sequence[DecisionArrays], *, independent_menus: bool) -> list[Clustering]:
    """For each run the clustering of its decisions, equal codes meaning equal units in all of them.

    By item where no choice changes a later menu; in games by episode, and by menu too where the same options are
    offered in several episodes.
    """
    splits = np.cumsum([len(arrays.size) for arrays in runs])[:-1]
    names = pa.concat_arrays([arrays.cluster_names.take(pa.array(arrays.cluster)) for arrays in runs])
    codes, known = codes_of(names)
    whole = Clustering("item", (Units(codes, len(known)),))
    if not independent_menus:
        menus, kinds = codes_of(pa.concat_arrays([arrays.menu for arrays in runs]))
        whole = crossed("episode", whole.ways[0], Units(menus, len(kinds)))
    codes_by_run = zip(*(np.split(way.codes, splits) for way in whole.ways), strict=True)
    return [
        Clustering(whole.unit, tuple(Units(c, way.count) for c, way in zip(codes, whole.ways, strict=True)))
        for codes in codes_by_run
    ]


def codes_of(column: pa.Array) -> tuple[IntArray, pa.StringArray]:
    """(T,) codes of the sorted distinct names, and these."""
    coded = pc.dictionary_encode(column)
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    present, codes = np.unique(coded.indices.to_numpy(), return_inverse=True)
    names = coded.dictionary.take(pa.array(present))
    order = pc.sort_indices(names)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    return rank[codes], names.take(order)


def _put_lists(
    source: pa.Table | Path, table: pa.Table, place: IntArray, sizes: IntArray, targets: dict[str, FloatArray]
) -> None:
    """Fill the targets, (N, …) by column: the menu of the table's row r starts at row place[r]; -1 leaves it out."""
    if isinstance(source, pa.Table):
        groups = [source.num_rows]
    else:
        metadata = pq.read_metadata(source)
        groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    ends = np.cumsum(groups, dtype=np.int64)

    def put(group: int) -> None:
        here = slice(int(ends[group]) - groups[group], int(ends[group]))
        to, length = place[here], sizes[here]
        for (column, target), lists in zip(targets.items(), _lists(source, group, *targets), strict=True):
            width = target.size // max(1, len(target))
            _require_lengths(table[here], column, lists, np.where(to >= 0, length * width, -1))
            _put(target, lists, to, length)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # every group of rows has its own place
        list(pool.map(put, range(len(groups))))


def _lists(source: pa.Table | Path, group: int, *columns: str) -> list[pa.ListArray]:
    """Columns of a table, or of a group of rows of a file."""
    if isinstance(source, pa.Table):
        return [source[name].combine_chunks() for name in columns]
    with pq.ParquetFile(source) as file:  # one of two threads that share a reader may crash
        read = file.read_row_group(group, columns, use_threads=False)
    return [read[name].combine_chunks() for name in columns]


def _put(target: FloatArray, lists: pa.ListArray, place: IntArray, sizes: IntArray) -> None:
    """Write each decision's list from its row place[r] on, but for null lists and those without a place (-1)."""
    there = (place >= 0) & pc.is_valid(lists).to_numpy(zero_copy_only=False)
    if not there.all():
        place, sizes, lists = place[there], sizes[there], lists.filter(pa.array(there))
    values = _numbers(lists).reshape(-1, *target.shape[1:])
    target[np.repeat(place - (np.cumsum(sizes) - sizes), sizes) + np.arange(len(values))] = values


def _require_lengths(table: pa.Table, column: str, lists: pa.Array, wanted: IntArray) -> None:
    """Raise StoreError, naming the episode, if a decision's list is longer or shorter than its menu wants (-1: any)."""
    found = pc.list_value_length(lists).fill_null(-1).to_numpy()
    wrong = np.flatnonzero((found != wanted) & (found >= 0) & (wanted >= 0))
    if len(wrong):
        row = int(wrong[0])
        where = f"episode {table['episode'][row].as_py()}, step {table['step'][row].as_py()}"
        raise StoreError(f"{where}: {found[row]} numbers in {column}, its menu needs {wanted[row]}")


def _numbers(lists: pa.Array) -> FloatArray:
    """The numbers of a list column, one after another, nulls as NaN."""
    numbers: FloatArray = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    return numbers.astype(np.float64, copy=False)
