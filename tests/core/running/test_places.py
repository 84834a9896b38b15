"""Single episodes, read from where they stand."""

from pathlib import Path

import pytest

from valueagents.running import places
from valueagents.running.execution import RunConfig, execute
from valueagents.running.places import EpisodePlaces
from valueagents.running.records import identity_of_line


def played(path: Path, episodes: int):
    config = RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=episodes)
    return execute(config, path).store


def test_lines_are_looked_through_only_until_the_episode_is_met_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = played(tmp_path / "run", 40)
    written = {episode.identity: episode for episode in store.episodes()}
    read = []

    def counted(line: bytes) -> str | None:
        read.append(line)
        return identity_of_line(line)

    monkeypatch.setattr(places, "identity_of_line", counted)
    found, names = EpisodePlaces(store, str), list(written)
    for name, looked_through in ((names[3], 4), (names[0], 4), (names[20], 21), (names[39], 40)):
        assert found.find(name) == written[name]
        assert len(read) == looked_through
    assert found.find("nobody") is None
    assert all(found.find(name) == episode for name, episode in written.items())
    assert len(read) == 40


def test_an_episode_that_was_written_after_a_look_is_found(tmp_path: Path):
    store = played(tmp_path / "run", 10)
    found = EpisodePlaces(store, str)
    first = next(iter(store.episodes())).identity
    assert found.find(first) is not None
    later = [episode.identity for episode in played(tmp_path / "run", 30).episodes()]
    assert all(found.find(name).identity == name for name in later)
