"""A sheet of marks beside an env's: where they agree, and cells that are not marks."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valueagents.errors import DataError
from valueagents.files.sheets import menu_key, sheet_text
from valueagents.measuring.mark_agreement import mark_agreement
from valueagents.taxonomy import load_taxonomy

TAXONOMY = load_taxonomy("schwartz20")
MENUS = [(f"Rain {k}.", ("Go.", "Stay.")) for k in range(60)]


def _marks(k: int) -> dict[str, dict[str, float | None]]:
    return (
        {"Go.": {"STI": 1.0, "SEP": -1.0}, "Stay.": {"SEP": 1.0, "UNN": None}}
        if k % 2
        else {
            "Go.": {"SEP": 1.0},
            "Stay.": {"STI": 1.0},
        }
    )


MARKS = {menu_key(*menu): _marks(k) for k, menu in enumerate(MENUS)}


def _sheet(folder: Path, cell: Callable[[int, str, str], str]) -> Path:
    """The sheet with what `cell` says of an item, an option's words and an axis."""
    text = sheet_text(MENUS, TAXONOMY.axis_ids).removeprefix("\ufeff")
    header, *rows = csv.reader(text.splitlines())
    filled = [[*r[:4], *(cell(int(r[0]) - 1, r[3], axis) for axis in header[4:])] for r in rows]
    file = folder / "marks.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *filled])
    return file


def _same(k: int, words: str, axis: str) -> str:
    return f"{_marks(k)[words].get(axis) or 0:.0f}"


def _kappas(found: Any) -> dict[str, float | None]:
    return {each.axis: each.kappa.value for each in found.values}


def test_the_same_marks_agree_and_unused_values_have_no_kappa(tmp_path: Path):
    found = mark_agreement(_sheet(tmp_path, _same), MARKS, TAXONOMY)
    kappas = _kappas(found)
    assert found.items == 60
    assert kappas["SEP"] == kappas["STI"] == kappas["all"] == pytest.approx(1)
    assert kappas["HED"] is None


def test_kappa_is_that_of_the_formula(tmp_path: Path):
    """Every other STI mark left out: of 120 options 60 are marked by the env, 30 on the sheet."""
    sheet = _sheet(tmp_path, lambda k, w, a: "" if a == "STI" and k % 4 < 2 else _same(k, w, a))
    found = mark_agreement(sheet, MARKS, TAXONOMY)
    (sti,) = [each for each in found.values if each.axis == "STI"]
    observed, chance = 90 / 120, (90 * 60 + 30 * 60) / 120**2
    assert sti.kappa.value == pytest.approx((observed - chance) / (1 - chance))
    assert sti.kappa.low is not None
    assert sti.kappa.high is not None
    assert sti.kappa.low < sti.kappa.value < sti.kappa.high
    assert (sti.sheet_marks, sti.env_marks) == (30, 60)


def test_items_that_are_not_marked_yet_are_left_out(tmp_path: Path):
    sheet = _sheet(tmp_path, lambda k, w, a: _same(k, w, a) if k < 20 else "")
    assert mark_agreement(sheet, MARKS, TAXONOMY).items == 20


def test_what_is_no_mark_is_named_by_row_and_column(tmp_path: Path):
    sheet = _sheet(tmp_path, lambda k, w, a: "2" if (k, w, a) == (1, "Stay.", "HED") else "")
    with pytest.raises(DataError, match="line 5, column HED: '2' is not a mark"):
        mark_agreement(sheet, MARKS, TAXONOMY)


def test_an_item_of_another_env_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="line 2, column situation: the env has no item"):
        mark_agreement(_sheet(tmp_path, _same), {}, TAXONOMY)


def test_an_empty_sheet_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no item is marked"):
        mark_agreement(_sheet(tmp_path, lambda *_: ""), MARKS, TAXONOMY)
