"""Every number of a page as CSV and Parquet: the same numbers, and texts that are inert."""

import csv
import shutil
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from valueagents.measuring.scores import score
from valueagents.measuring.summary import summarise
from valueagents.report.results_tables import write_tables
from valueagents.running.header import write_header
from valueagents.running.runs import Run


@pytest.fixture(scope="module")
def tables(known_run: Run, random_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    write_tables(summarise([known_run, random_run], primary="BEC"), folder)
    return folder


def rows(folder: Path, name: str) -> list[dict]:
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def test_the_scores_are_those_of_score(tables: Path, known_run: Run) -> None:
    found = {
        (row["axis"], row["estimator"]): row["value"]
        for row in rows(tables, "scores")
        if row["policy"] == known_run.header.policy and row["detail"] is None
    }
    for axis in score(known_run).axes:
        for estimator, estimate in axis.estimates.items():
            assert found[axis.axis, estimator] == estimate.value


def test_csv_and_parquet_hold_the_same_rows(tables: Path) -> None:
    for parquet in tables.glob("*.parquet"):
        with parquet.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
            read = list(csv.DictReader(file))
        stored = pq.read_table(parquet)
        assert len(read) == stored.num_rows
        assert list(read[0]) == stored.column_names


def test_differences_and_comparisons_are_there(tables: Path) -> None:
    differences = rows(tables, "differences")
    assert len(differences) == 20
    assert any(row["differs"] for row in differences)
    estimators = {row["estimator"] for row in rows(tables, "comparisons")}
    assert {"E3p", "E4", "E6"} <= estimators
    what = {row["what"] for row in rows(tables, "quality")}
    assert {"decisions", "unread", "lost_workers", "split-half reliability"} <= what


def test_a_name_that_a_spreadsheet_would_compute_is_a_text(random_run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(random_run.path, copy)
    hostile = '=HYPERLINK("x")\u202e'
    write_header(copy, msgspec.structs.replace(random_run.header, policy=hostile))
    write_tables(summarise([copy]), tmp_path / "tables")
    with (tmp_path / "tables" / "leanings.csv").open(newline="", encoding="utf-8") as file:
        policies = {row["policy"] for row in csv.DictReader(file)}
    assert policies == {'\'=HYPERLINK("x")[U+202E]'}
    assert rows(tmp_path / "tables", "leanings")[0]["policy"] == hostile
