"""What lies under a folder is told from headers and counts; what is damaged or foreign is named."""

import shutil

import msgspec
import pytest

from valueagents.contracts.decision import Failure
from valueagents.errors import ConfigError
from valueagents.running.execution import RunConfig, execute
from valueagents.running.inventory import take_inventory
from valueagents.running.pool import freeze_pool
from valueagents.running.segments import Damage, read_placed_lines
from valueagents.running.store import RunStore

DILEMMAS = "valueagents/Dilemma-v0"


def played(path, policy="random", episodes=5, seed=1):
    return execute(RunConfig(env=DILEMMAS, policy=policy, episodes=episodes, seed=seed), path)


def found(folder):
    inventory = take_inventory(folder)
    return {run.path: run for run in inventory.runs}, inventory


def test_every_run_at_any_depth_is_told_with_its_counts_and_size(tmp_path):
    played(tmp_path / "a")
    played(tmp_path / "deep" / "er" / "b", "known:BEC=1", 7)
    runs, _ = found(tmp_path)
    assert list(runs) == ["a", "deep/er/b"]
    second = runs["deep/er/b"]
    assert (second.env, second.policy, second.adapter) == (DILEMMAS, "known:BEC=1", None)
    assert (second.finished, second.failed, second.planned, second.owed) == (7, 0, 7, 0)
    assert second.size == sum(file.stat().st_size for file in (tmp_path / "deep/er/b").iterdir())
    assert second.ended is not None


def test_a_folder_that_is_itself_a_run_is_told(tmp_path):
    played(tmp_path / "a")
    runs, _ = found(tmp_path / "a")
    assert list(runs) == ["."]


def test_counts_of_a_run_without_its_table_are_those_of_its_segments(tmp_path):
    run = played(tmp_path / "a", episodes=6)
    (run.path / "decisions.parquet").unlink()
    (run.path / "decisions.json").unlink()
    runs, _ = found(tmp_path)
    assert runs["a"].finished == 6


@pytest.mark.parametrize("tabled", [True, False])
def test_an_episode_that_failed_first_and_finished_then_is_no_failure(tmp_path, tabled):
    run = played(tmp_path / "a", episodes=3)
    finished = run.episodes()[0].identity
    with run.store.writing() as writer:
        for identity in (finished, "x", "x"):
            writer.failure(Failure(identity, None, 0, "PolicyError", "no", 0, 1))
    if not tabled:
        (run.path / "decisions.json").unlink()
    runs, _ = found(tmp_path)
    assert (runs["a"].finished, runs["a"].failed) == (3, 1)


def test_a_run_that_goes_on_owes_what_it_has_not_played(tmp_path):
    run = played(tmp_path / "a", episodes=5)
    with RunStore.open(run.path).writing() as writer:
        writer.session({"start": "2026-01-01", "planned": 9, "stored": 5, "owed": 4})
        writer.episode(msgspec.structs.replace(run.episodes()[0], identity="new"))
        runs, _ = found(tmp_path)
    assert (runs["a"].finished, runs["a"].planned, runs["a"].owed) == (6, 9, 3)
    assert runs["a"].ended is None


def test_what_cannot_be_read_is_named_and_the_rest_told(tmp_path):
    played(tmp_path / "a")
    played(tmp_path / "b")
    for name in ("run.json", "run.json.bak"):
        (tmp_path / "b" / name).write_text('{"env": 1}')
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "run.json").write_text("<html>")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "run.json").write_text("[" * 100_000)
    (tmp_path / "headless").mkdir()
    shutil.copy(tmp_path / "a" / "episodes-0001.jsonl.gz", tmp_path / "headless")
    (tmp_path / "pool.jsonl").write_text("{}\n")
    (tmp_path / "study.json").write_text("[1")
    runs, inventory = found(tmp_path)
    assert list(runs) == ["a"]
    named = {each.path for each in inventory.unreadable}
    assert named == {"b", "foreign", "deep", "headless", "./pool.jsonl", "./study.json"}
    assert all(each.why for each in inventory.unreadable)


def test_links_to_other_folders_are_not_followed(tmp_path):
    played(tmp_path / "outside" / "a")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "outside")
    assert take_inventory(inside).runs == []


def test_a_name_that_is_not_utf8_is_named_as_what_cannot_be_read(tmp_path):
    played(tmp_path / "a")
    (tmp_path / "a").rename(f"{tmp_path}/b\udcff")
    runs, inventory = found(tmp_path)
    assert not runs
    assert [(each.path, each.why) for each in inventory.unreadable] == [
        ("b\\xff", "its name is not UTF-8; rename it")
    ]


def test_a_key_names_the_run_wherever_it_lies_and_a_copy_has_its_own(tmp_path):
    played(tmp_path / "one" / "a")
    key = found(tmp_path / "one")[0]["a"].key
    shutil.copytree(tmp_path / "one" / "a", tmp_path / "two" / "z")
    assert found(tmp_path / "two")[0]["z"].key == key
    both, _ = found(tmp_path)
    assert both["one/a"].key == key != both["two/z"].key
    played(tmp_path / "other", seed=2)
    assert len({run.key for run in found(tmp_path)[0].values()}) == 3


def test_pools_and_studies_are_told_with_the_runs_beside_them(tmp_path):
    freeze_pool(tmp_path / "p", [played(tmp_path / "a", episodes=30)], decisions=10, seed=0)
    played(tmp_path / "p" / "random")
    study = {"format": "valueagents-study 2", "answer": "It did not follow."}
    (tmp_path / "study.json").write_bytes(msgspec.json.encode(study))
    (tmp_path / "p" / "study.json").write_text('{"format": "another thing"}')
    _, inventory = found(tmp_path)
    (pool,) = inventory.pools
    assert (pool.path, pool.decisions, len(pool.sources), pool.runs) == ("p", 10, 1, 1)
    (read,) = inventory.studies
    assert (read.path, read.answer, read.runs) == (".", "It did not follow.", 2)
    assert inventory.unreadable == []


def test_a_missing_folder_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="is not a folder"):
        take_inventory(tmp_path / "nothing")


def test_lines_are_read_from_a_member_on_with_where_it_begins(tmp_path):
    run = played(tmp_path / "a", episodes=1500)
    segment = run.store.segments()[0]
    damages: list[Damage] = []
    every = list(read_placed_lines(segment, damages))
    members = sorted({place for place, _ in every})
    assert len(every) == 1500
    assert len(members) > 1
    assert list(read_placed_lines(segment, damages, members[1])) == [
        (place, line) for place, line in every if place >= members[1]
    ]
    assert damages == []
