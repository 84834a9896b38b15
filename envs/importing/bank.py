"""A user's table as a bank: what is kept, what is left out and why, the file that is written."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from valueagents.envs.importing.column_map import ColumnMap
from valueagents.envs.importing.records import KINDS, Records
from valueagents.envs.importing.tables import TableRow, UserTable
from valueagents.errors import ConfigError, DataError
from valueagents.files.left_out import LeftOut
from valueagents.identity import file_hash
from valueagents.running.durable import write_atomically
from valueagents.taxonomy import is_taxonomy_file, load_taxonomy


class ImportedBank(msgspec.Struct, frozen=True):
    """What came of a table: the records that are kept, and the places of the rows that are left
    out, by reason.

    `remarks` say what no column says: ids, axes that nobody annotated, texts that were decoded.
    """

    rows: int
    records: list[dict[str, Any]]
    left_out: dict[str, list[str]]
    remarks: list[str]


def import_table(table: UserTable, kind: str, mapping: ColumnMap) -> ImportedBank:
    """The records of a table.

    Raises ConfigError for a map that does not fit the table or the kind of bank, DataError if no
    row can be kept.
    """
    left_out = LeftOut(table.path.name)
    maker = _maker(kind, mapping, left_out)
    rows = table.rows(list(mapping.columns.values()), left_out)
    unread = sum(map(len, left_out.reasons.values()))
    records = _records(maker, rows)
    left_out.require_some(records)
    return ImportedBank(
        rows=len(rows) + unread,
        records=records,
        left_out=left_out.reasons,
        remarks=[*_remarks(maker, records), *left_out.decoding],
    )


def write_bank(
    found: ImportedBank, kind: str, mapping: ColumnMap, *, source: Path, out: Path
) -> None:
    """The bank is in the file `out`, with its source and the map in its provenance.

    Raises ConfigError if the map does not say who annotated the table and how.
    """
    maker = _maker(kind, mapping, LeftOut(source.name))
    if mapping.provenance is None:
        raise ConfigError(
            "no provenance: say who annotated this and how (--provenance, or in the map)"
        )
    taxonomy = str(mapping.taxonomy)
    if is_taxonomy_file(taxonomy):
        taxonomy = os.path.relpath(taxonomy, out.parent)
    kept = f"{len(found.records)} records of {found.rows} rows"
    whence = f"imported from {source.name}, sha256 {file_hash(source)}, {kept}"
    header = {
        "format": maker.format,
        "version": 1,
        "taxonomy": taxonomy,
        "task": mapping.task or maker.task,
        "provenance": f"{mapping.provenance}; {whence}; {mapping.told()}",
        **maker.header(),
    }
    lines = [msgspec.json.encode(each) + b"\n" for each in (header, *found.records)]
    write_atomically(out, b"".join(lines))


def _maker(kind: str, mapping: ColumnMap, left_out: LeftOut) -> Records:
    if mapping.taxonomy is None:
        raise ConfigError("no taxonomy: say whose axes these are (--taxonomy, or in the map)")
    return KINDS[kind](mapping, load_taxonomy(mapping.taxonomy), left_out)


def _records(maker: Records, rows: Sequence[TableRow]) -> list[dict[str, Any]]:
    """The records that can be kept; the rows of others are left out, all of them."""
    places = {where: place for place, (where, _) in enumerate(rows, 1)}
    first: dict[str, str] = {}
    records = []
    for group in maker.groups(rows):
        where, problem = group[0][0], None
        try:
            record = maker.record(places[where], [maker.fields(row) for row in group])
        except DataError as error:
            problem = error
        else:
            name = record["id"]
            if first.setdefault(name, where) == where:
                records.append(record)
            else:
                told = f"id {name!r:.80} is there already, in {first[name]}"
                problem = DataError(f"{where}: {told}")
        for row in group:
            with maker.left_out.reading(row[0]):
                if problem is not None:
                    raise problem
    return records


def _remarks(maker: Records, records: Sequence[dict[str, Any]]) -> list[str]:
    remarks = []
    if "id" not in maker.mapped:
        remarks.append("no id is mapped: ids are row-1, row-2, … in the order of the file")
    values = [option["values"] for record in records for option in record.get("options", ())]
    unknown = [
        axis
        for axis in maker.taxonomy.axis_ids
        if values and all(axis in each and each[axis] is None for each in values)
    ]
    if unknown:
        remarks.append(f"not annotated, since no column tells of them: {', '.join(unknown)}")
    empty = sum(x is None for each in values for axis, x in each.items() if axis not in unknown)
    if empty:
        remarks.append(f"{empty} values are not annotated: their cells are empty or say so")
    menus = {len(record["options"]) for record in records if "options" in record}
    if len(menus) > 1:
        remarks.append(f"menus have {min(menus)} to {max(menus)} options: those without text go")
    return remarks
