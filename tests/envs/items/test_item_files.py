"""Item files of our own format: what is read, and how every malformed line is named."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valueagents.envs.items.files import read_items
from valueagents.errors import ConfigError, DataError, ValueAgentsError
from valueagents.running.execution import RunConfig, execute

HEADER = {
    "format": "valueagents-items",
    "version": 1,
    "taxonomy": "schwartz20",
    "task": "Choose.",
    "provenance": "by hand",
    "scaling": "sign",
}


def item(number: int = 0, **fields) -> dict:
    options = [
        {"id": "a", "text": "Wait.", "values": {"HED": 1}},
        {"id": "b", "text": "Go on.", "values": {}},
    ]
    return {"id": f"item-{number}", "text": "Now?", "options": options, **fields}


def with_option(**fields) -> dict:
    options = item()["options"]
    return item(options=[options[0], {**options[1], **fields}])


def jsonl(tmp_path, *lines: object, name: str = "items.jsonl"):
    """A file of these lines: bytes and texts as they are, everything else as JSON."""
    path = tmp_path / name
    raw = [
        (
            line
            if isinstance(line, bytes)
            else (line if isinstance(line, str) else json.dumps(line)).encode()
        )
        for line in lines
    ]
    path.write_bytes(b"".join(line + b"\n" for line in raw))
    return path


def test_a_jsonl_file_becomes_a_bank_with_its_header(tmp_path):
    cluster = item(1, setting="home", cluster="post")
    bank = read_items(jsonl(tmp_path, HEADER, item(0), cluster))
    assert (bank.taxonomy.id, bank.task, bank.provenance, bank.scaling) == (
        "schwartz20",
        "Choose.",
        "by hand",
        "sign",
    )
    assert [i.id for i in bank.items] == ["item-0", "item-1"]
    assert [(o.id, o.text, o.values) for o in bank.items[0].options] == [
        ("a", "Wait.", {"HED": 1.0}),
        ("b", "Go on.", {}),
    ]
    assert [(i.setting, i.cluster) for i in bank.items] == [("", None), ("home", "post")]


def test_factors_of_the_file_are_those_of_the_env_and_reach_the_table_of_a_run(tmp_path, out):
    header = {
        **HEADER,
        "factors": [{"name": "place", "meaning": "Where.", "levels": ["home", "street"]}],
    }
    data = jsonl(tmp_path, header, item(0, factors={"place": "street"}), item(1))
    done = execute(
        RunConfig(env="valueagents/Dilemma-v0", env_options={"data": str(data)}, policy="first"),
        out,
    )
    assert [factor.name for factor in done.header.factors] == ["item", "place"]
    rows = done.decisions(["factor.item", "factor.place"]).sort_by("factor.item").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("item-0", "street"), ("item-1", None)]


def test_a_level_that_the_header_does_not_declare_is_named_with_file_and_line(tmp_path):
    with pytest.raises(
        DataError, match=r"items\.jsonl, line 3: item 'item-1': unknown factor 'place'"
    ):
        read_items(jsonl(tmp_path, HEADER, item(0), item(1, factors={"place": "home"})))


def test_a_file_without_texts_is_for_values_only_and_cannot_be_played(tmp_path):
    without = {name: part for name, part in item().items() if name != "text"}
    with pytest.raises(DataError, match=r"items\.jsonl, line 3: item 'item-0' has no text"):
        read_items(jsonl(tmp_path, HEADER, item(8), without))
    options = [{"id": "a", "values": {}}, {"id": "b", "values": {}}]
    with pytest.raises(
        DataError, match=r"items\.jsonl, line 2: option 'a' of item 'item-0' has no text"
    ):
        read_items(jsonl(tmp_path, HEADER, item(options=options)))


def test_null_is_not_annotated_and_zero_is_neutral(tmp_path):
    bank = read_items(
        jsonl(tmp_path, HEADER, with_option(values={"HED": None, "BEC": 0, "ACH": -0.5}))
    )
    assert bank.items[0].options[1].values == {"HED": None, "BEC": 0.0, "ACH": -0.5}


def test_the_last_line_needs_no_newline_and_lines_may_end_as_on_windows(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes("\r\n".join(json.dumps(line) for line in (HEADER, item(0), item(1))).encode())
    assert len(read_items(path).items) == 2


def test_unicode_and_newlines_in_texts_are_kept(tmp_path):
    text = "Zoë 🦊\nsaid\u2028“no”\x85"
    assert read_items(jsonl(tmp_path, HEADER, item(text=text))).items[0].text == text
    raw = json.dumps(item(text=text), ensure_ascii=False).encode()
    assert read_items(jsonl(tmp_path, HEADER, raw, name="raw.jsonl")).items[0].text == text


def test_26_options_are_read(tmp_path):
    options = [{"id": str(k), "text": f"Way {k}.", "values": {}} for k in range(26)]
    assert len(read_items(jsonl(tmp_path, HEADER, item(options=options))).items[0].options) == 26


MALFORMED = {
    "junk": (b"junk", ""),
    "bytes": (b"\xff\xfe\x00", ""),
    "bytes in a text": (json.dumps(item()).encode().replace(b"Now?", b"N\xffw?"), ""),
    "blank": (b"", ""),
    "list": ([], "Expected `object`"),
    "cut": (json.dumps(item())[:-9], ""),
    "100 kB": (b"{" * 100_000, ""),
    "deep": (b'{"id":' + b"[" * 50_000, ""),
    "no id": ({k: v for k, v in item().items() if k != "id"}, "missing required field `id`"),
    "number for text": (item(text=3), "Expected `str`"),
    "unknown field": (item(txt="x"), "unknown field `txt`"),
    "unknown option field": (with_option(value={}), "unknown field `value`"),
    "no values": (item(options=[{"id": "a", "text": "x"}] * 2), "missing required field `values`"),
    "blank text": (item(text=" \n"), "item 'item-0' has no text"),
    "no options": (item(options=[]), "item 'item-0' has 0 options; 2 to 26 are possible"),
    "one option": (
        item(options=item()["options"][:1]),
        "item 'item-0' has 1 options; 2 to 26 are possible",
    ),
    "27 options": (
        item(options=[{"id": str(k), "text": f"{k}", "values": {}} for k in range(27)]),
        "has 27 options",
    ),
    "repeated option text": (with_option(text="Wait."), "2 options with the text 'Wait.'"),
    "option text repeated but for spaces": (
        with_option(text=" Wait.\n"),
        "2 options with the text 'Wait.'",
    ),
    "repeated option id": (with_option(id="a"), "2 options with the id 'a'"),
    "blank option text": (with_option(text=" "), "option 'b' of item 'item-0' has no text"),
    "unknown axis": (
        with_option(values={"HEDO": 1}),
        "unknown axis of schwartz20 'HEDO'. Did you mean 'HED'?",
    ),
    "two": (with_option(values={"HED": 2}), "option 'b', HED = 2.0; a value lies in [-1, 1]"),
    "just above one": (with_option(values={"HED": -1.0000001}), "a value lies in [-1, 1]"),
    "text for value": (with_option(values={"HED": "1"}), "Expected `float | null`"),
    "true for value": (with_option(values={"HED": True}), "Expected `float | null`"),
    "NaN": (json.dumps(with_option(values={"HED": float("nan")})), ""),
    "infinity": (json.dumps(with_option(values={"HED": float("inf")})), ""),
    "1e999": (json.dumps(with_option(values={"HED": 7})).replace("7", "1e999"), ""),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_line_is_named_with_its_file_and_number(tmp_path, case):
    line, words = MALFORMED[case]
    with pytest.raises(DataError) as caught:
        read_items(jsonl(tmp_path, HEADER, item(8), line, item(9)))
    message = str(caught.value)
    assert message.startswith("items.jsonl, line 3: ")
    assert words in message
    assert len(message) < 500


def test_an_item_id_that_stands_twice_is_named_with_file_and_line(tmp_path):
    with pytest.raises(DataError, match=r"items\.jsonl.*'item-1'.*twice") as caught:
        read_items(jsonl(tmp_path, HEADER, item(1), item(2), item(1)))
    assert "line 4" in str(caught.value)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "line 1 is not a header"),
        (b"\xff\xfe", "UTF-8"),
        (b"junk " * 20_000, "line 1 is not a header"),
        (item(), "line 1 is not a header"),
        ({**HEADER, "licence": "MIT"}, "line 1 is not a header"),
        ({k: v for k, v in HEADER.items() if k != "scaling"}, "missing required field `scaling`"),
        (
            {**HEADER, "format": "valueagents-annotations"},
            "format 'valueagents-annotations' version 1; this reads value",
        ),
        (
            {**HEADER, "version": 2},
            "format 'valueagents-items' version 2; this reads valueagents-items 1",
        ),
        (
            {**HEADER, "taxonomy": "schwartz2"},
            "unknown taxonomy 'schwartz2'. Did you mean 'schwartz20'?",
        ),
    ],
)
def test_a_wrong_header_is_named_with_file_and_line(tmp_path, header, words):
    with pytest.raises(DataError) as caught:
        read_items(jsonl(tmp_path, header, item()))
    assert str(caught.value).startswith("items.jsonl, line 1")
    assert words in str(caught.value)


def test_a_byte_order_mark_before_the_header_is_no_part_of_it(tmp_path):
    assert read_items(jsonl(tmp_path, b"\xef\xbb\xbf" + json.dumps(HEADER).encode(), item())).items


def test_a_header_error_shows_what_a_header_looks_like(tmp_path):
    with pytest.raises(
        DataError, match=r'it should read \{"format": "valueagents-items", "version": 1, "taxonomy"'
    ):
        read_items(jsonl(tmp_path, "x"))


def test_an_empty_file_and_one_without_items_are_refused(tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.jsonl, line 1 is not a header"):
        read_items(empty)
    with pytest.raises(
        DataError, match=r"items\.jsonl holds no items; add at least one line after the header"
    ):
        read_items(jsonl(tmp_path, HEADER))


def test_a_missing_file_is_answered_with_the_nearest_in_its_folder(tmp_path):
    jsonl(tmp_path, HEADER, item())
    with pytest.raises(
        ConfigError, match=r"unknown data file '.*itmes\.jsonl'\. Did you mean '.*/items\.jsonl'\?"
    ):
        read_items(tmp_path / "itmes.jsonl")
    with pytest.raises(ConfigError, match="Give the path of a file"):
        read_items(tmp_path / "no" / "such" / "folder.csv")


def test_a_folder_is_no_data_file(tmp_path):
    (tmp_path / "items.jsonl").mkdir()
    with pytest.raises(ConfigError, match="unknown data file"):
        read_items(tmp_path / "items.jsonl")


@pytest.mark.parametrize("name", ["items.txt", "items", "items.jsonl.gz"])
def test_another_kind_of_file_is_refused_with_the_kinds_that_are_read(tmp_path, name):
    path = tmp_path / name
    path.write_text("x")
    with pytest.raises(
        ConfigError,
        match=(
            r"neither \.jsonl \(our format, see envs/reference\.md\) nor \.csv \(MoralChoice, Dail"
        ),
    ):
        read_items(path)


def test_a_changed_file_is_read_again(tmp_path):
    path = jsonl(tmp_path, HEADER, item(text="Now?"))
    assert read_items(path).items[0].text == "Now?"
    jsonl(tmp_path, HEADER, item(text="Now!"))
    os.utime(path, ns=(1, 1))
    assert read_items(path).items[0].text == "Now!"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@given(content=st.binary(max_size=60), prefix=st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_bytes_make_anything_but_a_bank_or_an_error_of_ours(
    tmp_path_factory, suffix, content, prefix
):
    path = tmp_path_factory.mktemp("junk") / f"items{suffix}"
    head = (
        json.dumps(HEADER).encode() + b"\n"
        if suffix == ".jsonl"
        else b"scenario_id,context,action1,action2\n"
    )
    path.write_bytes((head if prefix else b"") + content)
    with pytest.raises(ValueAgentsError, match=r"items\."):
        read_items(path)
