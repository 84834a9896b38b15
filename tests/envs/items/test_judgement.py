"""Judgement-v0: the bank's balance, three verdicts and their annotation, the study's own posts and
their defects.
"""

import json
import re
from collections import Counter
from importlib.resources import files

import msgspec
import pytest

from valueagents.contracts.conformance import check_value_env
from valueagents.contracts.plugins import make_env
from valueagents.envs.items.judgement import VERDICTS, JudgementEnv, bundled_posts, read_posts
from valueagents.errors import ConfigError, DataError
from valueagents.measuring.scores import score
from valueagents.running.execution import RunConfig, execute
from valueagents.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy("schwartz20")
AXES = TAXONOMY.axis_ids
HEADER = {
    "format": "valueagents-judgements",
    "version": 1,
    "taxonomy": "schwartz20",
    "task": "Judge.",
    "provenance": "tests",
}
POST = {"id": "P1", "value": "HED", "high": "NTA", "low": "YTA", "text": "I took the last slice."}
LAB_POST = {
    "post": "I left early.",
    "high_standard_stance": "NTA",
    "low_standard_stance": "YTA",
    "title": "unused",
}


@pytest.fixture(scope="module")
def bank():
    return read_posts(bundled_posts("judgements-1")).posts


def _file(tmp_path, *lines):
    path = tmp_path / "mine.jsonl"
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n"
    )
    return str(path)


def _lab(tmp_path, posts):
    path = tmp_path / "aita.json"
    path.write_text(json.dumps(posts))
    return str(path)


def _lab_post(text, high="NTA", low="YTA"):
    return {**LAB_POST, "post": text, "high_standard_stance": high, "low_standard_stance": low}


def _shown(env, situation, seed=0):
    text, info = env.reset(seed=seed, options={"situation": situation})
    values = {o.id: x for o, x in zip(info["menu"], info["annotation"].values, strict=True)}
    return text, [option.id for option in info["menu"]], values


def test_every_value_has_eight_posts_that_favour_neither_verdict(bank):
    assert len(bank) == 160
    for axis in AXES:
        pairs = Counter((post.high, post.low) for post in bank if post.value == axis)
        assert sum(pairs.values()) == 8, axis
        assert sum(n for (high, _), n in pairs.items() if high == "NTA") == 4, axis
        assert sum(n for (high, _), n in pairs.items() if high == "YTA") == 4, axis


def test_second_values_are_those_of_both_annotators_and_favour_neither_verdict(bank):
    text = files("valueagents.envs").joinpath("data", "judgements-1.also.jsonl").read_text()
    rows = {row["id"]: row for row in map(json.loads, text.splitlines()[1:])}
    assert sorted(rows) == sorted(post.id for post in bank)
    assert sum(bool(row["first"]) and bool(row["second"]) for row in rows.values()) == 113
    assert sum(bool(row["first"]) and row["first"] == row["second"] for row in rows.values()) == 110
    high = Counter()
    for post in bank:
        if post.also:
            assert msgspec.to_builtins(post.also) == rows[post.id]["first"]
            assert rows[post.id]["first"] == rows[post.id]["second"]
        high.update((axis, stances.high) for axis, stances in post.also.items())
    assert sum(high.values()) == 74
    assert all(high[axis, "NTA"] == high[axis, "YTA"] for axis in AXES)


def test_no_post_names_its_value_or_stands_there_twice(bank):
    names = {axis.id: axis.name.casefold() for axis in TAXONOMY.axes}
    for post in bank:
        for part in re.findall(r"[a-z-]{8,}", names[post.value]):
            assert part not in post.text.casefold(), (post.id, part)
    assert len({post.cluster for post in bank}) == 160


def test_the_posts_are_of_a_posts_length_and_do_not_give_their_verdict(bank):
    assert all(400 <= len(post.text) <= 3000 for post in bank)
    assert [
        post.id for post in bank if re.search(r"\b(NTA|YTA|NAH|ESH|NEUTRAL)\b", post.text)
    ] == []


def test_the_env_keeps_the_contract():
    assert [
        check
        for check in check_value_env(lambda: make_env("valueagents/Judgement-v0"))
        if check.problem
    ] == []
    assert JudgementEnv.independent_menus


def test_a_post_that_contests_two_values_is_annotated_on_both(tmp_path):
    post = {**POST, "also": {"BEC": {"high": "YTA", "low": "NEUTRAL"}}}
    _, _, values = _shown(JudgementEnv(posts=_file(tmp_path, HEADER, post)), "P1")
    assert {verdict: (x["HED"], x["BEC"]) for verdict, x in values.items()} == {
        "NTA": (1.0, -0.5),
        "NEUTRAL": (-0.5, -1.0),
        "YTA": (-1.0, 1.0),
    }
    assert all(
        marks[axis] is None
        for marks in values.values()
        for axis in AXES
        if axis not in ("HED", "BEC")
    )


@pytest.mark.parametrize(("strict", "remaining"), [(False, -0.5), (True, 0.0)])
def test_each_reader_has_a_verdict_and_no_other_value_is_annotated(bank, strict, remaining):
    env = JudgementEnv(strict=strict)
    for post in bank[::7]:
        _, _, values = _shown(env, post.id)
        [rest] = set(VERDICTS) - {post.high, post.low}
        assert {verdict: x[post.value] for verdict, x in values.items()} == {
            post.high: 1.0,
            post.low: -1.0,
            rest: remaining,
        }
        for x in values.values():
            unknown = {axis for axis, amount in x.items() if amount is None}
            assert unknown == set(AXES) - {post.value, *post.also}


def test_every_value_is_scored_over_its_own_few_posts_with_their_count(bank, out):
    posts = Counter(axis for post in bank for axis in post.stances)
    assert min(posts.values()) == 8
    scores = score(execute(RunConfig(env="valueagents/Judgement-v0", policy="first"), out))
    assert {axis.axis: (axis.contested, axis.propensity.value is None) for axis in scores.axes} == {
        axis: (posts[axis], False) for axis in AXES
    }


def test_a_menu_says_which_post_it_judges(bank):
    _, info = JudgementEnv().reset(seed=0, options={"situation": bank[5].id})
    assert info["factors"] == {"item": bank[5].id}


def test_the_order_of_the_verdicts_is_drawn_from_the_seed(bank):
    env = JudgementEnv()
    orders = [tuple(_shown(env, bank[0].id, seed)[1]) for seed in range(40)]
    assert orders == [tuple(_shown(env, bank[0].id, seed)[1]) for seed in range(40)]
    assert len(set(orders)) == 6
    assert {option for order in orders for option in order} == {"NTA", "NEUTRAL", "YTA"}


def test_a_post_is_shown_whole_and_the_question_is_the_prompts(bank):
    env = JudgementEnv()
    text, *_ = _shown(env, bank[3].id)
    assert text == bank[3].text
    assert env.asks == "judge"
    assert "NTA: the writer is not in the wrong" in env.task


def test_a_cap_keeps_the_same_posts_whatever_their_order(tmp_path):
    posts = [{**POST, "id": f"P{i}", "text": f"Post {i}."} for i in range(9)]
    kept = [
        set(JudgementEnv(posts=_file(tmp_path, HEADER, *order), cap=4).situations())
        for order in (posts, posts[::-1])
    ]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 4


def test_a_cap_counts_the_studys_ten_values_not_the_twenty_axes(bank):
    left = Counter(post.value for post in JudgementEnv(cap=1).posts)
    groups = TAXONOMY.groupings["survey-to-behavior"]
    assert {
        group: sum(left[axis] for axis in axes) for group, axes in groups.items()
    } == dict.fromkeys(groups, 1)


def test_a_text_under_two_values_is_two_situations_of_one_cluster(tmp_path, out):
    file = _file(
        tmp_path,
        HEADER,
        POST,
        {**POST, "id": "P2", "value": "STI"},
        {**POST, "id": "P3", "text": "Else."},
    )
    config = RunConfig(
        env="valueagents/Judgement-v0", env_options={"posts": file}, policy="random", episodes=3
    )
    done = execute(config, out)
    rows = done.decisions(["cluster"])["cluster"].to_pylist()
    assert sorted(Counter(rows).values()) == [1, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "line 1 is not a header"),
        (["junk"], "line 1 is not a header"),
        ([HEADER], "no posts"),
        ([{**HEADER, "version": 2}, POST], "version 2"),
        ([{**HEADER, "taxonomy": "schwarz20"}, POST], "line 1.*Did you mean 'schwartz20'"),
        ([HEADER, {**POST, "value": "HEDO"}], "line 2.*Did you mean 'HED'"),
        ([HEADER, {**POST, "text": " "}], "line 2.*empty id or text"),
        ([HEADER, {**POST, "low": "NTA"}], "line 2.*high = low"),
        (
            [HEADER, {**POST, "also": {"COI": {"high": "YTA", "low": "YTA"}}}],
            "line 2.*high = low = YTA; it says nothing of COI",
        ),
        (
            [HEADER, {**POST, "also": {"HED": {"high": "YTA", "low": "NTA"}}}],
            "line 2.*names HED again in `also`",
        ),
        ([HEADER, {**POST, "also": {"XYZ": {"high": "YTA", "low": "NTA"}}}], "line 2.*'XYZ'"),
        ([HEADER, {**POST, "low": "ESH"}], "line 2.*ESH"),
        ([HEADER, {k: v for k, v in POST.items() if k != "high"}], "line 2.*high"),
        ([HEADER, POST, POST], "line 3.*twice"),
        ([HEADER, {**POST, "colour": 1}], "line 2.*colour"),
    ],
)
def test_a_malformed_file_is_one_clear_line(tmp_path, lines, message):
    with pytest.raises(DataError, match=message) as error:
        JudgementEnv(posts=_file(tmp_path, *lines))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"posts": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"posts": "posts.txt"}, "neither .jsonl"),
        ({"cap": 0}, "cap"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        make_env("valueagents/Judgement-v0", **options)


@pytest.mark.parametrize(
    "text", ["x" * 200_000, "a\nb", "a\x00b", "{{ 7 * 7 }} {observation} <script>", "NTA\nYTA"]
)
def test_odd_posts_are_shown_as_they_are(tmp_path, text):
    assert (
        text in _shown(JudgementEnv(posts=_file(tmp_path, HEADER, {**POST, "text": text})), "P1")[0]
    )


def test_the_studys_posts_are_read_by_code_or_name_and_their_defects_are_reported(tmp_path):
    long = "word " * 20_000
    env = JudgementEnv(
        posts=_lab(
            tmp_path,
            {
                "Hedonism": [_lab_post("One."), _lab_post("One."), _lab_post("One.", "YTA", "NTA")],
                "TR": [
                    _lab_post("One.", "YTA", "Neutral"),
                    _lab_post("Same.", "NTA", "NTA"),
                    _lab_post(long),
                ],
            },
        )
    )
    assert sorted((post.value, post.high, post.low) for post in env.posts) == [
        ("HED", "NTA", "YTA"),
        ("TRA", "NTA", "YTA"),
        ("TRA", "YTA", "NEUTRAL"),
    ]
    said = " ".join(env.notes)
    assert "aita.json: 3 of 6 posts left out (" in said
    assert "Hedonism[1]: it repeats an earlier post of its value;" in said
    assert "Hedonism[2]: it repeats an earlier post of its value, with other stances" in said
    assert "TR[1]: its high and low stances are equal" in said
    assert "1 posts are listed under more than one value" in said
    assert "fewer than 30 posts, so underpowered: SDT 0, SDA 0, STI 0, HED 1," in said
    [whole] = [post.id for post in env.posts if post.text == long]
    assert long in _shown(env, whole)[0]


def test_posts_without_defects_give_no_note(tmp_path):
    posts = {name: [_lab_post(f"{name} {i}.") for i in range(30)] for name in AXES}
    assert JudgementEnv(posts=_lab(tmp_path, posts)).notes == ()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({**LAB_POST, "post": " "}, "the post is empty"),
        ({**LAB_POST, "post": "NaN"}, "the post is 'NaN', which stands for nothing"),
        ({**LAB_POST, "post": "&#x200B;\n"}, "is empty"),
        ({**LAB_POST, "post": None}, "Expected `str`, got `null`"),
        ({**LAB_POST, "post": float("nan")}, "Expected `str`, got `null`"),
        ({**LAB_POST, "post": "half \ud83d"}, "the post is not UTF-8 text"),
        ({"post": "x", "high_standard_stance": "NTA"}, "missing required field `low_standard_st"),
        ({**LAB_POST, "low_standard_stance": "ESH"}, "Invalid enum value 'ESH'"),
        (_lab_post("x", "NTA", "NTA"), "its high and low stances are equal"),
        (["x"], "Expected `object`, got `array`"),
    ],
)
def test_a_post_of_the_study_that_cannot_be_used_is_left_out_and_named(tmp_path, bad, said):
    posts = {"HED": [_lab_post("One."), bad, _lab_post("Two.")]}
    env = JudgementEnv(posts=_lab(tmp_path, posts))
    assert [post.text for post in env.posts] == ["One.", "Two."]
    assert env.notes[0].startswith("aita.json: 1 of 3 posts left out (HED[1]: ")
    assert said in env.notes[0]
    with pytest.raises(
        DataError, match=r"aita.json has nothing to give: 1 of 1 .*HED\[0\]"
    ) as error:
        JudgementEnv(posts=_lab(tmp_path, {"HED": [bad]}))
    assert "\n" not in str(error.value)


def test_posts_of_an_unknown_value_are_left_out_and_the_name_is_told(tmp_path):
    posts = {"HED": [_lab_post("One.")], "Hedonisn": [LAB_POST, LAB_POST], "TR": "none"}
    env = JudgementEnv(posts=_lab(tmp_path, posts))
    assert [post.value for post in env.posts] == ["HED"]
    assert "aita.json: 3 of 4 posts left out (Hedonisn[0, 1]: unknown value" in env.notes[0]
    assert "Did you mean" in env.notes[0]
    assert "TR: it is not a list of posts" in env.notes[0]


def test_entities_and_zero_width_characters_of_a_post_are_decoded_once_and_for_all(tmp_path):
    posts = {"HED": [_lab_post("Tom &amp; I&amp;#x200B; left."), _lab_post("Tom & I left.")]}
    env = JudgementEnv(posts=_lab(tmp_path, posts))
    assert [post.text for post in env.posts] == ["Tom & I left."]
    assert "HED[1]: it repeats an earlier post" in env.notes[0]
    assert env.notes[1] == ("aita.json: HTML entities or zero-width characters decoded in 1 texts")
    plain = JudgementEnv(posts=_lab(tmp_path, {"HED": [_lab_post("Tom & I left.")]}))
    assert env.situations() == plain.situations()


def test_posts_in_latin_1_or_behind_a_byte_order_mark_are_read_around(tmp_path):
    path = tmp_path / "aita.json"
    text = json.dumps({"HED": [_lab_post("One."), _lab_post("The cafRAW.")]}, indent=1)
    path.write_bytes(
        b"\xef\xbb\xbf" + text.encode().replace(b"RAW", b"\xe9").replace(b"\n", b"\r\n")
    )
    env = JudgementEnv(posts=str(path))
    assert [post.text for post in env.posts] == ["One."]
    assert "HED[1]: the post is not UTF-8 text; save the file as UTF-8" in env.notes[0]


@pytest.mark.parametrize("damaged", ["NTA", "low_standard_stance", "HED", "One", "unused"])
def test_a_byte_that_is_no_utf_8_costs_its_post_wherever_it_is(tmp_path, damaged):
    path = tmp_path / "aita.json"
    posts = {
        "HED": [_lab_post("One."), _lab_post("Two.", "YTA", "NTA")],
        "TR": [_lab_post("Three.")],
    }
    path.write_bytes(
        json.dumps(posts).encode().replace(damaged.encode(), b"\xff" + damaged.encode(), 1)
    )
    env = JudgementEnv(posts=str(path))
    assert "Three." in [post.text for post in env.posts]
    if damaged == "unused":
        assert len(env.posts) == 3
    else:
        assert " posts left out (" in env.notes[0]
    assert [note.encode() for note in env.notes]


@pytest.mark.parametrize(
    ("posts", "message"),
    [
        ({"Hedonisn": [LAB_POST]}, "Did you mean"),
        ({"HED": []}, "no posts"),
        ({}, "no posts"),
        ([LAB_POST], "aita.json: Expected `object`, got `array`"),
        ("{", "aita.json: Expecting property name"),
        ('{"HED": [], "HED": []}', "aita.json: the key 'HED' is there twice"),
        ("[" * 100_000, "aita.json: it nests too deeply"),
    ],
)
def test_a_file_that_is_none_of_the_study_is_one_clear_line(tmp_path, posts, message):
    path = tmp_path / "aita.json"
    path.write_text(posts if isinstance(posts, str) else json.dumps(posts))
    with pytest.raises(DataError, match=message) as error:
        JudgementEnv(posts=str(path))
    assert "\n" not in str(error.value)
