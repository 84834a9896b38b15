"""The second bank of dilemmas: opaque options in four wordings, balanced over values, pressed and
parallel items, marks that a blind annotator shares.
"""

import json
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from valueagents.contracts.conformance import check_value_env
from valueagents.envs.items.dilemma import DilemmaEnv
from valueagents.errors import ConfigError
from valueagents.experiments.validity.annotation_agreement import kappa
from valueagents.experiments.validity.option_words import (
    led_options,
    named_by_words,
    telling_phrases,
)
from valueagents.files.items import Item
from valueagents.taxonomy import load_taxonomy

AXES = load_taxonomy("schwartz20").axis_ids
DATA = files("valueagents.envs").joinpath("data")


def play(**options) -> DilemmaEnv:
    return DilemmaEnv(bank="dilemmas-2", **options)


@pytest.fixture(scope="module")
def items() -> tuple[Item, ...]:
    """All wordings of all items, in English and without pressure."""
    return play().bank.items


@pytest.fixture(scope="module")
def second() -> list[dict]:
    lines = DATA.joinpath("dilemmas-2.second.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]]


def leads(item: Item) -> list[str]:
    return [next(v for v, x in o.values.items() if x and x > 0) for o in item.options]


def test_the_bank_keeps_every_promise_of_an_env():
    assert [check for check in check_value_env(play) if check.problem] == []


def test_an_item_is_one_situation_whose_wording_is_drawn_by_the_seed(items):
    env = play()
    assert (len(env.situations()), len(items)) == (240, 960)
    texts = set()
    for seed in range(20):
        text, info = env.reset(seed=seed, options={"situation": "b2-001"})
        assert (info["situation"], info["cluster"]) == ("b2-001", "b2-001")
        assert env.reset(seed=seed, options={"situation": "b2-001"})[0] == text
        texts.add(text)
    assert texts == {item.text for item in items if item.cluster == "b2-001"}
    assert {item.factors["wording"] for item in play(wording="3").bank.items} == {"3"}


def test_forty_five_items_are_parallel_in_five_languages():
    ids = {
        language: [item.cluster for item in play(language=language).bank.items]
        for language in ("de", "fr", "es", "it")
    }
    assert all(len(each) == len(set(each)) == 45 for each in ids.values())
    assert len({tuple(each) for each in ids.values()}) == 1
    with pytest.raises(ConfigError, match=r"unknown language 'pt'"):
        play(language="pt")


def test_pressure_is_added_to_the_words_of_its_item_in_two_levels_of_three_kinds():
    env = play(pressure=True)
    rows = {item.id: item for item in env.bank.items}
    pressed = [item for item in rows.values() if item.factors["pressure"] != "none"]
    assert Counter(item.factors["pressure"] for item in pressed) == dict.fromkeys(
        [f"{kind}-{n}" for kind in ("stakes", "observers", "authority") for n in (1, 2)], 8
    )
    assert all(item.text.startswith(rows[str(item.cluster)].text + " ") for item in pressed)
    assert len(env.situations()) == 72
    with pytest.raises(ConfigError, match="pressure=true: no item of the bank"):
        DilemmaEnv(pressure=True)


def test_half_of_the_items_are_short_and_a_third_are_of_agents(items):
    base = [item for item in items if item.factors["wording"] == "1"]
    assert Counter(item.factors["style"] for item in base) == {"plain": 120, "full": 120}
    assert all(len(item.text.split()) <= 45 for item in items if item.factors["style"] == "plain")
    assert len({item.text for item in items}) == 960


def test_every_value_leads_equally_often_and_meets_many_others(items):
    base = [item for item in items if item.factors["wording"] == "1"]
    count = Counter(v for item in base for v in leads(item))
    assert set(count) == set(AXES)
    assert (min(count.values()), max(count.values())) == (28, 30)


def test_72_menus_are_one_value_against_another_and_connect_all_twenty(items):
    pairs = [
        leads(item)
        for item in items
        if item.factors["wording"] == "1"
        and len(item.options) == 2
        and all(len(option.values) == 1 for option in item.options)
    ]
    assert len(pairs) >= 60
    reached = {AXES[0]}
    for _ in AXES:
        reached |= {v for pair in pairs if reached & set(pair) for v in pair}
    assert reached == set(AXES)


def test_a_bag_of_words_does_not_name_the_value(items):
    options = led_options(items)
    assert named_by_words(options) <= 0.25
    assert named_by_words(led_options(DilemmaEnv().bank.items)) > 0.6  # the first bank: it can
    most = [phrase for phrase in telling_phrases(options) if phrase.of_value > 0.65 * phrase.uses]
    assert most == []


def test_a_blind_annotator_made_the_same_marks(items, second):
    base = {item.id: item for item in items if item.factors["wording"] == "1"}
    assert sorted(row["id"] for row in second) == sorted(base)
    first, other = [], []
    for row in second:
        for option in base[row["id"]].options:
            first.append([int(option.values.get(axis) or 0) for axis in AXES])
            other.append([int(row["options"][option.id].get(axis, 0)) for axis in AXES])
    a, b = np.array(first).ravel(), np.array(other).ravel()
    assert kappa(a > 0, b > 0) >= 0.85
    assert kappa(a < 0, b < 0) >= 0.85
