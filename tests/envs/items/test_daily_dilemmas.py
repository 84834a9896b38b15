"""DailyDilemmas in Dilemma-v0: value words become moral foundations; what the table does not say
stays unannotated.
"""

import csv
import json

import pytest

from valueagents.contracts.conformance import check_value_env
from valueagents.envs.items.dilemma import DilemmaEnv
from valueagents.errors import ConfigError, DataError
from valueagents.identity import content_hash
from valueagents.taxonomy import load_taxonomy

AXES = load_taxonomy("mft5").axis_ids
TABLE = [
    ("honesty", "Fairness"),
    ("trust", "Loyalty"),
    ("kindness", "Care"),
    ("courage", ""),
    ("betrayal", "Loyalty"),
    ("neglect", "Care"),
]
COLUMNS = ("idx", "dilemma_situation", "action_type", "action", "values_names", "topic_group")
TOLD = "A friend asks you to lie for them."


def _row(action_type="to_do", words=("honesty",), **changes):
    row = {
        "idx": "1",
        "dilemma_situation": TOLD,
        "action_type": action_type,
        "action": {"to_do": "Refuse", "not_to_do": "Lie"}.get(action_type, "Wait"),
        "values_names": str(list(words)),
        "topic_group": "friends",
    }
    return {**row, **changes}


def _env(tmp_path, *rows, columns=COLUMNS, table=TABLE):
    data, values = tmp_path / "actions.csv", tmp_path / "values.csv"
    with data.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    with values.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("value", "MFT"), *table])
    return DilemmaEnv(data=str(data), values=str(values))


def _annotation(tmp_path, words):
    env = _env(tmp_path, _row(words=words), _row("not_to_do", ()))
    return env.bank.items[0].options[0].values


@pytest.mark.parametrize(
    ("words", "served", "unclear"),
    [
        ((), set(), set()),
        (("honesty",), {"fairness"}, set()),
        (("Honesty ", "TRUST"), {"fairness", "loyalty"}, set()),
        (("courage",), set(), set()),
        (("betrayal",), set(), {"loyalty"}),
        (("betrayal", "trust"), {"loyalty"}, set()),
        (("neglect", "honesty"), {"fairness"}, {"care"}),
        (("zeal",), set(), set(AXES)),
        (("zeal", "kindness"), {"care"}, set(AXES) - {"care"}),
    ],
)
def test_a_foundation_is_served_unclear_or_left_alone(tmp_path, words, served, unclear):
    assert _annotation(tmp_path, words) == {
        axis: 1.0 if axis in served else None if axis in unclear else 0.0 for axis in AXES
    }


def test_a_dilemma_is_two_actions_on_its_situation(tmp_path):
    env = _env(
        tmp_path, _row("not_to_do", ("trust",)), _row(), _row(idx="2"), _row("not_to_do", idx="2")
    )
    assert env.situations() == ("1", "2")
    item = env.bank.items[0]
    assert (item.text, item.setting) == (TOLD, "friends")
    assert [(option.id, option.text) for option in item.options] == [
        ("to_do", "Refuse"),
        ("not_to_do", "Lie"),
    ]


def test_the_env_keeps_the_contract(tmp_path):
    rows = [
        _row(kind, words, idx=str(i), dilemma_situation=f"Case {i}.")
        for i in range(4)
        for kind, words in (("to_do", ("honesty",)), ("not_to_do", ("trust", "zeal")))
    ]
    env = _env(tmp_path, *rows)
    files = {"data": str(tmp_path / "actions.csv"), "values": str(tmp_path / "values.csv")}
    assert [check for check in check_value_env(lambda: DilemmaEnv(**files)) if check.problem] == []
    assert env.taxonomy.id == "mft5"


def test_what_the_table_leaves_open_is_counted_in_the_notes(tmp_path):
    columns = (*COLUMNS, "values_direct", "values_indirect")
    raw = {"values_direct": "['Honesty', 'Grit']", "values_indirect": ""}
    env = _env(
        tmp_path,
        _row(words=("honesty", "courage", "betrayal", "zeal"), **raw),
        _row("not_to_do", ()),
        columns=columns,
    )
    said = "\n".join(env.notes)
    assert "1 of 4 value words belong to no moral foundation" in said
    assert "1 of 4 value words name a wrong" in said
    assert "1 of 4 value words are not in the table" in said
    assert "1 more words were dropped" in said


def test_words_that_the_table_settles_give_no_note(tmp_path):
    assert _env(tmp_path, _row(), _row("not_to_do", ("trust",))).notes == ()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([_row()], r"line 2.*'1' has the action 'to_do' only"),
        ([_row(), _row()], r"line 3.*two rows 'to_do'"),
        ([_row(), _row("not-to-do")], r"line 3.*Did you mean 'not_to_do'"),
        ([_row(), _row("not_to_do", action="Refuse ")], "line 3: both actions"),
        ([_row(), _row("not_to_do", dilemma_situation="Another.")], "line 3.*another situation"),
        ([_row(action=" "), _row("not_to_do")], "line 2.*empty"),
        (
            [_row(values_names="honesty"), _row("not_to_do")],
            "line 2: values_names 'honesty' is not a list",
        ),
        ([_row(values_names="[1]"), _row("not_to_do")], "line 2: values_names"),
        ([_row(values_names="__import__('os')"), _row("not_to_do")], "line 2: values_names"),
        ([_row(values_names="[" * 5000), _row("not_to_do")], "line 2: values_names"),
        ([], "no rows"),
    ],
)
def test_a_malformed_dilemma_is_one_clear_line(tmp_path, rows, message):
    with pytest.raises(DataError, match=message) as error:
        _env(tmp_path, *rows)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("row", ["1,told,to_do,Refuse,[],x,y", "1,told,to_do,Refuse"])
def test_a_ragged_row_is_refused_by_its_line(tmp_path, row):
    _env(tmp_path, _row(), _row("not_to_do"))
    with (tmp_path / "actions.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(DataError, match=r"actions.csv, line 4: 6 columns are wanted"):
        DilemmaEnv(data=str(tmp_path / "actions.csv"), values=str(tmp_path / "values.csv"))


def test_a_missing_column_is_named(tmp_path):
    _env(tmp_path, _row(), _row("not_to_do"))
    (tmp_path / "values.csv").write_text("value,foundation\ntrust,Loyalty\n")
    with pytest.raises(DataError, match=r"values.csv, line 1.*'MFT'"):
        DilemmaEnv(data=str(tmp_path / "actions.csv"), values=str(tmp_path / "values.csv"))


def test_an_unknown_foundation_of_the_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"values.csv, line 2.*Did you mean 'loyalty'"):
        _env(tmp_path, _row(), _row("not_to_do"), table=[("trust", "Loyality")])


def test_the_table_of_value_words_is_asked_for(tmp_path):
    _env(tmp_path, _row(), _row("not_to_do"))
    with pytest.raises(ConfigError, match="values"):
        DilemmaEnv(data=str(tmp_path / "actions.csv"))


def test_a_table_beside_a_file_that_needs_none_is_refused(tmp_path):
    _env(tmp_path, _row(), _row("not_to_do"))
    mine = tmp_path / "mine.jsonl"
    option = {"text": "go", "values": {}}
    header = {
        "format": "valueagents-items",
        "version": 1,
        "taxonomy": "mft5",
        "task": "",
        "provenance": "",
        "scaling": "",
    }
    item = {
        "id": "a",
        "text": "t",
        "options": [{"id": "1", **option}, {"id": "2", **option, "text": "stay"}],
    }
    mine.write_text(f"{json.dumps(header)}\n{json.dumps(item)}\n")
    with pytest.raises(ConfigError, match="values"):
        DilemmaEnv(data=str(mine), values=str(tmp_path / "values.csv"))


def test_runs_on_the_data_set_keep_the_content_that_the_first_ones_hashed(tmp_path):
    env = _env(tmp_path, _row(), _row("not_to_do", ()))
    assert content_hash(env.content()) == "138946259296aee15262c9c338c2c27f"
