"""A run as a folder of tables: its decisions, its episodes and its scores."""

from pathlib import Path

import pyarrow as pa

from valueagents.measuring.scores import Scores, score
from valueagents.report.results_tables import score_rows
from valueagents.running.exported_tables import TableFormat, write_tables_of
from valueagents.running.runs import Run

_SCORE_FIELDS: list[tuple[str, pa.DataType, str]] = [
    ("axis", pa.string(), "id of the value; null for an effect of the run as a whole"),
    ("name", pa.string(), "the value in words"),
    ("estimator", pa.string(), "id of the estimator (`valueagents estimators`)"),
    ("detail", pa.string(), "which further number of the estimator; null = its estimate"),
    ("unit", pa.string(), "what the estimate is in; null for a detail"),
    ("value", pa.float64(), "the estimate; null = undefined, for the reason given"),
    ("low", pa.float64(), "lower end of the 95 % interval"),
    ("high", pa.float64(), "upper end of the 95 % interval"),
    ("reason", pa.string(), "why a number is missing, or what limits it"),
    ("contested", pa.int64(), "decisions with a choice on which the value was at stake"),
    ("clusters", pa.int64(), "units of independence among them"),
    ("unread", pa.int64(), "further decisions at stake, of which no choice could be read"),
]
_SCORES_SCHEMA = pa.schema(
    [pa.field(name, kind, metadata={"what": what}) for name, kind, what in _SCORE_FIELDS]
)


def export_tables(run: Run, out: Path, form: TableFormat) -> Path:
    """The run's decisions, episodes and scores are tables in a new folder; the folder.

    Raises ConfigError if something is there already.
    """
    return write_tables_of(run, out, form, {"scores": scores_table(score(run))})


def scores_table(scores: Scores) -> pa.Table:
    """Every estimator of every value, a row a number."""
    rows = [
        {**row, "unit": None if row["detail"] else scores.columns[row["estimator"]].unit}
        for row in score_rows(scores)
    ]
    return pa.Table.from_pylist(rows, schema=_SCORES_SCHEMA)
