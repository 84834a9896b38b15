"""The second annotations of the bundled games: whole, in known values, and as their pages say."""

import re
from importlib.resources import files

import pytest

from valueagents.envs.stereotypes.files import bundled_probes, read_stereotypes
from valueagents.envs.stereotypes.languages import BUNDLED
from valueagents.experiments.validity.annotation_agreement import (
    choice_game_marks,
    game_signs,
    kappa,
    second_annotation,
    stereotype_places,
    stereotype_rows,
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


@pytest.mark.parametrize("language", BUNDLED)
def test_both_annotators_of_the_stereotype_questions_agree_as_the_page_says(language):
    page = files("valueagents.envs").joinpath("data", "stereotype_probes", "README.md").read_text()
    said = re.search(
        rf"\| {language} \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \| (\d+) \|", page
    )
    right, its_right, stereotyped, its_stereotyped = stereotype_places(language)
    rows = stereotype_rows(language).values()
    assert tuple(map(float, said.groups())) == pytest.approx(
        (
            (right == its_right).mean(),
            kappa(right, its_right),
            (stereotyped == its_stereotyped).mean(),
            kappa(stereotyped, its_stereotyped),
            sum(row["natural"] for row in rows) / len(rows),
            sum(row["reworded"] for row in rows),
        ),
        abs=0.0051,
    )


@pytest.mark.parametrize("language", BUNDLED)
def test_the_second_annotator_marked_every_stereotype_question_once(language):
    marked = [row for row in second_annotation("stereotype_probes") if row["language"] == language]
    probes = read_stereotypes((bundled_probes(language),)).probes
    assert [row["id"] for row in marked] == [probe.id for probe in probes]
    assert {row["answer"] for row in marked} == {row["stereotyped"] for row in marked} == {0, 1, 2}
