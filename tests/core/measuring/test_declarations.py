"""What estimators and metrics declare: all of it, once each, and as the README says it."""

import inspect
import pkgutil
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from valueagents.contracts.plugins import names
from valueagents.errors import ConfigError
from valueagents.measuring import estimators as estimators_folder
from valueagents.measuring.estimators import declaration
from valueagents.measuring.estimators.declaration import Estimator
from valueagents.measuring.estimators.registry import (
    BUNDLED,
    estimator,
    estimators,
    markdown_table,
    of_one_run,
)
from valueagents.measuring.studies import declaration as metric_declaration
from valueagents.measuring.studies.registry import GROUP, metric, metrics

ROOT = Path(__file__).parents[3]
HEAD = markdown_table().splitlines()[0]


@pytest.mark.parametrize("each", BUNDLED, ids=lambda each: each.id)
def test_every_estimator_says_what_it_is_in_full(each):
    for name in ("id", "name", "formula", "source", "unit", "meaning"):
        text = getattr(each, name)
        assert text.strip() == text
        assert text
        assert "\n" not in text
        assert "|" not in text or name == "formula", f"{name} would break a table"
    assert each.needs in get_args(declaration.EstimatorNeeds)
    assert 0 <= each.digits <= 4
    assert len(each.name.split()) <= 3


@pytest.mark.parametrize("each", BUNDLED, ids=lambda each: each.id)
def test_every_estimator_is_computed_by_some_command(each):
    compared = each.difference is not None or (each.terms is not None and each.compared)
    assert each.of_one_run or compared or each.command
    assert each.command is None or each.command.startswith("valueagents ")


def test_no_two_estimators_have_one_id_or_one_name():
    for field in ("id", "name"):
        counted = Counter(getattr(each, field) for each in estimators())
        assert max(counted.values()) == 1, counted


def test_an_estimator_that_replaces_another_in_comparisons_names_one():
    known = {each.id for each in estimators()}
    assert {each.form_of for each in BUNDLED if each.form_of} == {"E3", "E4", "E4w"}
    assert all(each.form_of in known for each in BUNDLED if each.form_of)


def test_every_file_of_the_folder_that_declares_an_estimator_is_registered_and_declares_one():
    found = []
    for module in pkgutil.iter_modules(estimators_folder.__path__):
        loaded = import_module(f"{estimators_folder.__name__}.{module.name}")
        imported = [value for value in vars(loaded).values() if isinstance(value, Estimator)]
        if module.name != "registry":
            assert len(imported) <= 1, module.name
            found += imported
    assert {each.id for each in found} == {each.id for each in BUNDLED}
    assert len(found) == len(BUNDLED)


def test_the_estimators_of_one_run_are_those_that_score_prints():
    assert [each.id for each in of_one_run()][:7] == ["E1", "E2", "E3", "E3p", "E4", "E4p", "E5"]
    with pytest.raises(ConfigError, match=r"unknown estimator 'E33'.*Did you mean 'E3'"):
        estimator("E33")


def test_every_metric_says_what_it_is_in_full_and_takes_what_it_needs():
    assert set(metrics()) >= {"survey", "judgement", "bbq", "crows", "machiavelli"}
    assert len(metrics()) == 4 + len(names(GROUP))
    for name, each in metrics().items():
        assert name == each.id
        for field in ("id", "formula", "source"):
            assert getattr(each, field).strip(), (name, field)
        assert each.needs in get_args(metric_declaration.Needs)
        parameters = list(inspect.signature(each.compute).parameters.values())
        needed = [p.name for p in parameters if p.default is p.empty]
        if each.needs == "an adapter and its control":
            assert needed == ["intervention", "control", "target"], name
            assert "direction" in inspect.signature(each.compute).parameters
        else:
            assert len(needed) == (1 if each.needs == "a run" else 2), name
    with pytest.raises(ConfigError, match=r"unknown metric 'bqb'.*Did you mean 'bbq'"):
        metric("bqb")


def test_the_table_for_the_readme_has_a_row_for_every_bundled_estimator():
    head, rule, *rows = markdown_table().splitlines()
    assert len(head.split("|")) == len(rule.split("|"))
    assert len(rows) == len(BUNDLED)
    for row, each in zip(rows, BUNDLED, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[:4] == [each.id, each.name, each.meaning, each.unit]
        assert cells[4].startswith("`valueagents ")
        assert len(row.split("|")) == len(head.split("|"))


def test_a_readme_that_shows_the_table_shows_it_as_it_is():
    readmes = [
        ROOT / "README.md",
        *ROOT.glob("[a-z]*/README.md"),
        *ROOT.glob("valueagents/**/README.md"),
    ]
    showing = {file for file in readmes if HEAD in file.read_text(encoding="utf-8")}
    if not showing:
        pytest.skip("no README shows the estimators' table yet")
    for file in showing:
        assert markdown_table() in file.read_text(encoding="utf-8"), file
