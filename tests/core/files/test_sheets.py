"""Sheets: out, through a spreadsheet program, in again; what is damaged is named by row and column."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valueagents.errors import DataError
from valueagents.files.people import read_choices
from valueagents.files.sheets import menu_key, plain, read_sheet, sheet_text

MENUS = [
    ("A purse lies\nin the road.", ("Keep it.", "Hand it in.")),
    ('=HYPERLINK("http://a")', ("+1", "-1", "@SUM(A1)", "'Tis mine", "'=1")),
]
HEADER = "item,option,situation,words,people\n"


def _saved(folder: Path, text: str) -> Path:
    file = folder / "sheet.csv"
    file.write_text(text, encoding="utf-8", newline="")
    return file


def test_a_sheet_comes_back_as_it_went_out(tmp_path: Path):
    items = read_sheet(_saved(tmp_path, sheet_text(MENUS, ("people",))), ("people",))
    assert [(i.situation, tuple(row.words for row in i.rows)) for i in items] == MENUS


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(plain))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str):
    menus = [(text, ("yes " + text, "no"))]
    file = _saved(tmp_path_factory.mktemp("sheet"), sheet_text(menus, ("people",)))
    (item,) = read_sheet(file, ("people",))
    assert item.situation == text
    assert item.key == menu_key(*menus[0])


def test_no_cell_is_a_formula():
    rows = csv.reader(sheet_text(MENUS, ("people",)).removeprefix("\ufeff").splitlines())
    cells = [cell for row in rows for cell in row]
    assert "'+1" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_semicolons_and_other_line_ends_are_read(tmp_path: Path):
    written = csv.reader(sheet_text(MENUS[:1], ("people",)).removeprefix("\ufeff").splitlines(True))
    lines = [";".join(f'"{c}"'.replace("\n", "\r\n") for c in row) for row in written]
    (item,) = read_sheet(_saved(tmp_path, "\r\n".join(lines)), ("people",))
    assert item.key == menu_key(*MENUS[0])


def test_people_are_counted_over_sheets_and_orders(tmp_path: Path):
    first = _saved(
        tmp_path, HEADER + "1,1,Rain.,Go.,x\n1,2,Rain.,Stay.,\n2,1,Sun.,Go.,\n2,2,Sun.,No.,"
    )
    second = tmp_path / "b.csv"
    second.write_text(HEADER + "7,1,Rain.,Stay.,3\n7,2,Rain.,Go.,1\n")
    assert read_choices([first, second]) == {
        menu_key("Rain.", ["Go.", "Stay."]): {"Go.": 2, "Stay.": 3}
    }


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("1,1,Rain.,Go.,yes\n1,2,Rain.,Stay.,", "sheet.csv, line 2, column people: 'yes'"),
        ("1,1,Rain.,Go.,\n1,2,Rain.,Stay.,-1", "line 3, column people"),
        ("1,1,Rain.,Go.,1.5\n1,2,Rain.,Stay.,", "line 2, column people"),
        ("1,1,Rain.,Go.,x\n1,2,Snow.,Stay.,", "line 3, column situation"),
        (
            "1,1,Rain.,Go.,x\n1,2,Rain., Go. ,",
            "line 3, column words: the same as in sheet.csv, line 2",
        ),
        ("1,1,Rain.,Go.,x\n1,2,Rain.,,", "line 3, column words: empty"),
        ("1,1,Rain.,Go.,x", "line 2, column option: the item has one option only"),
        (
            "1,1,Rain.,Go.,x\n1,2,Rain.,No.,\n2,1,Sun.,Go.,\n2,2,Sun.,No.,\n1,3,Rain.,Hm.,",
            "line 6, column item",
        ),
        ("1,1,Rain.,Go.\n", "line 2: 5 columns are wanted"),
        ("1,1,Rain.,Go.,\n1,2,Rain.,Stay.,0", "nobody chose anything"),
        ("", "no rows"),
    ],
)
def test_what_is_wrong_is_named_by_row_and_column(tmp_path: Path, rows: str, named: str):
    with pytest.raises(DataError, match=re.escape(named)):
        read_choices([_saved(tmp_path, HEADER + rows)])


def test_a_table_that_is_no_sheet_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="line 1"):
        read_choices([_saved(tmp_path, "a,b\n1,2\n")])
