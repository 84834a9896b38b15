"""What the pages filter by: a run's decisions as arrays, without a text.

Arrays: N decisions in the order of writing, those of an episode together; E episodes; V axes. The
table of the run tells of the segments that it holds; lines that were written since are read one by
one, so a run that goes on is never read anew.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.errors import StoreError
from valueagents.running.places import NewLines
from valueagents.running.records import episode_of_line
from valueagents.running.sessions import standing
from valueagents.running.store import RunStore
from valueagents.running.table import (
    TABLE_FILE,
    decision_rows,
    decisions_file,
    table_schema,
    tabled_segments,
)

COLUMNS = (
    "episode",
    "situation",
    "repetition",
    "outcome",
    "step",
    "option_ids",
    "x",
    "chosen",
    "probabilities",
    "reading",
    "invalid",
)
CHOSEN_SERVES, CHOSEN_VIOLATES, REFUSED_SERVES, REFUSED_VIOLATES = 1, 2, 4, 8
"""Bits of `Index.sides`: what the chosen option does to an axis, and what one that was not chosen
would have done.
"""
_REFUSED_SHIFT = 2
"""From a bit of what is chosen to that of what is refused."""
_ROWS_A_BATCH = 20_000
_LINES_A_BATCH = 1_000
_NOT_CHOSEN = -1


class Index:
    """The decisions of a run as they were when it was made.

    episode, step, reading_code: (N,); `readings` names the codes. refused: (N,), by the env.
    p: (N,), of the chosen option, NaN where unknown. sides: (N, V), bits. chosen: (N,), option ids.
    first: (E,), the row of an episode's first decision. identity, situation, repetition, outcome:
    (E,).
    """

    def __init__(
        self, table: pa.Table, sides: npt.NDArray[np.uint8], axes: tuple[str, ...]
    ) -> None:
        self.axes, self.sides = axes, sides
        names = table["episode"].combine_chunks()
        self.first = _starts(names)
        self.episode: IntArray = np.repeat(
            np.arange(len(self.first)), np.diff([*self.first, table.num_rows])
        )
        self.step: IntArray = table["step"].to_numpy()
        self.chosen = table["chosen"].combine_chunks()
        self.p: FloatArray = table["p"].to_numpy()
        self.refused: BoolArray = table["refused"].to_numpy()
        codes = table["reading"].combine_chunks().dictionary_encode()
        self.reading_code: IntArray = codes.indices.to_numpy()
        self.readings: list[str] = codes.dictionary.to_pylist()
        heads = table.take(pa.array(self.first))
        self.identity, self.situation = heads["episode"], heads["situation"]
        self.repetition: IntArray = heads["repetition"].to_numpy()
        self.outcome = heads["outcome"]

    @property
    def decisions(self) -> int:
        """How many decisions there are."""
        return len(self.step)

    @property
    def episodes(self) -> int:
        """How many episodes there are."""
        return len(self.first)

    def length(self, episode: int) -> int:
        """How many decisions an episode has."""
        ends = self.first[episode + 1] if episode + 1 < self.episodes else self.decisions
        return int(ends - self.first[episode])


class LiveIndex:
    """The index of a run, brought up to date when asked.

    Args:
        store: of the run.
    """

    def __init__(self, store: RunStore) -> None:
        self._store, self._axes = store, store.header.taxonomy.axis_ids
        self._parts: list[pa.Table] = []
        self._sides: list[npt.NDArray[np.uint8]] = []
        self._made: Index | None = None
        self._sizes: dict[str, int] = {}

    def now(self) -> Index:
        """The index of all that the run holds now."""
        segments = self._store.segments()
        sizes = {self._store.name_of(file): file.stat().st_size for file in segments}
        if self._made is not None and sizes == self._sizes:
            return self._made
        if self._made is None or any(
            sizes.get(name, -1) < then for name, then in self._sizes.items()
        ):
            self._begin()
        for rows in self._new_rows():
            self._add(pa.Table.from_pylist(rows, schema=table_schema(self._store.header)))
        self._parts, self._sides = [pa.concat_tables(self._parts)], [np.concatenate(self._sides)]
        self._made, self._sizes = Index(self._parts[0], self._sides[0], self._axes), sizes
        return self._made

    def _begin(self) -> None:
        """What the table holds is read, and nothing else; the table is made first where the run has
        ended without one.
        """
        self._parts, self._sides = [], []
        self._add(table_schema(self._store.header).empty_table())
        held: frozenset[str] = frozenset()
        try:
            if not standing(self._store).stopped:
                decisions_file(self._store)
            held = tabled_segments(self._store)
            if held:
                self._read_table()
        except (StoreError, pa.ArrowException, OSError):  # no room for one, or a damaged one
            held, self._parts, self._sides = frozenset(), self._parts[:1], self._sides[:1]
        self._lines = NewLines(self._store, held)
        self._seen = set(pc.unique(pa.concat_tables(self._parts)["episode"]).to_pylist())

    def _read_table(self) -> None:
        with pq.ParquetFile(self._store.path / TABLE_FILE) as file:
            for batch in file.iter_batches(_ROWS_A_BATCH, columns=list(COLUMNS)):
                self._add(pa.Table.from_batches([batch]))

    def _add(self, rows: pa.Table) -> None:
        table = rows.select(list(COLUMNS)).combine_chunks()
        chosen = pc.fill_null(table["chosen"], _NOT_CHOSEN).to_numpy()
        picked = {
            "chosen": _picked(table["option_ids"], chosen),
            "p": pc.fill_null(_picked(table["probabilities"], chosen), np.nan),
            "refused": pc.is_valid(table["invalid"]),
        }
        kept = table.select(["episode", "situation", "repetition", "outcome", "step", "reading"])
        for name, column in picked.items():
            kept = kept.append_column(name, column)
        self._parts.append(kept)
        self._sides.append(_sides(table["x"], chosen, len(self._axes)))

    def _new_rows(self) -> Iterator[list[dict[str, object]]]:
        rows: list[dict[str, object]] = []
        for _, line in self._lines:
            try:
                episode = episode_of_line(line, self._store.header)
            except StoreError:
                continue  # it is owed again; `Run.problems` tells of it
            if episode.identity in self._seen:
                continue
            self._seen.add(episode.identity)
            rows += decision_rows(self._store.header, episode)
            if len(rows) >= _LINES_A_BATCH:
                yield rows
                rows = []
        if rows:
            yield rows


def _starts(names: pa.Array) -> IntArray:
    """The rows at which another episode begins."""
    if not len(names):
        return np.zeros(0, dtype=np.int64)
    other = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.flatnonzero(other) + 1]).astype(np.int64)


def _picked(lists: pa.ChunkedArray, chosen: IntArray) -> pa.Array:
    """Of each list the element at that place; null where there is no list or no place."""
    whole = lists.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False)
    begins = np.cumsum(lengths) - lengths
    there = (chosen >= 0) & (chosen < lengths)
    return whole.flatten().take(pa.array(np.where(there, begins + chosen, 0), mask=~there))


def _sides(x: pa.ChunkedArray, chosen: IntArray, axes: int) -> npt.NDArray[np.uint8]:
    """(N, V): the bits of what the options do to each axis; 0 where nothing was chosen or
    annotated.
    """
    whole = x.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False)
    options = lengths // axes
    found = np.zeros((len(lengths), axes), dtype=np.uint8)
    annotated = np.flatnonzero(options)
    if not len(annotated):
        return found
    marks = whole.flatten().to_numpy(zero_copy_only=False).reshape(-1, axes)
    bits = (marks > 0).view(np.uint8) * CHOSEN_SERVES + (marks < 0).view(np.uint8) * CHOSEN_VIOLATES
    begins = (np.cumsum(options) - options)[annotated]
    there = (chosen[annotated] >= 0) & (chosen[annotated] < options[annotated])
    taken = begins[there] + chosen[annotated][there]
    mine = bits[taken]
    bits[taken] = 0
    others = np.bitwise_or.reduceat(bits, begins, axis=0)[there]
    found[annotated[there]] = mine | others << _REFUSED_SHIFT
    return found
