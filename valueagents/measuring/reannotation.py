"""Other values for the decisions of a stored run: another annotation of what was on offer, or a
grouping of its axes.

No model and no env is needed: the run holds what was shown, offered and chosen.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.items import ItemBank, ItemOption, read_item_file
from valueagents.files.text import require_file
from valueagents.measuring.answers import Answers
from valueagents.measuring.sums import known_mean
from valueagents.taxonomy import Axis, Taxonomy


def read_annotations(file: Path) -> ItemBank:
    """The items of an item file. Raises ConfigError if there is none, DataError with file and line
    if malformed.
    """
    require_file(
        file, (".jsonl",), "not .jsonl: other annotations come in an item file (envs/reference.md)"
    )
    return read_item_file(file)


def reannotated(table: pa.Table, file: Path | str) -> tuple[pa.Table, Taxonomy]:
    """A run's table (`Run.decisions`) with the annotations of a file in place of its own, and their
    taxonomy.

    The file is an item file (envs/reference.md) of which only ids and values are read: an item's
    `id` is a situation, or in envs that enumerate none the hash `shown`. Decisions that it does not
    list are not annotated. Raises DataError if it is malformed, lists none of the decisions, or
    lacks an option that was offered.
    """
    bank = read_annotations(Path(file))
    taxonomy, items = (
        bank.taxonomy,
        {item.id: {option.id: option for option in item.options} for item in bank.items},
    )
    columns = (table[name].to_pylist() for name in ("situation", "shown", "option_ids"))
    annotations = [
        (
            _matrix(items[key], offered, taxonomy, key)
            if (key := situation or shown) in items
            else None
        )
        for situation, shown, offered in zip(*columns, strict=True)
    ]
    if not any(x is not None for x in annotations):
        raise DataError(
            f"{file} lists none of the run's situations; its items' ids must be those of the run"
        )
    for name, values in (("x", annotations), ("annotated", [x is not None for x in annotations])):
        place = table.schema.get_field_index(name)
        table = table.set_column(
            place, table.schema.field(name), pa.array(values, table.schema.field(name).type)
        )
    return table, taxonomy


def grouped(answers: Answers, grouping: str) -> Answers:
    """The decisions on the groups of a grouping: x of a group is the mean of x over its axes.

    A group is annotated where any of its axes is; axes that belong to no group are left out. Raises
    ConfigError for an unknown grouping.
    """
    taxonomy = answers.taxonomy
    if grouping not in taxonomy.groupings:
        raise ConfigError(unknown_name(f"grouping of {taxonomy.id}", grouping, taxonomy.groupings))
    groups = taxonomy.groupings[grouping]
    columns = [
        answers.x[:, [taxonomy.index(axis) for axis in members]] for members in groups.values()
    ]
    axes = tuple(
        Axis(group, group, f"the mean of {', '.join(members)}") for group, members in groups.items()
    )
    return replace(
        answers,
        taxonomy=Taxonomy(f"{taxonomy.id}, {grouping}", taxonomy.version, taxonomy.source, axes),
        x=np.stack([known_mean(values, axis=1) for values in columns], axis=1),
    )


def _matrix(
    options: Mapping[str, ItemOption], offered: list[str], taxonomy: Taxonomy, key: str
) -> list[float]:
    """(K, V) row-major; absent = judged neutral, null = NaN."""
    numbers = []
    for option in offered:
        if option not in options:
            raise DataError(
                f"item {key!r} lacks the option {option!r}, which was offered; annotate all of a"
                " menu"
            )
        values = options[option].values
        numbers += [
            np.nan if (x := values.get(axis, 0.0)) is None else float(x)
            for axis in taxonomy.axis_ids
        ]
    return numbers
