"""Unread replies are counted by axis: they are not missing at random."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from two_axes import decision, made_run
from valueagents.cli.app import app
from valueagents.measuring.scores import score

ON_A = [{"A": 1.0}, {"A": -1.0}]
ON_B = [{"B": 1.0}, {"B": -1.0}]


def half_read(folder: Path):
    """Ten decisions on A of which three are unread, and six on B, all of them read."""
    decisions = [decision(k, ON_A, None if k < 3 else k % 2) for k in range(10)]
    decisions += [decision(k, ON_B, k % 2) for k in range(10, 16)]
    return made_run(folder, decisions)


def test_unread_replies_are_counted_on_the_axes_that_were_at_stake(tmp_path: Path):
    a, b = score(half_read(tmp_path / "run")).axes
    assert (a.contested, a.unread, a.unread_share) == (7, 3, pytest.approx(0.3))
    assert (b.contested, b.unread, b.unread_share) == (6, 0, 0.0)


def test_an_axis_that_was_never_at_stake_has_no_unread_share(tmp_path: Path):
    scores = score(made_run(tmp_path / "run", [decision(0, ON_A, 0)]))
    assert scores.axes[1].unread_share is None


def test_the_shares_are_printed_where_something_is_unread(tmp_path: Path):
    half_read(tmp_path / "half")
    printed = CliRunner().invoke(app, ["score", str(tmp_path / "half")]).stdout
    assert "unread by axis, of the decisions on which it was at stake: A 3 of 10 (30%)" in printed
    made_run(tmp_path / "whole", [decision(k, ON_A, k % 2) for k in range(4)])
    printed = CliRunner().invoke(app, ["score", str(tmp_path / "whole")]).stdout
    assert "unread by axis" not in printed
