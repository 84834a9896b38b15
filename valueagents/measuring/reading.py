"""From a run directory to `Answers`: the table's columns, read part by part into arrays sorted by
episode and step.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from valueagents.arrays import FloatArray, IntArray
from valueagents.errors import StoreError
from valueagents.measuring.answers import Answers
from valueagents.measuring.columns import COVARIATE, Columns, codes_of
from valueagents.measuring.reannotation import grouped, reannotated
from valueagents.running.opened import open_run
from valueagents.running.runs import Run
from valueagents.taxonomy import Taxonomy

Source = Answers | Run | Path | str
"""What can be measured: answers that were read already, an open run, or the path of its directory
or of an export of it.
"""

_KEYS = ("episode", "step", "cluster", "menu", "shown", "annotated", "chosen", "option_characters")


def read_answers(
    source: Source, *, annotations: Path | str | None = None, grouping: str | None = None
) -> Answers:
    """The annotated decisions of a run; answers that were read already come back as they are.

    `annotations`: a file of other values for what was on offer. `grouping`: on groups of axes
    (`reannotation.py`). Raises StoreError if the annotations do not fit the taxonomy.
    """
    if isinstance(source, Answers):
        answers = source
    else:
        run = source if isinstance(source, Run) else open_run(source)
        table, taxonomy = (
            (run.decisions_file(), run.header.taxonomy)
            if annotations is None
            else reannotated(run.decisions(), annotations)
        )
        answers = arrays_of(table, taxonomy, run)
    return answers if grouping is None else grouped(answers, grouping)


def arrays_of(source: pa.Table | Path, taxonomy: Taxonomy, run: Run) -> Answers:
    """The decisions of a run's table that are annotated and had an option to choose.

    A Parquet file (`Run.decisions_file`) is read part by part, a table (`Run.decisions`) is in
    memory already.
    """
    table = _keys(source)
    sizes = pc.list_value_length(table["option_characters"]).to_numpy().astype(np.int64)
    table = table.drop_columns(["option_characters"])  # here and below: for the annotations' sake
    episode, _ = codes_of(table["episode"])
    order = np.lexsort((table["step"].to_numpy(), episode))
    menus = table["annotated"].to_numpy() & (sizes > 0)  # nothing can be chosen from an empty menu
    order = order[menus[order]]
    size = sizes[order]
    start = np.cumsum(size) - size
    taken = pa.array(order)
    chosen = table["chosen"].take(taken).fill_null(-1).to_numpy().astype(np.int64)
    cluster, cluster_names = codes_of(table["cluster"].take(taken))
    menu, shown = (table[name].take(taken).combine_chunks() for name in ("menu", "shown"))
    table = table.select(["episode", "step"])
    place = np.full(len(sizes), -1)
    place[order] = start
    options = int(size.sum())
    lists = {
        "option_characters": np.empty(options),
        "probabilities": np.full(options, np.nan),
        "x": np.empty((options, len(taxonomy.axes))),
    }
    covariates = [each.name for each in run.header.covariates]
    lists |= {f"{COVARIATE}{name}": np.full(options, np.nan) for name in covariates}
    _put_lists(source, table, place, sizes, lists)
    return Answers(
        taxonomy=taxonomy,
        x=lists["x"],
        start=start,
        size=size,
        chosen=np.where(chosen >= 0, start + chosen, -1),
        p=lists["probabilities"],
        characters=lists["option_characters"],
        cluster=cluster,
        cluster_names=cluster_names,
        menu=menu,
        shown=shown,
        columns=Columns(source, order),
        run=run,
        independent_menus=run.header.independent_menus,
        min_contested=run.header.min_contested,
        covariates={name: lists[f"{COVARIATE}{name}"] for name in covariates},
    )


def _keys(source: pa.Table | Path) -> pa.Table:
    if isinstance(source, pa.Table):
        return source.select(_KEYS)
    with pq.ParquetFile(source, read_dictionary=["episode", "cluster"]) as file:
        return file.read(columns=list(_KEYS))


def _put_lists(
    source: pa.Table | Path,
    table: pa.Table,
    place: IntArray,
    sizes: IntArray,
    targets: dict[str, FloatArray],
) -> None:
    """Fill the targets, (N, …) by column: the menu of the table's row r starts at row place[r]; -1
    leaves it out.
    """
    if isinstance(source, pa.Table):
        groups = [source.num_rows]
    else:
        metadata = pq.read_metadata(source)
        groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    ends = np.cumsum(groups, dtype=np.int64)

    def put(group: int) -> None:
        here = slice(int(ends[group]) - groups[group], int(ends[group]))
        to, length = place[here], sizes[here]
        for (column, target), lists in zip(
            targets.items(), _lists(source, group, *targets), strict=True
        ):
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
    """Write each decision's list from its row place[r] on, but for null lists and those without a
    place (-1).
    """
    there = (place >= 0) & pc.is_valid(lists).to_numpy(zero_copy_only=False)
    if not there.all():
        place, sizes, lists = place[there], sizes[there], lists.filter(pa.array(there))
    values = _numbers(lists).reshape(-1, *target.shape[1:])
    target[np.repeat(place - (np.cumsum(sizes) - sizes), sizes) + np.arange(len(values))] = values


def _require_lengths(table: pa.Table, column: str, lists: pa.Array, wanted: IntArray) -> None:
    """Raise StoreError, naming the episode, if a decision's list is longer or shorter than its menu
    wants (-1: any).
    """
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
