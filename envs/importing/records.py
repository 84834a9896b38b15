"""Rows of a user's table as records of a bank: one kind of bank, one way."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec

from valueagents.envs.importing.column_map import ColumnMap
from valueagents.envs.importing.tables import TableRow
from valueagents.envs.items.files import DILEMMA_TASK, require_playable
from valueagents.envs.items.judgement_files import TASK as JUDGEMENT_TASK
from valueagents.envs.items.judgement_files import Post, check_post
from valueagents.envs.survey.bank import TASK as SURVEY_TASK
from valueagents.envs.survey.bank import StatementPair, checked, statements_of
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.items import Item, check_values
from valueagents.files.left_out import LeftOut
from valueagents.taxonomy import Taxonomy

T = TypeVar("T")


class Fields(dict[str, str]):
    """What a row says of our fields, cut at both ends, with its place; a field without a text is
    not there.
    """

    def __init__(self, where: str, found: Mapping[str, str]) -> None:
        super().__init__(found)
        self.where = where


class Records(ABC):
    """How the rows of a table become records of one kind of bank.

    `required` fields must be mapped and filled, `optional` ones may be; `unlisted` says in words
    what other fields there may be. `texts` are what an agent reads: decoded, and never a word for
    nothing.
    """

    format: ClassVar[str]
    task: ClassVar[str]
    env: ClassVar[str]
    required: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]]
    unlisted: ClassVar[str] = ""
    texts: ClassVar[tuple[str, ...]] = ("text",)

    def __init__(self, mapping: ColumnMap, taxonomy: Taxonomy, left_out: LeftOut) -> None:
        self.mapping = mapping
        self.left_out = left_out
        self.taxonomy = taxonomy
        self.mapped = tuple(dict.fromkeys((*mapping.columns, *mapping.constants)))
        both = sorted(set(mapping.columns) & set(mapping.constants))
        if both:
            raise ConfigError(f"{both[0]} is mapped to a column and to a constant; keep one")
        for field in self.mapped:
            self.check_field(field)
        for field in self.required:
            if field not in self.mapped:
                raise ConfigError(
                    f"no column is named for {field!r}: give --column {field}=COLUMN, or map it in"
                    " a --map file"
                )

    def check_field(self, field: str) -> None:
        """Raise ConfigError for a field that this kind of bank has not."""
        known = (*self.required, *self.optional)
        if field not in known:
            remedy = f"Fields: {', '.join(known)}{self.unlisted}."
            raise ConfigError(unknown_name("field", field, known, remedy=remedy))

    def header(self) -> dict[str, Any]:
        """What the first line of the bank has beyond every bank's."""
        return {}

    def fields(self, row: TableRow) -> Fields:
        """The fields of a row. Raises DataError where a required one is empty."""
        where, cells = row
        found = {field: cells[column] for field, column in self.mapping.columns.items()}
        found = {field: text.strip() for field, text in {**found, **self.mapping.constants}.items()}
        found = {field: text for field, text in found.items() if text}
        for field in found:
            if field.rpartition(".")[2] in self.texts:
                found[field] = self.left_out.text(where, field, found[field])
        for field in self.required:
            if field not in found:
                raise DataError(f"{where}: {field} is empty")
        return Fields(where, found)

    def groups(self, rows: Sequence[TableRow]) -> Iterator[Sequence[TableRow]]:
        """The rows of each record: one."""
        return ([row] for row in rows)

    @abstractmethod
    def record(self, place: int, rows: Sequence[Fields]) -> dict[str, Any]:
        """The record of these rows, of which the first is the table's `place`-th.

        Raises DataError, beginning with the place of a row, if the bank's reader would refuse it.
        """

    def axis(self, where: str, word: str) -> str:
        """The axis that a cell names."""
        axis = self.mapping.words.get(word, word)
        if axis not in self.taxonomy.axis_ids:
            known = {*self.taxonomy.axis_ids, *self.mapping.words}
            remedy = "Map it under [words], or correct the cell."
            problem = unknown_name(f"axis of {self.taxonomy.id}", word, known, remedy=remedy)
            raise DataError(f"{where}: {problem}")
        return axis


class DilemmaRecords(Records):
    """Situations with annotated options, a row each, or a row an option."""

    format = "valueagents-items"
    task = DILEMMA_TASK
    env = "valueagents/Dilemma-v0 --env-option data="
    required = ("text",)
    optional = ("id", "setting", "cluster")
    unlisted = (
        "; factor.NAME; for each option option.NAME.text, option.NAME.AXIS, option.NAME.promotes,"
        " option.NAME.violates; where every option has a row of its own option.text, option.id,"
        " option.AXIS, option.promotes, option.violates"
    )

    def __init__(self, mapping: ColumnMap, taxonomy: Taxonomy, left_out: LeftOut) -> None:
        super().__init__(mapping, taxonomy, left_out)
        names = [field.split(".") for field in self.mapped if field.startswith("option.")]
        self.by_row = any(len(parts) == 2 for parts in names)
        self.options = list(dict.fromkeys(p[1] for p in names if len(p) == 3))
        self._check_options()

    def check_field(self, field: str) -> None:
        """Fields of options and factors have names of their own."""
        parts = field.split(".")
        if parts[0] == "option" and len(parts) in (2, 3) and all(parts):
            known = (*self.taxonomy.axis_ids, "text", "promotes", "violates", "id")
            if parts[-1] not in known or (len(parts) == 3 and parts[-1] == "id"):
                raise ConfigError(f"field {field!r}: " + unknown_name("axis", parts[-1], known))
        elif not (parts[0] == "factor" and len(parts) == 2 and parts[1]):
            super().check_field(field)

    def header(self) -> dict[str, Any]:
        """The factors, open ones."""
        names = [field.removeprefix("factor.") for field in self.mapped if _of_factor(field)]
        meaning = "{}, from the imported table."
        factors = [{"name": n, "meaning": meaning.format(n.capitalize())} for n in sorted(names)]
        scaling = self.mapping.scaling
        if scaling is None:
            raise ConfigError(
                "no scaling: say in a few words what the numbers mean (--scaling, or in the map)"
            )
        return {"scaling": scaling, **({"factors": factors} if factors else {})}

    def groups(self, rows: Sequence[TableRow]) -> Iterator[Sequence[TableRow]]:
        """One row, or all rows of one id, in the order of their first."""
        if not self.by_row:
            yield from super().groups(rows)
            return
        column = self.mapping.columns["id"]
        found: dict[str, list[TableRow]] = {}
        for row in rows:
            found.setdefault(row[1][column].strip() or row[0], []).append(row)
        yield from found.values()

    def record(self, place: int, rows: Sequence[Fields]) -> dict[str, Any]:
        """An item; all of its rows must say the same of it."""
        first, *others = rows
        for name in ("text", "setting", "cluster"):
            if any(other.get(name) != first.get(name) for other in others):
                raise DataError(
                    f"{first.where}: the rows of id {first['id']!r:.80} differ in {name}"
                )
        factors = {f.removeprefix("factor."): first[f] for f in first if _of_factor(f)}
        options = (
            [self._option(f"{k}", "option.", row) for k, row in enumerate(rows, 1)]
            if self.by_row
            else [
                self._option(name, f"option.{name}.", first)
                for name in self.options
                if f"option.{name}.text" in first
            ]
        )
        record: dict[str, Any] = {"id": first.get("id", f"row-{place}"), "text": first["text"]}
        record |= {name: first[name] for name in ("setting", "cluster") if name in first}
        record |= {"options": options, **({"factors": factors} if factors else {})}
        item = _convert(first.where, record, Item)
        check_values(first.where, item, self.taxonomy)
        require_playable(first.where, item)
        return record

    def _option(self, name: str, before: str, fields: Fields) -> dict[str, Any]:
        if before + "text" not in fields:
            raise DataError(f"{fields.where}: {before}text is empty")
        values: dict[str, float | None] = {}
        if self._listed(before):
            for field, x in (("promotes", 1.0), ("violates", -1.0)):
                for word in _words(fields.get(before + field, "")):
                    axis = self.axis(fields.where, word)
                    if values.get(axis, x) != x:
                        raise DataError(
                            f"{fields.where}: option {name!r} both promotes and violates {axis}"
                        )
                    values[axis] = x
        else:
            values = dict.fromkeys(self.taxonomy.axis_ids)
            for axis in self.taxonomy.axis_ids:
                if before + axis in self.mapped:
                    values[axis] = self._x(fields, before + axis)
        identity = fields.get(before + "id", name)
        return {"id": identity, "text": fields[before + "text"], "values": values}

    def _x(self, fields: Fields, field: str) -> float | None:
        """What a cell says of an axis; an empty one, and NaN, is not annotated."""
        cell, where = fields.get(field, "nan"), f"{fields.where}: {field}"
        if cell in self.mapping.numbers:
            said = self.mapping.numbers[cell]
            return None if isinstance(said, str) else float(said)
        try:
            x = float(cell) / self.mapping.divide
        except ValueError:
            raise DataError(
                f"{where}: {cell[:40]!r} is not a number; say what it means under [numbers]"
            ) from None
        if math.isnan(x):
            return None
        if not -1 <= x <= 1:
            raise DataError(
                f"{where}: {x:g} is not in [-1, 1]; give the largest number as `divide` in the map"
            )
        return x

    def _listed(self, before: str) -> bool:
        return bool({before + "promotes", before + "violates"}.intersection(self.mapped))

    def _check_options(self) -> None:
        """Raise ConfigError for options that could not be compared with each other."""
        if self.by_row and self.options:
            raise ConfigError(
                "fields of both option.NAME.… and option.…: either a row has all options, or each"
                " option has a row"
            )
        if self.by_row and "id" not in self.mapping.columns:
            raise ConfigError(
                "where every option has a row, rows are put together by their id: map it, too"
            )
        befores = ["option."] if self.by_row else [f"option.{name}." for name in self.options]
        if not self.by_row and len(befores) < 2:
            raise ConfigError(
                "no menu: map the text of at least two options, e.g. --column"
                " option.a.text=COLUMN --column option.b.text=COLUMN"
            )
        axes = {b: {f.removeprefix(b) for f in self.mapped if f.startswith(b)} for b in befores}
        for before, found in axes.items():
            if "text" not in found:
                raise ConfigError(f"{before}text is not mapped: every option needs its text")
            annotated = found - {"text", "id"}
            if not annotated:
                raise ConfigError(
                    f"{before}AXIS is not mapped: every option needs its values, as columns of axes"
                    " or as lists, promotes and violates"
                )
            if annotated & {"promotes", "violates"} and annotated - {"promotes", "violates"}:
                raise ConfigError(f"{before}… has lists and axes; keep one of the two")
            if annotated != axes[befores[0]] - {"text", "id"} and not self._listed(before):
                lacking = sorted(annotated ^ (axes[befores[0]] - {"text", "id"}))[0]
                raise ConfigError(
                    f"{lacking} is mapped for some options only; map it for all, or give a constant"
                )


class JudgementRecords(Records):
    """Posts with the verdicts of two readers."""

    format = "valueagents-judgements"
    task = JUDGEMENT_TASK
    env = "valueagents/Judgement-v0 --env-option posts="
    required = ("text", "value", "high", "low")
    optional = ("id",)

    def record(self, place: int, rows: Sequence[Fields]) -> dict[str, Any]:
        """A post."""
        [fields] = rows
        record = {
            "id": fields.get("id", f"row-{place}"),
            "value": self.axis(fields.where, fields["value"]),
            "high": self.mapping.words.get(fields["high"], fields["high"]),
            "low": self.mapping.words.get(fields["low"], fields["low"]),
            "text": fields["text"],
        }
        check_post(fields.where, _convert(fields.where, record, Post), self.taxonomy)
        return record


class SurveyRecords(Records):
    """Statements that belong to one value, in one wording or two."""

    format = "valueagents-survey"
    task = SURVEY_TASK
    env = "valueagents/Survey-v0 --env-option items="
    required = ("value",)
    optional = ("affirms", "opposes", "id", "setting", "split", "level1")
    texts = ("affirms", "opposes")

    def record(self, place: int, rows: Sequence[Fields]) -> dict[str, Any]:
        """A pair."""
        [fields] = rows
        where = fields.where
        record = {"id": f"row-{place}", **fields, "value": self.axis(where, fields["value"])}
        checked(where, statements_of(where, _convert(where, record, StatementPair), self.taxonomy))
        return record


KINDS: dict[str, type[Records]] = {
    "dilemmas": DilemmaRecords,
    "judgements": JudgementRecords,
    "survey": SurveyRecords,
}


def _of_factor(field: str) -> bool:
    return field.startswith("factor.")


def _words(cell: str) -> list[str]:
    """The words of a list: apart by semicolons if there are any, else by commas; perhaps written
    as a list of JSON or Python, in brackets and quotes.
    """
    inside = cell[1:-1] if cell.startswith("[") and cell.endswith("]") else cell
    parts = inside.split(";") if ";" in inside else inside.split(",")
    words = [word.strip().strip("'\"").strip() for word in parts]
    return [word for word in words if word]


def _convert(where: str, record: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(record, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: {error}") from error
