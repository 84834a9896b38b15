"""`run.json`: what a run directory holds, sealed by a checksum, with a copy from which it can be
made again.

The copy is a file of its own, not a first line of each segment: it is there before the first
episode is, and a segment stays a file of episodes alone.
"""

from pathlib import Path
from typing import Any

import msgspec

from valueagents.contracts.decision import SCHEMA, Asks, Covariate, Factor
from valueagents.contracts.environment import MIN_CONTESTED
from valueagents.errors import NOT_JSON, DataError, StoreError
from valueagents.running.durable import write_atomically
from valueagents.running.sealed import sealed_json, unsealed_json
from valueagents.running.upgrade import upgraded_header
from valueagents.taxonomy import Taxonomy

RUN_FILE = "run.json"
COPY_FILE = "run.json.bak"


class RunHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run directory holds.

    The identities decide; specs and options are there to repeat the run by hand.

    `unrepeatable` says why the run cannot be continued: its env or policy has no content hash
    (None: it can). `informed` marks a run whose policy saw annotations (calibration).
    `min_contested` decisions on an axis are enough for a number. `factors` are the declarations of
    the env, whose levels stand in the decisions, `covariates` those whose numbers stand in the
    annotations; `asks` is its question, put in `language`. `notes`
    say what the env's files lack or are odd in, a sentence each: rows that were left out, with
    their lines.
    """

    env: str
    env_options: dict[str, Any]
    policy: str
    seed: int
    task: str
    env_identity: dict[str, str]
    policy_identity: dict[str, str]
    taxonomy: Taxonomy
    independent_menus: bool
    informed: bool
    schema: int = SCHEMA
    min_contested: int = MIN_CONTESTED
    factors: tuple[Factor, ...] = ()
    asks: Asks = "choose"
    language: str = "en"
    unrepeatable: str | None = None
    notes: tuple[str, ...] = ()
    covariates: tuple[Covariate, ...] = ()


def is_run(folder: Path) -> bool:
    """True if there is a header in the folder or a copy of one, readable or not."""
    return (folder / RUN_FILE).is_file() or (folder / COPY_FILE).is_file()


def write_header(folder: Path, header: RunHeader) -> None:
    """The header and its copy are in the folder, on the disk. Raises DiskError."""
    content = sealed_json(header)
    write_atomically(folder / COPY_FILE, content)
    write_atomically(folder / RUN_FILE, content)


def read_header(folder: Path) -> RunHeader:
    """The header of a folder, from the copy where the first file is lost or damaged.

    Raises StoreError if both are, or if it is of another schema.
    """
    file = folder / RUN_FILE
    header = _read(file)
    copy = header if isinstance(header, RunHeader) else _read(folder / COPY_FILE)
    if isinstance(copy, RunHeader):
        return copy
    raise StoreError(
        f"{file} {header}, its copy {COPY_FILE} {copy}: put one of them back from a backup, or move"
        " the folder away and run again: then every episode is owed"
    )


def header_problems(folder: Path) -> list[str]:
    """What is wrong with the header of a run that could be opened."""
    header, copy = _read(folder / RUN_FILE), _read(folder / COPY_FILE)
    how = "the same `valueagents run` command puts it right"
    if isinstance(header, str):
        return [f"{RUN_FILE} {header}; its copy {COPY_FILE} was read: {how}"]
    if isinstance(copy, str) and (folder / COPY_FILE).exists():
        return [f"{COPY_FILE} {copy}; {RUN_FILE} is whole: {how}"]
    return []


def repair_header(folder: Path) -> None:
    """Both files hold the header, if one of them did. Raises DiskError."""
    file, copy = folder / RUN_FILE, folder / COPY_FILE
    if isinstance(_read(file), str):
        write_atomically(file, copy.read_bytes())
    elif isinstance(_read(copy), str):
        write_atomically(copy, file.read_bytes())


def _read(file: Path) -> RunHeader | str:
    """The header in a file, or what is wrong with it.

    Raises StoreError if it is of another schema.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return "is missing"
    try:
        whole = unsealed_json(content)
        if whole is None:
            return "is damaged (its checksum is wrong)"
        raw = msgspec.json.decode(whole)
        if isinstance(raw, dict):
            raw = upgraded_header(raw)
            if raw.get("schema") != SCHEMA:
                raise StoreError(
                    f"{file} has schema {raw.get('schema')}, this version reads {SCHEMA}; use the"
                    " version that wrote it"
                )
        return msgspec.convert(raw, RunHeader)
    except (*NOT_JSON, DataError) as error:
        return f"is damaged ({error})"
