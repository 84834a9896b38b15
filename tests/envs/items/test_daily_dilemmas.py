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


@pytest.mark.parametrize("nothing", ["", "nan", "NaN", "None"])
def test_a_word_without_a_foundation_may_be_marked_in_any_way(tmp_path, nothing):
    table = [("honesty", "Fairness"), ("courage", nothing)]
    env = _env(tmp_path, _row(words=("courage",)), _row("not_to_do"), table=table)
    assert set(env.bank.items[0].options[0].values.values()) == {0.0}
    assert env.notes == ("actions.csv: 1 of 2 value words belong to no moral foundation",)


def test_words_that_the_table_settles_give_no_note(tmp_path):
    assert _env(tmp_path, _row(), _row("not_to_do", ("trust",))).notes == ()


BAD = {
    "alone": ([_row()], "line 2: dilemma '1' has the action 'to_do' only; both rows are needed"),
    "twice": ([_row(), _row(), _row("not_to_do")], "line 3: dilemma '1' has two rows 'to_do', the"),
    "kind": ([_row(), _row("not-to-do")], "line 3: unknown action_type 'not-to-do'. Did you mean"),
    "alike": ([_row(), _row("not_to_do", action="Refuse ")], "lines 2, 3: dilemma '1' has two act"),
    "told": ([_row(), _row("not_to_do", dilemma_situation="No.")], "lines 2, 3: dilemma '1' tells"),
    "blank": ([_row(action=" "), _row("not_to_do")], "line 2: action is empty"),
    "nan": ([_row(dilemma_situation="nan"), _row("not_to_do")], "line 2: dilemma_situation is 'n"),
    "word": (
        [_row(values_names="honesty"), _row("not_to_do")],
        "line 2: values_names 'honesty' is",
    ),
    "no words": (
        [_row(values_names=""), _row("not_to_do")],
        "line 2: values_names '' is not a lis",
    ),
    "numbers": ([_row(values_names="[1]"), _row("not_to_do")], "line 2: values_names '[1]' is"),
    "code": ([_row(values_names="__import__('os')"), _row("not_to_do")], "line 2: values_names"),
    "deep": ([_row(values_names="[" * 5000), _row("not_to_do")], "line 2: values_names '[[[[["),
}


@pytest.mark.parametrize("case", BAD)
def test_a_dilemma_that_is_not_whole_is_left_out_and_its_rows_are_named(tmp_path, case):
    rows, said = BAD[case]
    good = [_row(idx="9"), _row("not_to_do", idx="9")]
    env = _env(tmp_path, *rows, *good)
    assert env.situations() == (("1", "9") if case == "twice" else ("9",))
    assert said in env.notes[0]
    if case != "twice":
        with pytest.raises(DataError, match=r"actions.csv has nothing to give") as error:
            _env(tmp_path, *rows)
        assert said in str(error.value)
        assert "\n" not in str(error.value)


def test_a_file_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"actions.csv holds no rows"):
        _env(tmp_path)
    with pytest.raises(DataError, match=r"values.csv holds no rows"):
        _env(tmp_path, _row(), _row("not_to_do"), table=[])


@pytest.mark.parametrize("row", [b"2,told,to_do,Refuse,[],x,y", b"2,told,to_do,Refuse", b'2,"t'])
def test_a_ragged_row_is_left_out_by_its_line(tmp_path, row):
    _env(tmp_path, _row(), _row("not_to_do"))
    data = tmp_path / "actions.csv"
    data.write_bytes(b"\xef\xbb\xbf" + data.read_bytes() + row + b"\n")
    env = DilemmaEnv(data=str(data), values=str(tmp_path / "values.csv"))
    assert env.situations() == ("1",)
    assert env.notes[0].startswith("actions.csv: 1 of 3 rows left out (line 4: ")


def test_the_aggregated_file_of_the_data_set_is_read_too(tmp_path):
    data, values = tmp_path / "aggregated.csv", tmp_path / "values.csv"
    _env(tmp_path, _row(), _row("not_to_do"))
    told = f",dilemma_idx,dilemma_situation,action_type,action,values_aggregated\n0,7,{TOLD},"
    data.write_text(f"{told}to_do,Refuse,['honesty']\n1,7,{TOLD},not_to_do,Lie,['trust']\n")
    [item] = DilemmaEnv(data=str(data), values=str(values)).bank.items
    assert item.id == "7"
    assert item.options[0].values["fairness"] == item.options[1].values["loyalty"] == 1.0


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (",idx,basic_situation,dilemma_situation", "its list of situations"),
        (",dilemma_idx,action_type,party,value,reason", "its table of parties"),
        (",value,WVS,MFT,Virtue,Emotion,Maslow", "its table of value words"),
    ],
)
def test_another_file_of_the_data_set_is_known_and_the_error_says_which_to_give(
    tmp_path, header, what
):
    (tmp_path / "other.csv").write_text(f"{header}\n")
    with pytest.raises(ConfigError, match=f"other.csv is a file of DailyDilemmas, but {what}") as e:
        DilemmaEnv(data=str(tmp_path / "other.csv"))
    assert "give data=dilemmas_with_detail_by_action.csv" in str(e.value)
    assert "values=values.csv" in str(e.value)


def test_files_given_the_wrong_way_round_are_told(tmp_path):
    _env(tmp_path, _row(), _row("not_to_do"))
    data, values = str(tmp_path / "actions.csv"), str(tmp_path / "values.csv")
    with pytest.raises(ConfigError, match=r"values.csv is .* which is values=FILE"):
        DilemmaEnv(data=values, values=data)
    with pytest.raises(DataError, match=r"actions.csv, line 1: .* values.csv, has value and MFT"):
        DilemmaEnv(data=data, values=data)


def test_entities_in_a_dilemma_are_decoded_and_counted(tmp_path):
    env = _env(tmp_path, _row(action="Say &quot;no&quot;"), _row("not_to_do"))
    assert env.bank.items[0].options[0].text == 'Say "no"'
    assert any("decoded in 1 texts" in note for note in env.notes)


def test_a_missing_column_is_named(tmp_path):
    _env(tmp_path, _row(), _row("not_to_do"))
    (tmp_path / "values.csv").write_text("value,foundation\ntrust,Loyalty\n")
    with pytest.raises(DataError, match=r"values.csv, line 1.*'MFT'"):
        DilemmaEnv(data=str(tmp_path / "actions.csv"), values=str(tmp_path / "values.csv"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("honesty", "Loyality"), "unknown moral foundation 'Loyality'. Did you mean 'loyalty'?"),
        (("trust", "Care"), "the word 'trust' is there already, under another foundation"),
        (("nan", "Care"), "value is 'nan'"),
    ],
)
def test_a_row_of_the_table_that_says_nothing_is_left_out_and_named(tmp_path, row, said):
    table = [("trust", "Loyalty"), row]
    env = _env(tmp_path, _row(), _row("not_to_do", ("trust",)), table=table)
    assert env.bank.items[0].options[1].values["loyalty"] == 1.0
    assert env.bank.items[0].options[0].values["fairness"] is None
    assert any(f"values.csv: 1 of 2 rows left out (line 3: {said}" in note for note in env.notes)


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
