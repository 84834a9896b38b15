"""Did two runs meet the same options with the same values? Situations are paired by what was shown, annotations aside.

A corrected sign or another option of the env would else pass for another policy.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from valueagents.errors import ConfigError
from valueagents.measuring.answers import codes_of
from valueagents.measuring.inference import FloatArray, run_sums
from valueagents.running.runs import Run

_ROWS_A_BATCH = 20_000


def annotated_otherwise(first: Run, second: Run, situations: Sequence[str]) -> int:
    """How many of the situations, all met by both, are annotated otherwise in the second run.

    Raises ConfigError if any is, unless one of the worlds is a game: there hidden state may show in what is annotated.
    """
    mine, theirs = _marks(first, situations), _marks(second, situations)
    count = int((~np.isclose(mine, theirs, equal_nan=True)).any(axis=1).sum())
    if count and first.header.independent_menus and second.header.independent_menus:
        raise ConfigError(
            f"{str(first.path)!r} and {str(second.path)!r} are annotated otherwise in {count} of {len(situations)} "
            "shared situations: other data or options of the env; run one of them again"
        )
    return count


def _marks(run: Run, situations: Sequence[str]) -> FloatArray:
    """(S, V) Σ x[a] h(a) over the options, h a number of each option's id: no order counts, every sign does."""
    axes = len(run.header.taxonomy.axes)
    row_of = {situation: row for row, situation in enumerate(situations)}
    marks = np.zeros((len(row_of), axes))
    with pq.ParquetFile(run.decisions_file()) as file:
        for batch in file.iter_batches(_ROWS_A_BATCH, columns=["shown", "option_ids", "x"]):
            rows = np.array([row_of.get(shown, -1) for shown in batch["shown"].to_pylist()], dtype=np.int64)
            met = (rows >= 0) & batch["x"].is_valid().to_numpy(zero_copy_only=False)
            if not met.any():
                continue
            table = batch.filter(met)
            sizes = pc.list_value_length(table["option_ids"]).to_numpy()
            codes, names = codes_of(pc.list_flatten(table["option_ids"]))
            weights = np.array([1 + zlib.crc32(name.encode()) / 2**32 for name in names.to_pylist()])
            x = pc.list_flatten(table["x"]).to_numpy(zero_copy_only=False).reshape(-1, axes)
            marks[rows[met]] = run_sums(x, np.cumsum(sizes) - sizes, weights[codes])
    return marks
