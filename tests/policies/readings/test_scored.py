"""Reading a choice from probabilities: against straight-line sums, and against models whose likings
are known.
"""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valueagents.contracts.decision import Option
from valueagents.contracts.policy import View
from valueagents.errors import PolicyError
from valueagents.policies.engines import ScoreReply, ScoreRequest
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import LabelReading, LikelihoodReading, Reading
from valueagents.policies.readings.likelihood import fixed_part

PROMPT = load_prompt("choose-1")
LETTERS = "ABCDEFGH"
LIKING = st.floats(-8, 8)
quick = settings(max_examples=50, deadline=None)


@st.composite
def label_tables(draw: Callable) -> list[list[float]]:
    """(K, K) log-probabilities of K letters after K listings; what is left of each row's mass goes
    elsewhere.
    """
    count = draw(st.integers(1, 6))
    rows = []
    for _ in range(count):
        odds = [math.exp(draw(LIKING)) for _ in range(count)]
        mass = draw(st.floats(1e-6, 1.0))
        rows.append([math.log(mass * o / math.fsum(odds)) for o in odds])
    return rows


def _label(rotations: str) -> LabelReading:
    return LabelReading(LabelReading.Options(rotations=rotations))


def _likelihood(normaliser: str, beside: str = "free") -> LikelihoodReading:
    return LikelihoodReading(LikelihoodReading.Options(normaliser=normaliser, beside=beside))


def _view(count: int, **fields: object) -> View:
    menu = tuple(Option(f"id{k}", f"Do {k}.") for k in range(count))
    return View("Decide.", (), "It rains.", menu, 0, **fields)


def _reply(logprobs: Sequence[Sequence[float]], tokens: Sequence[int] | None = None) -> ScoreReply:
    return ScoreReply(tuple(map(tuple, logprobs)), tuple(tokens or [1] * len(logprobs[0])), 10, 0)


def _answer(request: ScoreRequest, liking: dict[str, float], place: Sequence[float]) -> ScoreReply:
    """A model that likes an option by its text and a letter by its place, and nothing else."""
    rows = []
    for chat in request.chats:
        listed = dict(
            line.split(". ", 1) for line in chat[-1].content.splitlines() if line[1:3] == ". "
        )
        odds = [
            math.exp(liking[listed[LETTERS[k]]] + place[k])
            for k in range(len(request.continuations))
        ]
        rows.append([math.log(0.9 * o / math.fsum(odds)) for o in odds])
    return _reply(rows)


def _ask(
    view: View, liking: dict[str, float], place: Sequence[float], rotations: str = "all"
) -> Reading:
    mode = _label(rotations)
    [request] = mode.requests(PROMPT, view)
    return mode.read(view, [_answer(request, liking, place)])


def _softmax(values: Sequence[float]) -> list[float]:
    odds = [math.exp(v - max(values)) for v in values]
    return [o / math.fsum(odds) for o in odds]


@quick
@given(label_tables())
def test_label_probabilities_are_a_distribution_and_mass_is_at_most_one(table: list[list[float]]):
    reading = LabelReading().read(_view(len(table)), [_reply(table)])
    assert min(reading.probabilities) >= 0
    assert math.fsum(reading.probabilities) == pytest.approx(1, abs=1e-12)
    assert math.fsum(reading.position_probabilities) == pytest.approx(1, abs=1e-12)
    assert 0 < reading.mass <= 1


@quick
@given(label_tables())
def test_label_reading_is_the_mean_over_the_undone_rotations(table: list[list[float]]):
    count = len(table)
    shown, places = [0.0] * count, [0.0] * count
    for turn, row in enumerate(table):
        total = math.fsum(math.exp(v) for v in row)
        for place, value in enumerate(row):
            shown[(place + turn) % count] += math.exp(value) / total / count
            places[place] += math.exp(value) / total / count
    reading = LabelReading().read(_view(len(table)), [_reply(table)])
    assert reading.probabilities == pytest.approx(shown, abs=1e-12)
    assert reading.position_probabilities == pytest.approx(places, abs=1e-12)
    assert reading.mass == pytest.approx(
        math.fsum(math.exp(v) for row in table for v in row) / count, rel=1e-12
    )


@quick
@given(st.lists(LIKING, min_size=1, max_size=8))
def test_rotations_cancel_a_pure_liking_for_places_exactly(place: list[float]):
    view = _view(len(place))
    reading = _ask(view, dict.fromkeys((o.text for o in view.menu), 0.0), place)
    assert reading.probabilities == pytest.approx([1 / len(place)] * len(place), abs=1e-12)
    assert reading.position_probabilities == pytest.approx(_softmax(place), abs=1e-12)


@quick
@given(st.lists(LIKING, min_size=1, max_size=8))
def test_without_rotations_a_liking_for_places_is_read_as_one_for_options(place: list[float]):
    view = _view(len(place))
    reading = _ask(view, dict.fromkeys((o.text for o in view.menu), 0.0), place, rotations="none")
    assert reading.probabilities == pytest.approx(_softmax(place), abs=1e-12)
    assert reading.position_probabilities == reading.probabilities


@quick
@given(
    st.lists(LIKING, min_size=1, max_size=6),
    st.randoms(use_true_random=False),
    st.sampled_from(["all", "none"]),
)
def test_a_permuted_menu_permutes_the_probabilities(values: list[float], rng, rotations: str):
    view = _view(len(values))
    liking = {option.text: value for option, value in zip(view.menu, values, strict=True)}
    order = rng.sample(range(len(values)), len(values))
    permuted = View(view.task, (), view.observation, tuple(view.menu[k] for k in order), 0)
    flat = [0.0] * len(values)
    before, after = (_ask(v, liking, flat, rotations).probabilities for v in (view, permuted))
    assert before == pytest.approx(_softmax(values), abs=1e-12)
    assert after == pytest.approx([before[k] for k in order], abs=1e-12)


@quick
@given(st.lists(st.tuples(LIKING, LIKING), min_size=2, max_size=6), st.data())
def test_a_turned_menu_turns_the_probabilities_of_any_model(
    values: list[tuple[float, float]], data: st.DataObject
):
    view, turn = _view(len(values)), data.draw(st.integers(0, len(values) - 1))
    liking = {option.text: value for option, (value, _) in zip(view.menu, values, strict=True)}
    place = [p for _, p in values]
    turned = View(view.task, (), view.observation, view.menu[turn:] + view.menu[:turn], 0)
    before, after = (
        _ask(view, liking, place).probabilities,
        _ask(turned, liking, place).probabilities,
    )
    assert after == pytest.approx(before[turn:] + before[:turn], abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_option_is_listed_once_under_every_letter(count: int):
    [request] = LabelReading().requests(PROMPT, _view(count))
    assert request.continuations == tuple(LETTERS[:count])
    seen = {
        line
        for chat in request.chats
        for line in chat[-1].content.splitlines()
        if line[1:3] == ". "
    }
    assert len(request.chats) == count
    assert seen == {f"{letter}. Do {k}." for letter in LETTERS[:count] for k in range(count)}


def test_without_rotations_the_menu_is_listed_once_as_shown():
    view = _view(3)
    [request] = _label("none").requests(PROMPT, view)
    assert request.chats == (PROMPT.listing(view, view.menu),)


def test_one_option_is_certain():
    assert LabelReading().read(_view(1), [_reply([[-5.0]])]).probabilities == (1.0,)
    assert _likelihood("token").read(_view(1), [_reply([[-500.0]], [9])]).probabilities == (1.0,)


def test_very_unlikely_answers_still_make_a_distribution():
    reading = _label("none").read(_view(2), [_reply([[-1e4, -1e4 - math.log(3)]])])
    assert reading.probabilities == pytest.approx([0.75, 0.25], abs=1e-9)
    assert reading.mass == 0.0


@pytest.mark.parametrize("broken", [[math.nan, -1.0], [-math.inf, -math.inf]])
@pytest.mark.parametrize("mode", [_label("none"), _likelihood("sum"), _likelihood("token")])
def test_a_model_that_answers_no_number_is_a_policy_error(
    mode: LabelReading | LikelihoodReading, broken: list[float]
):
    with pytest.raises(PolicyError):
        mode.read(_view(2), [_reply([broken])])


@quick
@given(st.lists(st.tuples(st.floats(-200, -1), st.integers(1, 60)), min_size=1, max_size=6))
def test_likelihood_by_sum_and_by_token(answers: list[tuple[float, int]]):
    reply = _reply([[logprob for logprob, _ in answers]], [tokens for _, tokens in answers])
    by_sum, by_token = (
        _likelihood(normaliser).read(_view(len(answers)), [reply])
        for normaliser in ("sum", "token")
    )
    assert by_sum.probabilities == pytest.approx(
        _softmax([logprob for logprob, _ in answers]), abs=1e-12
    )
    assert by_token.probabilities == pytest.approx(
        _softmax([logprob / tokens for logprob, tokens in answers]), abs=1e-12
    )
    assert by_sum.position_probabilities is by_token.position_probabilities is None
    assert by_sum.beside == {"token": by_token.probabilities}
    assert by_token.beside == {"sum": by_sum.probabilities}


@quick
@given(st.lists(st.tuples(st.floats(-200, 0), st.floats(-200, 0)), min_size=1, max_size=6))
def test_likelihood_by_pmi_is_what_the_situation_adds(answers: list[tuple[float, float]]):
    replies = [
        _reply([[asked for asked, _ in answers]]),
        _reply([[neutral for _, neutral in answers]]),
    ]
    reading = _likelihood("pmi").read(_view(len(answers)), replies)
    assert reading.probabilities == pytest.approx(
        _softmax([asked - neutral for asked, neutral in answers]), abs=1e-12
    )


@quick
@given(st.lists(st.floats(-50, 0), min_size=1, max_size=6), st.sampled_from(["sum", "token"]))
def test_likelihood_mass_is_that_of_the_verdicts_and_of_free_texts_there_is_none(
    logprobs: list[float], normaliser: str
):
    reply, count = _reply([logprobs], [3] * len(logprobs)), len(logprobs)
    assert _likelihood(normaliser).read(_view(count), [reply]).mass is None
    mass = _likelihood(normaliser).read(_view(count, asks="judge"), [reply]).mass
    assert mass == pytest.approx(min(1.0, sum(math.exp(v) for v in logprobs)), rel=1e-12)


@pytest.mark.parametrize("normaliser", ["sum", "token"])
def test_likelihood_asks_once_for_every_text_after_the_open_question(normaliser: str):
    view = _view(3)
    [request] = _likelihood(normaliser).requests(PROMPT, view)
    assert request == ScoreRequest((PROMPT.open_question(view),), ("Do 0.", "Do 1.", "Do 2."))


def _rated(texts: Sequence[str]) -> View:
    menu = tuple(Option(str(k), text) for k, text in enumerate(texts))
    return View("Rate.", (), "I sing.", menu, 0, asks="rate")


@pytest.mark.parametrize(
    ("texts", "fixed"),
    [
        (("Rating: 1", "Rating: 2"), "Rating:"),
        (("I rate it 1.", "I rate it 2."), "I rate it"),
        (("NTA", "NEUTRAL", "YTA"), ""),
        (("1", "2"), ""),
    ],
)
def test_what_all_ratings_begin_with_is_scored_once_more_and_only_there(texts, fixed: str):
    assert fixed_part(texts) == fixed
    view = _rated(texts)
    [request] = _likelihood("sum").requests(PROMPT, view)
    assert request.continuations == ((*texts, fixed) if fixed else texts)
    free = msgspec.structs.replace(view, asks="choose")
    [request] = _likelihood("sum").requests(PROMPT, free)
    assert request.continuations == texts


def test_a_rating_is_read_given_what_all_of_them_begin_with():
    """ "Rating:" has e^-4 and 3 tokens; then "1" has 0.6 of what follows, "2" 0.3, in a token each."""
    digits = [math.log(0.6), math.log(0.3)]
    reply = _reply([[digits[0] - 4, digits[1] - 4, -4.0]], [4, 4, 3])
    view = _rated(("Rating: 1", "Rating: 2"))
    for normaliser in ("sum", "token"):
        reading = _likelihood(normaliser).read(view, [reply])
        assert reading.probabilities == pytest.approx([2 / 3, 1 / 3], abs=1e-12)
        assert reading.mass == pytest.approx(0.9, abs=1e-12)


def test_every_normaliser_is_recorded_beside_the_one_that_was_asked_for():
    view, replies = _view(2), [_reply([[-4.0, -9.0]], [1, 3]), _reply([[-1.0, -8.0]], [1, 3])]
    reading = _likelihood("sum", "all").read(view, replies)
    assert reading.probabilities == pytest.approx(_softmax([-4, -9]))
    assert reading.beside["token"] == pytest.approx(_softmax([-4, -3]))
    assert reading.beside["pmi"] == pytest.approx(_softmax([-3, -1]))
    assert len(_likelihood("sum", "all").requests(PROMPT, view)) == 2


def test_neither_is_listed_below_every_order_and_stands_outside_the_menu():
    mode = LabelReading(LabelReading.Options(neither=True))
    view = _view(2)
    [request] = mode.requests(PROMPT, view)
    assert request.continuations == ("A", "B", "C")
    assert all("C. None of these." in chat[-1].content for chat in request.chats)
    table = [[math.log(p) for p in row] for row in ([0.4, 0.1, 0.5], [0.2, 0.6, 0.1])]
    reading = mode.read(view, [_reply(table)])
    assert reading.probabilities == pytest.approx([(0.8 + 0.75) / 2, (0.2 + 0.25) / 2], abs=1e-12)
    assert reading.neither == pytest.approx((0.5 + 0.1 / 0.9) / 2, abs=1e-12)
    assert reading.mass == pytest.approx((1.0 + 0.9) / 2, abs=1e-12)
    assert LabelReading().read(view, [_reply([[-1.0, -1.0], [-1.0, -1.0]])]).neither is None
    assert mode.identity() != LabelReading().identity()


def test_pmi_asks_again_without_the_situation():
    view = _view(2)
    asked, neutral = _likelihood("pmi").requests(PROMPT, view)
    assert asked == ScoreRequest((PROMPT.open_question(view),), ("Do 0.", "Do 1."))
    assert neutral == ScoreRequest((PROMPT.neutral_question(view),), ("Do 0.", "Do 1."))


def test_every_setting_of_a_reading_is_in_its_identity():
    modes = [*map(_label, ("all", "none")), *map(_likelihood, ("sum", "token", "pmi"))]
    assert len({tuple(sorted(mode.identity().items())) for mode in modes}) == 5


def test_probabilities_are_plain_floats():
    for reading in (
        LabelReading().read(_view(1), [_reply([[-1.0]])]),
        _likelihood("token").read(_view(1, asks="judge"), [_reply([[-1.0]])]),
    ):
        assert all(type(p) is float for p in reading.probabilities)
        assert not isinstance(reading.mass, np.generic)


def test_with_an_opening_the_letter_is_read_after_it():
    mode, view = LabelReading(LabelReading.Options(opening="answer", neither=True)), _view(2)
    [request] = mode.requests(PROMPT, view)
    assert request.continuations == ("Answer: A", "Answer: B", "Answer: C", "Answer:")
    [(plain, *_)] = [LabelReading(LabelReading.Options(neither=True)).requests(PROMPT, view)]
    assert request.chats == plain.chats
    given = [[0.4, 0.1, 0.5], [0.2, 0.6, 0.1]]  # the letters' probabilities after the opening
    table = [[math.log(0.01 * p) for p in row] + [math.log(0.01)] for row in given]
    reading = mode.read(view, [_reply(table)])
    assert reading.probabilities == pytest.approx([(0.8 + 0.75) / 2, (0.2 + 0.25) / 2], abs=1e-12)
    assert reading.neither == pytest.approx((0.5 + 0.1 / 0.9) / 2, abs=1e-12)
    assert reading.mass == pytest.approx((1.0 + 0.9) / 2, abs=1e-12)
    assert mode.identity()["opening"] == "answer"
    assert "opening" not in LabelReading().identity()
