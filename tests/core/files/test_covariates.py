"""Declarations and numbers of covariates: what is wrong is named, with the remedy."""

import json
import math

import pytest

from valueagents.errors import ConfigError, DataError
from valueagents.files.covariates import (
    Covariate,
    covariate_declaration_problem,
    covariate_problem,
    covariates_of_all,
)
from valueagents.files.items import read_item_file

RATED = Covariate("rated", "How most people rate it.", "points", 0, 10)
REWARD = Covariate("reward", "Points of the game on offer.", "points")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([RATED, RATED], "'rated' is declared 2 times"),
        ([Covariate("", "What?", "points")], "lacks a name, a meaning or a unit"),
        ([Covariate("a", "What?", " ")], "lacks a name, a meaning or a unit"),
        ([Covariate("length", "Of the text.", "characters")], "has the name of what"),
        ([Covariate("a", "What?", "points", 3, 3)], "between 3 and 3; give two finite"),
        ([Covariate("a", "What?", "points", high=math.inf)], "give two finite"),
    ],
)
def test_a_declaration_that_says_too_little_is_named(declared, said):
    assert said in str(covariate_declaration_problem(declared))
    assert covariate_declaration_problem([RATED, REWARD]) is None


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"rated": (1.0,)}, "has 1 numbers for a menu of 2"),
        ({"rated": (1.0, 10.5)}, "is 10.5; it lies between 0 and 10"),
        ({"reward": (math.nan, 1.0)}, "is nan; give a finite number"),
        ({"rate": (1.0, 2.0)}, "unknown covariate 'rate'. Did you mean 'rated'?"),
    ],
)
def test_numbers_that_do_not_fit_the_declaration_are_named(numbers, said):
    assert said in str(covariate_problem(numbers, 2, [RATED, REWARD]))


def test_an_option_may_lack_a_number_and_an_open_range_takes_any():
    numbers = {"rated": (None, 10), "reward": (-1e6, 3)}
    assert covariate_problem(numbers, 2, [RATED, REWARD]) is None


def test_runs_with_one_covariate_in_two_units_cannot_be_put_together():
    other = Covariate("rated", "How most people rate it.", "points", 1, 5)
    assert covariates_of_all({"a": [RATED], "b": [REWARD, RATED]}) == (RATED, REWARD)
    with pytest.raises(ConfigError, match="'b' declares covariate 'rated' otherwise"):
        covariates_of_all({"a": [RATED], "b": [other]})


def bank(tmp_path, covariates: dict, declared: list[dict]):
    header = {
        "format": "valueagents-items",
        "version": 1,
        "taxonomy": "schwartz20",
        "task": "Choose.",
        "provenance": "test",
        "scaling": "sign",
        "covariates": declared,
    }
    options = [
        {"id": "a", "text": "Go.", "values": {"SDA": 1}, "covariates": covariates},
        {"id": "b", "text": "Stay.", "values": {}},
    ]
    path = tmp_path / "mine.jsonl"
    rows = [header, {"id": "one", "text": "It rains.", "options": options}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


DECLARED = [{"name": "rated", "meaning": "How most rate it.", "unit": "points", "low": 0}]


def test_an_item_file_gives_covariates_of_its_options(tmp_path):
    read = read_item_file(bank(tmp_path, {"rated": 3}, DECLARED))
    assert read.covariates == (Covariate("rated", "How most rate it.", "points", 0),)
    assert [option.covariates for option in read.items[0].options] == [{"rated": 3}, {}]


@pytest.mark.parametrize(
    ("covariates", "declared", "said"),
    [
        ({"rated": -1}, DECLARED, r"line 2: item 'one': covariate 'rated' is -1"),
        ({"rates": 1}, DECLARED, r"line 2: item 'one': unknown covariate 'rates'"),
        ({"rated": None}, DECLARED, r"line 2"),
        ({}, DECLARED * 2, r"line 1: covariate 'rated' is declared 2 times"),
        ({}, [{"name": "rated"}], r"line 1"),
    ],
)
def test_what_is_wrong_in_an_item_file_is_named_with_its_line(tmp_path, covariates, declared, said):
    with pytest.raises(DataError, match=said):
        read_item_file(bank(tmp_path, covariates, declared))
