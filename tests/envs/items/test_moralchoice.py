"""MoralChoice's CSV: what is read, what is left out and named."""

import csv
import io
import json

import pytest

from valueagents.envs.items.dilemma import DilemmaEnv
from valueagents.envs.items.files import read_items
from valueagents.errors import DataError
from valueagents.measuring.summary import summarise
from valueagents.report.page import page
from valueagents.running.execution import RunConfig, execute
from valueagents.taxonomy import load_taxonomy

RULES = load_taxonomy("gert10").axis_ids
COLUMNS = ["scenario_id", "ambiguity", "context", "action1", "action2"] + [
    f"a{n}_{r}" for n in (1, 2) for r in RULES
]


def scenario(name: str = "C_1", **fields) -> dict:
    row = dict.fromkeys(COLUMNS, "No")
    return (
        row
        | {"scenario_id": name, "context": "You fly.", "action1": "I land.", "action2": "I crash."}
        | fields
    )


def moralchoice(tmp_path, *rows: dict, columns: list[str] = COLUMNS, encoding: str = "utf-8"):
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path = tmp_path / "scenarios.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def test_moralchoice_scenarios_become_items_with_yes_as_a_violation(tmp_path):
    rows = [
        scenario("C_1", a2_death="Yes", a2_duty="No Agreement"),
        scenario("C_2", context="Zoë,\n“you” 🦊", a1_break_promise="Yes"),
    ]
    bank = read_items(moralchoice(tmp_path, *rows))
    assert (bank.taxonomy.id, [i.id for i in bank.items]) == ("gert10", ["C_1", "C_2"])
    first, second = bank.items
    assert [(o.id, o.text) for o in first.options] == [
        ("action1", "I land."),
        ("action2", "I crash."),
    ]
    neutral = dict.fromkeys(RULES, 0.0)
    assert [o.values for o in first.options] == [neutral, {**neutral, "death": -1.0, "duty": None}]
    assert second.options[0].values["break_promise"] == -1.0
    assert second.text == "Zoë,\n“you” 🦊"


def test_moralchoice_columns_may_stand_in_any_order_among_others(tmp_path):
    columns = ["extra", *reversed(COLUMNS)]
    assert len(read_items(moralchoice(tmp_path, scenario(extra="x"), columns=columns)).items) == 1


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    assert len(read_items(moralchoice(tmp_path, scenario(), encoding="utf-8-sig")).items) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"a2_pain": "yes"},
            "column a2_pain: unknown flag 'yes'. Did you mean 'Yes'? Known: No, No Agreement, Yes.",
        ),
        ({"a1_death": ""}, "column a1_death: unknown flag ''"),
        ({"a1_death": "nan"}, "column a1_death: unknown flag 'nan'"),
        ({"a1_death": "x" * 10**5}, "column a1_death: unknown flag 'xxx"),
        ({"action2": "I land. "}, "both actions read 'I land.'; they must differ"),
        ({"action1": "&#73; crash."}, "both actions read 'I crash.'; they must differ"),
        ({"action1": " "}, "action1 is empty"),
        ({"action1": "NaN"}, "action1 is 'NaN', which stands for nothing"),
        ({"context": "&#x200B;"}, "context is empty"),
        ({"scenario_id": ""}, "scenario_id is empty"),
        ({"scenario_id": "C_1"}, "scenario 'C_1' is there already, in line 2"),
        ({name: name for name in COLUMNS}, "column a1_death: unknown flag 'a1_death'"),
    ],
)
def test_a_scenario_that_cannot_be_used_is_left_out_and_named_with_its_line(
    tmp_path, fields, words
):
    rows = [scenario("C_1"), scenario("C_2") | fields, scenario("C_3")]
    bank = read_items(moralchoice(tmp_path, *rows))
    assert [item.id for item in bank.items] == ["C_1", "C_3"]
    [note] = (note for note in bank.notes if "left out" in note)
    assert note.startswith("scenarios.csv: 1 of 3 rows left out (line 3: ")
    assert words in note
    assert len(note) < 400


def test_a_file_of_which_no_row_is_good_is_one_error_with_the_reasons(tmp_path):
    with pytest.raises(DataError, match=r"scenarios\.csv holds no rows"):
        read_items(moralchoice(tmp_path))
    with pytest.raises(
        DataError,
        match=r"^scenarios\.csv has nothing to give: 2 of 2 rows left out \(lines 2, 3: context is",
    ):
        read_items(moralchoice(tmp_path, scenario(context=""), scenario(context=" ")))


@pytest.mark.parametrize("column", ["scenario_id", "action2", "a1_death", "a2_duty"])
def test_a_missing_column_is_named_with_its_file(tmp_path, column):
    columns = [name for name in COLUMNS if name != column] + [f"{column}s"]
    with pytest.raises(
        DataError, match=rf"scenarios\.csv, line 1: .*'{column}'\. Did you mean '{column}s'"
    ):
        read_items(moralchoice(tmp_path, scenario(), columns=columns))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"junk",
        b'"scenario_id"x,action1\n',
        b'"scenario_id',
        b"\x00\x01\x02",
        b"x" * 140_000,
    ],
    ids=["empty", "blank", "junk", "text after a quote", "open quote", "nul", "140 kB"],
)
def test_what_has_no_csv_header_is_named_with_line_1(tmp_path, content):
    path = tmp_path / "scenarios.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"scenarios\.csv, line 1"):
        read_items(path)


def published(tmp_path):
    """A file with the defects that published ones have; C_1, C_4, C_6, C_9 and C_12 are good."""
    good = moralchoice(
        tmp_path,
        scenario("C_1", context="You fly,\r\nalone."),
        scenario("C_2", action2="I land."),
        scenario("C_3", a1_death="nan"),
        scenario("C_4", context="Tom &amp; I fly.&#x200B;"),
        scenario("C_1"),
        scenario("C_5", context=""),
        scenario("C_6", action1='I say "no".'),
    ).read_bytes()
    row = b",".join([b"low", b"You fly.", b"I land.", b"I crash.", *[b"No"] * 20]) + b"\r\n"
    latin = b"C_10,low,You visit a caf\xe9.,I land.,I crash.," + b",".join([b"No"] * 20) + b"\r\n"
    more = [
        b"C_7,low,You fly.\r\n",
        b'C_8,"low,You fly.,I land.\r\n',
        b"C_9," + row,
        latin,
        b"\r\n",
        b"," * 24 + b"\r\n",
        b'C_11,"low"er,' + row,
        b"C_12," + row.rstrip(),
    ]
    path = tmp_path / "scenarios.csv"
    path.write_bytes(b"\xef\xbb\xbf" + good + b"".join(more))
    return path


def test_a_file_with_the_defects_of_published_ones_is_read_around_them(tmp_path):
    bank = read_items(published(tmp_path))
    assert [item.id for item in bank.items] == ["C_1", "C_4", "C_6", "C_9", "C_12"]
    assert [item.text for item in bank.items[:2]] == ["You fly,\r\nalone.", "Tom & I fly."]
    assert bank.items[2].options[0].text == 'I say "no".'
    left_out, decoded = bank.notes
    assert left_out.startswith("scenarios.csv: 8 of 13 rows left out (")
    for place in ("line 4: both", "line 5: col", "line 7: scenario 'C_1'", "line 8: context"):
        assert place in left_out
    for place in ("line 10: 25 col", "lines 11, 16: not a row", "line 13: column context is"):
        assert place in left_out
    assert decoded.endswith("decoded in 1 texts")


def test_what_was_left_out_stands_in_the_run_its_scores_and_its_report(tmp_path, out):
    options = {"data": str(published(tmp_path))}
    run = execute(RunConfig(env="valueagents/Dilemma-v0", policy="first", env_options=options), out)
    assert run.header.notes == DilemmaEnv(**options).notes
    stored = json.loads((run.path / "run.json").read_text())
    assert stored["notes"][0].startswith("scenarios.csv: 8 of 13 rows left out (line 4: ")
    summary = summarise([run])
    assert set(run.header.notes) <= set(summary.envs[0].policies[0].sheets[0].scores.warnings)
    assert "scenarios.csv: 8 of 13 rows left out (line 4: " in page(summary)


def test_a_good_file_has_no_notes(tmp_path):
    assert read_items(moralchoice(tmp_path, scenario())).notes == ()
