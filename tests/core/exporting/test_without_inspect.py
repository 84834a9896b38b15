"""Where Inspect is not installed, its logs are an error that says which extra to install."""

import sys

import pytest

from valueagents.errors import ConfigError
from valueagents.exporting.inspect_log import export_inspect
from valueagents.measuring.scores import score
from viewed import DILEMMAS, play


def test_writing_and_reading_a_log_name_the_extra_and_an_environment_of_its_own(
    monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    run = play(tmp_path / "run", DILEMMAS, "random", 3)
    log = tmp_path / "run.eval"
    wanted = r"'valueagents\[inspect\]', in an environment of its own"
    with pytest.raises(ConfigError, match=wanted):
        export_inspect(run, log)
    assert not log.exists()
    log.write_bytes(b"PK")
    with pytest.raises(ConfigError, match=wanted):
        score(log)
