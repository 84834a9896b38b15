"""Compaction: a run's episodes as one Arrow table, a row a decision, kept as Parquet beside the segments.

List columns run over the menu in shown order. `x` is the annotation, row-major (K, V): the first V numbers belong to
the first option; null where the env annotated nothing; NaN where an axis was not annotated. After the fixed columns
each factor that the env declares has one, `factor.NAME`: the level of the decision's menu, null where it has none.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from valueagents.contracts.decision import SCHEMA, Decision, Episode, menu_hash, situation_hash
from valueagents.running.store import RunHeader, RunStore

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
    ("reading", pa.string(), "how the reply was read"),
    ("finish_reason", pa.string(), "why a spoken reply ended: stop, length, refusal, …; null = not spoken"),
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
]
TABLE_SCHEMA = pa.schema([pa.field(name, kind, metadata={"what": what}) for name, kind, what in _FIELDS])
"""The columns that every run's table has; `table_schema` adds those of a run's factors."""


def table_schema(header: RunHeader) -> pa.Schema:
    """The columns of a run's table: the fixed ones, then `factor.NAME` for each declared factor in its order."""
    schema = TABLE_SCHEMA
    for factor in header.factors:
        schema = schema.append(pa.field(_column(factor.name), pa.string(), metadata={"what": factor.meaning}))
    return schema


def _column(factor: str) -> str:
    return f"factor.{factor}"


def decisions_file(store: RunStore) -> Path:
    """All decisions of a run, in the order of writing; compacted first if `decisions.parquet` is missing or older."""
    file = store.path / "decisions.parquet"
    state = _state(store)
    if not file.exists() or _read_state(file) != state:
        schema = table_schema(store.header)
        write_decisions(store, (pa.Table.from_pylist(rows, schema=schema) for rows in _batches(store)))
    return file


def _state(store: RunStore) -> bytes:
    """What the table was made from: schema, columns, segments and their sizes."""
    segments = [(segment.name, segment.stat().st_size) for segment in store.segments()]
    return json.dumps([SCHEMA, table_schema(store.header).names, segments]).encode()


def _read_state(file: Path) -> bytes | None:
    try:
        return (pq.read_schema(file).metadata or {}).get(b"valueagents.made_from")
    except (pa.ArrowInvalid, OSError):
        return None  # a torn file: make it again


def write_decisions(store: RunStore, tables: Iterable[pa.Table]) -> None:
    """`decisions.parquet` of a run as it is now holds these tables, a row group each."""
    file = store.path / "decisions.parquet"
    made_from = {"valueagents.made_from": _state(store), "valueagents.taxonomy": store.header.taxonomy.name}
    schema = table_schema(store.header).with_metadata(made_from)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table.cast(writer.schema))
    draft.replace(file)


def _batches(store: RunStore) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for episode in store.episodes():
        rows += [_row(store, episode, step) for step in range(len(episode.decisions))]
        if len(rows) >= _ROWS_A_BATCH:
            yield rows
            rows = []
    yield rows


def _row(store: RunStore, episode: Episode, step: int) -> dict[str, Any]:
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
        "shown": situation_hash(store.header.task, episode, step),
        "option_ids": [option.id for option in decision.menu],
        "menu": menu_hash(decision.menu),
        "option_characters": [len(option.text) for option in decision.menu],
        "annotated": annotation is not None,
        "x": None if annotation is None else annotation.array(store.header.taxonomy).ravel(),
        "chosen": decision.chosen,
        "probabilities": choice.probabilities,
        "position_probabilities": choice.position_probabilities,
        "mass": choice.mass,
        "reading": choice.reading,
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
        **{_column(factor.name): decision.factors.get(factor.name) for factor in store.header.factors},
    }
