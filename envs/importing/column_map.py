"""Which column of a user's table is which field of a bank: a map in TOML, or options.

taxonomy = "gert10"                 # a bundled id, or a file relative to the map
provenance = "rated by …"           # who annotated it and how
scaling = "breaks the rule -1"      # what the numbers mean
task = "…"                          # what an agent is told; may be left out

[columns]                           # our field = your column
id = "qid"
text = "prompt"
option.a.text = "answer_1"
option.a.cheat = "cheat_1"

[constants]                         # our field = the same text in every row
setting = "work"

[numbers]                           # what a cell of an axis says, where it is not a number
"Yes" = -1
"No Agreement" = "not annotated"

[words]                             # your word for an axis = its id
"dishonesty" = "deceive"
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from valueagents.errors import ConfigError, DataError
from valueagents.files.header import taxonomy_of
from valueagents.files.text import decode_toml, read_text, require_file
from valueagents.taxonomy import is_taxonomy_file, load_taxonomy

_X = Annotated[float, msgspec.Meta(ge=-1, le=1)]


class ColumnMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The map. Names of fields are flat: `option.a.text`.

    `divide`: by this the numbers in axis columns are divided, to lie in [-1, 1].
    """

    taxonomy: str | None = None
    task: str | None = None
    provenance: str | None = None
    scaling: str | None = None
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] | None = None
    columns: dict[str, str] = {}
    constants: dict[str, str] = {}
    numbers: dict[str, _X | Literal["not annotated"]] = {}
    words: dict[str, str] = {}
    divide: Annotated[float, msgspec.Meta(gt=0)] = 1.0

    def told(self) -> str:
        """The map in words, for the provenance of what is written."""
        parts = [f"{field} = {column}" for field, column in self.columns.items()]
        parts += [f"{field} = {text!r}" for field, text in self.constants.items()]
        parts += [f"{cell!r} = {x}" for cell, x in self.numbers.items()]
        parts += [f"{word!r} = {axis}" for word, axis in self.words.items()]
        return "; ".join([*parts, *([f"divided by {self.divide:g}"] if self.divide != 1 else [])])


def read_map(path: Path) -> ColumnMap:
    """The map in a TOML file. Raises ConfigError if there is none, DataError if it is malformed."""
    require_file(path, (".toml",), "not .toml: a map of columns (envs/reference.md)")
    table = decode_toml(path.name, read_text(path))
    for name in ("columns", "constants"):
        if isinstance(table.get(name), dict):
            table[name] = dict(_flat(table[name]))
    try:
        found = msgspec.convert(table, ColumnMap)
    except msgspec.ValidationError as error:
        raise DataError(
            f"{path.name} is not a map of columns: {error}; see envs/reference.md"
        ) from error
    if found.taxonomy is not None and is_taxonomy_file(found.taxonomy):
        taxonomy_of(path, found.taxonomy)  # refused here, where the map's name is known
        beside = str(path.parent / found.taxonomy)
        found = msgspec.structs.replace(found, taxonomy=beside)
    return found


def with_options(found: ColumnMap, given: Mapping[str, Any], fields: list[str]) -> ColumnMap:
    """The map with what the command line gives, which wins; `fields` are FIELD=COLUMN."""
    columns = dict(found.columns)
    named: set[str] = set()
    for each in fields:
        field, equals, column = each.partition("=")
        if not equals or not field or not column:
            raise ConfigError(f"--column {each!r}: write FIELD=COLUMN, e.g. text=prompt")
        if field in named:
            raise ConfigError(f"--column {field} is given twice; give it once")
        named.add(field)
        columns[field] = column
    settings = {name: value for name, value in given.items() if value is not None}
    if "taxonomy" in settings:
        load_taxonomy(settings["taxonomy"])
    if settings.get("delimiter") == "\\t":
        settings["delimiter"] = "\t"
    constants = {field: text for field, text in found.constants.items() if field not in named}
    replaced = msgspec.structs.replace(found, columns=columns, constants=constants, **settings)
    try:
        return msgspec.convert(msgspec.to_builtins(replaced), ColumnMap)
    except msgspec.ValidationError as error:
        raise ConfigError(f"a wrong option: {error}") from error


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    """`{option: {a: {text: …}}}` as `option.a.text`."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value
