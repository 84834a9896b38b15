"""A run as tables in a folder, Parquet or CSV, and the run read from them again.

    export.json      what the tables are of (`exported.py`)
    decisions.EXT    a row a decision, the columns of a run's own table (`table.py`)
    episodes.EXT     a row an episode, those that failed at the end
    columns.csv      what every column holds
    further tables, which are not read back

In CSV lists are JSON in a cell, a number that is not known null in it; an empty cell is null, an
empty text is quoted. Numbers have as many digits as tell them apart from all others, so what is
read is exactly what was written.
"""

import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from valueagents.contracts.decision import Failure
from valueagents.errors import NOT_JSON, ConfigError, DataError, first_line
from valueagents.running.exported import ExportFacts, export_facts, read_facts, restored
from valueagents.running.runs import Run
from valueagents.running.sealed import file_crc32
from valueagents.running.store import RunStore, StoreReading, write_atomically
from valueagents.running.table import table_schema, write_decisions
from valueagents.running.writer import RunWriter

TableFormat = Literal["parquet", "csv"]
FACTS_OF_EXPORT = "export.json"
_DECISIONS, _EPISODES = "decisions", "episodes"
_ROWS_A_GROUP = 20_000
_BLOCK_BYTES = 1 << 26
"""Of a CSV file, read at once: more than a row of the longest menu takes."""

_EPISODE_FIELDS: list[tuple[str, pa.DataType, str]] = [
    ("episode", pa.string(), "identity of the episode"),
    ("situation", pa.string(), "the env's id of the item met; null where it enumerates none"),
    ("repetition", pa.int64(), "how often the run met the situation before"),
    ("env_seed", pa.int64(), "the env's seed of the episode; null where it failed"),
    ("cluster", pa.string(), "the unit of independence; null where it failed"),
    ("outcome", pa.string(), "how the episode ended: terminated, truncated or failed"),
    ("decisions", pa.int64(), "decisions that it took; of a failed one those before it failed"),
    ("reward", pa.float64(), "sum of the rewards of its steps; null where it failed"),
    ("attempt", pa.int64(), "which attempt succeeded, or failed last, from 1"),
    ("duration_s", pa.float64(), "seconds that it took; null where it failed"),
    ("error", pa.string(), "class of the error by which it failed"),
    ("message", pa.string(), "what the error says"),
]
_EPISODES_SCHEMA = pa.schema(
    [pa.field(name, kind, metadata={"what": what}) for name, kind, what in _EPISODE_FIELDS]
)


def write_tables_of(
    run: Run, folder: Path, form: TableFormat, further: Mapping[str, pa.Table]
) -> Path:
    """The run's tables and the further ones are in a new folder, which is there whole or not at
    all; the folder.

    Rows are sorted by episode and step. Raises ConfigError if something is there already.
    """
    if folder.exists():
        raise ConfigError(f"{str(folder)!r} exists; give a path where nothing is")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".{folder.name}.{token_hex(4)}")
    order = [("episode", "ascending"), ("step", "ascending")]
    tables = {
        _DECISIONS: _described(run.decisions().sort_by(order), run),
        _EPISODES: pa.Table.from_pylist(list(_episode_rows(run)), schema=_EPISODES_SCHEMA),
        **further,
    }
    try:
        made.mkdir()
        for name, table in tables.items():
            _write(table, made / f"{name}.{form}", form)
        pa_csv.write_csv(_columns_table(tables), made / "columns.csv")
        kept = (f"{name}.{form}" for name in (_DECISIONS, _EPISODES))
        crc32 = {name: file_crc32(made / name) for name in kept}
        facts = msgspec.structs.replace(export_facts(run), crc32=crc32)
        told = msgspec.json.format(msgspec.json.encode(facts), indent=1)
        write_atomically(made / FACTS_OF_EXPORT, told + b"\n")
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def run_of_tables(folder: Path) -> Run:
    """The run whose tables are in a folder: its decisions and failures, not its texts.

    Raises DataError if they are not as `write_tables_of` leaves them.
    """
    file = folder / FACTS_OF_EXPORT
    try:
        raw = msgspec.json.decode(file.read_bytes())
    except (FileNotFoundError, *NOT_JSON) as error:
        raise DataError(f"{str(file)!r}: {first_line(error)}; export the run again") from error
    facts = read_facts(raw, repr(str(file)))
    decisions = _read(folder, _DECISIONS, table_schema(facts.header), facts)
    episodes = _read(folder, _EPISODES, _EPISODES_SCHEMA, facts)
    reading = StoreReading(finished=set(decisions["episode"].to_pylist()))

    def write_failures(writer: RunWriter) -> int:
        failed = [row for row in episodes.to_pylist() if row["outcome"] == "failed"]
        for row in failed:
            writer.failure(_failure(folder, row))
        return len(failed)

    def write_table(store: RunStore) -> None:
        write_decisions(store, [decisions], reading)

    return restored(str(folder), facts, write_failures, write_table)


def _described(decisions: pa.Table, run: Run) -> pa.Table:
    """The table, whose column of annotations says which number is of which axis."""
    place = decisions.schema.get_field_index("x")
    axes = ", ".join(run.header.taxonomy.axis_ids)
    what = f"annotation in [-1, 1]: for each option in turn {axes}; null = not annotated"
    schema = decisions.schema.set(
        place, decisions.schema.field(place).with_metadata({"what": what})
    )
    return decisions.cast(schema.remove_metadata())


def _episode_rows(run: Run) -> Iterator[dict[str, Any]]:
    for episode in run.episodes():
        yield {
            "episode": episode.identity,
            "situation": episode.situation,
            "repetition": episode.repetition,
            "env_seed": episode.env_seed,
            "cluster": episode.cluster,
            "outcome": episode.outcome,
            "decisions": len(episode.decisions),
            "reward": sum(decision.reward for decision in episode.decisions),
            "attempt": episode.attempt,
            "duration_s": episode.duration_s,
        }
    for failure in run.failed():
        yield {
            "episode": failure.identity,
            "situation": failure.situation,
            "repetition": failure.repetition,
            "outcome": "failed",
            "decisions": failure.step,
            "attempt": failure.attempt,
            "error": failure.error,
            "message": failure.message,
        }


def _failure(folder: Path, row: dict[str, Any]) -> Failure:
    told = {
        "identity": row["episode"],
        "step": row["decisions"],
        **{name: row[name] for name in ("situation", "repetition", "error", "message", "attempt")},
    }
    try:
        return msgspec.convert(told, Failure)
    except NOT_JSON as error:
        raise DataError(
            f"{str(folder)!r}: the failure of episode {row['episode']}: {error}"
        ) from error


def _columns_table(tables: Mapping[str, pa.Table]) -> pa.Table:
    rows = [
        {
            "table": name,
            "column": field.name,
            "type": str(field.type),
            "meaning": (field.metadata or {}).get(b"what", b"").decode(),
        }
        for name, table in tables.items()
        for field in table.schema
    ]
    return pa.Table.from_pylist(rows)


def _write(table: pa.Table, file: Path, form: TableFormat) -> None:
    if form == "parquet":
        pq.write_table(table, file, compression="zstd", row_group_size=_ROWS_A_GROUP)
    else:
        pa_csv.write_csv(_with_cells(table), file)
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _read(folder: Path, name: str, schema: pa.Schema, facts: ExportFacts) -> pa.Table:
    """A table of the folder, with the columns of the schema. Raises DataError."""
    files = [folder / f"{name}.{form}" for form in ("parquet", "csv")]
    file = next((each for each in files if each.is_file()), None)
    if file is None:
        raise DataError(f"{str(folder)!r} has no {name}.parquet or .csv; export the run again")
    if facts.crc32.get(file.name) != file_crc32(file):
        raise DataError(
            f"{str(file)!r} was changed since it was exported (its checksum is wrong); export the"
            " run again"
        )
    try:
        table = _read_csv(file, schema) if file.suffix == ".csv" else pq.read_table(file)
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError, *NOT_JSON) as error:
        raise DataError(
            f"{str(file)!r} is not as `valueagents export` writes it ({first_line(error)}); export"
            " the run again"
        ) from error


def _read_csv(file: Path, schema: pa.Schema) -> pa.Table:
    kinds = {field.name: pa.string() if _is_list(field.type) else field.type for field in schema}
    table = pa_csv.read_csv(
        file,
        read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=kinds,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for field in filter(lambda field: _is_list(field.type), schema):
        cells = [_list_of_cell(cell, field) for cell in table[field.name].to_pylist()]
        place = table.schema.get_field_index(field.name)
        table = table.set_column(place, field, pa.array(cells, field.type))
    return table


def _with_cells(table: pa.Table) -> pa.Table:
    """The table with a text in place of each list."""
    for place, field in enumerate(table.schema):
        if _is_list(field.type):
            cells = [_cell_of_list(value) for value in table[place].to_pylist()]
            table = table.set_column(place, field.name, pa.array(cells, pa.string()))
    return table


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_map(kind))


def _cell_of_list(value: Any) -> str | None:
    """A list, or a map as a list of pairs, as JSON, NaN as null."""
    return None if value is None else msgspec.json.encode(value).decode()


def _list_of_cell(cell: str | None, field: pa.Field) -> Any:
    if cell is None:
        return None
    found = msgspec.json.decode(cell, type=list[Any])
    if pa.types.is_map(field.type):
        return [tuple(pair) for pair in found]
    if field.name == "x":  # the one column with NaN: an array, as the others' lists are not
        return [math.nan if number is None else number for number in found]
    return found
