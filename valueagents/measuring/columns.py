"""Columns of a run's table beside those that every score needs, read when they are asked for; codes
of their names.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from valueagents.arrays import IntArray

_FACTOR = "factor."
"""How the columns of declared factors begin in a run's table (`running/table.py`)."""
COVARIATE = "covariate."
"""How those of declared covariates begin."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Further columns of a run's table for the decisions at `rows` of it; read when they are asked
    for.
    """

    source: pa.Table | Path | None
    rows: IntArray

    def names(self) -> list[str]:
        """The columns that there are."""
        if self.source is None:
            return []
        schema = (
            self.source.schema if isinstance(self.source, pa.Table) else pq.read_schema(self.source)
        )
        return list(schema.names)

    def read(self, name: str) -> pa.Array:
        """A column, (T,) in the order of the decisions."""
        if isinstance(self.source, pa.Table):
            column = self.source[name]
        else:
            with pq.ParquetFile(self.source) as file:
                column = file.read(columns=[name])[name]
        return column.take(pa.array(self.rows)).combine_chunks()

    def take(self, decisions: IntArray | slice) -> "Columns":
        """The same for some of the decisions."""
        return Columns(self.source, self.rows[decisions])

    def factors(self) -> list[str]:
        """The factors that the env declared."""
        return [name.removeprefix(_FACTOR) for name in self.names() if name.startswith(_FACTOR)]

    def factor(self, name: str) -> npt.NDArray[np.str_]:
        """(T,) levels of a factor, "" where a decision has none."""
        return self.texts(f"{_FACTOR}{name}")

    def texts(self, name: str) -> npt.NDArray[np.str_]:
        """(T,) a column of texts, "" for null."""
        return np.asarray(self.read(name).fill_null("").to_pylist(), dtype=np.str_)


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
