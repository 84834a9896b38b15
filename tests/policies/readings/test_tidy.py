"""Tidy: what of a reply counts."""

import pytest

from valueagents.policies.readings.tidy import after_no, first_turn, tidy, without_thought


def test_what_is_said_after_a_thought_is_stripped():
    assert without_thought(" <think>a</think>\n open the door \n") == "open the door"
    assert without_thought("<think>a") is None


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ("B\n\nUser: and now?\nAssistant: A", "B"),
        ("Assistant: B\nHuman: A", "B"),
        ("B<|im_end|>\n<|im_start|>user\nA", "B"),
        ("Пользователь", "Пользователь"),
        ("B, as the user: a fair one", "B, as the user: a fair one"),
    ],
)
def test_only_the_first_turn_counts(said: str, first: str):
    assert first_turn(said).strip() == first


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("A... well, no. B", "B"),
        ("A... ach nein. B", "B"),
        ("A... quoique, avec la neige, non. B", "B"),
        ("A... anzi no, B", "B"),
        ("A... bueno, no. B", "B"),
        ("А... хотя нет. Б", "Б"),
        ("A. I take that back: B", "B"),
        ("A, no doubt", "A, no doubt"),
        ("Is A kind? No, B is", "Is A kind? No, B is"),
        ("NTA. NAH.", "NTA. NAH."),
    ],
)
def test_what_is_taken_back_is_left_out(said: str, left: str):
    assert tidy(said).strip(" ,.:!。") == left.strip(" ,.:!。")


@pytest.mark.parametrize(
    ("said", "rest"),
    [("A。不对,B", ",B"), ("A. No, B.", ", B."), ("A. No. B is a lie.", None), ("A, no, B", None)],
)
def test_what_follows_a_no_that_begins_a_sentence_is_found(said: str, rest: str | None):
    assert after_no(said) == rest


def test_stars_are_a_number_where_there_is_none():
    assert tidy("★★★★☆") == "4/5"
    assert tidy("4/5 ★★★★☆") == "4/5 ★★★★☆"
