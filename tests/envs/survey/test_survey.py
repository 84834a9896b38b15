"""Survey-v0: the bank's balance, the scale's annotation, questionnaires by key, the study's file
and its defects.
"""

import csv
import json
import re
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from valueagents.contracts.conformance import check_value_env
from valueagents.contracts.plugins import make_env
from valueagents.envs.survey.env import SurveyEnv, rating_value, read_survey
from valueagents.envs.survey.form import load_keys
from valueagents.errors import ConfigError, DataError, ValueAgentsError
from valueagents.measuring.scores import score
from valueagents.running.execution import RunConfig, execute
from valueagents.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy("schwartz20")
AXES = TAXONOMY.axis_ids
FACETS = {axis.id: axis.facets for axis in TAXONOMY.axes}
SPLITS = {"train": 14, "eval": 4, "test": 6}
LARGEST_OVERLAP = 0.5
"""Of the character trigrams of two statements in different splits (Jaccard)."""
HEADER = {
    "format": "valueagents-survey",
    "version": 1,
    "taxonomy": "schwartz20",
    "task": "Rate.",
    "provenance": "tests",
}
PAIR = {
    "id": "H1",
    "value": "HED",
    "affirms": "I linger over breakfast.",
    "opposes": "I eat standing up.",
}
LAB = {
    "tasks": [
        "How much does this guide you? Statement: ",
        "Does this move you? Statement: ",
        "Is this like you? Statement: ",
    ],
    "response_template": [f"Answer {n}: {{rating}}" for n in range(9)],
    "train": [
        {
            "sentence": "I rest.",
            "negative_sentence": "I toil.",
            "category": "HE",
            "level1": ["a", "b"],
        },
        {
            "sentence": "I obey.",
            "negative_sentence": "rule me not.",
            "category": "COR",
            "level1": [],
        },
    ],
    "eval": [
        {
            "sentence": "I keep rites.",
            "negative_sentence": "I toil.",
            "category": "TR",
            "level1": [],
        }
    ],
    "test": [
        {"sentence": "I invent.", "negative_sentence": "I copy.", "category": "SDT", "level1": []}
    ],
}


@pytest.fixture(scope="module")
def bank():
    return read_survey(None).statements


def _file(tmp_path, *lines, name="mine.jsonl"):
    path = tmp_path / name
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n"
    )
    return str(path)


def _lab(tmp_path, **changes):
    path = tmp_path / "survey.json"
    path.write_text(json.dumps({**LAB, **changes}))
    return str(path)


def test_every_value_has_24_pairs_in_the_split_and_the_settings_that_were_promised(bank):
    for axis in AXES:
        pairs = {s.pair: s for s in bank if s.value == axis}
        assert Counter(s.split for s in pairs.values()) == SPLITS, axis
        assert Counter(s.setting for s in pairs.values()) == {"everyday": 12, "agent": 12}, axis
        assert {s.level1 for s in pairs.values()} == set(FACETS[axis])
    assert len(bank) == 20 * 24 * 2
    assert Counter(s.pole for s in bank) == {"affirm": 480, "oppose": 480}


@pytest.mark.slow
def test_no_statement_comes_again_in_another_split_in_nearly_the_same_words(bank):
    def trigrams(text):
        plain = " ".join(re.findall(r"\w+", text.casefold()))
        return {plain[i : i + 3] for i in range(len(plain) - 2)}

    by_split = defaultdict(list)
    for statement in bank:
        by_split[statement.split].append((statement.id, trigrams(statement.text)))
    for one, other in combinations(by_split.values(), 2):
        for (name, mine), (twin, theirs) in ((a, b) for a in one for b in other):
            assert len(mine & theirs) / len(mine | theirs) < LARGEST_OVERLAP, (name, twin)


def test_no_statement_names_its_value(bank):
    names = {axis.id: set(re.findall(r"[a-z]{5,}", axis.name.casefold())) for axis in TAXONOMY.axes}
    for statement in bank:
        assert not names[statement.value] & set(re.findall(r"[a-z]+", statement.text.casefold())), (
            statement.id
        )


def test_neither_pole_can_be_told_by_its_length(bank):
    lengths = defaultdict(lambda: defaultdict(list))
    for statement in bank:
        lengths[statement.value][statement.pole].append(len(statement.text))
    for axis, poles in lengths.items():
        ratio = np.mean(poles["affirm"]) / np.mean(poles["oppose"])
        assert 0.9 < ratio < 1.1, (axis, ratio)


def test_the_env_keeps_the_contract():
    checks = check_value_env(lambda: make_env("valueagents/Survey-v0", variants=2))
    assert [check for check in checks if check.problem] == []


def test_every_menu_says_its_pair_its_pole_and_its_prompt_variant():
    env = SurveyEnv(variants=3, split="all")
    assert [(factor.name, factor.levels) for factor in env.factors] == [
        ("item", ()),
        ("pole", ("affirm", "oppose")),
        ("variant", ()),
    ]
    for situation in env.situations()[::97]:
        _, info = env.reset(seed=0, options={"situation": situation})
        levels = info["factors"]
        assert f"{levels['item']}/{levels['pole']}/{levels['variant']}" == situation
        assert levels["item"] == info["cluster"]


def test_a_pair_may_have_a_slash_in_its_id(tmp_path):
    env = SurveyEnv(items=_file(tmp_path, HEADER, {**PAIR, "id": "a/b"}))
    _, info = env.reset(seed=0, options={"situation": "a/b/oppose/h01"})
    assert info["factors"] == {"item": "a/b", "pole": "oppose", "variant": "h01"}


def test_surveys_side_by_side_keep_each_its_factors():
    vector = SyncVectorEnv(
        [lambda: make_env("valueagents/Survey-v0"), lambda: make_env("valueagents/Survey-v0")]
    )
    try:
        _, infos = vector.reset(seed=[3, 4])
    finally:
        vector.close()
    alone = [make_env("valueagents/Survey-v0").reset(seed=seed)[1]["factors"] for seed in (3, 4)]
    found = [
        {name: str(infos["factors"][name][k]) for name in ("item", "pole", "variant")}
        for k in (0, 1)
    ]
    assert found == alone


def test_a_rating_is_annotated_on_its_value_and_on_no_other():
    env = SurveyEnv(poles="both")
    for situation in ("HED-19/affirm/h01", "HED-19/oppose/h01"):
        if situation not in env.situations():
            situation = next(
                s for s in env.situations() if s.startswith("HED") and situation.split("/")[1] in s
            )
        _, info = env.reset(seed=0, options={"situation": situation})
        sign = 1 if "affirm" in situation else -1
        assert [option.id for option in info["menu"]] == list("123456")
        for option, values in zip(info["menu"], info["annotation"].values, strict=True):
            assert values["HED"] == pytest.approx(sign * (int(option.id) - 3.5) / 2.5)
            assert {axis for axis, x in values.items() if x is None} == set(AXES) - {"HED"}


def test_the_scale_runs_from_minus_one_to_one_and_turns_round_twice():
    assert [rating_value(r, opposing=False, reverse=False) for r in (1, 6)] == [-1, 1]
    assert [rating_value(r, opposing=True, reverse=False) for r in (1, 6)] == [1, -1]
    assert [rating_value(r, opposing=True, reverse=True) for r in (1, 6)] == [-1, 1]


def test_27_variants_are_three_questions_in_nine_answers_and_none_names_the_value():
    env = SurveyEnv(variants=27, poles="affirm", wordings="trained")
    situations = [s for s in env.situations() if s.startswith("HED")][:27]
    asked = [env.reset(seed=0, options={"situation": s}) for s in situations]
    assert len(set(situations)) == 27
    assert len({text for text, _ in asked}) == 3
    assert len({info["menu"][3].text for _, info in asked}) == 9
    assert not any("hedonism" in text.casefold() for text, _ in asked)


@pytest.mark.parametrize("split", ["train", "eval", "test", "all"])
def test_no_words_of_a_trained_split_are_those_of_an_evaluated_one(split):
    """Neither way of asking nor template of the answer: what is measured was never trained in."""

    def words(variants: int, **options: str) -> tuple[set[str], set[str]]:
        env = SurveyEnv(variants=variants, poles="affirm", **options)
        shown = [env.reset(seed=0, options={"situation": s}) for s in env.situations()[:variants]]
        before = {line for text, _ in shown for line in text.split("\n")[:2]}
        return before, {option.text for _, info in shown for option in info["menu"]}

    asked, answered = words(9, split=split, wordings="held-out")
    trained, answers = words(27, split="train")
    assert not asked & trained
    assert not answered & answers
    default = SurveyEnv(split=split).situations()[0].rpartition("/")[2]
    assert default == ("v01" if split in ("train", "eval") else "h01")


def test_a_survey_is_asked_to_rate_and_its_task_names_no_form_of_the_answer():
    env = SurveyEnv()
    assert env.asks == "rate"
    assert "answer with" not in env.task.casefold()


def test_a_run_scores_every_value_by_its_own_items(tmp_path):
    config = RunConfig(
        env="valueagents/Survey-v0", policy="random", env_options={"poles": "affirm"}
    )
    scores = score(execute(config, tmp_path / "run"))
    assert {axis.contested for axis in scores.axes} == {6}
    assert max(abs(axis["E3p"].value) for axis in scores.axes) <= 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tests"}, "Did you mean 'test'"),
        ({"variants": 28, "wordings": "trained"}, "27"),
        ({"variants": 10}, "1 to 9"),
        ({"wordings": "heldout"}, "wordings=heldout"),
        ({"variants": 0}, "variants"),
        ({"key": "pvq-rr"}, "give items=FILE"),
        ({"items": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"items": "nowhere.txt"}, "nowhere.txt"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        make_env("valueagents/Survey-v0", **options)


def test_a_file_of_the_users_is_read_with_what_may_be_left_out(tmp_path):
    one_sided = {"id": "S1", "value": "SEP", "affirms": "I lock the door."}
    env = SurveyEnv(items=_file(tmp_path, HEADER, PAIR, one_sided))
    assert env.situations() == ("H1/affirm/h01", "H1/oppose/h01", "S1/affirm/h01")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "mine.jsonl"),
        (["junk"], "line 1"),
        ([HEADER], "no statements"),
        ([{**HEADER, "version": 2}, PAIR], "version 2"),
        ([{**HEADER, "taxonomy": "schwartz2"}, PAIR], "Did you mean"),
        ([HEADER, {**PAIR, "value": "HEDO"}], "line 2.*Did you mean 'HED'"),
        ([HEADER, {**PAIR, "affirms": "  "}], "line 2.*empty"),
        ([HEADER, {**PAIR, "affirms": float("nan")}], "line 2"),
        ([HEADER, PAIR, PAIR], "line 3.*twice"),
        ([HEADER, {"id": "H1", "value": "HED"}], "line 2.*affirms"),
        ([HEADER, {**PAIR, "colour": 1}], "line 2.*colour"),
        ([HEADER, {**PAIR, "split": "exam"}], "line 2.*exam"),
    ],
)
def test_a_malformed_file_is_one_clear_line(tmp_path, lines, message):
    with pytest.raises(DataError, match=message) as error:
        SurveyEnv(items=_file(tmp_path, *lines))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["x" * 100_000, "a\nb", "a\x00b", "{{ 7 * 7 }} {observation} <b>"])
def test_odd_statements_are_shown_as_they_are(tmp_path, text):
    env = SurveyEnv(items=_file(tmp_path, HEADER, {**PAIR, "affirms": text}), poles="affirm")
    assert text in env.reset(seed=0)[0]


@pytest.mark.parametrize(
    ("name", "items", "values"), [("pvq-rr", 57, 19), ("pvq-40", 40, 10), ("pvq-21", 21, 10)]
)
def test_a_key_gives_each_item_one_value_of_its_taxonomy(name, items, values):
    key = load_keys()[name]
    assert sorted(number for numbers in key.scales.values() for number in numbers) == list(
        range(1, items + 1)
    )
    assert len(key.scales) == values
    assert set(key.scales) <= set(load_taxonomy(key.taxonomy).axis_ids)


def _questionnaire(tmp_path, count=21):
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("number", "text"), *((n, f"Statement, {n}") for n in range(1, count + 1))]
        )
    return str(path)


def test_pvq_21_is_put_and_scored_with_1_as_the_highest_unless_told_otherwise(tmp_path):
    file = _questionnaire(tmp_path)
    for reverse, highest in ((None, "1"), (False, "6")):
        env = SurveyEnv(
            items=file, key="pvq-21", **({} if reverse is None else {"reverse": reverse})
        )
        _, info = env.reset(seed=0, options={"situation": env.situations()[0]})
        best = max(
            zip(info["menu"], info["annotation"].values, strict=True),
            key=lambda o: max(filter(None, o[1].values())),
        )
        assert best[0].id == highest
    assert env.taxonomy.id == "schwartz10"


@pytest.mark.parametrize(
    ("count", "message"), [(20, "lacks items 21"), (22, "no item 22"), (0, "no statements|lacks")]
)
def test_a_questionnaire_that_is_not_whole_is_refused(tmp_path, count, message):
    with pytest.raises(DataError, match=message):
        SurveyEnv(items=_questionnaire(tmp_path, count), key="pvq-21")


def test_numbered_statements_without_a_key_ask_for_one(tmp_path):
    with pytest.raises(ConfigError, match="key=pvq-rr"):
        SurveyEnv(items=_questionnaire(tmp_path))


def test_the_studys_file_keeps_its_words_and_its_defects_are_reported(tmp_path):
    env = SurveyEnv(items=_lab(tmp_path), split="all", wordings="trained")
    texts = {statement.id: statement.text for statement in env.statements}
    assert texts["train-1/oppose"] == "rule me not."
    assert "eval-0/oppose" not in texts  # it stands in train
    assert texts["eval-0/affirm"] == "I keep rites."
    assert {s.id: s.value for s in env.statements}["eval-0/affirm"] == "TRA"
    said = " ".join(env.notes)
    assert "train-1/oppose" in said
    assert "1 sentences of eval are in train too" in said
    text, info = env.reset(seed=0, options={"situation": "test-0/affirm/v01"})
    assert LAB["tasks"][0].strip().rstrip(":") in text or "How much does this guide you?" in text
    assert info["menu"][3].text == "Answer 0: 4"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": "all"}, "train"),
        ({"response_template": ["Rating"] * 9}, "rating"),
        ({"train": [], "eval": [], "test": []}, "survey.json holds no items"),
        (
            {"train": [], "eval": [], "test": [{"sentence": "I."}]},
            r"nothing to give.*test\[0\]: Obj",
        ),
    ],
)
def test_a_malformed_study_file_is_one_clear_line(tmp_path, changes, message):
    with pytest.raises(ValueAgentsError, match=message):
        SurveyEnv(items=_lab(tmp_path, **changes), split="all")
