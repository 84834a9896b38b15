"""Letters among the most probable tokens that a server shows: never off by more than is said."""

import asyncio
import math
from typing import Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valueagents.contracts.decision import Option
from valueagents.contracts.policy import View
from valueagents.errors import PolicyError
from valueagents.policies.engines import (
    Engine,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
    TopReply,
    TopRequest,
)
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import LabelReading, Question, TopReading
from valueagents.policies.readings.top import find_letters

PROMPT = load_prompt("choose-1")
LETTERS = "ABCDEF"
OTHERS = ("The", "I", " A", "Answer", "**", "\n", "a", "B.", "option", "None")


class Truncated(Engine):
    """A model of which all first tokens are known, and which shows the most probable ones."""

    can, live = frozenset({"score", "top"}), 1

    def __init__(self, rows: list[dict[str, float]]) -> None:
        self.rows = rows

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def identity(self) -> dict[str, str]:
        return {"engine": "truncated"}

    async def score(self, request: ScoreRequest) -> ScoreReply:
        rows = self.rows[: len(request.chats)]
        logprobs = [[row.get(text, -math.inf) for text in request.continuations] for row in rows]
        return ScoreReply(tuple(map(tuple, logprobs)), (1,) * len(request.continuations), 9, 0)

    async def top(self, request: TopRequest) -> TopReply:
        rows = self.rows[: len(request.chats)]
        shown = [sorted(row.items(), key=lambda each: -each[1])[: request.count] for row in rows]
        return TopReply(tuple(map(tuple, shown)), 9, 4)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        raise NotImplementedError


def view(count: int, **fields: object) -> View:
    menu = tuple(Option(f"id{k}", f"Do {k}.") for k in range(count))
    return View("Decide.", (), "It rains.", menu, 0, **fields)


def choose(reading, engine: Engine, count: int, **fields: object):
    return asyncio.run(reading.choose(engine, Question(view(count, **fields), PROMPT)))


@st.composite
def models(draw) -> tuple[int, list[dict[str, float]]]:
    """How many options, and for each listing the log-probabilities of letters and other tokens."""
    count = draw(st.integers(2, 6))
    rows = []
    for _ in range(count):
        tokens = [*LETTERS[:count], *OTHERS]
        odds = np.exp([draw(st.floats(-9, 4)) for _ in tokens])
        rows.append(dict(zip(tokens, np.log(odds / odds.sum()).tolist(), strict=True)))
    return count, rows


@settings(max_examples=150, deadline=None)
@given(model=models(), shown=st.integers(1, 16))
def test_what_is_read_from_the_tokens_shown_is_within_the_bound_of_the_full_reading(model, shown):
    count, rows = model
    if any(row[" A"] > row["A"] for row in rows):
        return  # the letters after a space are other answers than those that `label` reads
    full = choose(LabelReading(), Truncated(rows), count)
    read = choose(TopReading(TopReading.Options(count=shown)), Truncated(rows), count)
    if read.probabilities is None:
        assert (read.reading, read.option) == ("failed", None)
        return
    apart = 0.5 * np.abs(np.subtract(full.probabilities, read.probabilities)).sum()
    assert apart <= read.unseen + 1e-9
    assert read.mass <= full.mass + 1e-9


def test_all_letters_shown_is_the_full_reading_and_nothing_is_unseen():
    rows = [{"A": math.log(0.5), "B": math.log(0.3), "x": math.log(0.2)}] * 2
    full, read = (choose(reading, Truncated(rows), 2) for reading in (LabelReading(), TopReading()))
    assert read.unseen == 0
    assert (read.probabilities, read.mass, read.option) == (
        full.probabilities,
        full.mass,
        full.option,
    )
    assert read.position_probabilities == full.position_probabilities
    assert (read.prompt_tokens, read.cached_tokens) == (9, 4)


def test_a_missing_letter_is_bounded_by_the_last_token_shown_and_by_what_is_left():
    by_last = find_letters([("A", math.log(0.6)), ("x", math.log(0.1))], "ABC")
    assert by_last.off_by(3) == pytest.approx(0.2 / 0.8)  # two letters of at most 0.1 each
    by_rest = find_letters([("A", math.log(0.6)), ("x", math.log(0.35))], "ABC")
    assert by_rest.off_by(3) == pytest.approx(0.05 / 0.65)  # 0.05 is left for all others


def test_letters_are_taken_in_the_one_form_that_most_of_them_have():
    top = [
        (" A", math.log(0.5)),
        (" B", math.log(0.3)),
        ("A", math.log(0.1)),
        ("b", math.log(0.05)),
    ]
    assert find_letters(top, "AB").p == pytest.approx((0.5, 0.3))


def test_a_listing_without_any_letter_makes_the_decision_unread_and_says_why():
    rows = [{"A": -0.1, "x": -3.0}, {"<think>": -0.01, "x": -5.0}]
    read = choose(TopReading(), Truncated(rows), 2)
    assert (read.option, read.reading, read.probabilities) == (None, "failed", None)
    assert read.parsed_by == "no letter among the most probable tokens"


def test_none_of_these_is_read_beside_the_menu():
    rows = [{"A": math.log(0.4), "B": math.log(0.2), "C": math.log(0.2), "x": math.log(0.2)}] * 2
    read = choose(TopReading(TopReading.Options(neither=True)), Truncated(rows), 2)
    assert read.neither == pytest.approx(0.25)
    assert sum(read.probabilities) == pytest.approx(1)


def test_the_identity_says_which_reading_it_was_and_how_many_tokens():
    told = TopReading(TopReading.Options(count=5)).identity()
    assert (told["reading"], told["count"], told["rotations"]) == ("top/1", "5", "all")


def test_free_text_is_refused():
    with pytest.raises(PolicyError, match="free text"):
        choose(TopReading(), Truncated([{"A": -1.0}]), 1, free_text=True)
