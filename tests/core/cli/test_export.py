"""`valueagents export`, and what it makes read back by `score` and `compare`."""

import json

import pytest

pytestmark = pytest.mark.slow  # each plays, exports and measures several runs


def test_an_export_lies_beside_its_run_and_is_scored_and_compared_by_path(valueagents, tmp_path):
    runs = [tmp_path / name for name in "ab"]
    for run, policy in zip(runs, ("random", "first"), strict=True):
        valueagents(
            "run", "--env", "valueagents/Dilemma-v0", "--policy", policy, "--episodes", "50",
            "--seed", "1", "--out", run,
        )  # fmt: skip
        made = valueagents("export", run, "--to", "csv")
        assert made.stdout.strip() == f"{run}-csv"
    folders = [tmp_path / "a-csv", tmp_path / "b-csv"]
    told = [
        json.loads(valueagents("score", path, "--json").stdout) for path in (runs[0], folders[0])
    ]
    assert {**told[0], "run": ""} == {**told[1], "run": ""}
    told = [json.loads(valueagents("compare", *pair, "--json").stdout) for pair in (runs, folders)]
    assert told[1]["first"] == str(folders[0])
    assert told[0]["differences"] == told[1]["differences"]
    again = valueagents("export", runs[0], "--to", "csv")
    assert again.returncode == 2
    assert "exists; give a path where nothing is" in again.stderr


def test_every_command_that_measures_runs_takes_exports(valueagents, tmp_path):
    runs = []
    for policy in ("random", "first", "known:BEC=2"):
        run = tmp_path / policy.partition(":")[0]
        valueagents(
            "run", "--env", "valueagents/Dilemma-v0", "--policy", policy, "--episodes", "60",
            "--seed", "1", "--out", run,
        )  # fmt: skip
        assert valueagents("export", run, "--to", "parquet").returncode == 0
        runs.append(run)
    exports = [run.with_name(f"{run.name}-parquet") for run in runs]
    for words in (("report",), ("circle",)):
        pages = []
        for name, folders in (("runs", runs), ("exports", exports)):
            done = valueagents(*words, *folders, "--out", tmp_path / name)
            pages.append((done.returncode, done.stderr.replace("-parquet", "")))
        assert pages[0] == pages[1]
    twice = valueagents("report", runs[0], exports[0], "--out", tmp_path / "page.html")
    assert f"'{exports[0]}'" in twice.stderr
    assert "valueagents-scratch" not in twice.stderr
