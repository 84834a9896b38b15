"""What is filtered by is the same however it was read: from the table, from the lines, in parts."""

import msgspec
import numpy as np
import pytest

from two_axes import MINUS, PLUS, decision, made_run
from valueagents.contracts.decision import Choice
from valueagents.running.runs import Run
from valueagents.running.store import RunStore
from valueagents.viewer.filters import Filters, matching
from valueagents.viewer.index import (
    CHOSEN_SERVES,
    CHOSEN_VIOLATES,
    REFUSED_SERVES,
    REFUSED_VIOLATES,
    LiveIndex,
)
from valueagents.viewer.shelf import Shelf, address_name
from viewed import DILEMMAS, GAME, play

ARRAYS = ("episode", "step", "p", "refused", "sides", "first", "repetition")
LISTS = ("chosen", "identity", "situation", "outcome")


def same(first, second):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), name)
    for name in LISTS:
        assert getattr(first, name).to_pylist() == getattr(second, name).to_pylist(), name
    readings = [np.array(each.readings)[each.reading_code].tolist() for each in (first, second)]
    assert readings[0] == readings[1]


def without_table(run):
    """The run as one that goes on: no table, no end."""
    for name in ("decisions.parquet", "decisions.json", "sessions.jsonl"):
        (run.path / name).unlink()
    return RunStore.open(run.path)


@pytest.mark.parametrize("env", [DILEMMAS, GAME])
def test_the_index_of_the_lines_is_that_of_the_table(tmp_path, env):
    run = play(tmp_path / "a", env, "random", 5)
    tabled = LiveIndex(run.store).now()
    assert tabled.episodes == 5
    assert tabled.decisions == run.decisions(["step"]).num_rows
    store = without_table(run)
    same(tabled, LiveIndex(store).now())
    assert not (run.path / "decisions.parquet").exists()  # looking writes nothing while it goes on


def test_an_index_holds_what_the_episodes_say(tmp_path):
    run = play(tmp_path / "a", GAME, "known:BEC=2", 3)
    index, episodes = LiveIndex(run.store).now(), list(run.store.episodes())
    told = [each for episode in episodes for each in episode.decisions]
    assert index.identity.to_pylist() == [episode.identity for episode in episodes]
    assert index.chosen.to_pylist() == [each.choice.option for each in told]
    assert [index.length(k) for k in range(3)] == [len(episode.decisions) for episode in episodes]
    expected = [each.choice.probabilities[each.chosen] for each in told]
    np.testing.assert_allclose(index.p, expected)


def test_sides_say_what_the_option_chosen_does_and_what_another_would_have_done(tmp_path):
    both = {"A": 0.5, "B": -1.0}
    run = made_run(
        tmp_path / "a",
        [
            decision("0", [PLUS, MINUS], 0),
            decision("1", [PLUS, PLUS, both], 2),
            decision("2", [PLUS, PLUS], None),
            decision("3", [{}, {"A": None}], 0),
        ],
    )
    index = LiveIndex(run.store).now()
    assert index.axes == ("A", "B")
    assert index.sides.tolist() == [
        [CHOSEN_SERVES | REFUSED_VIOLATES, 0],
        [CHOSEN_SERVES | REFUSED_SERVES, CHOSEN_VIOLATES],
        [0, 0],
        [0, 0],
    ]


def test_episodes_that_come_later_are_added_and_no_line_is_read_twice(tmp_path, monkeypatch):
    played = play(tmp_path / "a", DILEMMAS, "random", 6)
    episodes = list(played.store.episodes())
    store = RunStore.create(tmp_path / "b", played.header)
    live = LiveIndex(store)
    assert (live.now().episodes, live.now().decisions) == (0, 0)
    read = []
    monkeypatch.setattr(
        "valueagents.viewer.index.episode_of_line",
        lambda line, header: read.append(line) or msgspec.json.decode(line, type=type(episodes[0])),
    )
    with store.writing() as writer:
        for count, episode in enumerate(episodes, 1):
            writer.episode(episode)
            assert live.now().episodes == count
    assert len(read) == 6
    monkeypatch.undo()
    same(live.now(), LiveIndex(Run(played.path).store).now())


def test_a_run_that_goes_on_again_is_read_from_its_table_and_the_new_lines(tmp_path, monkeypatch):
    run = play(tmp_path / "a", DILEMMAS, "random", 8)
    with run.store.writing() as writer:
        writer.session({"start": "now", "planned": 9, "stored": 8, "owed": 1})
        writer.episode(msgspec.structs.replace(run.episodes()[0], identity="later"))
        writer.episode(run.episodes()[1])  # is there already
        read = []
        monkeypatch.setattr(
            "valueagents.viewer.index.decision_rows",
            lambda header, episode: read.append(episode.identity) or [],
        )
        LiveIndex(run.store).now()
        monkeypatch.undo()
        index = LiveIndex(run.store).now()
    assert read == ["later"]
    assert index.episodes == 9
    assert index.identity[8].as_py() == "later"


def test_a_run_that_is_made_anew_in_the_same_folder_is_read_anew(tmp_path):
    run = play(tmp_path / "a", DILEMMAS, "random", 8)
    live = LiveIndex(run.store)
    assert live.now().episodes == 8
    for file in run.path.iterdir():
        file.unlink()
    play(tmp_path / "a", DILEMMAS, "random", 3)
    assert live.now().episodes == 3


def test_a_damaged_table_of_a_run_that_goes_on_is_left_aside(tmp_path):
    run = play(tmp_path / "a", DILEMMAS, "random", 8)
    (run.path / "sessions.jsonl").unlink()
    content = (run.path / "decisions.parquet").read_bytes()
    (run.path / "decisions.parquet").write_bytes(content[:100])
    assert LiveIndex(run.store).now().episodes == 8


def test_filters_leave_what_the_decisions_say(tmp_path):
    run = play(tmp_path / "a", DILEMMAS, "random", 60)
    index = LiveIndex(run.store).now()
    told = [(e, d) for e in run.store.episodes() for d in e.decisions]

    def left(**fields):
        rows = matching(index, Filters.of(fields)).tolist()
        return [told[row] for row in rows]

    def x(d, k):
        return d.annotation.values[k].get("BEC") or 0

    def others(d):
        return [x(d, k) for k in range(len(d.menu)) if k != d.chosen]

    expected = {
        "chosen-serves": lambda d: x(d, d.chosen) > 0,
        "chosen-violates": lambda d: x(d, d.chosen) < 0,
        "refused-serves": lambda d: any(each > 0 for each in others(d)),
        "refused-violates": lambda d: any(each < 0 for each in others(d)),
        "": lambda d: any(x(d, k) for k in range(len(d.menu))),
    }
    for side, holds in expected.items():
        found = left(value="BEC", side=side)
        assert found == [(e, d) for e, d in told if holds(d)], side
        assert 0 < len(found) < 60, side
    low = left(p_from="0.3", p_to="0.4")
    assert low == [(e, d) for e, d in told if 0.3 <= d.choice.probabilities[d.chosen] <= 0.4]
    assert 0 < len(low) < 60
    name = told[7][0].situation
    assert {e.situation for e, _ in left(find=name)} == {name}
    assert left(find=told[7][0].identity) == [told[7]]
    assert left(reading="parsed") == []
    assert len(left(reading="drawn", status="terminated")) == 60
    assert left(status="truncated") == []
    assert left(value="nothing") == []


def test_an_answer_that_names_no_option_and_one_that_the_env_refused_are_told_apart(tmp_path):
    unread = decision("0", [PLUS, MINUS], None)
    refused = msgspec.structs.replace(decision("1", [PLUS, MINUS], 0), invalid="not now")
    none = msgspec.structs.replace(unread, choice=Choice(None, "abstained"), observation="2")
    run = made_run(tmp_path / "a", [unread, refused, none])
    index = LiveIndex(run.store).now()
    assert matching(index, Filters(status="unread")).tolist() == [0, 2]
    assert matching(index, Filters(status="refused")).tolist() == [1]
    assert matching(index, Filters(reading="abstained")).tolist() == [2]
    assert np.isnan(index.p).all()


def test_names_in_addresses_are_plain_and_distinct():
    for identity in ("", "..", "a/b", "<script>", "x" * 65, "\u202e", "a b"):
        assert len(address_name(identity)) == 32
        assert address_name(identity).isalnum()
    assert address_name("0a" * 16) == "0a" * 16


def test_of_many_runs_only_the_last_are_kept_in_memory(tmp_path, monkeypatch):
    for name in "abc":
        play(tmp_path / name, DILEMMAS, "random", 10, seed=ord(name))
    shelf = Shelf(tmp_path)
    monkeypatch.setattr("valueagents.viewer.shelf.KEPT_DECISIONS", 20)
    known = {run.path: run.key for run in shelf.known()}
    first = shelf.run(known["a"])
    for name in "abc":
        shelf.run(known[name])
        shelf.make_room()
    assert shelf.run(known["c"]) is shelf.run(known["c"])
    assert shelf.run(known["a"]) is not first
