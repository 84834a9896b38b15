"""E8 against its definitions, in straight-line loops over random data."""

import math

import numpy as np
import pytest
from scipy import stats

from valueagents.measuring.estimators.intervention import intervention_metrics
from valueagents.taxonomy import load_taxonomy

VALUES = load_taxonomy("schwartz20")
AXES = VALUES.axis_ids


def exactly(value):
    return pytest.approx(value, abs=1e-12, rel=1e-12)


def drawn(rng, size):
    return tuple(rng.dirichlet(np.ones(size)).tolist())


def game_rows(rng, *, count=90):
    layout = np.random.default_rng(7)
    rows = []
    for n in range(count):
        options = {
            f"o{k}": {axis: float(layout.choice([-1, 0, 1])) for axis in AXES}
            for k in range(layout.integers(2, 5))
        }
        extra = {
            "reward": float(rng.normal()),
            "outcome": str(rng.choice(["terminated", "truncated"])),
        }
        extra["invalid"] = "no" if rng.random() < 0.2 else None
        rows.append((f"s{n}", f"c{n // 3}", options, drawn(rng, len(options)), extra))
    return rows


def straight_shifts(moved, kept):
    totals = {axis: [] for axis in AXES}
    for (_, _, options, mine, _), (_, _, _, theirs, _) in zip(moved, kept, strict=True):
        for axis in AXES:
            x = [values[axis] for values in options.values()]
            if len(set(x)) > 1:
                totals[axis].append(
                    math.fsum((a - b) * y for a, b, y in zip(mine, theirs, x, strict=True))
                )
    return {axis: math.fsum(each) / len(each) for axis, each in totals.items()}


def test_intervention_metrics_are_those_of_the_definitions(tmp_path, run_of):
    moved, kept = (game_rows(np.random.default_rng(seed)) for seed in (1, 2))
    runs = [run_of(tmp_path / name, rows) for name, rows in (("i", moved), ("c", kept))]
    target = ("POD", "POR")
    found = intervention_metrics(runs[0], runs[1], target, direction="down")
    shifts = straight_shifts(moved, kept)
    others = [axis for axis in AXES if axis not in target]
    shift = -(shifts["POD"] + shifts["POR"]) / 2
    drift = math.fsum(abs(shifts[axis]) for axis in others) / len(others)
    level = -math.fsum(shifts[axis] for axis in others) / len(others)
    assert found.target_shift.value == exactly(shift)
    assert found.contrast.value == exactly(shift - level)
    assert found.published_drift.value == exactly(drift)
    assert found.published_selectivity.value == exactly(shift - drift)
    angles = VALUES.angles
    middle = math.radians((angles["POD"] + angles["POR"]) / 2)
    on_circle = [axis for axis in others if axis in angles]
    cosines = [math.cos(math.radians(angles[axis]) - middle) for axis in on_circle]
    assert found.circle_slope.value == exactly(
        stats.linregress(cosines, [-shifts[axis] for axis in on_circle]).slope
    )
    rewards = [a[4]["reward"] - b[4]["reward"] for a, b in zip(moved, kept, strict=True)]
    assert found.competence.score.value == exactly(math.fsum(rewards) / len(rewards))
    completed = [
        sum(row[4]["outcome"] == "terminated" for row in rows) / len(rows) for rows in (moved, kept)
    ]
    assert found.competence.completion.value == exactly(completed[0] - completed[1])
    invalid = [
        sum(row[4]["invalid"] is not None for row in rows) / len(rows) for rows in (moved, kept)
    ]
    assert found.competence.invalid.value == exactly(invalid[0] - invalid[1])


def test_what_two_runs_cannot_tell_is_undefined(tmp_path, run_of):
    runs = [run_of(tmp_path / str(seed), game_rows(np.random.default_rng(seed))) for seed in (1, 2)]
    off = intervention_metrics(*runs, ("UNO",))
    assert off.circle_slope.value is None
    assert "circle" in off.circle_slope.reason
    unpaired = run_of(tmp_path / "3", game_rows(np.random.default_rng(3)), seed=9)
    assert "not paired" in intervention_metrics(runs[0], unpaired, ("BEC",)).competence.score.reason


def test_changes_of_competence_are_clustered_as_the_run_is(tmp_path, run_of):
    """The three posts of a cluster were refused together: thirty refusals are ten."""
    runs = []
    for k, refused in enumerate((range(30), range(0))):
        rows = [
            (s, c, o, a, {**e, "invalid": "no" if n in refused else None})
            for n, (s, c, o, a, e) in enumerate(game_rows(np.random.default_rng(k)))
        ]
        runs.append(run_of(tmp_path / str(k), rows))
    by_cluster = np.repeat([1.0, 0.0], [10, 20])
    found = intervention_metrics(*runs, ("BEC",)).competence.invalid
    half = stats.t.ppf(0.975, 29) * stats.sem(by_cluster)
    assert found.value == exactly(1 / 3)
    assert found.high - found.value == pytest.approx(half, rel=1e-9)


def test_a_target_that_is_contested_too_seldom_has_no_shift(tmp_path, run_of):
    rows = [game_rows(np.random.default_rng(seed)) for seed in (1, 2)]
    for run_rows in rows:  # of the target 19 contested decisions are left
        contested = [
            row for row in run_rows if len({values["BEC"] for values in row[2].values()}) > 1
        ]
        for _, _, options, *_ in contested[19:]:
            for values in options.values():
                values["BEC"] = 0.0
    runs = [run_of(tmp_path / str(i), each, min_contested=20) for i, each in enumerate(rows)]
    found = intervention_metrics(runs[0], runs[1], ("BEC",))
    for estimate in (found.target_shift, found.contrast, found.published_selectivity):
        assert estimate.value is None
        assert "19 contested situations shared" in estimate.reason
    assert found.published_drift.value is not None
    shifts = straight_shifts(rows[0], rows[1])
    others = intervention_metrics(runs[0], runs[1], ("POD",)).published_drift.value
    assert others == exactly(
        math.fsum(abs(shifts[a]) for a in AXES if a not in ("POD", "BEC")) / (len(AXES) - 2)
    )


def test_a_slope_that_lacks_values_does_not_blame_the_target(tmp_path, run_of):
    game = run_of(tmp_path / "game", game_rows(np.random.default_rng(1), count=9), min_contested=20)
    reason = intervention_metrics(game, game, ("BEC",)).circle_slope.reason
    assert reason == "too few other values on the circle have 20 shared contested situations"


def test_a_taxonomy_without_angles_has_no_slope_and_says_so(tmp_path, run_of):
    flat = load_taxonomy("mft5")
    rows = [
        (f"s{n}", f"c{n}", {"a": {"care": 1.0}, "b": {"loyalty": 1.0}}, p, {})
        for n, p in enumerate([(0.5, 0.5), (0.2, 0.8)] * 10)
    ]
    game = run_of(tmp_path / "game", rows, taxonomy=flat)
    found = intervention_metrics(game, game, ("care",))
    assert found.circle_slope.reason == "the axes of mft5/1 have no angles"
    assert found.target_shift.value == 0
