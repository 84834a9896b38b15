"""From runs to a study's contrasts: alignment, balance of wordings, what is left out."""

import itertools

import numpy as np
import pytest

from valueagents.contracts.decision import Factor
from valueagents.errors import ConfigError
from valueagents.measuring.studies.study_contrasts import followed, primary, study_contrasts
from valueagents.measuring.studies.study_shifts import study_shifts
from valueagents.taxonomy import load_taxonomy

AXES = load_taxonomy("schwartz20").axis_ids
TARGETS = AXES[:3]
SURVEY = (
    Factor("item", "The pair of statements."),
    Factor("pole", "Its wording.", ("affirm", "oppose")),
)


def exactly(value):
    return pytest.approx(value, abs=1e-12, rel=1e-12)


def softmax(x):
    odds = np.exp(np.array(x))
    return tuple((odds / odds.sum()).tolist())


def dilemmas(weights, *, habit=0.0, noise=None, items=36):
    """Two options an item, for and against one of three values, by turns."""
    rows = []
    for n in range(items):
        values = [
            {axis: turn * float(axis == AXES[n % 3]) for axis in AXES} for turn in (1.0, -1.0)
        ]
        utility = sum(w * values[0][axis] for axis, w in weights.items()) + habit
        utility += 0.0 if noise is None else float(noise[n])
        options = dict(zip("ab", values, strict=True))
        rows.append((f"s{n}", f"c{n}", options, softmax([utility, 0.0]), {}))
    return rows


def survey(towards, agrees, *, pairs=30):
    """Both wordings of statements on three values; `towards` in logits of x, `agrees` of rating."""
    rows = []
    for n, pole in itertools.product(range(pairs), ("affirm", "oppose")):
        axis = AXES[n % 3]
        turn = 1 if pole == "affirm" else -1
        ratings = np.arange(1, 7)
        x = turn * (ratings - 3.5) / 2.5
        utility = x * towards.get(axis, 0.0) + agrees * ratings + 0.01 * n * x
        options = {
            str(r): {a: float(each) if a == axis else None for a in AXES}
            for r, each in zip(ratings, x, strict=True)
        }
        factors = {"item": f"p{n}", "pole": pole}
        rows.append((f"{n}/{pole}", f"p{n}", options, softmax(utility), {"factors": factors}))
    return rows


@pytest.fixture
def made(tmp_path, run_of):
    """Writes rows as the run of a policy of that name."""

    def make(name, rows, **settings):
        return run_of(tmp_path / name, rows, policy=name, **settings)

    return make


def mover(axis, weight):
    return {axis: -weight}


def of_dilemmas(made, *, seeds=3, weight=0.5, name="", min_contested=1):
    rng = np.random.default_rng(len(name))

    def run(label, weights, habit=0.0):
        rows = dilemmas(weights, habit=habit, noise=rng.normal(0, 0.1, 36))
        return made(name + label, rows, min_contested=min_contested)

    adapters = [
        [run(f"{t}-{s}", mover(t, weight), rng.normal()) for s in range(seeds)] for t in TARGETS
    ]
    return adapters, [run(f"control-{s}", {}) for s in range(seeds)]


def test_the_shifts_are_adapter_minus_the_control_of_its_seed_towards_what_was_trained(made):
    adapters, controls = of_dilemmas(made)
    down = study_shifts(adapters, controls, direction="down")
    assert down.cells.shape == (3, 3, 36, 20)
    item = int(down.contested[0])
    assert item == 12
    mine = adapters[1][2].decisions(["shown", "probabilities"])
    theirs = controls[2].decisions(["shown", "probabilities"])
    chance = {
        name: {
            shown: p[0] - p[1]
            for shown, p in zip(
                table["shown"].to_pylist(), table["probabilities"].to_pylist(), strict=True
            )
        }
        for name, table in (("mine", mine), ("theirs", theirs))
    }
    on_second = [shown for n, shown in enumerate(mine["shown"].to_pylist()) if n % 3 == 1]
    expected = -np.mean([chance["mine"][each] - chance["theirs"][each] for each in on_second])
    assert np.nanmean(down.cells[1, 2, :, 1]) == exactly(expected)
    up = study_shifts(adapters, controls, direction="up")
    assert np.nansum(up.cells + down.cells) == exactly(0)
    assert down.span[:3].tolist() == [2.0, 2.0, 2.0]


def test_targets_that_moved_have_a_contrast_and_habits_none(made):
    shifts = study_shifts(*of_dilemmas(made), direction="down")
    found = study_contrasts(shifts, TARGETS, direction="down")
    assert found.these_values.estimate.low > 0.1
    assert found.these_values.p < 0.05
    assert found.in_general.estimate.value == exactly(found.these_values.estimate.value)
    assert [each.target for each in found.by_target] == list(TARGETS)
    assert all(each.contrast.estimate.value > 0.1 for each in found.by_target)
    assert found.floor.value > 0
    idle = study_shifts(*of_dilemmas(made, weight=0.0, name="idle "), direction="down")
    assert study_contrasts(idle, TARGETS, direction="down").these_values.p > 0.05


def test_two_targets_have_a_contrast_together_and_one_needs_a_placebo(made):
    adapters, controls = of_dilemmas(made)
    two = study_shifts(adapters[:2], controls, direction="down")
    found = study_contrasts(two, TARGETS[:2], direction="down")
    assert found.these_values.p is not None
    assert "needs three" in found.by_target[0].contrast.estimate.reason
    one = study_shifts(adapters[:1], controls, direction="down")
    alone = study_contrasts(one, TARGETS[:1], direction="down")
    assert alone.these_values.estimate.value is None
    assert "placebo" in alone.these_values.estimate.reason
    beside = study_shifts([adapters[0], adapters[1]], controls, direction="down")
    held = study_contrasts(beside, TARGETS[:1], direction="down", placebos=True)
    assert held.these_values.estimate.value > 0.1


def test_a_target_with_too_few_contested_items_is_left_out_and_named(made):
    shifts = study_shifts(*of_dilemmas(made, min_contested=20), direction="down")
    found = study_contrasts(shifts, TARGETS, direction="down")
    assert set(found.left_out) == set(TARGETS)
    assert "12 contested items, 20 needed" in found.left_out[TARGETS[0]]
    assert found.these_values.estimate.value is None


def of_survey(made, *, towards, agrees, seeds=2):
    rng = np.random.default_rng(3)

    def run(label, weights, extra):
        return made(label, survey(weights, extra + rng.normal(0, 0.01)), factors=SURVEY)

    adapters = [
        [run(f"survey {t}-{s}", {t: -towards}, agrees) for s in range(seeds)] for t in TARGETS
    ]
    return adapters, [run(f"survey control-{s}", {}, 0.0) for s in range(seeds)]


def test_a_habit_of_low_ratings_is_acquiescence_and_not_a_drop(made):
    shifts = study_shifts(*of_survey(made, towards=0.0, agrees=-0.4), direction="down")
    assert shifts.unit == "statement pair"
    assert shifts.cells.shape[2] == 30
    found = study_contrasts(shifts, TARGETS, direction="down")
    assert abs(found.mean_shift.estimate.value) < 0.02
    assert found.acquiescence.estimate.value > 0.2


def test_a_value_that_moved_is_a_drop_and_no_acquiescence(made):
    shifts = study_shifts(*of_survey(made, towards=0.6, agrees=0.0), direction="down")
    found = study_contrasts(shifts, TARGETS, direction="down")
    assert found.mean_shift.estimate.low > 0.1
    assert abs(found.acquiescence.estimate.value) < 0.02


def test_a_ratio_is_given_only_where_the_drop_is_clear_of_0(made):
    behaviour = study_shifts(*of_dilemmas(made, seeds=2), direction="down")
    moved = study_shifts(*of_survey(made, towards=0.6, agrees=0.0), direction="down")
    drop = study_contrasts(moved, TARGETS, direction="down").mean_shift
    ratio = followed(behaviour, moved, TARGETS, drop)
    shares = [primary(each, TARGETS, shares=True).value for each in (behaviour, moved)]
    assert ratio.value == exactly(shares[0] / shares[1])
    assert ratio.low < ratio.value < ratio.high
    assert primary(moved, TARGETS).value == exactly(2 * shares[1])
    unclear = study_contrasts(behaviour, TARGETS, direction="up").acquiescence
    assert unclear is None
    none = followed(
        behaviour, moved, TARGETS, study_contrasts(moved, (), direction="up").in_general
    )
    assert "not clear of 0" in none.reason


def test_every_seed_needs_its_control(made):
    adapters, controls = of_dilemmas(made, seeds=2)
    with pytest.raises(ConfigError, match="one control for each seed"):
        study_shifts(adapters, controls[:1], direction="down")


def test_only_what_was_held_out_counts_where_it_is_named(made):
    adapters, controls = of_dilemmas(made)
    whole = study_shifts(adapters, controls, direction="down")
    shown = controls[0].decisions(["shown"])["shown"].to_pylist()
    part = study_shifts(adapters, controls, direction="down", only=frozenset(shown[:9]))
    assert part.cells.shape[2] == 9
    assert part.contested[:3].tolist() == [3, 3, 3]
    every = study_shifts(adapters, controls, direction="down", only=frozenset(shown))
    assert np.array_equal(every.cells, whole.cells, equal_nan=True)
    with pytest.raises(ConfigError, match="held out"):
        study_shifts(adapters, controls, direction="down", only=frozenset({"nowhere"}))
