"""Questionnaires: the user's numbered statements, put and scored as a form says (`form.py`)."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from valueagents.envs.survey.bank import TASK, Statement, SurveyBank, checked
from valueagents.envs.survey.form import QuestionnaireForm, load_form
from valueagents.envs.survey.prompts import load_survey_prompts
from valueagents.errors import ConfigError, DataError
from valueagents.files.tables import csv_rows
from valueagents.files.text import decode_json, read_lines

_DIGITS = 9  # of an item's number


class _Numbered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    text: str


def read_questionnaire(path: Path | None, key: str, *, reverse: bool | None) -> SurveyBank:
    """The statements of a questionnaire, all in split test.

    `path` is a `.jsonl` or `.csv` file with `number` and `text`, None if the form holds the texts.
    `reverse` None takes the form's own coding. Raises ConfigError for an unknown key or texts that
    are nowhere or twice, DataError with file and line for a malformed file or one whose numbers are
    not exactly the form's: with items missing, centred scores mean nothing.
    """
    name, form, taxonomy = load_form(key)
    where_from = path.name if path is not None else f"{name}.toml"
    keyed, statements, skipped = form.keyed, [], []
    for where, row in _rows(path, key, form):
        if row.number in form.unscored:
            skipped.append(row.number)
            continue
        if row.number not in keyed:
            raise DataError(
                f"{where}: {name} has no item {row.number}; its items are {_ranges(keyed)}"
            )
        (axis, pole), *also = keyed[row.number]
        pair = f"{name}-{row.number:02d}"
        statement = Statement(pair, pole, axis, "test", row.text, also=tuple(also))
        statements.append((where, statement))
    kept = checked(where_from, statements)
    missing = sorted(set(keyed) - {int(statement.pair.rpartition("-")[2]) for statement in kept})
    if missing:
        raise DataError(
            f"{where_from} lacks items {_ranges(missing)} of {name}; add their statements"
        )
    note = f"{where_from}: items {_ranges(skipped)} count for nothing and are left out"
    return SurveyBank(
        taxonomy=taxonomy,
        task=form.task or TASK,
        provenance=f"the published key of {form.source}",
        prompts=load_survey_prompts(),
        statements=kept,
        reverse=form.reversed if reverse is None else reverse,
        notes=(note,) if skipped else (),
        form=form,
    )


def _rows(path: Path | None, key: str, form: QuestionnaireForm) -> Iterator[tuple[str, _Numbered]]:
    """The numbered statements, each with its place."""
    if path is None:
        if form.texts is None:
            raise ConfigError(
                f"key={key} holds no statements: give items=FILE with number and text, or a table"
                " [texts] in the form"
            )
        return _of_form(Path(key).name, form.texts)
    if form.texts is not None:
        raise ConfigError(f"key={key} holds its statements: leave items={path.name} out")
    return _csv_rows(path) if path.suffix == ".csv" else _jsonl_rows(path)


def _of_form(name: str, texts: Mapping[str, str]) -> Iterator[tuple[str, _Numbered]]:
    for number, text in texts.items():
        where = f"{name}, texts.{number:.40}"
        yield where, _Numbered(_number(where, number), text)


def _jsonl_rows(path: Path) -> Iterator[tuple[str, _Numbered]]:
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path.name}, line {number}"
        yield where, decode_json(where, line, _Numbered)


def _csv_rows(path: Path) -> Iterator[tuple[str, _Numbered]]:
    for where, row in csv_rows(
        path, ("number", "text"), remedy="A questionnaire has number and text."
    ):
        yield where, _Numbered(_number(where, row["number"]), row["text"])


def _number(where: str, text: str) -> int:
    if not text.strip().isdecimal() or len(text) > _DIGITS:
        raise DataError(
            f"{where}: number {text!r:.80} is not a whole number; give the item's place"
        )
    return int(text)


def _ranges(numbers: Collection[int]) -> str:
    """1 to 4, 7, 9 to 10."""
    ordered = sorted(numbers)
    starts = [n for n in ordered if n - 1 not in numbers]
    ends = [n for n in ordered if n + 1 not in numbers]
    return ", ".join(f"{a} to {b}" if b > a else str(a) for a, b in zip(starts, ends, strict=True))
