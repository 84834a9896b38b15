"""`valueagents export`, and what it makes read back by `score` and `compare`."""

import json


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
