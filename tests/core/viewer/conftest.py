"""Folders that the pages show."""

import pytest

from valueagents.running.pool import freeze_pool
from viewed import DILEMMAS, GAME, HOSTILE, REPLAY, file_name, hostile_run, play


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Two policies on dilemmas, on the choice game and on a pool."""
    base = tmp_path_factory.mktemp("shown")
    play(base / "random", DILEMMAS, "random", 120)
    play(base / "caring", DILEMMAS, "known:BEC=3", 120)
    played = play(base / "game" / "random", GAME, "random", 4)
    play(base / "game" / "first", GAME, "first", 4)
    pool = freeze_pool(base / "pool", [played], decisions=10, seed=0)
    play(base / "pool" / "random", REPLAY, "random", 10, pool=str(pool))
    play(base / "pool" / "first", REPLAY, "first", 10, pool=str(pool))
    return base


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("hostile")
    hostile_run(base / file_name(HOSTILE) / "one", "p", 0)
    hostile_run(base / file_name(HOSTILE) / "two", "q", 1)
    (base / f"broken{file_name(HOSTILE)}").mkdir()
    (base / f"broken{file_name(HOSTILE)}" / "run.json").write_text(HOSTILE)
    study = '{"format": "valueagents-study 2", "answer": "<script>document.title=2</script>"}'
    (base / "study.json").write_text(study)
    return base
