"""Compaction: a run's episodes as one Arrow table, a row a decision, kept as Parquet beside the
segments.

List columns run over the menu in shown order. `x` is the annotation, row-major (K, V): the first V
numbers belong to the first option; null where the env annotated nothing; NaN where an axis was not
annotated. After the fixed columns each factor that the env declares has one, `factor.NAME`: the
level of the decision's menu, null where it has none; and each covariate, `covariate.NAME`: a number
for each option of the menu, null where it has none.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from valueagents.contracts.decision import SCHEMA, Decision, Episode, menu_hash, situation_hash
from valueagents.errors import NOT_JSON, StoreError
from valueagents.running.durable import draft, remove_dead_drafts, write_atomically
from valueagents.running.sealed import file_crc32, seal, unseal
from valueagents.running.store import RunHeader, RunStore, StoreReading

TABLE_FILE = "decisions.parquet"
FACTS_FILE = "decisions.json"
_ROWS_A_BATCH = 20_000
"""Rows of a row group: whoever reads the file group by group needs memory for one of them."""

_FIELDS: list[tuple[str, pa.DataType, str]] = [
    ("episode", pa.string(), "identity of the episode"),
    ("situation", pa.string(), "the env's id of the item met; null where it enumerates none"),
    ("repetition", pa.int64(), "how often the run met the situation before"),
    ("cluster", pa.string(), "the unit of independence: item, template or episode"),
    ("attempt", pa.int64(), "which attempt at the episode succeeded, from 1"),
    ("outcome", pa.string(), "how the episode ended: terminated or truncated"),
    ("step", pa.int64(), "index of the decision in its episode, from 0"),
    ("shown", pa.string(), "hash of all that was shown until the decision, order of options aside"),
    ("option_ids", pa.list_(pa.string()), "the menu in shown order"),
    ("menu", pa.string(), "hash of the options' texts, their order and all else aside"),
    ("option_characters", pa.list_(pa.int64()), "length of each option's text"),
    ("annotated", pa.bool_(), "true if the env annotated the menu"),
    ("x", pa.list_(pa.float64()), "annotation, (K, V) row-major; null = not annotated"),
    ("chosen", pa.int64(), "index of the chosen option; null = unread or refused"),
    ("probabilities", pa.list_(pa.float64()), "the policy's, over the menu; null = unknown"),
    (
        "position_probabilities",
        pa.list_(pa.float64()),
        "mean probability of each listed place; null = unknown",
    ),
    ("mass", pa.float64(), "probability of all options together before normalising"),
    ("unseen", pa.float64(), "what probabilities may be off by, as the server showed few tokens"),
    ("samples", pa.int64(), "replies of which the probabilities are shares; null = the model's"),
    ("reading", pa.string(), "how the reply was read"),
    ("prompt", pa.string(), "id of the prompt that was asked in; null = none"),
    ("neither", pa.float64(), "probability of an offered none of these; null = not offered"),
    (
        "beside",
        pa.map_(pa.string(), pa.list_(pa.float64())),
        "probabilities by other ways of reading the same answer, by name",
    ),
    (
        "finish_reason",
        pa.string(),
        "why a spoken reply ended: stop, length, refusal, …; null = not spoken",
    ),
    ("invalid", pa.string(), "why the env refused the choice; null = accepted"),
    ("reward", pa.float64(), "reward of the step"),
    ("prompt_tokens", pa.int64(), "tokens asked about"),
    ("cached_tokens", pa.int64(), "of these, not computed again"),
    ("output_tokens", pa.int64(), "tokens generated"),
    ("dropped_turns", pa.int64(), "turns of the transcript left out of the prompt"),
    ("attempts", pa.int64(), "tries that the answer took"),
    ("replayed", pa.bool_(), "true if the reply came from a cache of earlier ones"),
    ("queue_s", pa.float64(), "seconds that the question waited"),
    ("latency_s", pa.float64(), "seconds from question to answer, waiting included"),
    ("lost_workers", pa.int64(), "workers of the env that were lost, and their work done again"),
    ("cut_options", pa.int64(), "options of the menu that there was no room to show"),
]
TABLE_SCHEMA = pa.schema(
    [pa.field(name, kind, metadata={"what": what}) for name, kind, what in _FIELDS]
)
"""The columns that every run's table has; `table_schema` adds those of factors and covariates."""


def table_schema(header: RunHeader) -> pa.Schema:
    """The columns of a run's table: the fixed ones, then `factor.NAME` for each declared factor and
    `covariate.NAME` for each declared covariate, in their order.
    """
    schema = TABLE_SCHEMA
    for factor in header.factors:
        schema = schema.append(
            pa.field(f"factor.{factor.name}", pa.string(), metadata={"what": factor.meaning})
        )
    for covariate in header.covariates:
        what = f"{covariate.meaning} ({covariate.unit}); over the menu, null = unknown"
        schema = schema.append(
            pa.field(f"covariate.{covariate.name}", pa.list_(pa.float64()), metadata={"what": what})
        )
    return schema


class TableFacts(msgspec.Struct, frozen=True):
    """What the table was made from, and what was met in making it; `crc32` is the file's checksum.

    A checksum of the whole file finds what those of Parquet's pages do not: a change of the footer,
    which says where the columns are.
    """

    made_from: str
    crc32: int
    episodes: int
    damages: tuple[str, ...]


def decisions_file(store: RunStore) -> Path:
    """All readable decisions of a run, in the order of writing, as Parquet; made first as
    `table_facts` says.
    """
    table_facts(store)
    return store.path / TABLE_FILE


def table_facts(store: RunStore) -> TableFacts:
    """What is known of `decisions.parquet`, which is made first if it is missing, older than the
    segments or damaged.

    A table that was made from damaged segments is made again: they may have been put right. The
    file is checked once for a store, and again when it has been replaced.
    """
    facts = current_facts(store)
    if facts is not None:
        version = _version(store)
        if version is not None and store.checked.get(TABLE_FILE) == version:
            return facts
        if not facts.damages and _is_intact(store, facts):
            store.checked[TABLE_FILE] = version
            return facts
    return _make(store)


def current_facts(store: RunStore) -> TableFacts | None:
    """What is known of `decisions.parquet` if it was made from all that the run holds now, else
    None; nothing is made, and the file is not checked.
    """
    facts = _read_facts(store)
    return facts if facts is not None and facts.made_from == _state(store) else None


def tabled_segments(store: RunStore) -> frozenset[str]:
    """The names of the segments whose episodes stand in `decisions.parquet`: of a run that goes on
    again perhaps not all. None of them if the table has other columns, or holds what is gone.
    """
    facts = _read_facts(store)
    if facts is None or not (store.path / TABLE_FILE).is_file():
        return frozenset()
    *then, made_from = json.loads(facts.made_from)
    *now, there = json.loads(_state(store))
    held = {(name, size) for name, size in made_from}
    whole = then == now and held <= {(name, size) for name, size in there}
    return frozenset(name for name, _ in held) if whole else frozenset()


def _make(store: RunStore) -> TableFacts:
    schema, reading = table_schema(store.header), StoreReading()
    tables = (pa.Table.from_pylist(rows, schema=schema) for rows in _batches(store, reading))
    return write_decisions(store, tables, reading)


def write_decisions(
    store: RunStore, tables: Iterable[pa.Table], reading: StoreReading | None = None
) -> TableFacts:
    """`decisions.parquet` of a run as it is now holds these tables, a row group each; what is known
    of it is beside it.

    `reading` is where the tables' making notes the episodes and damages that it meets. Raises
    StoreError if the disk does not take it.
    """
    file, made_from = store.path / TABLE_FILE, _state(store)
    about = {"valueagents.made_from": made_from, "valueagents.taxonomy": store.header.taxonomy.name}
    schema = table_schema(store.header).with_metadata(about)
    remove_dead_drafts(store.path)
    made = draft(file)
    try:
        with pq.ParquetWriter(made, schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table.cast(writer.schema))
        met = reading or StoreReading()
        facts = TableFacts(
            made_from, file_crc32(made), len(met.finished), tuple(map(str, met.damages))
        )
        made.replace(file)
        write_atomically(store.path / FACTS_FILE, seal(msgspec.json.encode(facts)) + b"\n")
    except OSError as error:
        raise StoreError(
            f"{str(file)!r} cannot be written:"
            f" {os.strerror(error.errno) if error.errno else error}; make room there: it is made"
            " from the segments, of which nothing is lost"
        ) from error
    finally:
        made.unlink(missing_ok=True)
    store.checked[TABLE_FILE] = _version(store)
    return facts


def _state(store: RunStore) -> str:
    """What the table is made from: schema, columns, segments and their sizes."""
    segments = [(store.name_of(segment), segment.stat().st_size) for segment in store.segments()]
    return json.dumps([SCHEMA, table_schema(store.header).names, segments])


def _read_facts(store: RunStore) -> TableFacts | None:
    """What is known of the table; None where that cannot be read."""
    try:
        line = unseal((store.path / FACTS_FILE).read_bytes().removesuffix(b"\n"))
        return None if line is None else msgspec.json.decode(line, type=TableFacts)
    except (OSError, *NOT_JSON):
        return None


def _version(store: RunStore) -> tuple[int, int, int] | None:
    """Which file the table is: it changes when the file is replaced."""
    try:
        found = (store.path / TABLE_FILE).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_intact(store: RunStore, facts: TableFacts) -> bool:
    try:
        return file_crc32(store.path / TABLE_FILE) == facts.crc32
    except OSError:
        return False


def _batches(store: RunStore, reading: StoreReading) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for episode in store.episodes(reading):
        try:
            rows += decision_rows(store.header, episode)
        except StoreError as error:
            raise StoreError(
                f"{str(store.path)!r}, episode {episode.identity[:12]}: {error}"
            ) from error
        if len(rows) >= _ROWS_A_BATCH:
            yield rows
            rows = []
    yield rows


def decision_rows(header: RunHeader, episode: Episode) -> list[dict[str, Any]]:
    """The rows of an episode's decisions, as `table_schema` has them."""
    return [_row(header, episode, step) for step in range(len(episode.decisions))]


def _row(header: RunHeader, episode: Episode, step: int) -> dict[str, Any]:
    decision: Decision = episode.decisions[step]
    choice = decision.choice
    annotation = decision.annotation
    return {
        "episode": episode.identity,
        "situation": episode.situation,
        "repetition": episode.repetition,
        "cluster": episode.cluster,
        "attempt": episode.attempt,
        "outcome": episode.outcome,
        "step": step,
        "shown": situation_hash(header.task, episode, step),
        "option_ids": [option.id for option in decision.menu],
        "menu": menu_hash(decision.menu),
        "option_characters": [len(option.text) for option in decision.menu],
        "annotated": annotation is not None,
        "x": None if annotation is None else annotation.array(header.taxonomy).ravel(),
        "chosen": decision.chosen,
        "probabilities": choice.probabilities,
        "position_probabilities": choice.position_probabilities,
        "mass": choice.mass,
        "unseen": choice.unseen,
        "samples": choice.samples,
        "reading": choice.reading,
        "prompt": choice.prompt,
        "neither": choice.neither,
        "beside": list(choice.beside.items()),
        "finish_reason": choice.finish_reason,
        "invalid": decision.invalid,
        "reward": decision.reward,
        "prompt_tokens": choice.prompt_tokens,
        "cached_tokens": choice.cached_tokens,
        "output_tokens": choice.output_tokens,
        "dropped_turns": choice.dropped_turns,
        "attempts": choice.attempts,
        "replayed": choice.replayed,
        "queue_s": choice.queue_s,
        "latency_s": choice.latency_s,
        "lost_workers": decision.lost_workers,
        "cut_options": decision.cut_options,
        **{f"factor.{each.name}": decision.factors.get(each.name) for each in header.factors},
        **{
            f"covariate.{each.name}": annotation and annotation.covariates.get(each.name)
            for each in header.covariates
        },
    }
