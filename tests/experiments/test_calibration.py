"""A few replicates of the calibration table; `experiments/validity/calibration.py` prints the whole
one.
"""

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


def test_every_estimator_that_is_calibrated_has_its_rows(rows):
    ids = [each.id for each in calibration.calibrated()]
    assert ids == ["E2", "E3", "E3p", "E4", "E4p"]
    for name in (
        "correlation with the truth",
        "coverage",
        "two regions",
        "other weights seen (power)",
    ):
        assert [row for row in rows[0] if row.startswith(f"{name}, ")] == [
            f"{name}, {each}" for each in ids
        ]


def test_most_intervals_hold_the_truth(rows):
    for each in ("E2", "E3", "E3p", "E4"):
        assert mean(rows, f"coverage, {each}") >= 0.8, (
            each
        )  # 40 intervals of 95 %: fewer than 32 is a 0.02 % event


def test_other_weights_are_seen_more_often_than_two_regions_are(rows):
    for each in ("E3", "E3p", "E4"):
        assert mean(rows, f"other weights seen (power), {each}") > mean(
            rows, f"two regions, {each}"
        ), each


def test_e4_is_less_misled_by_what_was_on_offer_than_rates_are(rows):
    assert mean(rows, "two regions, E4") <= mean(rows, "two regions, E2")
    assert (
        mean(rows, "two regions, E4") <= 0.2
    )  # 40 axes at 5 %: more than 8 called is a 0.1 % event


def test_repeated_menus_need_both_ways_of_clustering(rows):
    both, alone = (
        mean(rows, f"repeated menus, E4 by episode {name}") for name in ("and menu", "alone")
    )
    assert both < alone
    assert both <= 0.2


def test_a_more_decisive_policy_is_seen_by_its_scale(rows):
    assert mean(rows, "1.5 times as decisive, scale seen") == 1.0
    assert mean(rows, "1.5 times as decisive, E4") <= 0.2


@pytest.mark.parametrize(
    ("env", "episodes", "least"),
    [
        ("Dilemma-v0", 2000, 0.97),
        ("Dilemma-v0 bank=dilemmas-2", 2000, 0.97),
        ("Judgement-v0", 2000, 0.95),
        ("Survey-v0", 2000, 0.94),
        ("ChoiceScript-v0", 10, 0.97),
    ],
)
def test_e4_finds_the_weights_on_the_menus_of_a_bundled_env(tmp_path, env, episodes, least):
    replicate = calibration.on_menus_of(f"valueagents/{env}", tmp_path, episodes)
    rows = [replicate(seed) for seed in range(REPLICATES)]
    assert mean(rows, "axes") == 20
    assert mean(rows, "correlation with the truth, E4") >= least
    assert (
        mean(rows, "coverage, E4") >= 0.8
    )  # 40 intervals of 95 %: fewer than 32 that cover is a 0.02 % event
    assert mean(rows, "two regions, E4") <= 0.2


def test_probabilities_tell_more_than_the_choices_drawn_from_them(tmp_path):
    replicate = calibration.on_menus_of("valueagents/Dilemma-v0", tmp_path, 192)
    rows = [replicate(seed) for seed in range(REPLICATES)]
    for name, better in (("correlation with the truth", 1), ("root mean square error", -1)):
        from_p, drawn = (mean(rows, f"appeal, {name}, {each}") for each in ("E4p", "E4"))
        assert better * from_p > better * drawn
    assert mean(rows, "appeal, correlation with the truth, E4p") >= 0.92  # 0.97 in 40 replicates


def _alive(process: str) -> bool:
    status = Path("/proc", process, "status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_killed_it_leaves_no_process_behind(tmp_path):
    command = [
        sys.executable,
        "-m",
        calibration.__name__,
        "--menus",
        "simulated",
        "--out",
        str(tmp_path),
    ]
    killed = subprocess.Popen(command)
    children: list[str] = []
    deadline = time.monotonic() + 120
    while (
        len(children) < 3 and time.monotonic() < deadline
    ):  # two workers, and what tracks their semaphores
        time.sleep(0.1)
        children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
    time.sleep(5)  # they import and begin
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(children) >= 3
    while any(map(_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_alive, children))
