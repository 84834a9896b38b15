"""Records: annotations as arrays, what counts as chosen, the JSON of a run directory."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valueagents.contracts.decision import (
    SCHEMA,
    Annotation,
    Choice,
    Decision,
    Episode,
    Event,
    Failure,
    Option,
    check_episode,
    episode_from_json,
    failure_from_json,
    shown_hash,
    to_json,
)
from valueagents.errors import StoreError
from valueagents.taxonomy import load_taxonomy

GERT = load_taxonomy("gert10")
MENU = (Option("a", "Wait."), Option("b", "Go."), Option("c", "Ask."))
ODD = "Zoë said:\n\t“no” 🦊\u2028\x00"


def annotation(*values: dict[str, float | None], taxonomy: str = "gert10/1") -> Annotation:
    return Annotation(taxonomy, values, "by hand", "sign")


def decision(
    option: str | None = "b", *, menu: tuple[Option, ...] = MENU, text: str = "Now?", **fields
) -> Decision:
    return Decision(text, menu, Choice(option, "drawn"), **fields)


def episode(*decisions: Decision, **fields) -> Episode:
    repetition = fields.pop("repetition", 0)
    return Episode(
        "ab12", "home-01", repetition, 2**63 - 1, "home-01", decisions, "terminated", **fields
    )


def test_an_annotation_becomes_the_k_by_v_array_with_absent_zero_and_none_nan():
    array = annotation({"death": -1, "duty": 0.25}, {"pain": None}, {}).array(GERT)
    expected = np.zeros((3, 10))
    expected[0, 0], expected[0, 9], expected[1, 1] = -1, 0.25, np.nan
    np.testing.assert_array_equal(array, expected)


def test_an_annotation_of_no_option_is_an_empty_array():
    assert annotation().array(GERT).shape == (0, 10)


def test_an_annotation_on_another_taxonomy_is_refused_by_name():
    with pytest.raises(StoreError, match=r"on taxonomy 'gert10/2', not on 'gert10/1'"):
        annotation({}, taxonomy="gert10/2").array(GERT)


def test_an_annotation_on_a_foreign_axis_is_refused_with_the_nearest():
    with pytest.raises(
        StoreError, match=r"unknown axis of gert10/1 'deaht'\. Did you mean 'death'"
    ):
        annotation({}, {"deaht": 1}).array(GERT)


@pytest.mark.parametrize("value", [1.0000001, -2, float("nan"), float("inf"), float("-inf")])
def test_an_annotation_outside_minus_one_to_one_is_refused_with_option_and_axis(value):
    with pytest.raises(StoreError, match=r"option 1 on pain is .*outside \[-1, 1\]"):
        annotation({}, {"pain": value}).array(GERT)


@pytest.mark.parametrize(
    ("option", "index"), [("a", 0), ("c", 2), ("z", None), (None, None), ("Wait.", None)]
)
def test_chosen_is_the_place_of_the_chosen_id(option, index):
    assert decision(option).chosen == index


def test_a_choice_that_the_env_refused_counts_as_none():
    assert decision("a", invalid="no option was chosen").chosen is None


def test_a_record_is_frozen_and_compares_by_value():
    assert decision() == decision()
    assert decision() != decision("a")
    with pytest.raises(AttributeError):
        decision().reward = 1.0


def test_a_full_episode_survives_json():
    full = episode(
        decision(
            annotation=annotation({"death": -1.0}, {"pain": None}, {}),
            reward=0.1 + 0.2,
            events=(Event("money", 3.5, "purse"),),
            factors={"item": ODD, "pole": "affirm"},
        ),
        Decision(
            ODD,
            (Option(ODD, ODD),),
            Choice(
                None,
                "failed",
                (0.1, 0.2, 0.7),
                (0.3, 0.3, 0.4),
                0.9,
                ODD,
                "length",
                5,
                4,
                3,
                2,
                0.125,
            ),
            invalid=ODD,
        ),
        final_observation=ODD,
        attempt=3,
        duration_s=1.5,
    )
    line = to_json(full)
    assert b"\n" not in line
    assert episode_from_json(line) == full


def test_an_episode_without_decisions_survives_json():
    assert episode_from_json(to_json(episode())) == episode()


def test_the_schema_stands_in_every_line():
    failure = Failure("ab12", None, 0, "ValueError", "no", 0, 1)
    assert [json.loads(to_json(record)).get("schema") for record in (episode(), failure)] == [
        SCHEMA,
        SCHEMA,
    ]


def test_an_episode_of_a_newer_schema_is_refused_with_both_numbers():
    with pytest.raises(
        StoreError, match=rf"schema {SCHEMA + 1}, this version reads {SCHEMA}; use the version that"
    ):
        episode_from_json(to_json(episode(schema=SCHEMA + 1)))


def test_a_decision_without_factors_is_written_without_the_field():
    assert b"factors" not in to_json(episode(decision()))
    assert b'"factors":{"item":"H1"}' in to_json(episode(decision(factors={"item": "H1"})))


def test_an_episode_of_an_older_schema_is_upgraded_where_somebody_knows_how_and_else_refused():
    older = to_json(episode(decision(), schema=SCHEMA - 1))
    with pytest.raises(StoreError, match=rf"schema {SCHEMA - 1}, this version reads {SCHEMA}"):
        episode_from_json(older)
    upgraded = episode_from_json(
        older, upgrade=lambda raw: {**raw, "schema": SCHEMA, "repetition": 7}
    )
    assert upgraded == episode(decision(), schema=SCHEMA, repetition=7)


def test_an_episode_of_this_schema_is_never_upgraded():
    line = to_json(episode(decision()))
    assert episode_from_json(
        line, upgrade=lambda raw: pytest.fail("it is of this schema")
    ) == episode(decision())


def test_an_upgrade_that_leaves_the_schema_as_it_was_is_refused():
    with pytest.raises(StoreError, match=rf"schema {SCHEMA - 1}"):
        episode_from_json(to_json(episode(schema=SCHEMA - 1)), upgrade=lambda raw: raw)


def drop(field: str) -> bytes:
    fields = json.loads(to_json(episode(decision())))
    del fields[field]
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        to_json(episode(decision()))[:-1],
        drop("identity"),
        drop("decisions"),
        b'{"unheard-of": 1,' + to_json(episode())[1:],
        to_json(episode()).replace(b'"terminated"', b'"won"'),
        to_json(episode()).replace(b"ab12", b"ab\xff"),
    ],
    ids=[
        "empty",
        "null",
        "list",
        "no fields",
        "bytes",
        "cut",
        "no identity",
        "no decisions",
        "new field",
        "outcome",
        "utf-8",
    ],
)
def test_a_line_that_is_no_episode_is_a_store_error(line):
    with pytest.raises(StoreError, match="not an episode record"):
        episode_from_json(line)


@pytest.mark.parametrize("line", [b"", b"{}", b"\xff", b'{"identity": 1}', b'{"identity": "\xff"}'])
def test_a_line_that_is_no_failure_is_a_store_error(line):
    with pytest.raises(StoreError, match="not a failure record"):
        failure_from_json(line)


def test_a_failure_survives_json():
    failure = Failure("ab12", "home-01", 2, "PolicyError", ODD, 5, 3)
    assert failure_from_json(to_json(failure)) == failure


FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


@given(TEXT, st.lists(st.floats(0, 1), max_size=4), FINITE, st.none() | TEXT)
@settings(max_examples=40, deadline=None)
def test_any_text_and_finite_number_survives_json_bit_for_bit(text, probabilities, reward, raw):
    menu = tuple(Option(str(k), f"{k}{text}") for k in range(len(probabilities)))
    choice = Choice(text, "parsed", probabilities=tuple(probabilities), raw=raw)
    written = episode(Decision(text, menu, choice, reward=reward))
    assert episode_from_json(to_json(written)) == written


def test_the_shown_hash_forgets_the_order_of_options_and_nothing_else():
    shuffled = decision(menu=MENU[::-1])
    base = shown_hash("task", [decision()])
    assert shown_hash("task", [shuffled]) == base
    others = [
        shown_hash("another task", [decision()]),
        shown_hash("task", [decision(text="Now!")]),
        shown_hash("task", [decision(menu=MENU[:2])]),
        shown_hash("task", [decision(menu=(*MENU[:2], Option("c", "Ask!")))]),
        shown_hash("task", [decision(), decision()]),
    ]
    assert len({base, *others}) == 6


def test_the_shown_hash_is_of_what_was_seen_before_the_choice_and_of_earlier_choices():
    assert shown_hash("t", [decision("a")]) == shown_hash("t", [decision("b")])
    assert shown_hash("t", [decision("a"), decision()]) != shown_hash(
        "t", [decision("b"), decision()]
    )


def test_the_shown_hash_sees_no_annotation_and_no_factor():
    blank, judged = (
        decision(),
        decision(annotation=annotation({"death": -1.0}, {}, {}), factors={"item": "H1"}),
    )
    assert shown_hash("t", [blank]) == shown_hash("t", [judged])


@pytest.mark.parametrize(
    "name", ["prompt_tokens", "cached_tokens", "output_tokens", "dropped_turns", "attempts"]
)
@pytest.mark.parametrize("count", [-1, 2**31, 2**63])
def test_a_count_that_would_make_a_run_unreadable_is_refused(name: str, count: int):
    choice = msgspec.structs.replace(Choice("a", "drawn"), **{name: count})
    made = Decision("What now?", (Option("a", "Go."),), choice)
    taxonomy = load_taxonomy("schwartz20")
    with pytest.raises(StoreError, match=f"{name} of a choice is {count}, not a count"):
        check_episode(Episode("e", None, 0, 1, "c", (made,), "terminated"), taxonomy)
