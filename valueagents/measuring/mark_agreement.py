"""Do a person's marks agree with those of an env? Cohen's kappa (1960) of each value over the signs
−, 0, +, with intervals over items.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from valueagents.arrays import FloatArray
from valueagents.errors import DataError
from valueagents.files.sheets import SheetRow, plain, read_sheet
from valueagents.measuring.inference import Estimate, Totals, cluster_estimates
from valueagents.taxonomy import Taxonomy

ALL = "all"
_SIGNS = {"": 0, "0": 0, "1": 1, "+1": 1, "-1": -1, "−1": -1}
Marks = Mapping[str, Mapping[str, float | None]]
"""Words of an option (`plain`) -> its values; an axis that is absent is neutral, None not
annotated."""


class ValueAgreement(msgspec.Struct, frozen=True):
    """Agreement on a value: kappa, and how many options each marked."""

    axis: str
    name: str
    kappa: Estimate
    sheet_marks: int
    env_marks: int


class MarkAgreement(msgspec.Struct, frozen=True):
    """A sheet's marks beside an env's; the last of `values` is of all values together."""

    items: int
    values: tuple[ValueAgreement, ...]


def mark_agreement(
    sheet: Path, marks: Mapping[str, Marks], taxonomy: Taxonomy, *, seed: int = 0
) -> MarkAgreement:
    """The agreement of a filled sheet with marks by menu key; `seed` is the bootstrap's.

    An item without any mark on the sheet is not annotated yet, and left out.

    Raises DataError as `read_sheet`, with file, line and column for a cell that is not a mark, and
    for an item that the env has not.
    """
    tables = []  # of each item, (V, 3, 3): sheet's sign × env's
    for item in read_sheet(sheet, taxonomy.axis_ids):
        theirs = [[_sign(row, axis) for axis in taxonomy.axis_ids] for row in item.rows]
        if not any(cell for row in item.rows for cell in row.answers.values()):
            continue
        if item.key not in marks:
            raise DataError(
                f"{item.rows[0].where}, column situation: the env has no item with these texts;"
                " name the env, the options and the seed that the sheet was written with"
            )
        ours = [marks[item.key][plain(row.words)] for row in item.rows]
        tables.append(_table(theirs, ours, taxonomy))
    if not tables:
        raise DataError(f"{sheet.name}: no item is marked; write 1, -1 or 0 below the values")
    counts = np.array(tables)  # (C, V, 3, 3)
    sums = {axis: counts[:, v].reshape(-1, 9) for v, axis in enumerate(taxonomy.axis_ids)}
    sums[ALL] = counts.sum(axis=1).reshape(-1, 9)
    kappas = cluster_estimates(sums, _kappas, seed=seed)
    names = {axis.id: axis.name for axis in taxonomy.axes} | {ALL: "all values"}
    values = tuple(
        ValueAgreement(
            axis=axis,
            name=names[axis],
            kappa=kappas[axis],
            sheet_marks=int(part.sum(axis=0).reshape(3, 3)[[0, 2]].sum()),
            env_marks=int(part.sum(axis=0).reshape(3, 3)[:, [0, 2]].sum()),
        )
        for axis, part in sums.items()
    )
    return MarkAgreement(items=len(tables), values=values)


def _sign(row: SheetRow, axis: str) -> int:
    cell = row.answers[axis]
    if cell not in _SIGNS:
        raise DataError(
            f"{row.where}, column {axis}: {cell[:80]!r} is not a mark; write 1 (clearly serves), -1"
            " (clearly goes against), or 0 or nothing (neither)"
        )
    return _SIGNS[cell]


def _table(
    theirs: Sequence[Sequence[int]],
    ours: Sequence[Mapping[str, float | None]],
    taxonomy: Taxonomy,
) -> FloatArray:
    table = np.zeros((len(taxonomy.axis_ids), 3, 3))
    for signs, values in zip(theirs, ours, strict=True):
        for v, axis in enumerate(taxonomy.axis_ids):
            x = values.get(axis, 0.0)
            if x is not None:  # what the env has not annotated is not disagreed about
                table[v, signs[v] + 1, int(np.sign(x)) + 1] += 1
    return table


def _kappas(totals: Totals) -> dict[str, FloatArray]:
    """(B,) kappas of (B, 9) tables; NaN where chance alone agrees always."""
    found = {}
    for name, total in totals.items():
        table = total.reshape(-1, 3, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = table / table.sum(axis=(1, 2), keepdims=True)
            chance = (p.sum(axis=2) * p.sum(axis=1)).sum(axis=1)
            found[name] = (np.trace(p, axis1=1, axis2=2) - chance) / (1 - chance)
    return found
