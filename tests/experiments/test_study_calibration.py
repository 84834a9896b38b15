"""A few replicates of the study's calibration; `experiments/validity/study_calibration.py` prints
the whole table.
"""

import numpy as np
import pytest

from valueagents.experiments.studies.simulated_study import Noise, simulate, weights_for
from valueagents.experiments.validity.study_calibration import (
    TARGETS,
    StudySetting,
    calibrate,
    dilemmas,
)

REPLICATES = 60
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def menus():
    return dilemmas(TARGETS[:4])


def test_a_study_without_effect_calls_little(menus):
    row = calibrate(StudySetting(4, 6, 0.5), menus, REPLICATES)
    # of 60 at 7 %, more than 10 are a 0.5 % event
    assert row["these values"] <= 10 / REPLICATES
    assert row["any, adjusted"] <= 10 / REPLICATES
    assert row["coverage"] >= 1 - 10 / REPLICATES


def test_a_target_that_does_not_move_is_not_called_for_those_that_do(menus):
    row = calibrate(StudySetting(4, 6, 0.5, 0.15, 3), menus, REPLICATES)
    assert row["any, adjusted"] <= 10 / REPLICATES
    assert row["a mover, adjusted"] >= 0.7
    assert row["these values"] >= 0.9


def test_items_alone_call_what_is_not_there_more_often(menus):
    strong = calibrate(StudySetting(4, 3, 0.0), menus, REPLICATES)
    assert strong["old: any"] > strong["any, adjusted"]


def test_an_effect_is_the_share_of_probability_that_moves(menus):
    weights = weights_for(menus, 0.05)
    rng, quiet = np.random.default_rng(1), Noise(training=0, position=0, all_values=0, strength=0)
    shifts = np.stack(
        [simulate(rng, menus, seeds=1, noise=quiet, weights=weights) for _ in range(40)]
    )
    for t in range(4):
        contested = menus.contested[:, t]
        own = shifts[:, t, 0, contested, t]
        assert 0.05 < own.mean() < 0.1  # two options, x = 1 and -1: twice the share
