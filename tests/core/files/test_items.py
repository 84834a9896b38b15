"""Item files: what all who read them may rely on, with or without texts; factors of the file's
own.
"""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from valueagents.errors import DataError
from valueagents.files.factors import Factor
from valueagents.files.items import Item, ItemOption, read_item_file

HEADER = {
    "format": "valueagents-items",
    "version": 1,
    "taxonomy": "schwartz20",
    "task": "Choose.",
    "provenance": "by hand",
    "scaling": "sign",
}
SETTING = {"name": "place", "meaning": "Where it happens.", "levels": ["home", "street"]}
AUTHOR = {"name": "author", "meaning": "Who wrote it."}
OPTIONS = [{"id": "a", "values": {"HED": 1}}, {"id": "b", "values": {"ACH": None}}]


def item(number: int = 0, **fields) -> dict:
    return {"id": f"item-{number}", "options": OPTIONS, **fields}


def written(tmp_path, *lines: object):
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_file_of_values_needs_no_texts(tmp_path):
    bank = read_item_file(written(tmp_path, HEADER, item()))
    options = (ItemOption(id="a", values={"HED": 1.0}), ItemOption(id="b", values={"ACH": None}))
    assert bank.items == (Item(id="item-0", options=options),)
    assert {bank.items[0].text, *(option.text for option in bank.items[0].options)} == {""}


def test_one_option_or_very_many_are_for_others_to_refuse(tmp_path):
    many = [{"id": str(k), "values": {}} for k in range(60)]
    bank = read_item_file(
        written(tmp_path, HEADER, item(0, options=OPTIONS[:1]), item(1, options=many))
    )
    assert [len(each.options) for each in bank.items] == [1, 60]


def test_the_bundled_dilemmas_are_such_a_file():
    bank = read_item_file(Path(str(files("valueagents.envs").joinpath("data", "dilemmas-1.jsonl"))))
    assert (len(bank.items), bank.factors, bank.taxonomy.id) == (192, (), "schwartz20")


def test_a_file_may_be_marked_as_utf_8_and_end_its_lines_as_on_windows(tmp_path):
    path = written(tmp_path, HEADER, item())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_item_file(path).items) == 1


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            {**HEADER, "format": "valueagents-survey"},
            "line 1: format 'valueagents-survey' version 1; this reads value",
        ),
        (
            {**HEADER, "version": 2},
            "line 1: format 'valueagents-items' version 2; this reads valueagents-items 1",
        ),
        ({"taxonomy": "schwartz20"}, "line 1 is not a header"),
        (
            {**HEADER, "taxonomy": "schwartz2"},
            "line 1: unknown taxonomy 'schwartz2'. Did you mean 'schwartz20'",
        ),
        ({**HEADER, "factors": [{**AUTHOR, "unit": "kg"}]}, "line 1 is not a header"),
        ({**HEADER, "factors": [{"name": "author"}]}, "missing required field `meaning`"),
        ({**HEADER, "factors": [AUTHOR, AUTHOR]}, "line 1: factor 'author' is declared 2 times"),
        (
            {**HEADER, "factors": [{**AUTHOR, "name": "item"}]},
            "line 1: factor 'item' is the id of an item",
        ),
    ],
)
def test_a_wrong_header_is_named_with_file_and_line(tmp_path, header, message):
    with pytest.raises(DataError) as caught:
        read_item_file(written(tmp_path, header, item()))
    assert str(caught.value).startswith("items.jsonl, line 1")
    assert message in str(caught.value)


def test_the_header_that_an_error_shows_has_what_is_required_and_no_more(tmp_path):
    with pytest.raises(DataError, match=r'"task": "…", "provenance": "…", "scaling": "…"\}$'):
        read_item_file(written(tmp_path, [], item()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (item(id=" "), "an id is empty"),
        (item(options=[{"id": "", "values": {}}]), "an id is empty"),
        (
            item(options=[OPTIONS[0], {**OPTIONS[1], "id": "a "}]),
            "item 'item-0' has 2 options with the id 'a'",
        ),
        (item(options=[{"id": "a"}]), "missing required field `values`"),
        (
            item(options=[{"id": "a", "values": {"HEDO": 1}}]),
            "unknown axis of schwartz20 'HEDO'. Did you mean 'HED'",
        ),
        (
            item(options=[{"id": "a", "values": {"HED": 1.5}}]),
            "option 'a', HED = 1.5; a value lies in [-1, 1]",
        ),
        ({"id": "item-0"}, "missing required field `options`"),
        (item(9), "item id 'item-9' is there twice, first in items.jsonl, line 2"),
        (item(colour="red"), "unknown field `colour`"),
    ],
)
def test_a_malformed_item_is_named_with_file_and_line(tmp_path, wrong, message):
    with pytest.raises(DataError) as caught:
        read_item_file(written(tmp_path, HEADER, item(9), wrong))
    assert str(caught.value).startswith("items.jsonl, line 3: ")
    assert message in str(caught.value)


def test_items_have_levels_on_the_factors_that_the_header_declares(tmp_path):
    header = {**HEADER, "factors": [SETTING, AUTHOR]}
    levels = {"place": "home", "author": "Zoë"}
    bank = read_item_file(written(tmp_path, header, item(0, factors=levels), item(1)))
    assert bank.factors == (
        Factor("place", "Where it happens.", ("home", "street")),
        Factor("author", "Who wrote it."),
    )
    assert [each.factors for each in bank.items] == [levels, {}]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (
            {"autor": "Zoë"},
            "item 'item-0': unknown factor 'autor'. Did you mean 'author'? Its level is 'Zoë'",
        ),
        (
            {"place": "moon"},
            (
                "item 'item-0': unknown level of factor 'place' 'moon'. Declared: home, street;"
                " add the"
            ),
        ),
        ({"item": "item-0"}, "item 'item-0': unknown factor 'item'"),
        ({"author": 3}, "Expected `str`, got `int`"),
    ],
)
def test_a_level_that_the_header_does_not_declare_is_named_with_file_and_line(
    tmp_path, levels, message
):
    header = {**HEADER, "factors": [SETTING, AUTHOR]}
    with pytest.raises(DataError) as caught:
        read_item_file(written(tmp_path, header, item(0, factors=levels)))
    assert str(caught.value).startswith("items.jsonl, line 2: ")
    assert message in str(caught.value)


def test_a_file_without_items_is_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"items\.jsonl holds no items; add at least one line after the header"
    ):
        read_item_file(written(tmp_path, HEADER))
