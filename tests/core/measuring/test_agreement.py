"""Two readings of one policy: the share of equal choices and the difference of the scores."""

from pathlib import Path

import numpy as np
import pytest

from valueagents.errors import ConfigError
from valueagents.measuring.agreement import reading_agreement

OPTIONS = {"go": {"BEC": 1.0}, "stay": {"BEC": -1.0}, "ask": {"BEC": 0.0}}


def _rows(answers):
    return [(f"s{i}", f"s{i}", OPTIONS, answer, {}) for i, answer in enumerate(answers)]


@pytest.fixture
def compared(run_of, tmp_path: Path):
    def compare(first, second):
        runs = [
            run_of(tmp_path / name, _rows(rows)) for name, rows in (("a", first), ("b", second))
        ]
        return reading_agreement(*runs)

    return compare


def test_equal_choices_are_counted_where_both_answered(compared):
    likely = [(0.6, 0.3, 0.1), (0.2, 0.7, 0.1), (0.5, 0.4, 0.1), (0.1, 0.2, 0.7)]
    found = compared(likely, ["go", "stay", "stay", None])
    assert (found.situations, found.unread) == (3, (0, 1))
    assert found.equal.value == pytest.approx(2 / 3)
    assert found.by_chance == pytest.approx((2 / 3) * (1 / 3) + (1 / 3) * (2 / 3))


def test_the_difference_is_that_of_the_propensities_on_shared_situations(compared):
    found = compared([(0.6, 0.3, 0.1)] * 60, ["stay"] * 60)
    [care] = [axis for axis in found.axes if axis.axis == "BEC"]
    assert care.situations == 60
    assert care.difference.value == pytest.approx(0.3 + 1.0)
    [other] = [axis for axis in found.axes if axis.axis == "HED"]
    assert (other.situations, other.difference.value) == (0, None)


def test_one_reading_with_itself_agrees_wholly(compared):
    likely = [(0.6, 0.3, 0.1), (0.2, 0.7, 0.1)] * 30
    found = compared(likely, likely)
    assert found.equal.value == 1.0
    assert found.axes[14].difference.value in (0.0, None)
    assert max(abs(each.difference.value or 0.0) for each in found.axes) == 0.0


def test_independent_readings_agree_as_often_as_by_chance(compared):
    rng = np.random.default_rng(0)
    first, second = (rng.choice(list(OPTIONS), 300).tolist() for _ in range(2))
    found = compared(first, second)
    assert found.by_chance == pytest.approx(1 / 3, abs=0.02)
    assert found.equal.low < found.by_chance < found.equal.high


def test_runs_on_other_situations_are_refused(run_of, tmp_path: Path):
    one = run_of(tmp_path / "a", _rows(["go"]))
    other = run_of(tmp_path / "b", [("x", "x", OPTIONS, "go", {})])
    with pytest.raises(ConfigError, match="share no situation"):
        reading_agreement(one, other)
