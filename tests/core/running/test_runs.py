"""Runs: kills, resumption, extension, failures owed again, and what decides which run it is."""

import asyncio
import hashlib
import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import msgspec
import pytest

from valueagents.contracts.decision import Choice, Factor
from valueagents.contracts.policy import Policy
from valueagents.envs.items.dilemma import DilemmaEnv
from valueagents.errors import ConfigError, DataError, EnvError, PolicyError, StoreError
from valueagents.measuring.scores import score
from valueagents.policies.scripted import RandomPolicy
from valueagents.running.execution import RunConfig, execute, plan
from valueagents.running.runs import Run

DILEMMA = "valueagents/Dilemma-v0"
HEADER = {
    "format": "valueagents-items",
    "version": 1,
    "taxonomy": "schwartz20",
    "task": "Choose.",
    "provenance": "by hand",
    "scaling": "sign",
}


def item(number: int, text: str = "Now?") -> dict:
    options = [
        {"id": "a", "text": "Wait.", "values": {"HED": 1}},
        {"id": "b", "text": "Go on.", "values": {"HED": -1, "ACH": 1}},
    ]
    return {"id": f"item-{number}", "text": text, "options": options}


def bank(path, items: list[dict], **header) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in [{**HEADER, **header}, *items]))
    return str(path)


@pytest.fixture
def items(tmp_path) -> str:
    return bank(tmp_path / "items.jsonl", [item(i) for i in range(6)])


def config(policy: str = "random", **fields) -> RunConfig:
    return RunConfig(env=DILEMMA, policy=policy, **fields)


def scored(run: Run) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(score(run), run=""))


def identities(run: Run) -> list[str]:
    return [episode.identity for episode in run.store.episodes()]


class Moody(RandomPolicy):
    """Fails the situations in `bad`, which a test may change between two runs of the same
    policy.
    """

    bad: frozenset[str] = frozenset()
    asked: int = 0

    def identity(self):
        return {"policy": "moody/1"}

    async def decide(self, view):
        type(self).asked += 1
        if view.observation in self.bad:
            raise LookupError(f"no answer to {view.observation}")
        return await super().decide(view)


class Lost(Policy):
    """Cannot be loaded."""

    def identity(self):
        return {"policy": "lost/1"}

    async def __aenter__(self):
        raise PolicyError("the model is gone")

    async def decide(self, view):
        return Choice(None, "failed")


@pytest.fixture
def moody(tmp_path, monkeypatch) -> type[Moody]:
    """The policies of this file, installed as a third party's package would install them."""
    dist = tmp_path / "site" / "moody_of_a_test-0.dist-info"
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: moody-of-a-test\nVersion: 0\n")
    points = ["[valueagents.policies]", f"moody = {__name__}:Moody", f"lost = {__name__}:Lost", ""]
    (dist / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(dist.parent)
    monkeypatch.setattr(Moody, "bad", frozenset())
    monkeypatch.setattr(Moody, "asked", 0)
    return Moody


SLOW_RUN = """
import sys, time
from valueagents.running.execution import RunConfig, execute
word = sys.argv[2]
print("start", flush=True)
def progress(finished, failed, owed):
    print(finished, flush=True)
    late = finished > int(word) + 20  # the kill is overdue on a busy machine: wait for it
    time.sleep(0.1 if late else 0.0002)
execute(RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=400, seed=5), sys.argv[1], progress=progress)
"""


def kill_at(out, word: str, *, delay_s: float = 0.0) -> None:
    """Start the run in another process and kill it shortly after it has said how many episodes it
    has finished.
    """
    number = "0" if word == "start" else word
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN, out, number], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert any(line.strip() == word for line in child.stdout)
        time.sleep(delay_s)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=20)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_scores_of_an_undisturbed_one(out, tmp_path):
    finished = []
    for word, delay_s in [("start", 0.0), ("1", 0.0), ("100", 0.0003), ("150", 0.0011)]:
        kill_at(out, word, delay_s=delay_s)
        finished.append(len(identities(Run(out))) if (out / "run.json").exists() else 0)
    assert finished == sorted(finished)
    assert 1 + 100 + 150 <= finished[-1] < 400
    again = execute(config(episodes=400, seed=5), out)
    whole = execute(config(episodes=400, seed=5), tmp_path / "undisturbed")
    assert len(again.store.segments()) >= 4
    assert max(Counter(identities(again)).values()) == 1
    assert sorted(identities(again)) == sorted(identities(whole))
    assert scored(again) == (expected := scored(whole))
    assert (
        sum(
            axis["estimates"]["E3"]["value"] is not None
            for axis in msgspec.json.decode(expected)["axes"]
        )
        == 20
    )


def test_a_killed_run_owes_only_what_it_had_not_finished(out):
    kill_at(out, "60")
    kept = len(identities(Run(out)))
    played: list[tuple[int, int, int]] = []
    execute(config(episodes=400, seed=5), out, progress=lambda *counts: played.append(counts))
    assert kept >= 60
    assert (played[0], played[-1]) == ((1, 0, 400 - kept), (400 - kept, 0, 400 - kept))


def test_a_repeated_run_plays_nothing_and_changes_no_segment(out, items, moody):
    first = execute(config("moody", env_options={"data": items}), out)
    segments = [segment.read_bytes() for segment in first.store.segments()]
    asked = moody.asked
    again = execute(config("moody", env_options={"data": items}), out)
    assert (asked, moody.asked) == (6, 6)
    assert [segment.read_bytes() for segment in again.store.segments()] == segments
    assert [session.get("owed") for session in again.store.sessions()] == [6, None, 0, None]


def test_the_same_settings_give_byte_equal_scores_elsewhere_and_another_seed_does_not(tmp_path):
    runs = [
        execute(config(episodes=120, seed=seed), tmp_path / name)
        for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    ]
    one, other, third = (scored(run) for run in runs)
    assert one == other
    assert one != third


def test_how_many_are_live_changes_no_score(tmp_path):
    alone, many = (
        scored(execute(config(episodes=120, live=live), tmp_path / str(live))) for live in (1, 9)
    )
    assert alone == many


def test_more_episodes_extend_a_run_and_replay_nothing(out, tmp_path, items, moody):
    settings = {"env_options": {"data": items}}
    short = execute(config("moody", episodes=4, **settings), out)
    before = identities(short)
    longer = execute(config("moody", episodes=15, **settings), out)
    assert (len(before), moody.asked) == (4, 15)
    assert identities(longer)[:4] == before
    whole = execute(config("moody", episodes=15, **settings), tmp_path / "whole")
    assert sorted(identities(whole)) == sorted(identities(longer))
    assert Counter(e.situation for e in longer.episodes()).most_common()[-1][1] == 2


def test_fewer_episodes_than_are_there_play_nothing_and_keep_all(out, items, moody):
    settings = {"env_options": {"data": items}}
    execute(config("moody", episodes=9, **settings), out)
    assert len(execute(config("moody", episodes=2, **settings), out).episodes()) == 9
    assert moody.asked == 9


def test_no_number_of_episodes_plays_every_situation_once(out, items):
    done = execute(config(env_options={"data": items}), out)
    assert sorted(e.situation for e in done.episodes()) == [f"item-{i}" for i in range(6)]


def test_failed_episodes_are_data_and_owed_again_with_the_next_attempt(out, tmp_path, moody):
    data = bank(tmp_path / "items.jsonl", [item(i, f"text {i}") for i in range(6)])
    moody.bad = frozenset({"text 1", "text 4"})
    first = execute(config("moody", env_options={"data": data}), out)
    assert len(first.episodes()) == 4
    assert sorted((f.situation, f.error, f.attempt) for f in first.failed()) == [
        ("item-1", "LookupError", 1),
        ("item-4", "LookupError", 1),
    ]
    moody.bad = frozenset({"text 4"})
    second = execute(config("moody", env_options={"data": data}), out)
    assert moody.asked == 6 + 2
    assert {e.situation: e.attempt for e in second.episodes()}["item-1"] == 2
    assert [(f.situation, f.attempt) for f in second.failed()] == [("item-4", 2)]
    moody.bad = frozenset()
    third = execute(config("moody", env_options={"data": data}), out)
    assert third.failed() == []
    assert sorted(e.attempt for e in third.episodes()) == [1, 1, 1, 1, 2, 3]
    assert len(list(third.store.failures())) == 3
    assert third.decisions().column("attempt").to_pylist().count(3) == 1


def test_twenty_failures_in_a_row_stop_a_run_that_can_go_on_when_the_fault_is_mended(
    out, tmp_path, moody
):
    data = bank(tmp_path / "items.jsonl", [item(i, "hard") for i in range(50)])
    moody.bad = frozenset({"hard"})
    with pytest.raises(
        PolicyError,
        match="20 episodes in a row failed, the last with LookupError: no answer to hard",
    ):
        execute(config("moody", env_options={"data": data}, live=1), out)
    assert len(Run(out).failed()) == 20
    moody.bad = frozenset()
    done = execute(config("moody", env_options={"data": data}, live=1), out)
    assert Counter(e.attempt for e in done.episodes()) == {2: 20, 1: 30}
    assert done.failed() == []


def test_a_policy_that_cannot_be_loaded_stops_the_run_before_any_episode(out, items, moody):
    with pytest.raises(PolicyError, match="the model is gone"):
        execute(config("lost", env_options={"data": items}), out)
    assert Run(out).episodes() == Run(out).failed() == []


def test_progress_counts_what_was_finished_failed_and_owed(out, tmp_path, moody):
    data = bank(tmp_path / "items.jsonl", [item(i, f"text {i}") for i in range(5)])
    moody.bad = frozenset({"text 3"})
    counts: list[tuple[int, int, int]] = []
    execute(
        config("moody", env_options={"data": data}),
        out,
        progress=lambda *count: counts.append(count),
    )
    assert [sum(count[:2]) for count in counts] == [1, 2, 3, 4, 5]
    assert counts[-1] == (4, 1, 5)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (config("first", episodes=3), "its policy is random/1, not first/1"),
        (config(episodes=3, seed=1), "its seed is 0, not 1"),
        (
            config(episodes=3, env_options={"setting": "home"}),
            "its content is [0-9a-f]{32}, not [0-9a-f]{32}",
        ),
        (config("known:normal", episodes=3), "its policy is random/1, not known/1"),
    ],
)
def test_another_run_in_the_same_directory_is_refused_by_what_differs(out, other, words):
    execute(config(episodes=3), out)
    with pytest.raises(
        ConfigError, match=rf"'{out}' holds another run: {words}; give another --out"
    ):
        execute(other, out)
    assert len(Run(out).episodes()) == 3


def test_known_policies_of_other_weights_are_told_apart(out):
    execute(config("known:HED=1", episodes=3), out)
    with pytest.raises(ConfigError, match="its weights is "):
        execute(config("known:HED=2", episodes=3), out)


def test_a_changed_path_is_the_same_run_and_a_changed_word_is_not(out, tmp_path, items):
    execute(config(env_options={"data": items}), out)
    moved = shutil.copy(items, tmp_path / "elsewhere.jsonl")
    assert len(execute(config(env_options={"data": str(moved)}), out).episodes()) == 6
    changed = bank(
        tmp_path / "changed.jsonl", [item(i, "Now!" if i == 5 else "Now?") for i in range(6)]
    )
    with pytest.raises(ConfigError, match="holds another run: its content is"):
        execute(config(env_options={"data": changed}), out)


@pytest.mark.parametrize("change", ["word", "option", "value", "provenance", "task", "item more"])
def test_whatever_is_changed_in_the_data_changes_every_identity(tmp_path, items, change):
    lines, header = [item(i) for i in range(6)], {}
    match change:
        case "word":
            lines[0]["text"] = "Now!"
        case "option":
            lines[0]["options"][0]["text"] = "Wait!"
        case "value":
            lines[0]["options"][0]["values"]["HED"] = 0.5
        case "item more":
            lines.append(item(6))
        case _:
            header = {change: "another"}
    changed = bank(tmp_path / "changed.jsonl", lines, **header)
    one = execute(config(env_options={"data": items}, episodes=6), tmp_path / "one")
    other = execute(config(env_options={"data": changed}, episodes=6), tmp_path / "other")
    assert not set(identities(one)) & set(identities(other))


def test_spaces_and_the_order_of_keys_in_the_data_change_nothing(tmp_path, items):
    lines = [{**HEADER}, *(item(i) for i in range(6))]
    spaced = tmp_path / "spaced.jsonl"
    spaced.write_text(
        "".join(json.dumps(dict(reversed(line.items())), indent=None) + " \r\n" for line in lines)
    )
    one = execute(config(env_options={"data": items}), tmp_path / "one")
    other = execute(config(env_options={"data": str(spaced)}), tmp_path / "other")
    assert sorted(identities(one)) == sorted(identities(other))


def test_two_runs_at_once_in_one_directory_are_refused(out, items):
    done = execute(config(env_options={"data": items}, episodes=2), out)
    with done.store.writing(), pytest.raises(StoreError, match="another process is writing"):
        execute(config(env_options={"data": items}, episodes=6), out)
    assert len(execute(config(env_options={"data": items}, episodes=6), out).episodes()) == 6


def test_a_torn_segment_is_played_to_its_end_again(out, items):
    whole = execute(config(env_options={"data": items}, episodes=30), out)
    expected, (segment,) = scored(whole), whole.store.segments()
    segment.write_bytes(segment.read_bytes()[: segment.stat().st_size // 2])
    assert 0 < len(identities(Run(out))) < 30
    again = execute(config(env_options={"data": items}, episodes=30), out)
    assert len(set(identities(again))) == len(identities(again)) == 30
    assert scored(again) == expected


def test_what_a_damage_hit_is_played_again_by_the_same_command(out, items, caplog):
    whole = execute(config(env_options={"data": items}, episodes=30), out)
    expected, (segment,) = scored(whole), whole.store.segments()
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)
    again = execute(config(env_options={"data": items}, episodes=30), out)
    assert f"{segment.name} is damaged in the part from byte 0 on" in caplog.text
    assert (out / f"{segment.name}.damaged-1").read_bytes() == bytes(content)
    assert scored(again) == expected
    assert again.problems() == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            RunConfig(env="valueagents/Dilema-v0", policy="random"),
            "Did you mean 'valueagents/Dilemma-v0'",
        ),
        (config("randm"), "Did you mean 'random'"),
        (config(env_options={"sett": "home"}), "Did you mean 'setting'"),
        (config(env_options={"data": "nowhere.jsonl"}), "unknown data file"),
        (config(episodes=0), "episodes"),
        (config(episodes=-1), "episodes"),
        (config(live=0), "live"),
        (config(timeout_s=0.0), "timeout_s"),
        (config(timeout_s=float("nan")), "timeout_s"),
        (config(seed=-1), "seed"),
    ],
)
def test_bad_settings_are_refused_by_name_before_anything_is_made(out, wrong, words):
    with pytest.raises(ConfigError, match=words):
        execute(wrong, out)
    assert not out.exists()


def test_bad_data_are_refused_before_anything_is_made(out, tmp_path):
    broken = bank(tmp_path / "broken.jsonl", [item(0), {"id": "item-1"}])
    with pytest.raises(DataError, match=r"broken\.jsonl, line 3"):
        execute(config(env_options={"data": broken}), out)
    assert not out.exists()


def test_factors_that_are_declared_wrongly_are_refused_before_anything_is_made(out, monkeypatch):
    monkeypatch.setattr(DilemmaEnv, "factors", (Factor("item", "Which."), Factor("item", "Which.")))
    with pytest.raises(
        EnvError, match=r"env 'valueagents/Dilemma-v0': factor 'item' is declared 2 times"
    ):
        execute(config(), out)
    assert not out.exists()


def test_settings_from_a_file_are_strict():
    with pytest.raises(msgspec.ValidationError, match="polcy"):
        msgspec.convert({"env": DILEMMA, "polcy": "random"}, RunConfig)
    with pytest.raises(msgspec.ValidationError, match="episodes"):
        msgspec.convert({"env": DILEMMA, "policy": "random", "episodes": 0}, RunConfig)


def test_a_plan_says_what_a_run_would_do_and_makes_nothing(out, items):
    planned = plan(config(env_options={"data": items}, episodes=8), out)
    shown = len("Choose.") + len("Now?") + len("Wait.") + len("Go on.")
    assert (planned.episodes, planned.situations, planned.owed, planned.characters) == (
        8,
        6,
        8,
        8 * shown,
    )
    assert planned.estimate_s == pytest.approx(8 * RandomPolicy.seconds_per_decision)
    assert not out.exists()


def test_a_plan_of_a_run_that_is_there_counts_what_is_owed(out, items):
    execute(config(env_options={"data": items}, episodes=2), out)
    before = sorted((file.name, file.stat().st_size) for file in out.iterdir())
    assert plan(config(env_options={"data": items}, episodes=8), out).owed == 6
    assert sorted((file.name, file.stat().st_size) for file in out.iterdir()) == before
    with pytest.raises(ConfigError, match="its seed is 0, not 3"):
        plan(config(env_options={"data": items}, episodes=8, seed=3), out)


def test_the_header_says_what_was_run_and_the_sessions_where_and_with_what(out, items):
    done = execute(config("known:HED=1", env_options={"data": items}, seed=9), out)
    header = Run(out).header
    assert (header.env, header.policy, header.seed, header.task) == (
        DILEMMA,
        "known:HED=1",
        9,
        "Choose.",
    )
    assert (header.informed, header.independent_menus, header.taxonomy.name) == (
        True,
        True,
        "schwartz20/1",
    )
    assert [factor.name for factor in header.factors] == ["item"]
    start, end = done.store.sessions()
    assert (start["owed"], end["finished"], end["failed"]) == (6, 6, 0)
    assert {"python", "valueagents", "numpy", "gymnasium"} <= set(start["software"])


def test_identities_of_a_run_hold_hashes_and_names_and_no_path(out, items):
    header = execute(config(env_options={"data": items}), out).header
    assert not any("/tmp" in value or items in value for value in header.env_identity.values())
    task = hashlib.blake2b(b'["Choose."]', digest_size=16).hexdigest()
    assert header.env_identity["task"] == task


def test_frames_hold_the_rows_of_the_table(out, items):
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    done = execute(config(env_options={"data": items}), out)
    table = done.decisions()
    assert done.to_pandas()["episode"].tolist() == table.column("episode").to_pylist()
    assert done.to_polars()["chosen"].to_list() == table.column("chosen").to_pylist()


def test_episodes_are_sorted_by_identity(random_run):
    sorted_ids = [episode.identity for episode in random_run.episodes()]
    assert sorted_ids == sorted(sorted_ids)
    assert len(set(sorted_ids)) == 2000


def test_random_choices_are_uniform_over_places_and_independent_of_the_env_seed(random_run):
    places = Counter()
    for episode in random_run.episodes():
        (decision,) = episode.decisions
        places[len(decision.menu), decision.chosen] += 1
    for size, group in itertools.groupby(sorted(places), key=lambda key: key[0]):
        counts = [places[key] for key in group]
        total = sum(counts)
        assert len(counts) == size
        assert (
            sum((n - total / size) ** 2 / (total / size) for n in counts) < 20
        )  # χ² of at most 3 degrees: p < 2e-4


def test_a_run_can_be_started_where_a_loop_runs_already(out):
    async def in_a_notebook():
        return execute(RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=5), out)

    assert asyncio.run(in_a_notebook()).decisions().num_rows == 5


def test_every_session_keeps_its_resolved_settings_and_software(out):
    execute(RunConfig(env="valueagents/Dilemma-v0", policy="first", episodes=3, seed=2), out)
    start, end = Run(out).store.sessions()
    settings = {
        "env": "valueagents/Dilemma-v0",
        "env_options": {},
        "policy": "first",
        "episodes": 3,
        "seed": 2,
    }
    assert start["config"] == {**settings, "live": None, "shard": None, "timeout_s": 600.0}
    assert start["software"]["valueagents"] == "0.1.0"
    assert (end["finished"], end["failed"]) == (3, 0)
