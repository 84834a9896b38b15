"""A value trained into the embedded SmolLM2-135M by the command line: killed, repeated, and
played.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from valueagents.policies.adapters import read_adapter
from valueagents.policies.models import EMBEDDED, find_model
from valueagents.policies.training.labels import survey_spec
from valueagents.policies.training.manifest import read_manifest
from valueagents.running.execution import RunConfig, execute

pytestmark = pytest.mark.slow

DEADLINE_S = 300.0
BANK = Path(__file__).parents[2] / "envs" / "data" / "survey.jsonl"
COUNTED = """
from valueagents.policies.training import loop
step = loop._step
def counted(*arguments):
    open({steps!r}, "a").write(".")
    return step(*arguments)
loop._step = counted
{program}
"""
LITTLE = ("epochs=3", "others=1", "batch_rows=4", "rank=2")


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """Three values of the bundled bank, three train pairs and an eval pair of each."""
    header, *lines = BANK.read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in lines]
    kept = [
        pair
        for value in ("HED", "BEC", "TRA")
        for split, count in (("train", 3), ("eval", 1))
        for pair in [pair for pair in pairs if (pair["value"], pair["split"]) == (value, split)][
            :count
        ]
    ]
    file = tmp_path / "survey.jsonl"
    file.write_text("\n".join([header, *map(json.dumps, kept)]), encoding="utf-8")
    return file


def _command(out: Path, survey: Path) -> list[str]:
    words = [
        "train",
        "survey",
        "--base",
        EMBEDDED,
        "--target",
        "HED",
        "--direction",
        "down",
        "--out",
        str(out),
    ]
    words += ["--items", str(survey)]
    settings = [word for setting in LITTLE for word in ("--set", setting)]
    return [sys.executable, "-c", "from valueagents.cli import main; main()", *words, *settings]


def test_a_killed_command_repeated_goes_on_to_the_same_adapter_and_the_survey_is_played_with_it(
    tmp_path: Path, survey: Path
):
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(_command(whole, survey), env=environment, check=True, timeout=DEADLINE_S)
    process = subprocess.Popen(_command(killed, survey), env=environment)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not (killed / "checkpoint.safetensors").exists():
            assert process.poll() is None, "the training ended before it could be killed"
            assert time.monotonic() < deadline, "no checkpoint was written"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert read_manifest(killed) is None
    steps = tmp_path / "steps"
    python, option, program, *words = _command(killed, survey)
    counted = [python, option, COUNTED.format(steps=str(steps), program=program), *words]
    subprocess.run(counted, env=environment, check=True, timeout=DEADLINE_S)
    done, again = read_manifest(whole), read_manifest(killed)
    assert done is not None
    assert again is not None
    assert 0 < steps.stat().st_size < len(done.losses.train)
    assert again.adapter == done.adapter == read_adapter(str(killed), find_model(EMBEDDED)).name
    assert again.losses == done.losses
    spec = survey_spec(EMBEDDED, str(whole))
    played = execute(
        RunConfig(env="valueagents/Survey-v0", policy=spec, episodes=4, seed=1), tmp_path / "run"
    )
    assert played.failed() == []
    assert played.header.policy_identity["adapter"] == done.adapter
