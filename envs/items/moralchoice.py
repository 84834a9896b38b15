"""MoralChoice (Scherrer et al. 2023, arXiv 2307.14324): two actions a scenario, each with ten rule
flags.
"""

from pathlib import Path

from valueagents.errors import DataError, unknown_name
from valueagents.files.items import Item, ItemBank, ItemOption
from valueagents.files.left_out import LeftOut
from valueagents.files.tables import csv_rows
from valueagents.taxonomy import Taxonomy, load_taxonomy

_FLAGS: dict[str, float | None] = {"Yes": -1.0, "No": 0.0, "No Agreement": None}
_TEXTS = ("scenario_id", "context", "action1", "action2")


def read_moralchoice(path: Path, task: str) -> ItemBank:
    """The scenarios of a CSV file on the taxonomy `gert10`: Yes = violates the rule (-1), No = does
    not (0), "No Agreement" = not annotated.

    Left out and named in the notes: rows without a text or flag, with two equal actions, with the
    id of an earlier one. Raises DataError for a missing column or if no row is good.
    """
    taxonomy = load_taxonomy("gert10")
    flags = [f"a{n}_{axis}" for n in (1, 2) for axis in taxonomy.axis_ids]
    remedy = "A MoralChoice CSV has one column for each rule and action."
    left_out = LeftOut(path.name)
    items: dict[str, Item] = {}
    places: dict[str, str] = {}
    for where, row in csv_rows(path, [*_TEXTS, *flags], remedy=remedy, left_out=left_out):
        with left_out.reading(where):
            item = _item(where, row, taxonomy, left_out)
            first = places.setdefault(item.id, where)
            if first != where:
                raise DataError(f"{where}: scenario {item.id!r} is there already, in {first}")
            items[item.id] = item
    left_out.require_some(items)
    return ItemBank(
        taxonomy=taxonomy,
        task=task,
        provenance="MoralChoice: rule violations labelled by annotators of arXiv 2307.14324",
        scaling="violates -1, does not 0, no agreement not annotated",
        items=tuple(items.values()),
        notes=left_out.notes,
    )


def _item(where: str, row: dict[str, str], taxonomy: Taxonomy, left_out: LeftOut) -> Item:
    name, context, *actions = (left_out.text(where, column, row[column]) for column in _TEXTS)
    if actions[0].strip() == actions[1].strip():
        raise DataError(f"{where}: both actions read {actions[0]!r:.80}; they must differ")
    options = tuple(
        ItemOption(
            id=f"action{n}",
            text=text,
            values={axis: _flag(where, f"a{n}_{axis}", row) for axis in taxonomy.axis_ids},
        )
        for n, text in enumerate(actions, 1)
    )
    return Item(id=name, text=context, options=options)


def _flag(where: str, column: str, row: dict[str, str]) -> float | None:
    if row[column] not in _FLAGS:
        problem = unknown_name("flag", row[column][:80], _FLAGS)
        raise DataError(f"{where}: column {column}: {problem}")
    return _FLAGS[row[column]]
