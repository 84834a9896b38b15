"""Questionnaires as published: the user's form, its answer scale, and its own scoring beside our
estimators.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import valueagents as va
from valueagents.envs.survey.env import SurveyEnv
from valueagents.envs.survey.form import load_form, load_keys
from valueagents.errors import ConfigError, DataError

TAXONOMY = "\n".join(
    ['id = "needs2"', "version = 1", 'source = "made up"']
    + [
        f'[[axes]]\nid = "{a}"\nname = "{n}"\nwants = "x"'
        for a, n in (("AUT", "Own"), ("REL", "Us"))
    ]
)
FORM = """
source = "made up for a test"
taxonomy = "needs.toml"
question = "How far do you agree?"
points = [1, 5]
labels = {1 = "disagree strongly", 3 = "neither", 5 = "agree strongly"}
unscored = [5]

[scales]
AUT = [1, -2, 3]
REL = [-3, 4]
"""
TEXTS = (
    "I decide.",
    "Others decide for me.",
    "I leave when I like.",
    "I call my friends.",
    "Blue.",
)


@pytest.fixture
def form(tmp_path: Path) -> Path:
    (tmp_path / "needs.toml").write_text(TAXONOMY, encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(FORM, encoding="utf-8")
    with (tmp_path / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("number", "text"), *enumerate(TEXTS, 1)])
    return path


def asked(env: SurveyEnv, item: str) -> tuple[str, dict[str, dict[str, float | None]]]:
    text, info = env.reset(seed=0, options={"situation": item})
    menu, values = info["menu"], info["annotation"].values
    return text, {option.id: dict(x) for option, x in zip(menu, values, strict=True)}


def test_a_questionnaire_is_put_with_its_question_and_its_answer_scale(form: Path) -> None:
    env = SurveyEnv(items=str(form.parent / "texts.csv"), key=str(form))
    assert len(env.situations()) == 4
    assert env.notes == ("texts.csv: items 5 count for nothing and are left out",)
    text, x = asked(env, "mine-01/affirm/p01")
    assert text == (
        "How far do you agree?\n"
        "The scale runs from 1 to 5: 1 = disagree strongly; 3 = neither; 5 = agree strongly.\n\n"
        "I decide."
    )
    assert [x[str(r)]["AUT"] for r in range(1, 6)] == [-1, -0.5, 0, 0.5, 1]
    assert {each["REL"] for each in x.values()} == {None}


def test_a_reverse_keyed_item_stands_alone_and_an_item_may_count_for_several_scales(
    form: Path,
) -> None:
    env = SurveyEnv(items=str(form.parent / "texts.csv"), key=str(form))
    _, x = asked(env, "mine-02/oppose/p01")
    assert [x[str(r)]["AUT"] for r in range(1, 6)] == [1, 0.5, 0, -0.5, -1]
    _, x = asked(env, "mine-03/affirm/p01")
    assert x["5"] == {"AUT": 1.0, "REL": -1.0}


@pytest.mark.parametrize(("points", "count"), [("[1, 7]", 7), ("[0, 10]", 11), ("[-2, 2]", 5)])
def test_a_scale_has_as_many_points_as_its_form_says(form: Path, points: str, count: int) -> None:
    low, high = json.loads(points)
    labels = f'labels = {{{json.dumps(str(low))} = "no", {high} = "yes"}}\n'
    text = FORM.replace("points = [1, 5]", f"points = {points}")
    text = "\n".join(labels if line.startswith("labels") else line for line in text.split("\n"))
    form.write_text(text, encoding="utf-8")
    env = SurveyEnv(items=str(form.parent / "texts.csv"), key=str(form))
    _, info = env.reset(seed=0, options={"situation": "mine-01/affirm/p01"})
    answers = [option.text for option in info["menu"]]
    assert len(answers) == count
    assert answers[0].rstrip(".").endswith(str(low))
    assert not any(a != b and b.startswith(a) for a in answers for b in answers)
    xs = [x["AUT"] for x in info["annotation"].values]
    assert xs[0] == -1
    assert xs[-1] == 1
    assert xs == pytest.approx([-1 + 2 * k / (count - 1) for k in range(count)])


def test_the_statements_may_stand_in_the_form(form: Path) -> None:
    texts = "".join(f'{n} = "{text}"\n' for n, text in enumerate(TEXTS[:4], 1))
    form.write_text(FORM + f"[texts]\n{texts}", encoding="utf-8")
    env = SurveyEnv(key=str(form))
    assert [statement.text for statement in env.statements] == list(TEXTS[:4])
    with pytest.raises(ConfigError, match=r"holds its statements: leave items=texts\.csv out"):
        SurveyEnv(key=str(form), items=str(form.parent / "texts.csv"))


def test_a_changed_form_is_read_again(form: Path) -> None:
    items = str(form.parent / "texts.csv")
    before = SurveyEnv(items=items, key=str(form)).content()
    form.write_text(FORM.replace("How far do", "How much do"), encoding="utf-8")
    assert SurveyEnv(items=items, key=str(form)).content() != before


@pytest.mark.parametrize("key", ["pvq-rr", "pvq-40", "pvq-21"])
def test_pvq_is_put_as_pvq(tmp_path: Path, key: str) -> None:
    count = len(load_keys()[key].keyed)
    path = tmp_path / "mine.csv"
    rows = "".join(f"{n},Portrait {n}\n" for n in range(1, count + 1))
    path.write_text(f"number,text\n{rows}", encoding="utf-8")
    env = SurveyEnv(items=str(path), key=key)
    text, x = asked(env, f"{key}-01/affirm/p01")
    assert "How much like you is this person?" in text
    highest = max(x, key=lambda r: max(v for v in x[r].values() if v is not None))
    assert f"{highest} = very much like me" in text
    turned = SurveyEnv(items=str(path), key=key, reverse=not load_keys()[key].reversed)
    text, x = asked(turned, f"{key}-01/affirm/p01")
    assert f"{7 - int(highest)} = very much like me" in text
    assert max(v for v in x[str(7 - int(highest))].values() if v is not None) == 1
    assert (
        "six points"
        in asked(SurveyEnv(items=str(path), key=key, wordings="held-out"), f"{key}-01/affirm/h01")[
            0
        ]
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"wordings": "held-out"}, "speaks of six points, the questionnaire has 1 to 5"),
        ({"variants": 2}, "published in one wording"),
    ],
)
def test_what_a_form_has_not_is_refused(form: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SurveyEnv(items=str(form.parent / "texts.csv"), key=str(form), **options)


def test_published_wordings_need_a_key() -> None:
    with pytest.raises(ConfigError, match="give its key"):
        SurveyEnv(wordings="published")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("pvq-57", r"unknown key 'pvq-57'\. Did you mean 'pvq-\w+'\?.*NAME\.toml"),
        ("nowhere.toml", "nowhere.toml"),
    ],
)
def test_an_unknown_key_is_named(key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_form(key)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("points = [1, 5]", "points = [5, 1]", "2 to 26 points"),
        ("points = [1, 5]", "points = [0, 26]", "2 to 26 points"),
        ("points = [1, 5]", "points = [1, 2, 3]", "points"),
        ("points = [1, 5]", "points = [1, 4]", "label '5' is at no point of 1 to 4"),
        ("points = [1, 5]", "points = [1, 6]", "labels lack 6"),
        ('"neither"', '""', "the label of 3 is empty"),
        ("How far do you agree?", " ", "question or task is empty"),
        ("AUT = [1, -2, 3]", "AUTO = [1, -2, 3]", "axis of needs2 'AUTO'.*'AUT'"),
        ("AUT = [1, -2, 3]", "AUT = [1, -2, 2]", "scale AUT has item 2 twice"),
        ("AUT = [1, -2, 3]", "AUT = [1, -2, 0]", "an item 0"),
        ("AUT = [1, -2, 3]", "AUT = []", "scale AUT has no item"),
        ("unscored = [5]", "unscored = [4]", "item 4 stands in a scale and in unscored"),
        ("question =", "asks =", "asks|question"),
        ('"needs.toml"', '"need.toml"', r"unknown taxonomy file.*needs\.toml"),
        ("points = [1, 5]", "points = ", "not TOML"),
    ],
)
def test_a_malformed_form_is_refused_with_its_name(
    form: Path, old: str, new: str, said: str
) -> None:
    form.write_text(FORM.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=rf"mine\.toml.*{said}"):
        SurveyEnv(items=str(form.parent / "texts.csv"), key=str(form))


def test_items_that_the_form_lacks_and_lacking_items_are_named(form: Path) -> None:
    texts = form.parent / "texts.csv"
    texts.write_text("number,text\n1,A\n2,B\n9,C\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 4: mine has no item 9; its items are 1 to 4"):
        SurveyEnv(items=str(texts), key=str(form))
    texts.write_text("number,text\n1,A\n3,B\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"texts\.csv lacks items 2, 4 of mine"):
        SurveyEnv(items=str(texts), key=str(form))


ANSWERS = {"I decide.": 5, "Others decide for me.": 2, "I leave when I like.": 4}


class Answering(va.Policy):
    """Answers as `ANSWERS` says, 1 to what is not there."""

    def identity(self) -> dict[str, str]:
        return {"policy": "answering"}

    async def decide(self, view: va.View) -> va.Choice:
        statement = view.observation.rpartition("\n")[2]
        return va.Choice(str(ANSWERS.get(statement, 1)), "argmax")


def test_scores_in_the_questionnaires_own_scoring_are_those_of_straight_line_sums(
    form: Path,
) -> None:
    env = SurveyEnv(items=str(form.parent / "texts.csv"), key=str(form))
    scores = va.score(va.run(env, Answering(), seed=3))
    own = {axis.axis: axis["Q"].value for axis in scores.axes}
    # items 1..4 are answered 5, 2, 4, 1; 2 is reverse-keyed for AUT, 3 for REL
    assert own == {"AUT": pytest.approx((5 + 4 + 4) / 3), "REL": pytest.approx((2 + 1) / 2)}
    mean = (5 + 2 + 4 + 1) / 4
    details = {axis.axis: axis.details["Q"] for axis in scores.axes}
    assert details["AUT"]["centred"] == pytest.approx(((5 - mean) - (2 - mean) + (4 - mean)) / 3)
    assert details["REL"]["centred"] == pytest.approx((-(4 - mean) + (1 - mean)) / 2)
    assert details["AUT"]["items"] == 3
    low, high = scores.axes[0]["Q"].low, scores.axes[0]["Q"].high
    assert 1 <= low <= own["AUT"] <= high <= 5


def test_pvq_21_is_scored_towards_the_value_although_1_is_its_highest_answer(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.csv"
    rows = "".join(f"{n},Portrait {n}\n" for n in range(1, 22))
    path.write_text(f"number,text\n{rows}", encoding="utf-8")
    run = va.run(SurveyEnv(items=str(path), key="pvq-21"), lambda view: 0)
    scores = va.score(run)
    assert {axis["Q"].value for axis in scores.axes} == {6.0}
    assert {axis.details["Q"]["centred"] for axis in scores.axes} == {0.0}


def test_own_scoring_takes_expectations_and_counts_each_statement_once(form: Path) -> None:
    env = SurveyEnv(items=str(form.parent / "texts.csv"), key=str(form))
    scores = va.score(va.run(env, lambda view: [0, 0, 0, 0.5, 0.5], episodes=6, seed=1))
    assert scores.axes[0]["Q"].value == pytest.approx((4.5 + 1.5 + 4.5) / 3)


def test_other_envs_have_no_such_score(tmp_path: Path) -> None:
    scores = va.score(va.run("valueagents/Dilemma-v0", "random", episodes=3))
    assert "Q" not in scores.columns


class Stars(va.ValueEnv):
    """A survey whose options are not numbers."""

    taxonomy, task, version, asks = va.load_taxonomy("gert10"), "Rate.", "1", "rate"

    def __init__(self) -> None:
        super().__init__(max_menu=2)

    def start(self, situation: str | None) -> va.Turn:
        menu = (va.Option("low", "Little."), va.Option("high", "Much."))
        values = ({"duty": -1.0}, {"duty": 1.0})
        return va.Turn("Duty.", menu, va.Annotation(self.taxonomy.name, values, "x", "y"))

    def advance(self, option: va.Option) -> va.Turn:
        return va.Turn("", terminated=True)


def test_where_options_are_no_numbers_the_score_says_so() -> None:
    scores = va.score(va.run(Stars, "random", episodes=5))
    assert scores.axes[0]["Q"].value is None
    assert "not named by the numbers" in scores.axes[0]["Q"].reason


def test_a_pair_of_our_format_may_have_its_opposing_wording_alone(tmp_path: Path) -> None:
    header = {"format": "valueagents-survey", "version": 1, "taxonomy": "schwartz20"}
    header |= {"task": "Rate.", "provenance": "made up"}
    rows = [
        {"id": "H1", "value": "HED", "opposes": "I eat standing up."},
        {"id": "H2", "value": "HED"},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, [header, rows[0]])), encoding="utf-8")
    assert SurveyEnv(items=str(path)).situations() == ("H1/oppose/h01",)
    path.write_text("\n".join(map(json.dumps, [header, *rows])), encoding="utf-8")
    with pytest.raises(DataError, match="line 3: pair 'H2' has neither affirms nor opposes"):
        SurveyEnv(items=str(path))
