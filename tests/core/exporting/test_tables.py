"""A run exported as tables scores as the run itself; CSV holds exactly what Parquet holds."""

import csv
import json

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exported_runs import numbers, odd_run, rows
from valueagents.errors import ConfigError, DataError, StoreError
from valueagents.exporting.tables import export_tables
from valueagents.measuring.comparison import compare
from valueagents.measuring.scores import score
from valueagents.running.exported_tables import run_of_tables
from valueagents.running.opened import open_run
from valueagents.running.runs import Run
from viewed import DILEMMAS, GAME, HOSTILE, hostile_run, play

FORMS = pytest.mark.parametrize("form", ["parquet", "csv"])
ORDER = [("episode", "ascending"), ("step", "ascending")]


EPISODES = 200


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return play(tmp_path_factory.mktemp("runs") / "known", DILEMMAS, "known:BEC=1.5", EPISODES)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return play(tmp_path_factory.mktemp("runs") / "drawn", DILEMMAS, "random", EPISODES)


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    return play(tmp_path_factory.mktemp("runs") / "game", GAME, "random", 3)


@FORMS
def test_an_export_scores_as_its_run_to_the_last_digit(known, tmp_path, form):
    folder = export_tables(known, tmp_path / "tables", form)
    assert numbers(score(folder)) == numbers(score(known))
    assert numbers(score(folder / f"decisions.{form}")) == numbers(score(known))
    assert score(folder).run == str(folder)


@FORMS
def test_two_exports_compare_as_their_runs(known, drawn, tmp_path, form):
    first, second = (
        export_tables(run, tmp_path / name, form) for run, name in ((known, "a"), (drawn, "b"))
    )
    assert numbers(compare(first, second)) == numbers(compare(known, drawn))
    assert numbers(compare(first, drawn)) == numbers(compare(known, drawn))


@FORMS
def test_a_game_of_many_decisions_keeps_all_of_its_table(game, tmp_path, form):
    folder = export_tables(game, tmp_path / "tables", form)
    assert rows(run_of_tables(folder).decisions()) == rows(game.decisions().sort_by(ORDER))
    assert numbers(score(folder)) == numbers(score(game))


@FORMS
def test_failures_and_what_is_owed_are_counted_as_in_the_run(tmp_path, form):
    hostile_run(tmp_path / "run", "p", 0)
    run = Run(tmp_path / "run")
    again = open_run(export_tables(run, tmp_path / "tables", form))
    assert again.failed() == run.failed()
    assert again.problems() == run.problems()
    assert numbers(score(again)) == numbers(score(run))
    assert HOSTILE in again.decisions()["finish_reason"].to_pylist()[0]


def test_two_exports_of_a_run_are_the_same_bytes(known, tmp_path):
    for form in ("parquet", "csv"):
        first, second = (export_tables(known, tmp_path / f"{form}{k}", form) for k in range(2))
        names = sorted(file.name for file in first.iterdir())
        assert names == sorted(
            [
                "columns.csv",
                f"decisions.{form}",
                f"episodes.{form}",
                "export.json",
                f"scores.{form}",
            ]
        )
        for name in names:
            assert (first / name).read_bytes() == (second / name).read_bytes()


def test_every_column_is_explained(known, tmp_path):
    folder = export_tables(known, tmp_path / "tables", "csv")
    told = pa_csv.read_csv(folder / "columns.csv").to_pylist()
    assert all(row["meaning"] for row in told)
    for name in ("decisions", "episodes", "scores"):
        with (folder / f"{name}.csv").open(newline="") as file:
            header = next(csv.reader(file))
        assert header == [row["column"] for row in told if row["table"] == name]
    parquet = export_tables(known, tmp_path / "parquet", "parquet")
    schema = pq.read_schema(parquet / "decisions.parquet")
    assert schema.field("x").metadata[b"what"].startswith(b"annotation in [-1, 1]: for each option")


def test_the_table_of_scores_holds_what_score_says(known, tmp_path):
    folder = export_tables(known, tmp_path / "tables", "csv")
    scores = score(known)
    table = {
        (row["axis"], row["estimator"]): row
        for row in pa_csv.read_csv(folder / "scores.csv").to_pylist()
        if not row["detail"]
    }
    for axis in scores.axes:
        for name, estimate in axis.estimates.items():
            row = table[axis.axis, name]
            assert (row["value"], row["low"]) == (estimate.value, estimate.low)
            assert row["unit"] == scores.columns[name].unit


def test_what_is_there_already_is_not_written_over(known, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match="exists; give a path where nothing is"):
        export_tables(known, tmp_path / "there", "csv")
    assert not list((tmp_path / "there").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def cut(folder, form):
    file = folder / f"decisions.{form}"
    table = run_of_tables(folder).decisions()[:-1]
    if form == "parquet":
        pq.write_table(table, file)
    else:
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))


def without_column(folder, form):
    file = folder / f"decisions.{form}"
    if form == "parquet":
        pq.write_table(pq.read_table(file).drop_columns(["x"]), file)
    else:
        file.write_text(file.read_text().replace('"x"', '"y"', 1))


def without_episodes(folder, form):
    (folder / f"episodes.{form}").unlink()


def other_facts(folder, form):
    (folder / "export.json").write_text('{"header": 3}')


def one_byte(folder, form):
    """In the middle of the table: in CSV a digit or a letter, so that it is still a table."""
    file = folder / f"decisions.{form}"
    content = bytearray(file.read_bytes())
    place = next(
        k for k in range(len(content) // 2, len(content)) if chr(content[k]) in "123456789"
    )
    content[place] ^= 1
    file.write_bytes(content)


def newer(folder, form):
    file = folder / "export.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "export": 2}))


def garbage(folder, form):
    (folder / f"decisions.{form}").write_bytes(b"\0\xff not a table")


@FORMS
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "was changed since it was exported"),
        (without_column, "was changed since it was exported"),
        (without_episodes, "has no episodes.parquet or .csv"),
        (other_facts, "not what `valueagents export` writes there"),
        (one_byte, "was changed since it was exported"),
        (newer, "an export of version 2, this version reads 1"),
        (garbage, "was changed since it was exported"),
    ],
)
def test_a_damaged_export_is_one_clear_error(known, tmp_path, form, damage, message):
    folder = export_tables(known, tmp_path / "tables", form)
    damage(folder, form)
    with pytest.raises(DataError, match=message):
        score(folder)


def test_a_table_on_its_own_says_what_is_missing(known, tmp_path):
    folder = export_tables(known, tmp_path / "tables", "csv")
    alone = tmp_path / "decisions.csv"
    alone.write_bytes((folder / "decisions.csv").read_bytes())
    with pytest.raises(DataError, match=r"export.json is not beside it"):
        score(alone)
    with pytest.raises(ConfigError, match="give the folder, or its table of decisions"):
        score(folder / "episodes.csv")
    with pytest.raises(StoreError, match="is not a run directory"):
        score(tmp_path / "nothing.csv")


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.text(), st.floats(-1, 1))
def test_csv_and_parquet_give_back_any_text_and_number(tmp_path_factory, text, number):
    run = odd_run(tmp_path_factory.mktemp("odd") / "run", text, number)
    for form in ("csv", "parquet"):
        again = run_of_tables(export_tables(run, run.path.parent / form, form))
        assert rows(again.decisions()) == rows(run.decisions())
        assert again.failed() == run.failed()
