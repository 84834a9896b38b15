"""`run --shard` and `merge`, and what the commands that read a run say of a folder of shards."""

import json

import pytest

from valueagents.running.execution import RunConfig, execute

DILEMMAS = "valueagents/Dilemma-v0"
EPISODES = 120


def play(out, policy):
    return execute(RunConfig(env=DILEMMAS, policy=policy, episodes=EPISODES, seed=5), out)


@pytest.mark.slow
def test_the_commands_play_score_compare_and_merge_shards(valueagents, tmp_path):
    out = tmp_path / "run"
    alone = play(tmp_path / "alone", "random")
    words = ("run", "--env", DILEMMAS, "--policy", "random", "--episodes", EPISODES, "--seed", 5)
    for number in (1, 2):
        done = valueagents(*words, "--shard", f"{number}/2", "--out", out)
        assert done.returncode == 0, done.stderr
        assert f"Next: valueagents score {out}\n" in done.stdout
    planned = valueagents(
        *words, "--shard", "1/2", "--out", tmp_path / "new", "--dry-run", "--json"
    )
    assert 0 < json.loads(planned.stdout)["owed"] < EPISODES
    scores = [json.loads(valueagents("score", path, "--json").stdout) for path in (out, alone.path)]
    assert {**scores[0], "run": ""} == {**scores[1], "run": ""}
    other = play(tmp_path / "first", "first").path
    compared = valueagents("compare", out, other, "--json")
    assert compared.returncode == 0, compared.stderr
    page = valueagents("report", out, "--out", tmp_path / "page.html")
    assert page.returncode == 0, page.stderr
    merged = valueagents("merge", out, "--out", tmp_path / "merged", "--json")
    assert json.loads(merged.stdout)["finished"] == EPISODES
    refused = valueagents(*words, "--shard", "3/2", "--out", out)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
