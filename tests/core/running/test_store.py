"""The run directory on disk: what a kill, a damaged byte or a second writer does to it."""

import gzip
import json
import subprocess
import sys

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
from valueagents.running.store import RunHeader, RunStore, RunWriter, write_atomically
from valueagents.taxonomy import load_taxonomy

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


def episode(number: int, text: str = "Zoë 🦊\nnow?") -> Episode:
    menu = (Option("a", "Wait."), Option("b", "Go."))
    annotation = Annotation("gert10/1", ({"death": -1.0}, {"pain": None}), "by hand", "sign")
    decision = Decision(text, menu, Choice("ab"[number % 2], "drawn", (0.5, 0.5)), annotation)
    return Episode(f"id-{number:04d}", f"item-{number}", 0, number, f"item-{number}", (decision,), "terminated")


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
    """Write a segment that nobody closes."""
    writer = RunWriter(store.path)
    for one in episodes:
        writer.episode(one)
    assert writer._episodes is not None
    writer._episodes.close()  # as the kernel does: without the end of the gzip stream


def identities(store: RunStore) -> list[str]:
    return [episode.identity for episode in store.episodes()]


def test_a_store_holds_its_header_and_opens_again(out, store):
    assert store.header == HEADER
    assert RunStore.open(str(out)).header == HEADER
    assert json.loads((out / "run.json").read_text())["schema"] == SCHEMA


def test_a_new_store_is_empty(store):
    assert (identities(store), list(store.failures()), store.sessions(), store.segments()) == ([], [], [], [])


def test_what_is_written_is_read_in_order(store):
    episodes = [episode(i) for i in range(5)]
    write(store, *episodes, failures=(failure(7), failure(7, 2)))
    assert list(store.episodes()) == episodes
    assert list(store.failures()) == [failure(7), failure(7, 2)]


def test_a_segment_is_a_gzip_file_of_one_line_an_episode(store):
    write(store, episode(0), episode(1))
    (segment,) = store.segments()
    assert segment.name == "episodes-0001.jsonl.gz"
    assert gzip.decompress(segment.read_bytes()) == to_json(episode(0)) + b"\n" + to_json(episode(1)) + b"\n"


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
    assert [segment.name for segment in store.segments()] == ["episodes-0001.jsonl.gz", "episodes-0002.jsonl.gz"]
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


def read_or_refuse(store: RunStore) -> list[Episode] | str:
    try:
        return list(store.episodes())
    except StoreError as error:
        return str(error)


@pytest.mark.parametrize("closed", [True, False])
def test_a_damaged_byte_anywhere_is_a_store_error_that_names_the_file(store, closed):
    episodes = [episode(i) for i in range(4)]
    (write if closed else killed)(store, *episodes)
    (segment,) = store.segments()
    whole, errors = segment.read_bytes(), []
    for place in range(len(whole)):
        segment.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        read = read_or_refuse(store)
        if isinstance(read, str):
            errors.append(read)
        elif closed:  # the checksum at the end finds every change; a killed segment has none
            assert read == episodes[: len(read)], f"byte {place} changed an episode"
    assert len(errors) > 0.8 * len(whole)
    assert [error for error in errors if segment.name not in error] == []


def test_a_damaged_byte_in_the_middle_says_what_to_do(store):
    write(store, *[episode(i) for i in range(50)])
    (segment,) = store.segments()
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)
    with pytest.raises(StoreError, match=rf"{segment} is damaged .*; move it away and run again: its episodes are th"):
        list(store.episodes())


def test_after_a_damaged_segment_was_moved_away_the_run_goes_on(store):
    write(store, episode(0))
    write(store, episode(1))
    store.segments()[0].rename(store.path.parent / "moved-away.gz")
    assert identities(store) == ["id-0001"]
    write(store, episode(0))
    assert sorted(identities(store)) == ["id-0000", "id-0001"]


def test_a_line_that_is_no_episode_names_its_file(store):
    write(store, episode(0))
    (segment,) = store.segments()
    segment.write_bytes(gzip.compress(to_json(episode(0)) + b"\n{}\n"))
    with pytest.raises(StoreError, match=segment.name):
        list(store.episodes())


def test_an_episode_of_another_schema_names_both_numbers(store):
    write(store, msgspec.structs.replace(episode(0), schema=SCHEMA + 1))
    with pytest.raises(StoreError, match=rf"schema {SCHEMA + 1}, this version reads {SCHEMA}"):
        list(store.episodes())


def test_a_torn_failure_is_left_out_and_a_damaged_one_names_its_file(store):
    write(store, failures=(failure(0), failure(1)))
    (file,) = store.path.glob("failures-*")
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert list(store.failures()) == [failure(0)]
    file.write_bytes(b"{\n" + whole)
    with pytest.raises(StoreError, match=file.name):
        list(store.failures())


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
        with pytest.raises(StoreError, match=r"another process is writing to .*; wait for it or give another --out"):
            write(store, episode(9))
        writer.episode(episode(0))
    write(store, episode(1))
    assert identities(store) == ["id-0000", "id-0001"]


def test_a_second_process_is_refused_until_the_first_is_dead(store):
    code = (
        "import sys; from valueagents.running.store import RunStore\n"
        "with RunStore.open(sys.argv[1]).writing():\n    print('mine', flush=True)\n    sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code, store.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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
    same = msgspec.structs.replace(HEADER, policy="random?", env_options={"data": "elsewhere.jsonl"})
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
    with pytest.raises(ConfigError, match=rf"'{out}' holds another run: {words}; give another --out"):
        RunStore.create(out, msgspec.structs.replace(HEADER, **change))


POLE = Factor("pole", "For or against.", ("affirm", "oppose"))


def test_a_header_keeps_the_declarations_of_its_env(out):
    header = msgspec.structs.replace(HEADER, factors=(Factor("item", "Which item."), POLE))
    assert RunStore.create(out, header).header == RunStore.open(out).header == header


def test_a_run_whose_env_declares_other_factors_is_another_run(out):
    RunStore.create(out, msgspec.structs.replace(HEADER, factors=(POLE,)))
    with pytest.raises(ConfigError, match=rf"'{out}' holds another run: its list of factors is pole, not none; give"):
        RunStore.create(out, HEADER)
    with pytest.raises(ConfigError, match="its list of factors is pole, not item, pole"):
        RunStore.create(out, msgspec.structs.replace(HEADER, factors=(Factor("item", "Which item."), POLE)))


def test_a_run_that_declared_no_factors_goes_on_with_an_env_that_now_does(out, store):
    write(store, episode(0))
    assert identities(RunStore.create(out, msgspec.structs.replace(HEADER, factors=(POLE,)))) == ["id-0000"]


def test_a_folder_of_other_things_is_not_made_a_run(out):
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match=rf"'{out}' exists and is not a run directory; give another --out"):
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
    with pytest.raises(StoreError, match=rf"'{out}' is not a run directory \(it has no run\.json\); make one with `va"):
        RunStore.open(out)


def test_a_run_of_another_schema_names_both_numbers(out, store):
    fields = json.loads((out / "run.json").read_text())
    fields |= {"schema": SCHEMA + 1, "a new field": 1}
    (out / "run.json").write_text(json.dumps(fields))
    words = rf"run\.json has schema {SCHEMA + 1}, this version reads {SCHEMA}; use the version that wrote it"
    with pytest.raises(StoreError, match=words):
        RunStore.open(out)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"schema": 1}', b'"\xff"'])
def test_a_damaged_run_json_is_a_store_error_that_names_it(out, store, content):
    (out / "run.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"run\.json"):
        RunStore.open(out)


def test_a_run_json_with_an_impossible_taxonomy_is_one_of_our_errors(out, store):
    fields = json.loads((out / "run.json").read_text())
    fields["taxonomy"]["axes"][1]["id"] = "death"
    (out / "run.json").write_text(json.dumps(fields))
    with pytest.raises(ValueAgentsError, match="names an axis twice"):
        RunStore.open(out)


def test_an_atomic_write_replaces_the_whole_file_and_leaves_no_draft(tmp_path):
    file = tmp_path / "run.json"
    write_atomically(file, b"one")
    write_atomically(file, b"two and more")
    assert file.read_bytes() == b"two and more"
    assert list(tmp_path.iterdir()) == [file]


def test_a_draft_that_a_kill_left_behind_does_not_stop_the_run(out, monkeypatch):
    def killed_here(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", killed_here)
        with pytest.raises(KeyboardInterrupt):
            RunStore.create(out, HEADER)
    assert len(list(out.iterdir())) == 1
    assert RunStore.create(out, HEADER).header == HEADER
