"""Items: situations with options whose values somebody judged; the one reader of our
`valueagents-items` files.

    {"format": "valueagents-items", "version": 1, "taxonomy": "schwartz20", "task": …, "provenance":
    …, "scaling": …} {"id": "bike", "text": "A bicycle lies …", "options": [{"id": "a", "text":
    "Lift …", "values": {"UNC": 1}}, …]}

An env plays such a file. `valueagents score --annotations` takes its values for the decisions of a
stored run; then the texts, which the run holds, may be missing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from valueagents.errors import DataError, unknown_name
from valueagents.files.covariates import (
    Covariate,
    covariate_declaration_problem,
    covariate_problem,
)
from valueagents.files.factors import Factor, declaration_problem, level_problem
from valueagents.files.header import BankHeader, read_header
from valueagents.files.text import decode_json, read_lines
from valueagents.taxonomy import Taxonomy

FORMAT = "valueagents-items"


class ItemOption(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An option and its values: axis id -> x in [-1, 1]; absent = judged neutral, null = not
    annotated.

    `covariates` are its numbers on the covariates that its file declares; absent = not known.
    """

    id: str
    text: str = ""
    values: dict[str, float | None]
    covariates: dict[str, float] = {}


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One situation. Items of one `cluster` (a template, a post) are not independent; by default
    each is its own.

    `factors` are its levels on the factors that its file declares: name -> level.
    """

    id: str
    text: str = ""
    options: tuple[ItemOption, ...]
    setting: str = ""
    cluster: str | None = None
    factors: dict[str, str] = {}


class ItemBank(msgspec.Struct, frozen=True, kw_only=True):
    """A file's items with what holds for all of them.

    `notes` say what its reader left out or found odd.
    """

    taxonomy: Taxonomy
    task: str
    provenance: str
    scaling: str
    items: tuple[Item, ...]
    factors: tuple[Factor, ...] = ()
    covariates: tuple[Covariate, ...] = ()
    notes: tuple[str, ...] = ()


class _Header(BankHeader, frozen=True, forbid_unknown_fields=True):
    scaling: str
    factors: tuple[Factor, ...] = ()
    covariates: tuple[Covariate, ...] = ()


def read_item_file(path: Path) -> ItemBank:
    """The bank in a file of our format; a text that is missing is empty.

    Raises DataError with file and line for whatever is malformed: the format or its version, an
    unknown taxonomy or axis, an x outside [-1, 1], an id that is empty or repeated, a factor,
    level or covariate that the header does not declare.
    """
    first, *rest = read_lines(path)
    header, taxonomy = read_header(path, first, _Header, FORMAT)
    _check_declarations(f"{path.name}, line 1", header)
    return ItemBank(
        taxonomy=taxonomy,
        task=header.task,
        provenance=header.provenance,
        scaling=header.scaling,
        items=distinct(path, _items(path, rest, taxonomy, header)),
        factors=header.factors,
        covariates=header.covariates,
    )


def _check_declarations(where: str, header: _Header) -> None:
    problem = declaration_problem(header.factors) or covariate_declaration_problem(
        header.covariates
    )
    if problem is not None:
        raise DataError(f"{where}: {problem}")
    if any(factor.name == "item" for factor in header.factors):
        raise DataError(
            f"{where}: factor 'item' is the id of an item, which every item has; leave it out"
        )


def _items(
    path: Path, lines: Iterable[str], taxonomy: Taxonomy, header: _Header
) -> Iterator[tuple[str, Item]]:
    for number, line in enumerate(lines, 2):
        where = f"{path.name}, line {number}"
        item = decode_json(where, line, Item)
        check_values(where, item, taxonomy)
        problem = level_problem(item.factors, header.factors)
        for option in item.options:
            numbers = {name: [z] for name, z in option.covariates.items()}
            problem = problem or covariate_problem(numbers, 1, header.covariates)
        if problem is not None:
            raise DataError(f"{where}: item {item.id!r}: {problem}")
        yield where, item


def check_values(where: str, item: Item, taxonomy: Taxonomy) -> None:
    """Raise DataError, beginning with `where`, for ids or values by which the item's options could
    not be scored.
    """
    if not item.id.strip() or not all(option.id.strip() for option in item.options):
        raise DataError(f"{where}: an id is empty; items and options need one each")
    require_distinct_options(where, item, "id")
    for option in item.options:
        for axis, value in option.values.items():
            if axis not in taxonomy.axis_ids:
                raise DataError(
                    f"{where}: " + unknown_name(f"axis of {taxonomy.id}", axis, taxonomy.axis_ids)
                )
            if value is not None and not -1 <= value <= 1:
                raise DataError(
                    f"{where}: option {option.id!r}, {axis} = {value}; a value lies in [-1, 1]"
                )


def require_distinct_options(where: str, item: Item, field: str) -> None:
    """Raise DataError, beginning with `where`, if two options have the same `field`, spaces at its
    ends aside.
    """
    counts = Counter(getattr(option, field).strip() for option in item.options)
    for value, count in counts.most_common(1):
        if count > 1:
            raise DataError(
                f"{where}: item {item.id!r} has {count} options with the {field} {value!r}"
            )


def distinct(path: Path, items: Iterable[tuple[str, Item]]) -> tuple[Item, ...]:
    """The items, each given with its place.

    Raises DataError if an id is there twice or there are none.
    """
    first: dict[str, str] = {}
    kept = []
    for where, item in items:
        if item.id in first:
            raise DataError(
                f"{where}: item id {item.id!r} is there twice, first in {first[item.id]}"
            )
        first[item.id] = where
        kept.append(item)
    if not kept:
        raise DataError(f"{path.name} holds no items; add at least one line after the header")
    return tuple(kept)
