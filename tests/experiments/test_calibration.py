"""A few replicates of the calibration table; `experiments/validity/calibration.py` prints the whole one."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from valueagents.experiments.validity import calibration

REPLICATES = 2
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows():
    return [calibration.simulated(seed) for seed in range(REPLICATES)]


def mean(rows, name):
    return float(np.mean([row[name] for row in rows]))


def test_uniform_probabilities_have_no_propensity(rows):
    assert mean(rows, "E3p under uniform p, largest") <= 1e-12


def test_e4_finds_the_weights(rows):
    assert mean(rows, "correlation with the truth, E4") >= 0.98


def test_e4_is_less_misled_by_what_was_on_offer_than_rates_are(rows):
    assert mean(rows, "two regions, E4") <= mean(rows, "two regions, E2")
    assert mean(rows, "two regions, E4") <= 0.2  # 40 axes at 5 %: more than 8 called is a 0.1 % event


def test_repeated_menus_need_both_ways_of_clustering(rows):
    both, alone = (mean(rows, f"repeated menus, E4 by episode {name}") for name in ("and menu", "alone"))
    assert both < alone
    assert both <= 0.2


def test_a_more_decisive_policy_is_seen_by_its_scale(rows):
    assert mean(rows, "1.5 times as decisive, scale seen") == 1.0
    assert mean(rows, "1.5 times as decisive, E4") <= 0.2


@pytest.mark.parametrize(
    ("world", "episodes", "least"),
    [("Dilemma", 2000, 0.97), ("Judgement", 2000, 0.95), ("Survey", 2000, 0.94), ("ChoiceScript", 10, 0.97)],
)
def test_e4_finds_the_weights_on_the_menus_of_a_bundled_world(tmp_path, world, episodes, least):
    replicate = calibration.on_menus_of(f"valueagents/{world}-v0", tmp_path, episodes)
    rows = [replicate(seed) for seed in range(REPLICATES)]
    assert mean(rows, "axes") == 20
    assert mean(rows, "correlation with the truth, E4") >= least
    assert mean(rows, "coverage, E4") >= 0.8  # 40 intervals of 95 %: fewer than 32 that cover is a 0.02 % event
    assert mean(rows, "two regions, E4") <= 0.2


def _alive(process: str) -> bool:
    status = Path("/proc", process, "status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_killed_it_leaves_no_process_behind(tmp_path):
    command = [sys.executable, "-m", calibration.__name__, "--worlds", "simulated", "--out", str(tmp_path)]
    killed = subprocess.Popen(command)
    children: list[str] = []
    deadline = time.monotonic() + 120
    while len(children) < 3 and time.monotonic() < deadline:  # two workers, and what tracks their semaphores
        time.sleep(0.1)
        children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
    time.sleep(5)  # they import and begin
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(children) >= 3
    while any(map(_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_alive, children))
