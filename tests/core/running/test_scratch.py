"""Temporary folders: gone with their owner, or with the next one that is made."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from valueagents.running import scratch
from valueagents.running.execution import RunConfig, execute
from valueagents.running.scratch import ScratchFolder

CODE = """
import os, signal
from valueagents.running.scratch import ScratchFolder
folder = ScratchFolder()
(folder.path / "file").write_text("x")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_a_closed_folder_is_gone_with_all_that_is_in_it(temporary: Path) -> None:
    folder = ScratchFolder()
    (folder.path / "file").write_text("x")
    assert folder.path.parent == temporary
    folder.close()
    assert list(temporary.iterdir()) == []
    folder.close()


def test_the_folder_of_a_killed_process_is_gone_when_the_next_is_made(temporary: Path) -> None:
    subprocess.run([sys.executable, "-c", CODE], check=False)
    (left,) = temporary.iterdir()
    folder = ScratchFolder()
    assert not left.exists()
    folder.close()


def test_the_folder_of_a_living_owner_and_folders_of_others_stay(temporary: Path) -> None:
    mine, other = ScratchFolder(), temporary / "valueagents-results"
    other.mkdir()
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    link = temporary / "valueagents-scratch-abcdefgh"
    link.symlink_to(elsewhere)
    ScratchFolder().close()
    assert mine.path.exists()
    assert other.exists()
    assert elsewhere.exists()
    mine.close()


def test_a_folder_that_another_process_removed_before_it_was_locked_is_made_again(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, mkdtemp = [], scratch.tempfile.mkdtemp

    def made_and_removed(prefix: str) -> str:
        made.append(mkdtemp(prefix=prefix))
        if len(made) == 1:
            os.rmdir(made[0])
        return made[-1]

    monkeypatch.setattr(scratch.tempfile, "mkdtemp", made_and_removed)
    folder = ScratchFolder()
    assert len(made) == 2
    assert folder.path.is_dir()
    folder.close()


def test_where_folders_cannot_be_locked_one_is_made_and_none_is_removed(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-c", CODE], check=False)

    def refuse(descriptor: int) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(scratch, "lock_descriptor", refuse)
    folder = ScratchFolder()
    assert len(list(temporary.iterdir())) == 2
    folder.close()


def test_a_run_that_has_nothing_left_to_play_removes_them_too(temporary: Path) -> None:
    config = RunConfig(env="valueagents/Dilemma-v0", policy="first", episodes=1)
    execute(config, temporary / "run")
    subprocess.run([sys.executable, "-c", CODE], check=False)
    assert len(list(temporary.iterdir())) == 2
    execute(config, temporary / "run")
    assert [path.name for path in temporary.iterdir()] == ["run"]


def test_no_other_module_makes_temporary_folders_that_a_kill_would_leave() -> None:
    root = Path(__file__).parents[3]
    plain = re.compile(r"TemporaryDirectory\(|mkdtemp\((?!dir=)")
    makers = {
        str(file.relative_to(root))
        for folder in ("valueagents", "envs", "policies", "experiments/studies")
        for file in (root / folder).rglob("*.py")
        if plain.search(file.read_text(encoding="utf-8"))
    }
    assert makers == {"valueagents/running/scratch.py"}
