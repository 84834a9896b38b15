"""The second bank of posts: two values against each other in each, balanced over values and
verdicts, read alike by an annotator who saw the texts only.
"""

import json
from collections import Counter
from importlib.resources import files

import pytest

from valueagents.contracts.conformance import check_value_env
from valueagents.envs.items.judgement import JudgementEnv, bundled_posts, read_posts
from valueagents.taxonomy import load_taxonomy

AXES = load_taxonomy("schwartz20").axis_ids


@pytest.fixture(scope="module")
def posts():
    return read_posts(bundled_posts("judgements-2")).posts


@pytest.fixture(scope="module")
def second() -> dict[str, dict]:
    text = files("valueagents.envs").joinpath("data", "judgements-2.second.jsonl").read_text()
    return {row["id"]: row for row in map(json.loads, text.splitlines()[1:])}


def test_the_posts_keep_every_promise_of_an_env():
    def make(**options):
        return JudgementEnv(bank="judgements-2", **options)

    assert [check for check in check_value_env(make) if check.problem] == []


def test_every_value_is_first_in_eight_posts_and_second_in_eight(posts):
    first = Counter(post.value for post in posts)
    second = Counter(axis for post in posts for axis in post.also)
    assert first == second == dict.fromkeys(AXES, 8)
    assert len({frozenset(post.stances) for post in posts}) == 160  # no pair of values twice


def test_no_verdict_is_favoured(posts):
    for axis in AXES:
        first = Counter(p.high for p in posts if p.value == axis)
        both = Counter(p.stances[axis].high for p in posts if axis in p.stances)
        assert first == {"NTA": 4, "YTA": 4}, axis
        assert min(both.values()) >= 5, axis
    everywhere = Counter(s.high for p in posts for s in p.stances.values())
    assert everywhere == {"NTA": 160, "YTA": 160}


def test_the_two_values_of_a_post_are_on_opposite_sides(posts):
    assert all({s.high for s in post.stances.values()} == {"NTA", "YTA"} for post in posts)


def test_posts_are_short_and_end_by_asking(posts):
    assert all(30 <= len(post.text.split()) <= 60 for post in posts)
    assert all(post.text.rstrip().endswith("?") for post in posts)
    assert len({post.text for post in posts}) == 160


def test_a_blind_annotator_saw_the_same_values_and_verdicts(posts, second):
    assert sorted(second) == sorted(post.id for post in posts)
    seen = [(post, axis) for post in posts for axis in post.stances]
    same = [
        axis in second[post.id]["values"]
        and second[post.id]["values"][axis]["high"] == post.stances[axis].high
        for post, axis in seen
    ]
    assert (len(same), sum(same)) == (320, 319)
