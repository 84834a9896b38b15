"""The second annotations of the bundled games: whole, in known values, and as their pages say."""

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


def test_the_authors_marks_are_those_that_the_game_itself_reads():
    marks = choice_game_marks()
    assert marks["june:7"].keys() <= set(AXES)
    counted = sum(sign > 0 for given in marks.values() for sign in given.values())
    assert counted == 530  # the sum of the page's column +
