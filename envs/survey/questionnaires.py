"""Published questionnaires: the user's numbered statements, scored by a key from
`data/survey_keys.toml`.
"""

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from valueagents.envs.survey.bank import TASK, Statement, SurveyBank, checked
from valueagents.envs.survey.prompts import load_survey_prompts
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.tables import csv_rows
from valueagents.files.text import decode_json, read_lines
from valueagents.taxonomy import load_taxonomy

_DIGITS = 9  # of an item's number


class ScoringKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which items of a questionnaire belong to each value.

    `reversed`: its published coding has 1 as the highest.
    """

    source: str
    taxonomy: str
    reversed: bool
    values: dict[str, tuple[int, ...]]

    @property
    def value_of(self) -> dict[int, str]:
        """The value of each item number."""
        return {number: value for value, numbers in self.values.items() for number in numbers}


class _Numbered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    text: str


@cache
def load_keys() -> dict[str, ScoringKey]:
    """The bundled keys by name."""
    text = (
        files("valueagents.envs").joinpath("data", "survey_keys.toml").read_text(encoding="utf-8")
    )
    return msgspec.convert(tomllib.loads(text), dict[str, ScoringKey])


def read_questionnaire(path: Path, key_name: str, *, reverse: bool | None) -> SurveyBank:
    """The statements of a `.jsonl` or `.csv` file with `number` and `text`; all are affirming, all
    in split test.

    `reverse` None takes the key's own coding. Raises ConfigError for an unknown key, DataError with
    file and line for a malformed file or one whose numbers are not exactly the key's: with items
    missing, centred scores mean nothing.
    """
    keys = load_keys()
    if key_name not in keys:
        raise ConfigError(unknown_name("key", key_name, keys))
    key = keys[key_name]
    value_of = key.value_of
    statements = []
    rows = _csv_rows(path) if path.suffix == ".csv" else _jsonl_rows(path)
    for where, row in rows:
        if row.number not in value_of:
            raise DataError(
                f"{where}: {key_name} has no item {row.number}; its items are 1 to {len(value_of)}"
            )
        pair = f"{key_name}-{row.number:02d}"
        statements.append(
            (where, Statement(pair, "affirm", value_of[row.number], "test", row.text))
        )
    kept = checked(path, statements)
    missing = sorted(set(value_of) - {int(statement.pair.rpartition("-")[2]) for statement in kept})
    if missing:
        raise DataError(
            f"{path.name} lacks items {', '.join(map(str, missing))} of {key_name}; add their"
            " statements"
        )
    return SurveyBank(
        taxonomy=load_taxonomy(key.taxonomy),
        task=TASK,
        provenance=f"the published key of {key.source}",
        prompts=load_survey_prompts(),
        statements=kept,
        reverse=key.reversed if reverse is None else reverse,
    )


def _jsonl_rows(path: Path) -> Iterator[tuple[str, _Numbered]]:
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path.name}, line {number}"
        yield where, decode_json(where, line, _Numbered)


def _csv_rows(path: Path) -> Iterator[tuple[str, _Numbered]]:
    for where, row in csv_rows(
        path, ("number", "text"), remedy="A questionnaire has number and text."
    ):
        if not row["number"].strip().isdecimal() or len(row["number"]) > _DIGITS:
            raise DataError(
                f"{where}: number {row['number']!r:.80} is not a whole number; give the item's"
                " place"
            )
        yield where, _Numbered(int(row["number"]), row["text"])
