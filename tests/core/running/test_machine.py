"""The sessions of a run say on which accelerators it was played."""

import os

import pytest

from valueagents.running.execution import RunConfig, execute
from valueagents.running.machine import accelerators, machine

H200 = "NVIDIA H200, 143771, 570.86.15"


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A driver's program that says what a test wants."""

    def says(script: str) -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        accelerators.cache_clear()

    yield says
    accelerators.cache_clear()


def test_a_run_says_which_accelerators_the_machine_has_and_which_it_might_use(
    driver, out, monkeypatch
):
    driver(f"echo '{H200}'; echo '{H200}'; echo 'NVIDIA L4, 23034, 570.86.15'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    run = execute(RunConfig(env="valueagents/Dilemma-v0", policy="first", episodes=2), out)
    start = run.store.sessions()[0]
    assert start["accelerators"] == [
        {"name": "NVIDIA H200", "memory_mib": 143771, "driver": "570.86.15", "count": 2},
        {"name": "NVIDIA L4", "memory_mib": 23034, "driver": "570.86.15", "count": 1},
    ]
    assert start["visible_accelerators"] == "0,1"
    assert start["processors"] == os.cpu_count()


@pytest.mark.parametrize(
    "script", ["exit 9", "echo 'No devices were found'", r"printf '\377'", "exec /none"]
)
def test_a_driver_that_fails_or_finds_nothing_is_no_accelerator(driver, script):
    driver(script)
    assert machine()["accelerators"] == []
