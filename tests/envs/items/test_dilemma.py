"""The bundled dilemmas: an env that keeps its promises, and a bank that can carry the
estimators.
"""

import json
import re
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from valueagents.contracts.conformance import check_value_env
from valueagents.contracts.plugins import make_env
from valueagents.envs.items.dilemma import DilemmaEnv
from valueagents.envs.items.files import read_items
from valueagents.errors import ConfigError
from valueagents.files.items import Item
from valueagents.taxonomy import load_taxonomy

DATA = files("valueagents.envs").joinpath("data")
AXES = load_taxonomy("schwartz20").axis_ids


@pytest.fixture(scope="module")
def items() -> tuple[Item, ...]:
    return DilemmaEnv().bank.items


@pytest.fixture(scope="module")
def centred(items) -> dict[str, np.ndarray]:
    """A row an option, each column less its mean over the menu: the 20 values, length, place in the
    file.
    """
    values, nuisance = [], []
    for item in items:
        x = np.array([[option.values.get(axis) or 0.0 for axis in AXES] for option in item.options])
        z = np.array(
            [[len(option.text), place] for place, option in enumerate(item.options)], dtype=float
        )
        values.append(x - x.mean(axis=0))
        nuisance.append(z - z.mean(axis=0))
    return {"values": np.vstack(values), "nuisance": np.vstack(nuisance)}


def second() -> list[dict]:
    return [
        json.loads(line)
        for line in DATA.joinpath("dilemmas-1.second.jsonl").read_text("utf-8").splitlines()
    ]


def test_the_dilemmas_keep_every_promise_of_an_env():
    assert [check for check in check_value_env(DilemmaEnv) if check.problem] == []
    assert DilemmaEnv.independent_menus


def test_a_setting_plays_its_items_only():
    env = DilemmaEnv(setting="agent-personal")
    assert {item.setting for item in env.bank.items} == {"agent-personal"}
    assert 0 < len(env.situations()) < len(DilemmaEnv().situations())


def test_an_unknown_setting_is_answered_with_the_nearest():
    with pytest.raises(
        ConfigError,
        match=r"unknown setting 'agent-person'\. Did you mean 'agent-personal'\? Known: ",
    ):
        DilemmaEnv(setting="agent-person")


def test_a_file_of_the_users_takes_the_place_of_the_bank(tmp_path):
    lines = DATA.joinpath("dilemmas-1.jsonl").read_text("utf-8").splitlines()
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(lines[:4]), encoding="utf-8")
    assert len(make_env("valueagents/Dilemma-v0", data=str(path)).situations()) == 3


def test_a_moralchoice_file_is_an_env_of_ten_rules(tmp_path):
    rules = load_taxonomy("gert10").axis_ids
    header = ["scenario_id", "context", "action1", "action2"] + [
        f"a{n}_{rule}" for n in (1, 2) for rule in rules
    ]
    row = [
        "C_1",
        "You fly a plane.",
        "I land it.",
        "I crash it.",
        *["No"] * 10,
        "Yes",
        *["No"] * 8,
        "No Agreement",
    ]
    path = tmp_path / "scenarios.csv"
    path.write_text(",".join(header) + "\n" + ",".join(row) + "\n")
    env = DilemmaEnv(data=str(path))
    _, info = env.reset(seed=1)
    array = info["annotation"].array(env.taxonomy)
    crash = next(k for k, option in enumerate(info["menu"]) if option.text == "I crash it.")
    assert array.shape == (2, 10)
    assert (array[crash, 0], np.isnan(array[crash, 9]), np.nansum(np.abs(array))) == (
        -1.0,
        True,
        1.0,
    )


def test_the_bank_has_at_least_120_items_of_two_to_four_options(items):
    assert len(items) >= 120
    assert {len(item.options) for item in items} <= {2, 3, 4}


def test_every_option_bears_on_one_to_four_values_and_by_sign_only(items):
    assert {len(option.values) for item in items for option in item.options} <= {1, 2, 3, 4}
    assert {
        value for item in items for option in item.options for value in option.values.values()
    } == {-1.0, 1.0}


def test_every_value_is_contested_at_least_20_times(items):
    contested = Counter()
    for item in items:
        for axis in AXES:
            contested[axis] += len({option.values.get(axis, 0.0) for option in item.options}) > 1
    assert set(contested) == set(AXES)
    assert min(contested.values()) >= 20


def test_no_value_can_be_told_from_the_others(centred):
    inflation = np.diag(np.linalg.inv(np.corrcoef(centred["values"], rowvar=False)))
    assert inflation.shape == (20,)
    assert inflation.max() <= 5


def test_no_value_goes_with_the_length_or_the_place_of_an_option(centred):
    both = np.corrcoef(centred["values"], centred["nuisance"], rowvar=False)[:20, 20:]
    assert both.shape == (20, 2)
    assert np.abs(both).max() <= 0.15


def test_at_least_a_fifth_of_the_items_address_an_ai_agent(items):
    agents = [item for item in items if item.setting.startswith("agent-")]
    assert all("you" in item.text.casefold() for item in agents)
    plain = re.compile(r"\b(AI|artificial|assistant|agent|model|software|program|bot)\b")
    assert sum(bool(plain.search(item.text)) for item in agents) >= 0.2 * len(items)


def test_no_text_stands_twice(items):
    texts = [item.text.strip().casefold() for item in items]
    options = [option.text.strip().casefold() for item in items for option in item.options]
    assert [text for text, count in Counter(texts).items() if count > 1] == []
    assert [text for text, count in Counter(options).items() if count > 1] == []


def test_texts_are_clean(items):
    for text in [
        text for item in items for text in (item.text, *(option.text for option in item.options))
    ]:
        assert text == text.strip()
        assert "  " not in text
        assert "\n" not in text
        assert text[-1] in ".?!”\"'’"


def test_no_value_is_named_in_a_text_that_an_agent_reads(items):
    ids = set(AXES) - {"HUM"}
    for item in items:
        words = {
            word.strip(".,;:")
            for text in (item.text, *(o.text for o in item.options))
            for word in text.split()
        }
        assert not words & ids


def test_the_bank_says_that_it_was_annotated_by_an_ai():
    bank = read_items(DATA.joinpath("dilemmas-1.jsonl"))
    assert "AI-annotated" in bank.provenance
    assert bank.taxonomy.id == "schwartz20"


def test_the_second_annotator_covers_every_option_and_no_other(items):
    header, *rows = second()
    assert (header["format"], header["taxonomy"], header["annotates"]) == (
        "valueagents-annotations",
        "schwartz20",
        "dilemmas-1.jsonl",
    )
    assert "AI-annotated" in header["provenance"]
    assert [(row["id"], sorted(row["options"])) for row in rows] == [
        (item.id, sorted(option.id for option in item.options)) for item in items
    ]


def test_the_second_annotator_uses_the_same_axes_and_signs():
    for row in second()[1:]:
        for values in row["options"].values():
            assert set(values) <= set(AXES)
            assert set(values.values()) <= {-1, 1}


def test_the_two_annotators_agree_far_beyond_chance(items):
    again = {row["id"]: row["options"] for row in second()[1:]}
    signs = [
        (option.values.get(axis, 0.0), again[item.id][option.id].get(axis, 0))
        for item in items
        for option in item.options
        for axis in AXES
    ]
    one, other = np.array(signs).T
    agreed = (one == other).mean()
    chance = sum((one == sign).mean() * (other == sign).mean() for sign in (-1, 0, 1))
    assert (agreed - chance) / (1 - chance) > 0.4  # Cohen's κ
    assert ((one * other) < 0).sum() < 0.05 * ((one * other) > 0).sum()
