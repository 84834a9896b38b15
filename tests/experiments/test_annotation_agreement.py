"""The second annotations of the bundled games: whole, in known values, and as their pages say."""

import re
from importlib.resources import files

import pytest

from valueagents.experiments.validity.annotation_agreement import (
    choice_game_marks,
    game_signs,
    kappa,
    second_annotation,
    story_marks,
)
from valueagents.taxonomy import load_taxonomy

AXES = load_taxonomy("schwartz20").axis_ids


@pytest.mark.parametrize(
    ("bank", "marks", "acts", "agreement"),
    [("choice_game", choice_game_marks, 541, 0.70), ("story", story_marks, 236, 0.90)],
)
def test_both_annotators_marked_every_act_and_agree_as_the_page_says(bank, marks, acts, agreement):
    first, rows = marks(), second_annotation(bank)
    assert len(first) == acts
    assert sorted(row["id"] for row in rows) == sorted(first)
    given = [pair for row in rows for pair in row["values"].items()]
    assert {axis for axis, _ in given} == set(AXES)
    assert {sign for _, sign in given} == {-1, 1}
    author, second = game_signs(AXES, first, bank)
    assert kappa(author.ravel(), second.ravel()) == pytest.approx(agreement, abs=0.005)
    assert not (author * second < 0).any()


def test_the_authors_marks_add_up_to_those_of_the_games_page():
    page = files("valueagents.envs").joinpath("data", "choice_game", "README.md").read_text()
    rows = re.findall(r"\| ([A-Z]{3}) \| \d+ \| (\d+) \| (\d+)", page)
    signs = [pair for given in choice_game_marks().values() for pair in given.items()]
    assert {axis: (signs.count((axis, 1)), signs.count((axis, -1))) for axis in AXES} == {
        axis: (int(served), int(against)) for axis, served, against in rows
    }
