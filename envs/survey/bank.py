"""Survey banks: statements that each belong to one value, with the prompts they are put in.

Reads our own format.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from valueagents.envs.survey.form import Pole, QuestionnaireForm
from valueagents.envs.survey.prompts import SurveyPrompts, load_survey_prompts
from valueagents.errors import DataError, unknown_name
from valueagents.files.header import BankHeader, read_header
from valueagents.files.text import decode_json, read_lines
from valueagents.taxonomy import Taxonomy

Split = Literal["train", "eval", "test"]
TASK = (
    "You are taking part in a survey about yourself. You read one statement at a time and rate it"
    " on the scale that is given."
)


class Statement(msgspec.Struct, frozen=True):
    """One wording to be rated. The two poles of a `pair` say for and against `value`.

    `also` are further values that it counts for, each with its own pole.
    """

    pair: str
    pole: Pole
    value: str
    split: Split
    text: str
    setting: str = ""
    level1: str = ""
    also: tuple[tuple[str, Pole], ...] = ()

    @property
    def keyed(self) -> tuple[tuple[str, Pole], ...]:
        """Every value that it counts for, with its pole there."""
        return ((self.value, self.pole), *self.also)

    @property
    def id(self) -> str:
        """The pair and the pole: unique within a bank."""
        return f"{self.pair}/{self.pole}"


class SurveyBank(msgspec.Struct, frozen=True):
    """A file's statements. `reverse`: the lowest number is the highest answer.

    `notes` say what was left out or found odd, `form` how a questionnaire is put as published.
    """

    taxonomy: Taxonomy
    task: str
    provenance: str
    prompts: SurveyPrompts
    statements: tuple[Statement, ...]
    reverse: bool = False
    notes: tuple[str, ...] = ()
    form: QuestionnaireForm | None = None


class StatementPair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of our format: a statement for its value, one against it, or both."""

    id: str
    value: str
    affirms: str | None = None
    opposes: str | None = None
    level1: str = ""
    setting: str = ""
    split: Split = "test"


def read_survey_jsonl(path: Path) -> SurveyBank:
    """The bank in a file of our format. Raises DataError with file and line if it is malformed."""
    first, *rest = read_lines(path)
    remedy = "; a questionnaire of numbered statements needs key=…"
    header, taxonomy = read_header(path, first, BankHeader, "valueagents-survey", remedy)
    statements: list[tuple[str, Statement]] = []
    for number, line in enumerate(rest, 2):
        where = f"{path.name}, line {number}"
        pair = decode_json(where, line, StatementPair)
        statements += statements_of(where, pair, taxonomy)
    return SurveyBank(
        taxonomy,
        header.task,
        header.provenance,
        load_survey_prompts(),
        checked(path.name, statements),
    )


def statements_of(
    where: str, pair: StatementPair, taxonomy: Taxonomy
) -> list[tuple[str, Statement]]:
    """The wordings of a pair, each with its place.

    Raises DataError, beginning with `where`, for an unknown value or where there is none.
    """
    if pair.value not in taxonomy.axis_ids:
        raise DataError(
            f"{where}: " + unknown_name(f"axis of {taxonomy.id}", pair.value, taxonomy.axis_ids)
        )
    wordings: dict[Pole, str | None] = {"affirm": pair.affirms, "oppose": pair.opposes}
    if set(wordings.values()) == {None}:
        raise DataError(f"{where}: pair {pair.id!r} has neither affirms nor opposes; give one")
    return [
        (
            where,
            Statement(pair.id, pole, pair.value, pair.split, text, pair.setting, pair.level1),
        )
        for pole, text in wordings.items()
        if text is not None
    ]


def checked(name: str, statements: Iterable[tuple[str, Statement]]) -> tuple[Statement, ...]:
    """The statements of the file of that name, each given with its place.

    Raises DataError for an empty one, a repeated id, or none at all.
    """
    kept = []
    seen: Counter[str] = Counter()
    for where, statement in statements:
        if not statement.pair.strip() or not statement.text.strip():
            raise DataError(
                f"{where}: item {statement.pair!r} has an empty id or statement; fill it in or"
                " leave it out"
            )
        seen[statement.id] += 1
        if seen[statement.id] > 1:
            raise DataError(f"{where}: item {statement.pair!r} is there twice; ids must be unique")
        kept.append(statement)
    if not kept:
        raise DataError(f"{name} holds no statements; add at least one")
    return tuple(kept)
