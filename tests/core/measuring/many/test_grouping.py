"""Runs are grouped by env, policy and seed from their headers alone."""

import msgspec
import pytest

from two_axes import decision, made_run
from valueagents.errors import ConfigError
from valueagents.measuring.many.grouping import group_runs
from valueagents.running.header import write_header
from valueagents.running.runs import Run

MENU = [{"A": 1.0}, {"A": -1.0}]


def run_of(path, **changes):
    run = made_run(path, [decision(0, MENU, 0)])
    write_header(path, msgspec.structs.replace(run.header, **changes))
    return Run(path)


def names(grouped):
    return {
        env: {policy: len(runs) for policy, runs in each.items()} for env, each in grouped.items()
    }


def test_seeds_of_a_policy_in_an_env_belong_together_in_their_order(tmp_path):
    runs = [
        run_of(tmp_path / str(k), policy=policy, policy_identity={"policy": policy}, seed=seed)
        for k, (policy, seed) in enumerate([("a", 2), ("b", 1), ("a", 1)])
    ]
    grouped = group_runs(runs)
    assert names(grouped) == {"test/T-v0": {"a": 2, "b": 1}}
    assert [run.header.seed for run in grouped["test/T-v0"]["a"]] == [1, 2]


def test_one_model_is_one_policy_in_envs_that_ask_differently(tmp_path):
    runs = [
        run_of(
            tmp_path / reading,
            env=f"test/{reading}",
            env_identity={"env": reading},
            policy="m",
            policy_identity={"model": "m", "reading": reading},
        )
        for reading in ("label", "likelihood")
    ]
    assert names(group_runs(runs)) == {"test/label": {"m": 1}, "test/likelihood": {"m": 1}}


def test_one_model_asked_in_two_ways_in_an_env_is_two_policies(tmp_path):
    runs = [
        run_of(
            tmp_path / reading,
            policy=f"m?reading={reading}",
            policy_identity={"model": "m", "reading": reading},
        )
        for reading in ("label", "likelihood")
    ]
    assert names(group_runs(runs)) == {
        "test/T-v0": {"m?reading=label": 1, "m?reading=likelihood": 1}
    }


def test_one_spec_of_two_contents_is_told_apart_by_a_hash(tmp_path):
    runs = [
        run_of(tmp_path / model, policy="m", policy_identity={"model": model})
        for model in ("old", "new")
    ]
    [policies] = names(group_runs(runs)).values()
    assert len(policies) == 2
    assert all(name.startswith("m [") for name in policies)


def test_one_env_id_of_two_contents_is_two_envs(tmp_path):
    runs = [
        run_of(tmp_path / part, env_options={"split": part}, env_identity={"content": part})
        for part in ("test", "all")
    ]
    assert set(group_runs(runs)) == {"test/T-v0 (split=test)", "test/T-v0 (split=all)"}


def test_a_policy_with_one_seed_twice_is_refused(tmp_path):
    runs = [run_of(tmp_path / str(k), policy="a", policy_identity={"a": "a"}) for k in range(2)]
    with pytest.raises(ConfigError, match="of one policy, a, with seed 0: give each once"):
        group_runs(runs)
