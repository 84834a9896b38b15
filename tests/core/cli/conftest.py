"""The command line as a function of its words."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from valueagents.cli import main


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def valueagents(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Runs a command in this process: `valueagents("score", path)`."""

    def call(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["valueagents", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    return call
