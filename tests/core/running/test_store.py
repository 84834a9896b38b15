"""The run directory on disk: what a kill, a damaged byte or a second writer does to it."""

import errno
import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from io import FileIO

import msgspec
import numpy as np
import pytest

from valueagents.contracts.decision import (
    SCHEMA,
    Annotation,
    Choice,
    Decision,
    Episode,
    Factor,
    Failure,
    Option,
    to_json,
)
from valueagents.errors import ConfigError, StoreError, ValueAgentsError
from valueagents.running.durable import draft
from valueagents.running.sealed import seal
from valueagents.running.segments import SegmentWriter
from valueagents.running.store import RunHeader, RunStore, StoreReading, write_atomically
from valueagents.taxonomy import load_taxonomy

DEEP = b"[" * 5000 + b"]" * 5000

HEADER = RunHeader(
    env="test/Env-v0",
    env_options={"setting": "home"},
    policy="random",
    seed=3,
    task="Choose.",
    env_identity={"env": "test/Env-v0", "content": "c1"},
    policy_identity={"policy": "random/1"},
    taxonomy=load_taxonomy("gert10"),
    independent_menus=True,
    informed=False,
)


END_OF_STREAM = bytes(10)
"""As many bytes as end a stream after its last flush: an empty block, the checksum and the length."""


def episode(number: int, text: str = "Zoë 🦊\nnow?") -> Episode:
    menu = (Option("a", "Wait."), Option("b", "Go."))
    annotation = Annotation("gert10/1", ({"death": -1.0}, {"pain": None}), "by hand", "sign")
    decision = Decision(text, menu, Choice("ab"[number % 2], "drawn", (0.5, 0.5)), annotation)
    return Episode(
        f"id-{number:04d}", f"item-{number}", 0, number, f"item-{number}", (decision,), "terminated"
    )


def failure(number: int, attempt: int = 1) -> Failure:
    return Failure(f"id-{number:04d}", f"item-{number}", 0, "ValueError", "no\nway", 0, attempt)


@pytest.fixture
def store(out) -> RunStore:
    return RunStore.create(out, HEADER)


def write(store: RunStore, *episodes: Episode, failures: tuple[Failure, ...] = ()) -> None:
    with store.writing() as writer:
        for one in episodes:
            writer.episode(one)
        for one in failures:
            writer.failure(one)


def killed(store: RunStore, *episodes: Episode) -> None:
    """Write a segment that nobody closes, as a kill leaves it: without the end of the gzip
    stream.
    """
    write(store, *episodes)
    segment = store.segments()[-1]
    segment.write_bytes(segment.read_bytes()[: -len(END_OF_STREAM)])


def identities(store: RunStore) -> list[str]:
    return [episode.identity for episode in store.episodes()]


def test_a_store_holds_its_header_and_opens_again(out, store):
    assert store.header == HEADER
    assert RunStore.open(str(out)).header == HEADER
    assert json.loads((out / "run.json").read_text())["schema"] == SCHEMA


def test_a_new_store_is_empty(store):
    assert (identities(store), list(store.failures()), store.sessions(), store.segments()) == (
        [],
        [],
        [],
        [],
    )


def test_what_is_written_is_read_in_order(store):
    episodes = [episode(i) for i in range(5)]
    write(store, *episodes, failures=(failure(7), failure(7, 2)))
    assert list(store.episodes()) == episodes
    assert list(store.failures()) == [failure(7), failure(7, 2)]


def test_a_segment_is_a_gzip_file_of_one_line_an_episode(store):
    write(store, episode(0), episode(1))
    (segment,) = store.segments()
    assert segment.name == "episodes-0001.jsonl.gz"
    lines = gzip.decompress(segment.read_bytes()).splitlines(keepends=True)
    assert lines == [seal(to_json(episode(0))) + b"\n", seal(to_json(episode(1))) + b"\n"]
    assert [json.loads(line)["identity"] for line in lines] == ["id-0000", "id-0001"]


def test_every_line_can_be_read_as_soon_as_it_is_written(store):
    with store.writing() as writer:
        for number in range(5):
            writer.episode(episode(number))
            writer.failure(failure(number))
            assert len(identities(store)) == len(list(store.failures())) == number + 1


def test_every_writer_has_segments_of_its_own_and_writes_none_in_vain(store):
    write(store, episode(0))
    write(store)
    write(store, episode(1), failures=(failure(2),))
    assert [segment.name for segment in store.segments()] == [
        "episodes-0001.jsonl.gz",
        "episodes-0002.jsonl.gz",
    ]
    assert [file.name for file in sorted(store.path.glob("failures-*"))] == ["failures-0001.jsonl"]
    assert identities(store) == ["id-0000", "id-0001"]


def test_segments_are_read_in_the_order_of_writing_beyond_nine(store):
    for number in range(12):
        write(store, episode(number))
    assert identities(store) == [f"id-{number:04d}" for number in range(12)]


def test_an_identity_that_was_written_twice_is_read_once(store):
    write(store, episode(0, "first"), episode(1))
    write(store, episode(0, "second"))
    assert [e.decisions[0].observation for e in store.episodes()] == ["first", "Zoë 🦊\nnow?"]


def test_a_segment_that_nobody_closed_keeps_every_finished_line(store):
    killed(store, episode(0), episode(1))
    assert identities(store) == ["id-0000", "id-0001"]
    write(store, episode(2))
    assert identities(store) == ["id-0000", "id-0001", "id-0002"]


@pytest.mark.parametrize("closed", [True, False])
def test_a_segment_cut_anywhere_keeps_the_lines_before_the_cut(store, closed):
    episodes = [episode(i) for i in range(4)]
    (write if closed else killed)(store, *episodes)
    (segment,) = store.segments()
    whole, counts = segment.read_bytes(), []
    for size in range(len(whole) + 1):
        segment.write_bytes(whole[:size])
        kept = list(store.episodes())
        assert kept == episodes[: len(kept)]
        counts.append(len(kept))
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 4)
    assert set(counts) == set(range(5))


def test_a_line_torn_inside_a_whole_gzip_stream_is_owed(store):
    killed(store, episode(0))
    (segment,) = store.segments()
    lines = to_json(episode(0)) + b"\n" + to_json(episode(1))
    for cut in (1, 20, 0):
        segment.write_bytes(gzip.compress(lines[: len(lines) - cut]))
        assert identities(store) == ["id-0000"]


def read(store: RunStore) -> tuple[list[Episode], list[str]]:
    """The episodes that can be read, and what is said of the others."""
    reading = StoreReading()
    return list(store.episodes(reading)), [str(damage) for damage in reading.damages]


@pytest.mark.parametrize("closed", [True, False])
def test_a_damaged_byte_anywhere_changes_no_episode_that_is_read_and_is_said(store, closed):
    episodes = [episode(i) for i in range(4)]
    (write if closed else killed)(store, *episodes)
    (segment,) = store.segments()
    whole, silent = segment.read_bytes(), []
    for place in range(len(whole)):
        segment.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        found, damages = read(store)
        assert found == [one for one in episodes if one in found], (
            f"byte {place} changed an episode"
        )
        assert all(segment.name in damage for damage in damages)
        if len(found) < len(episodes) and not damages:
            silent.append(place)
    torn = range(len(whole) - 4, len(whole))  # the end of the last line: as if a kill had torn it
    assert [place for place in silent if closed or place not in torn] == []


def test_what_is_before_and_after_a_damage_is_read(store):
    noise = np.random.default_rng(0)
    episodes = [episode(i, noise.bytes(3_000).hex()) for i in range(200)]
    write(store, *episodes)
    (segment,) = store.segments()
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)
    found, damages = read(store)
    assert found == [one for one in episodes if one in found]
    assert found[0] == episodes[0]
    assert found[-1] == episodes[-1]
    assert 100 < len(found) < 200
    assert len(damages) == 1
    assert f"{segment.name} is damaged in the part from byte " in damages[0]


def test_segments_that_were_joined_are_read_as_both(store):
    write(store, episode(0), episode(1))
    killed(store, episode(2))
    write(store, episode(3))
    first, *others = store.segments()
    first.write_bytes(b"".join(segment.read_bytes() for segment in (first, *others)))
    for segment in others:
        segment.unlink()
    assert identities(store) == ["id-0000", "id-0001", "id-0002", "id-0003"]


def unsealed(store: RunStore, *episodes: Episode) -> None:
    """A segment as it was before lines had checksums."""
    lines = b"".join(to_json(one) + b"\n" for one in episodes)
    (store.path / "episodes-0001.jsonl.gz").write_bytes(gzip.compress(lines))


def test_a_segment_without_checksums_of_its_lines_is_read(store):
    unsealed(store, episode(0), episode(1))
    assert read(store) == ([episode(0), episode(1)], [])


def test_of_a_damaged_segment_without_checksums_of_its_lines_nothing_wrong_is_believed(store):
    episodes = [episode(i) for i in range(4)]
    unsealed(store, *episodes)
    (segment,) = store.segments()
    whole, outcomes = segment.read_bytes(), []
    for place in range(10, len(whole)):
        segment.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        found, damages = read(store)
        assert found == episodes[: len(found)], f"byte {place}"
        assert damages or found == episodes, f"byte {place}"
        outcomes.append(len(found))
    assert outcomes.count(0) > 0.98 * len(
        outcomes
    )  # else the end of the stream was hit, not its content


def test_damaged_files_are_set_right_and_kept_as_they_were(store):
    episodes = [episode(i) for i in range(50)]
    write(store, *episodes, failures=(failure(7), failure(8)))
    (segment,), (file,) = store.segments(), store.path.glob("failures-*")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)
    file.write_bytes(file.read_bytes().replace(b"id-0007", b"id-0017"))
    reading = StoreReading()
    found = list(store.episodes(reading))
    assert list(store.failures(reading)) == [failure(8)]
    with store.writing():
        kept = store.set_right(reading)
    assert [name.name for name in kept] == [f"{segment.name}.damaged-1", f"{file.name}.damaged-1"]
    assert kept[0].read_bytes() == bytes(content)
    assert read(store) == (found, [])
    assert 0 < len(found) < 50
    again = StoreReading()
    assert list(store.failures(again)) == [failure(8)]
    assert again.damages == []


def test_after_a_disk_was_full_the_lines_before_are_whole_and_the_writer_says_so_again(store):
    with store.writing() as writer:
        for number in range(3):
            writer.episode(episode(number))
        size = store.segments()[0].stat().st_size
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (size + 40, limits[1])
        )  # the next line fits in part
        try:
            with pytest.raises(OSError, match="File too large") as refused:
                writer.episode(episode(3))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handled)
        assert refused.value.filename == str(store.segments()[0])
        assert store.segments()[0].stat().st_size == size
        with pytest.raises(
            OSError, match="File too large"
        ):  # the packer has seen a line that is not there
            writer.episode(episode(4))
    assert read(store) == ([episode(0), episode(1), episode(2)], [])
    write(store, episode(3))
    assert len(identities(store)) == 4


def test_a_line_that_the_system_takes_in_parts_is_whole(tmp_path, monkeypatch):
    class Sipping(FileIO):
        """Takes seven bytes at a time, as a write to a nearly full disk or a slow network may."""

        def write(self, content):
            return super().write(bytes(content)[:7])

    monkeypatch.setattr("valueagents.running.durable.FileIO", Sipping)
    segment = SegmentWriter(tmp_path / "episodes-0001.jsonl.gz")
    segment.append(to_json(episode(0)))
    segment.close()
    assert (
        gzip.decompress((tmp_path / "episodes-0001.jsonl.gz").read_bytes())
        == seal(to_json(episode(0))) + b"\n"
    )


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_folder_that_goes_away_under_a_writer_is_noticed_at_the_next_episode(store, how):
    with store.writing() as writer:
        writer.episode(episode(0))
        if how == "removed":
            shutil.rmtree(store.path)
        else:
            store.path.rename(store.path.with_name("elsewhere"))
        time.sleep(0.03)  # an episode that is faster than any model's is not looked at each time
        with pytest.raises(StoreError, match="was removed or moved while it was being written"):
            writer.episode(episode(1))
    assert not store.path.exists()


def test_after_a_damaged_segment_was_moved_away_the_run_goes_on(store):
    write(store, episode(0))
    write(store, episode(1))
    store.segments()[0].rename(store.path.parent / "moved-away.gz")
    assert identities(store) == ["id-0001"]
    write(store, episode(0))
    assert sorted(identities(store)) == ["id-0000", "id-0001"]


def test_a_line_that_is_no_episode_is_left_out_and_said(store):
    write(store, episode(0))
    (segment,) = store.segments()
    segment.write_bytes(gzip.compress(to_json(episode(0)) + b"\n{}\n"))
    found, (damage,) = read(store)
    assert found == [episode(0)]
    assert f"{segment.name} is damaged at its readable line 2" in damage


def test_lines_that_nest_deeply_are_left_out_and_said(store):
    deep = seal(b'{"unknown":' + DEEP + b"}") + b"\n"
    write(store, episode(0))
    (segment,) = store.segments()
    segment.write_bytes(gzip.compress(to_json(episode(0)) + b"\n" + deep))
    for name in ("failures-0001.jsonl", "sessions.jsonl"):
        (store.path / name).write_bytes(deep)
    found, (damage,) = read(store)
    assert found == [episode(0)]
    assert f"{segment.name} is damaged at its readable line 2" in damage
    reading = StoreReading()
    assert list(store.failures(reading)) == list(store.sessions(reading)) == []
    assert len(reading.damages) == 2


def test_an_episode_of_another_schema_names_both_numbers(store):
    write(store, msgspec.structs.replace(episode(0), schema=SCHEMA + 1))
    with pytest.raises(StoreError, match=rf"schema {SCHEMA + 1}, this version reads {SCHEMA}"):
        list(store.episodes())


def test_a_torn_failure_is_left_out_and_a_damaged_one_is_said(store):
    write(store, failures=(failure(0), failure(1)))
    (file,) = store.path.glob("failures-*")
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert list(store.failures()) == [failure(0)]
    for damaged in (b"{\n" + whole, whole.replace(b"id-0000", b"id-0009") + whole):
        file.write_bytes(damaged)
        reading = StoreReading()
        assert [one.identity for one in store.failures(reading)][-2:] == ["id-0000", "id-0001"]
        assert [
            f"{file.name} is damaged at line 1" in str(damage) for damage in reading.damages
        ] == [True]


def test_sessions_are_kept_in_order_and_a_torn_one_spoils_nothing(store):
    with store.writing() as writer:
        writer.session({"start": 1})
    with (store.path / "sessions.jsonl").open("ab") as file:
        file.write(b'{"start": 2, "plat')
    assert store.sessions() == [{"start": 1}]
    with store.writing() as writer:
        writer.session({"start": 3})
    assert store.sessions()[-1] == {"start": 3}


def test_a_large_segment_is_read_in_pieces(store):
    noise = np.random.default_rng(0)
    episodes = [episode(i, noise.bytes(6_000).hex()) for i in range(400)]
    write(store, *episodes)
    assert store.segments()[0].stat().st_size > 1 << 20
    assert list(store.episodes()) == episodes


def test_a_second_writer_in_this_process_is_refused_and_the_first_goes_on(store):
    with store.writing() as writer:
        with pytest.raises(
            StoreError, match=r"another process is writing to .*; wait for it or give another --out"
        ):
            write(store, episode(9))
        writer.episode(episode(0))
    write(store, episode(1))
    assert identities(store) == ["id-0000", "id-0001"]


def test_a_second_process_is_refused_until_the_first_is_dead(store):
    code = (
        "import sys; from valueagents.running.store import RunStore\nwith"
        " RunStore.open(sys.argv[1]).writing():\n    print('mine', flush=True)\n   "
        " sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, store.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(StoreError, match="another process is writing"):
            write(store, episode(0))
        assert list(store.episodes()) == []
    finally:
        other.kill()
        other.communicate(timeout=20)
    write(store, episode(0))
    assert identities(store) == ["id-0000"]


def test_the_same_header_finds_the_store_that_is_there(out, store):
    write(store, episode(0))
    same = msgspec.structs.replace(
        HEADER, policy="random?", env_options={"data": "elsewhere.jsonl"}
    )
    assert identities(RunStore.create(out, same)) == ["id-0000"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 4}, "its seed is 3, not 4"),
        ({"policy_identity": {"policy": "first/1"}}, "its policy is random/1, not first/1"),
        ({"env_identity": {"env": "test/Env-v0", "content": "c2"}}, "its content is c1, not c2"),
        ({"policy_identity": {"policy": "random/1", "model": "m"}}, "its model is None, not m"),
    ],
)
def test_another_run_in_the_same_directory_is_refused_by_what_differs(out, store, change, words):
    with pytest.raises(
        ConfigError, match=rf"'{out}' holds another run: {words}; give another --out"
    ):
        RunStore.create(out, msgspec.structs.replace(HEADER, **change))


POLE = Factor("pole", "For or against.", ("affirm", "oppose"))


def test_a_header_keeps_the_declarations_of_its_env(out):
    header = msgspec.structs.replace(HEADER, factors=(Factor("item", "Which item."), POLE))
    assert RunStore.create(out, header).header == RunStore.open(out).header == header


def test_a_run_whose_env_declares_other_factors_is_another_run(out):
    RunStore.create(out, msgspec.structs.replace(HEADER, factors=(POLE,)))
    with pytest.raises(
        ConfigError,
        match=rf"'{out}' holds another run: its list of factors is pole, not none; give",
    ):
        RunStore.create(out, HEADER)
    with pytest.raises(ConfigError, match="its list of factors is pole, not item, pole"):
        RunStore.create(
            out, msgspec.structs.replace(HEADER, factors=(Factor("item", "Which item."), POLE))
        )


def test_a_run_that_declared_no_factors_goes_on_with_an_env_that_now_does(out, store):
    write(store, episode(0))
    assert identities(RunStore.create(out, msgspec.structs.replace(HEADER, factors=(POLE,)))) == [
        "id-0000"
    ]


def test_a_folder_of_other_things_is_not_made_a_run(out):
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(
        ConfigError, match=rf"'{out}' exists and is not a run directory; give another --out"
    ):
        RunStore.create(out, HEADER)
    assert [file.name for file in out.iterdir()] == ["thesis.tex"]


def test_a_file_is_not_made_a_run(out):
    out.write_text("precious")
    with pytest.raises(ConfigError, match="exists and is not a run directory"):
        RunStore.create(out, HEADER)
    assert out.read_text() == "precious"


def test_an_empty_folder_is_made_a_run(out):
    (out / "deeper").mkdir(parents=True)
    assert RunStore.create(out / "deeper", HEADER).header == HEADER


def test_what_is_no_run_says_how_to_make_one(out):
    with pytest.raises(
        StoreError,
        match=rf"'{out}' is not a run directory \(it has no run\.json\); make one with `va",
    ):
        RunStore.open(out)


def test_a_run_of_another_schema_names_both_numbers(out, store):
    fields = json.loads((out / "run.json").read_text())
    fields |= {"schema": SCHEMA + 1, "a new field": 1}
    (out / "run.json").write_text(json.dumps(fields))
    words = (
        rf"run\.json has schema {SCHEMA + 1}, this version reads {SCHEMA}; use the version that"
        r" wrote it"
    )
    with pytest.raises(StoreError, match=words):
        RunStore.open(out)


DAMAGED_HEADERS = [b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"schema": 1}', b'"\xff"', None]


def put(file, content: bytes | None) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


@pytest.mark.parametrize("content", DAMAGED_HEADERS)
def test_a_lost_or_damaged_run_json_is_read_from_its_copy_and_put_right_by_the_next_writer(
    out, store, content
):
    whole = (out / "run.json").read_bytes()
    put(out / "run.json", content)
    again = RunStore.open(out)
    assert again.header == HEADER
    assert RunStore.create(out, HEADER).header == HEADER
    with again.writing():
        pass
    assert (out / "run.json").read_bytes() == (out / "run.json.bak").read_bytes() == whole


@pytest.mark.parametrize("content", DAMAGED_HEADERS)
def test_a_run_json_whose_copy_is_lost_too_is_a_store_error_that_names_both(out, store, content):
    put(out / "run.json", b"{")
    put(out / "run.json.bak", content)
    with pytest.raises(
        StoreError,
        match=r"run\.json is damaged .*, its copy run\.json\.bak is .*: put one of them back",
    ):
        RunStore.open(out)


def test_no_damaged_byte_of_a_run_json_changes_what_is_read(out, store):
    whole = (out / "run.json").read_bytes()
    for place in range(0, len(whole), 3):
        (out / "run.json").write_bytes(
            whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :]
        )
        assert RunStore.open(out).header == HEADER, f"byte {place}"


def test_a_run_json_without_a_checksum_is_read(out, store):
    fields = json.loads((out / "run.json").read_text())
    del fields["crc"]
    (out / "run.json").write_text(json.dumps(fields))
    (out / "run.json.bak").unlink()
    assert RunStore.open(out).header == HEADER


def test_a_run_json_with_an_impossible_taxonomy_is_one_of_our_errors(out, store):
    fields = json.loads((out / "run.json").read_text())
    fields["taxonomy"]["axes"][1]["id"] = "death"
    del fields["crc"]
    (out / "run.json").write_text(json.dumps(fields))
    assert RunStore.open(out).header == HEADER
    (out / "run.json.bak").unlink()
    with pytest.raises(ValueAgentsError, match="names an axis twice"):
        RunStore.open(out)


@pytest.mark.parametrize("damaged", [DEEP, b'{"taxonomy": ' + DEEP + b"}"])
def test_a_run_json_that_nests_deeply_is_read_from_its_copy(out, store, damaged):
    (out / "run.json").write_bytes(damaged)
    assert RunStore.open(out).header == HEADER
    (out / "run.json.bak").write_bytes(damaged)
    with pytest.raises(StoreError, match=r"run\.json is damaged \(maximum recursion depth"):
        RunStore.open(out)


def test_an_atomic_write_replaces_the_whole_file_and_leaves_no_draft(tmp_path):
    file = tmp_path / "run.json"
    write_atomically(file, b"one")
    write_atomically(file, b"two and more")
    assert file.read_bytes() == b"two and more"
    assert list(tmp_path.iterdir()) == [file]


KILLED_IN_AN_ATOMIC_WRITE = """
import os, signal, sys
from pathlib import Path
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from valueagents.running.store import write_atomically
write_atomically(Path(sys.argv[1]), b"half")
"""


def test_a_draft_that_a_kill_left_behind_does_not_stop_the_run_and_is_removed(out):
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLED_IN_AN_ATOMIC_WRITE, str(out / "run.json")], check=False
    )
    assert done.returncode == -signal.SIGKILL
    (draft,) = out.iterdir()
    assert draft.name.startswith(".run.json.")
    store = RunStore.create(out, HEADER)
    write(store, episode(0))
    assert not draft.exists()
    assert identities(store) == ["id-0000"]


def test_a_draft_of_a_process_that_lives_is_left_alone(store):
    ours = draft(store.path / "decisions.parquet")
    ours.write_bytes(b"half")
    write(store, episode(0))
    assert ours.exists()


def test_a_draft_of_another_machine_is_judged_by_its_age_not_by_a_process_here(store):
    nobody = 2**22 + 1  # more than the largest process id of Linux
    young, old = (store.path / f".run.json.0a1b2c3d.{nobody}.{n}1234567" for n in "ab")
    for file in (young, old):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    write(store, episode(0))
    assert young.exists()
    assert not old.exists()


def test_an_atomic_write_that_fails_leaves_the_file_and_no_draft(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "run.json"
    write_atomically(file, b"one")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as refused:
        write_atomically(file, b"two")
    assert refused.value.filename == str(file)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"one"]


def test_where_files_cannot_be_locked_a_writer_is_warned_and_goes_on(store, monkeypatch, caplog):
    def no_locks(descriptor):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("valueagents.running.lock.lock_descriptor", no_locks)
    write(store, episode(0))
    assert identities(store) == ["id-0000"]
    assert "cannot be locked (No locks available): let no second process write there" in caplog.text


def test_the_lock_is_never_replaced(store):
    write(store, episode(0))
    lock = store.path / ".lock"
    before = lock.stat().st_ino
    write(RunStore.create(store.path, HEADER), episode(1))
    assert lock.stat().st_ino == before
