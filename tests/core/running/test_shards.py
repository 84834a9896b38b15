"""A run that several processes play, each its shard: together they are the run that one plays."""

import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

import valueagents as va
from valueagents.errors import ConfigError, StoreError
from valueagents.identity import content_hash
from valueagents.measuring.scores import score
from valueagents.policies.scripted import RandomPolicy
from valueagents.running.execution import RunConfig, execute, plan
from valueagents.running.inventory import take_inventory
from valueagents.running.merging import merge
from valueagents.running.runs import Run
from valueagents.running.shards import Shard, parse_shard
from valueagents.running.store import RunStore
from valueagents.viewer.shelf import Shelf

DILEMMAS = "valueagents/Dilemma-v0"
EPISODES = 120


def config(shard: str | None = None, **fields) -> RunConfig:
    settings = {"env": DILEMMAS, "policy": "random", "episodes": EPISODES, "seed": 5, **fields}
    return RunConfig(shard=shard, **settings)


def scored(run: Run) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(score(run), run=""))


def played(run: Run) -> Counter[str]:
    """How often each episode was played, whoever played it."""
    lines = [Run(folder).store.episodes() for folder in run.store.folders if folder != run.path]
    return Counter(episode.identity for episodes in lines for episode in episodes)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Run:
    """The run as one process plays it."""
    return execute(config(), tmp_path_factory.mktemp("alone") / "run")


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Run:
    """The same in three shards, one after the other."""
    out = tmp_path_factory.mktemp("three") / "run"
    for number in (1, 2, 3):
        execute(config(f"{number}/3"), out)
    return Run(out)


# --- which shard


@pytest.mark.parametrize(
    ("variables", "shard"),
    [
        ({"RANK": "0", "WORLD_SIZE": "4"}, "1/4"),
        ({"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "2"}, "2/2"),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"}, "4/8"),
        (
            {
                "SLURM_ARRAY_TASK_ID": "7",
                "SLURM_ARRAY_TASK_MIN": "5",
                "SLURM_ARRAY_TASK_COUNT": "4",
            },
            "3/4",
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "6",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_ARRAY_TASK_STEP": "2",
                "SLURM_PROCID": "0",  # of the script: no step's count beside it
                "SLURM_NTASKS": "8",
            },
            "4/4",
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "1",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_ARRAY_TASK_COUNT": "2",
                "RANK": "2",
                "WORLD_SIZE": "4",
                "SLURM_PROCID": "0",
                "SLURM_STEP_NUM_TASKS": "1",
            },
            "7/8",
        ),
    ],
)
def test_auto_is_the_process_that_torchrun_srun_skypilot_or_an_array_of_slurm_says(
    variables, shard
):
    assert str(parse_shard("auto", variables)) == shard
    assert parse_shard(shard, {}) == parse_shard("auto", variables)


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({}, "none is set"),
        ({"RANK": "1"}, "none is set"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, "none is set"),
        ({"RANK": "4", "WORLD_SIZE": "4"}, "shard 5 of 4"),
        ({"RANK": "one", "WORLD_SIZE": "4"}, "RANK is 'one'"),
        (
            {
                "SLURM_ARRAY_TASK_ID": "9",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
            "gaps",
        ),
        ({"SLURM_ARRAY_TASK_COUNT": "3"}, "SLURM_ARRAY_TASK_MIN is None"),
    ],
)
def test_auto_where_nothing_or_nonsense_is_said_is_refused(variables, word):
    with pytest.raises(ConfigError, match=word):
        parse_shard("auto", variables)


@pytest.mark.parametrize(
    "text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1 / 3", "１/3", "AUTO"]
)
def test_a_shard_that_is_not_k_of_n_is_refused(text):
    with pytest.raises(ConfigError, match="write K/N"):
        parse_shard(text)


def test_every_identity_falls_to_one_shard_of_each_number_and_to_each_about_equally():
    identities = [content_hash(number) for number in range(3000)]
    for count in (1, 2, 3, 7):
        shards = [Shard(number, count) for number in range(1, count + 1)]
        owners = [[shard for shard in shards if shard.owns(identity)] for identity in identities]
        assert all(len(each) == 1 for each in owners)
        shares = Counter(each[0] for each in owners).values()
        assert min(shares) > 0.8 * 3000 / count


# --- together they are the run


def test_shards_one_after_the_other_score_byte_for_byte_as_one_process(alone, three):
    assert [folder.name for folder in three.store.folders] == [f"shard-{k}-of-3" for k in (1, 2, 3)]
    assert set(played(three).values()) == {1}
    assert scored(three) == scored(alone)
    assert three.problems() == []
    assert [e.identity for e in three.episodes()] == [e.identity for e in alone.episodes()]


def test_a_shard_alone_is_a_run_and_a_repeated_one_owes_nothing(three):
    shard = execute(config("2/3"), three.path)
    assert shard.path.name == "shard-2-of-3"
    assert [each["owed"] for each in shard.store.sessions() if "owed" in each][-1] == 0
    assert 0 < len(shard.episodes()) < EPISODES
    assert plan(config(), three.path).owed == 0


def test_another_number_of_shards_or_none_plays_only_what_is_not_there(alone, tmp_path):
    out = tmp_path / "run"
    execute(config("1/3"), out)
    execute(config("2/4"), out)
    there = len(Run(out).episodes())
    assert plan(config(), out).owed == EPISODES - there
    assert f"{EPISODES - there} of {EPISODES} episodes are owed" in Run(out).problems()[0]
    whole = execute(config(), out)
    assert len(list(RunStore.open(out).segments())) == 3
    assert set(played(whole).values()) == {1}
    assert scored(whole) == scored(alone)
    assert whole.problems() == []


def test_a_run_that_was_begun_without_shards_goes_on_in_shards(alone, tmp_path):
    out = tmp_path / "run"
    execute(config(episodes=50), out)
    for number in (1, 2):
        execute(config(f"{number}/2"), out)
    assert sum(played(Run(out)).values()) == EPISODES - 50
    assert scored(Run(out)) == scored(alone)


def test_more_shards_than_episodes_leave_some_with_nothing_to_do(tmp_path):
    for number in range(1, 6):
        execute(config(f"{number}/5", episodes=2), tmp_path / "run")
    assert len(Run(tmp_path / "run").episodes()) == 2


def test_an_episode_that_two_shards_played_counts_once(alone, three, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(three.path, out)
    execute(config("1/2"), tmp_path / "elsewhere")  # which knew nothing of the others
    shutil.copytree(tmp_path / "elsewhere/shard-1-of-2", out / "shard-1-of-2")
    assert max(played(Run(out)).values()) == 2
    assert Run(out).decisions(["step"]).num_rows == EPISODES
    assert scored(Run(out)) == scored(alone)


# --- what goes wrong


def test_a_shard_of_another_run_is_refused_before_anything_is_written(three):
    with pytest.raises(ConfigError, match="holds another run: its seed is 5, not 6"):
        execute(config("1/3", seed=6), three.path)
    with pytest.raises(ConfigError, match="holds another run"):
        execute(config("4/4", policy="first"), three.path)
    assert not (three.path / "shard-4-of-4").exists()


def test_shards_of_two_runs_in_one_folder_are_said(three, tmp_path):
    shutil.copytree(three.path, tmp_path / "run")
    execute(config("1/2", seed=6), tmp_path / "other")
    shutil.copytree(tmp_path / "other/shard-1-of-2", tmp_path / "run/shard-1-of-2")
    with pytest.raises(
        StoreError, match=r"shard-1-of-3' is of another run .* its seed is 5, not 6"
    ):
        Run(tmp_path / "run")


def test_a_folder_that_holds_something_else_takes_no_shard(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not a run directory"):
        execute(config("1/2"), tmp_path)


def test_what_has_no_identity_elsewhere_is_not_played_in_shards(tmp_path):
    class Counting(RandomPolicy):
        unrepeatable = "it holds a lock"

    with pytest.raises(ConfigError, match=r"cannot be played in shards \(it holds a lock\)"):
        va.run(DILEMMAS, Counting(), tmp_path / "run", episodes=4, shard="1/2")
    with pytest.raises(ConfigError, match="a shard needs `out`"):
        va.run(DILEMMAS, "random", episodes=4, shard="1/2")


def test_a_damaged_shard_is_said_with_its_folder_and_played_again_by_its_own_process(
    alone, three, tmp_path
):
    out = tmp_path / "run"
    shutil.copytree(three.path, out)
    segment = next((out / "shard-2-of-3").glob("episodes-*"))
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    segment.write_bytes(damaged)
    (out / "decisions.parquet").unlink(missing_ok=True)  # it has what the segment lost
    assert any("shard-2-of-3/episodes-0001" in problem for problem in Run(out).problems())
    execute(config("1/3"), out)
    assert segment.read_bytes() == damaged, "another shard's file was changed"
    execute(config("2/3"), out)
    assert Run(out).problems() == []
    assert scored(Run(out)) == scored(alone)


def test_a_lost_header_of_a_shard_leaves_its_episodes_owed(three, tmp_path):
    shutil.copytree(three.path, tmp_path / "run")
    for name in ("run.json", "run.json.bak"):
        (tmp_path / "run/shard-3-of-3" / name).unlink()
    assert "episodes are owed" in Run(tmp_path / "run").problems()[0]


# --- merged


def test_merged_shards_are_one_run_directory_of_the_same_scores(alone, three, tmp_path):
    merged = merge([three.path], tmp_path / "merged")
    assert merged.store.folders == [merged.path]
    assert not list(merged.path.glob("shard-*"))
    assert scored(merged) == scored(alone)
    assert merged.problems() == []
    assert plan(config(), merged.path).owed == 0
    assert sum("owed" in each and "config" in each for each in merged.store.sessions()) >= 3


def test_shards_from_several_places_are_merged_and_what_is_missing_is_owed(alone, tmp_path):
    for number in (1, 2, 3):
        execute(config(f"{number}/3"), tmp_path / f"machine {number}")
    parts = [tmp_path / "machine 1" / "shard-1-of-3", tmp_path / "machine 2"]
    merged = merge(parts, tmp_path / "two")
    there = len(merged.episodes())
    assert f"({EPISODES - there} of {EPISODES})" in merged.problems()[0]
    whole = merge([tmp_path / "two", tmp_path / "machine 3"], tmp_path / "whole")
    assert scored(whole) == scored(alone)
    assert whole.problems() == []
    assert scored(execute(config(), tmp_path / "two")) == scored(alone)


def test_failures_are_merged_and_are_no_missing_episodes(tmp_path):
    def moody(view: va.View) -> int:
        if "a" in view.menu[0].text[:12]:
            raise LookupError("no answer")
        return 0

    for number in (1, 2):
        va.run(DILEMMAS, moody, tmp_path / "run", episodes=30, shard=f"{number}/2")
    sharded = Run(tmp_path / "run")
    merged = merge([tmp_path / "run"], tmp_path / "merged")
    assert 0 < len(sharded.failed()) < 30
    assert sorted(merged.failed(), key=str) == sorted(sharded.failed(), key=str)
    assert [sharded.problems(), merged.problems()] == [[], []]


@pytest.mark.parametrize("which", ["another run", "no run", "something there", "nothing"])
def test_what_cannot_be_merged_is_refused_and_nothing_is_left(three, tmp_path, which):
    out, sources = tmp_path / "merged", [three.path]
    if which == "another run":
        sources.append(execute(config(seed=9, episodes=3), tmp_path / "other").path)
    elif which == "no run":
        sources.append(tmp_path / "none")
    elif which == "something there":
        out = three.path
    else:
        sources = []
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((ConfigError, StoreError), match=r"seed is 9|not a run|exists|at least one"):
        merge(sources, out)
    assert sorted(tmp_path.rglob("*")) == before


# --- read as one run


def test_a_folder_of_shards_is_listed_and_shown_as_one_run(three):
    found = take_inventory(three.path.parent)
    [run] = found.runs
    assert (run.path, run.finished, run.planned, run.owed) == ("run", EPISODES, EPISODES, 0)
    assert run.ended is not None
    files = [path for path in three.path.rglob("*") if path.is_file()]
    assert run.size == sum(path.stat().st_size for path in files)
    shelf = Shelf(three.path.parent)
    shown = shelf.run(shelf.known()[0].key)
    assert (shown.index().episodes, shown.planned(), shown.has_ended()) == (
        EPISODES,
        EPISODES,
        True,
    )
    assert shelf.run(run.key) is shown, "it was opened again"


def test_a_shard_that_begins_while_the_run_is_shown_is_seen(tmp_path):
    execute(config("1/2"), tmp_path / "run")
    shelf = Shelf(tmp_path)
    key = shelf.known()[0].key
    before = shelf.run(key).index().episodes
    execute(config("2/2"), tmp_path / "run")
    assert before < shelf.run(key).index().episodes == EPISODES


@pytest.mark.slow
def test_two_shards_at_once_of_which_one_is_killed_and_repeated_with_another_number(
    alone, tmp_path
):
    out = tmp_path / "run"
    killed, other = begin("1/2", out), begin("2/2", out)
    try:
        assert any(line.strip() == "20" for line in killed.stdout)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=30)
    execute(config("1/3"), out)  # while the other goes on
    assert other.wait(timeout=120) == 0
    other.communicate()
    for number in (1, 2, 3):
        execute(config(f"{number}/3"), out)
    assert killed.returncode == -signal.SIGKILL
    assert scored(Run(out)) == scored(alone)
    assert Run(out).problems() == []
    assert take_inventory(tmp_path).runs[0].ended is not None
    assert scored(merge([out], tmp_path / "merged")) == scored(alone)


def begin(shard: str, out: Path) -> subprocess.Popen[str]:
    """A process that plays a shard slowly, saying how many episodes it has finished."""
    program = (
        "import sys, time, msgspec; from valueagents.running.execution import RunConfig, execute\n"
        "def told(finished, failed, owed):\n"
        "    print(finished, flush=True); time.sleep(0.02)\n"
        "config = msgspec.json.decode(sys.argv[1], type=RunConfig)\n"
        "execute(config, sys.argv[2], progress=told)"
    )
    words = [sys.executable, "-c", program, msgspec.json.encode(config(shard)).decode(), str(out)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
