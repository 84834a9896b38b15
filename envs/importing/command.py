"""`valueagents import`: a table of the user's as a bank in our own format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from valueagents.cli.options import Json
from valueagents.cli.tables import print_json, print_table, table
from valueagents.errors import ConfigError

if TYPE_CHECKING:
    from valueagents.envs.importing.bank import ImportedBank
    from valueagents.envs.importing.tables import UserTable

_SHOWN = 20  # places of one reason that are named on the screen; --json names all


def import_bank(
    kind: Annotated[
        Literal["dilemmas", "judgements", "survey"], typer.Argument(help="What a row is.")
    ],
    file: Annotated[Path, typer.Argument(help="A .csv, .tsv or .parquet file.")],
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="Our field, your column; may be repeated."),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option("--map", help="TOML file with the map; the command line wins."),
    ] = None,
    taxonomy: Annotated[
        str | None, typer.Option(help="Whose axes these are: an id, or a .toml file.")
    ] = None,
    provenance: Annotated[str | None, typer.Option(help="Who annotated it and how.")] = None,
    scaling: Annotated[str | None, typer.Option(help="What the numbers mean (dilemmas).")] = None,
    task: Annotated[str | None, typer.Option(help="What an agent is told; default: ours.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of a CSV; default: a comma.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Bank to write (.jsonl). Left out: a preview.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a bank of a table of yours by a map of its columns; without --out only show it."""
    from valueagents.envs.importing.bank import import_table, write_bank
    from valueagents.envs.importing.column_map import ColumnMap, read_map, with_options
    from valueagents.envs.importing.records import KINDS
    from valueagents.envs.importing.tables import UserTable

    if out is not None and out.suffix != ".jsonl":
        raise ConfigError(f"--out {str(out)!r}: a bank is a .jsonl file; name it so")
    if out is not None and out.exists():
        raise ConfigError(f"--out {str(out)!r} exists; give a path where nothing is")
    given = {
        "taxonomy": taxonomy,
        "provenance": provenance,
        "scaling": scaling,
        "task": task,
        "delimiter": delimiter,
    }
    of_file = ColumnMap() if mapping is None else read_map(mapping)
    chosen = with_options(of_file, given, column or [])
    if mapping is not None and not chosen.columns:
        raise ConfigError(f"{str(mapping)!r} maps no column; name them under [columns]")
    read = UserTable(file, chosen.delimiter)
    found = None
    if chosen.columns or out is not None:
        found = import_table(read, kind, chosen)
    if found is not None and out is not None:
        write_bank(found, kind, chosen, source=file, out=out)
    maker = KINDS[kind]
    fields = f"{', '.join((*maker.required, *maker.optional))}{maker.unlisted}"
    if as_json:
        columns = read.found()[1] if out is None else []
        print_json(
            {
                "written": None if out is None else str(out),
                "fields": fields,
                "columns": columns,
                "result": found,
            }
        )
        return
    if out is None:
        _print_columns(read)
    if found is None:
        print(f"nothing is mapped; fields of {kind}: {fields}")
    else:
        _print_found(found)
        env = f"{maker.env}{out}"
        after = f"{out}. Next: valueagents run --env {env} --policy random --out runs/first"
        print("nothing is written: give --out BANK.jsonl" if out is None else after)


def _print_columns(read: "UserTable") -> None:
    listing = table("column", "filled", "distinct", "first")
    rows, columns = read.found()
    print(f"{read.path.name}: {rows} rows that can be read")
    for each in columns:
        listing.add_row(each.column, str(each.filled), str(each.distinct), each.first)
    print_table(listing)
    for column, reason in read.unfit.items():
        print(f"column {column} cannot be mapped: it {reason}")


def _print_found(found: "ImportedBank") -> None:
    import msgspec

    print(f"the first record: {msgspec.json.encode(found.records[0]).decode()}")
    for remark in found.remarks:
        print(f"note: {remark}")
    count = sum(map(len, found.left_out.values()))
    print(f"{len(found.records)} records of {found.rows} rows; {count} rows are left out")
    for reason, places in found.left_out.items():
        shown = ", ".join(places[:_SHOWN])
        more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
        print(f"  {shown}{more}: {reason}")
