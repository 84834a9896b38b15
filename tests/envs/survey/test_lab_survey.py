"""The study's survey with the defects of published files: what is left out, kept, and named."""

import json

import pytest

from valueagents.envs.survey.env import SurveyEnv

LAB = {
    "tasks": ["Is this like you? "],
    "response_template": ["Answer: {rating}"],
    "train": [],
    "eval": [],
}
GOOD = {"sentence": "I rest.", "negative_sentence": "I toil.", "category": "HE", "level1": []}
OTHER = {"sentence": "I invent.", "negative_sentence": "I copy.", "category": "SDT"}


def _env(tmp_path, *items, raw: bytes | None = None, **parts):
    path = tmp_path / "survey.json"
    text = json.dumps({**LAB, "test": list(items), **parts}).encode()
    path.write_bytes(text if raw is None else text.replace(b"RAW", raw))
    return SurveyEnv(items=str(path), split="all")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({**OTHER, "category": "XX"}, "unknown value or category code 'XX'"),
        ({"sentence": "I copy.", "category": "SDT"}, "missing required field `negative_sentence`"),
        ({**OTHER, "sentence": " "}, "sentence is empty"),
        (
            {**OTHER, "negative_sentence": "nan"},
            "negative_sentence is 'nan', which stands for noth",
        ),
        ({**OTHER, "sentence": float("nan")}, "Expected `str`, got `null`"),
        ({**OTHER, "sentence": 3}, "Expected `str`, got `int`"),
        ({**OTHER, "sentence": "I &#99;opy. "}, "both sentences read 'I copy. '; they must differ"),
        ({**OTHER, "level1": "a"}, "Expected `array`, got `str`"),
        ("I invent.", "Expected `object`, got `str`"),
    ],
)
def test_an_item_that_cannot_be_used_is_left_out_with_both_wordings(tmp_path, bad, said):
    env = _env(tmp_path, GOOD, bad, {**GOOD, "sentence": "I nap.", "negative_sentence": "I run."})
    assert [statement.id for statement in env.statements] == [
        "test-0/affirm",
        "test-0/oppose",
        "test-2/affirm",
        "test-2/oppose",
    ]
    assert env.notes[0].startswith("survey.json: 1 of 3 items left out (test[1]: ")
    assert said in env.notes[0]


def test_a_sentence_in_latin_1_and_not_a_number_elsewhere_leave_the_rest_to_be_read(tmp_path):
    odd = {**OTHER, "sentence": "I go to the cafRAW."}
    env = _env(tmp_path, {**GOOD, "weight": float("nan"), "n": 10**400}, odd, raw=b"\xe9")
    assert {statement.pair for statement in env.statements} == {"test-0"}
    assert env.notes == (
        "survey.json: 1 of 2 items left out (test[1]: sentence is not UTF-8 text; save the file as"
        " UTF-8 to keep it)",
    )


def test_entities_are_decoded_before_sentences_are_compared(tmp_path):
    earlier = {**GOOD, "sentence": "Tom & I rest.", "negative_sentence": "We toil."}
    env = _env(tmp_path, {**GOOD, "sentence": "Tom &amp; I&#x200B; rest."}, train=[earlier])
    assert "test-0/affirm" not in {statement.id for statement in env.statements}
    assert "decoded in 1 texts" in env.notes[0]
    assert "1 sentences of test are in train too" in env.notes[1]


def test_a_list_that_is_no_split_of_the_study_is_named(tmp_path):
    env = _env(tmp_path, GOOD, dev=[OTHER, OTHER], about={"year": 2025})
    assert env.notes == ("survey.json: 'dev' is not a split; its 2 entries are left out",)
