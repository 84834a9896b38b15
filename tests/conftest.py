"""Fixtures that several rooms' tests share."""

from pathlib import Path

import pytest

from counting_engine import CountingEngine, installed
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run


@pytest.fixture(scope="session")
def random_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """2,000 random decisions on the bundled dilemmas."""
    config = RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=2000, seed=11)
    return execute(config, tmp_path_factory.mktemp("runs") / "random")


@pytest.fixture(scope="session")
def known_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """2,000 decisions of known weights (sd 0.6, seed 4) on the bundled dilemmas."""
    config = RunConfig(
        env="valueagents/Dilemma-v0", policy="known:normal?seed=4", episodes=2000, seed=11
    )
    return execute(config, tmp_path_factory.mktemp("runs") / "known")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that does not exist yet, for a run."""
    return tmp_path / "run"


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[CountingEngine]:
    """An engine that counts, installed as `counting`; nothing counted yet."""
    return installed(tmp_path / "site", monkeypatch)
