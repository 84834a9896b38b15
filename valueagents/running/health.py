"""What is wrong with a run: damaged files, episodes that are missing, answers that say nothing.

Sessions say how many episodes were there when a process began (`stored`), how many it was to play
(`owed`) and how many it finished: what is there now is compared with that. Sessions of older
versions say less, and less is found. Of a run in shards what counts is whether all together have
what was planned: a shard that was killed may have been played by others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from valueagents.contracts.decision import Failure
from valueagents.running.header import header_problems
from valueagents.running.sessions import standing
from valueagents.running.store import RunStore, StoreReading
from valueagents.running.table import decisions_file, table_facts
from valueagents.running.writer import SESSIONS_FILE

_PLAYS = "the same `valueagents run` command plays"


def problems(store: RunStore) -> list[str]:
    """What is wrong with a run, a line each; none for a run that ended and of which all is there.

    Raises StoreError for episodes of another schema.
    """
    facts = table_facts(store)
    reading = StoreReading()
    failures = list(store.failures(reading))
    sessions = store.sessions_of_folders(reading)
    damages = [*facts.damages, *(str(damage) for damage in reading.damages)]
    if list(sessions) == [store.path]:
        owed = _sessions_problems(store, sessions[store.path], facts.episodes, len(failures))
    else:
        owed = _shards_problems(store, facts.episodes, failures)
    return [
        *_headers_problems(store),
        *(f"{damage}: what was readable is kept, {_PLAYS} the rest" for damage in damages),
        *owed,
        *_answers_problems(store),
    ]


def _headers_problems(store: RunStore) -> list[str]:
    return [
        problem if folder == store.path else f"{folder.name}: {problem}"
        for folder in store.folders
        for problem in header_problems(folder)
    ]


def _shards_problems(store: RunStore, episodes: int, failures: Sequence[Failure]) -> list[str]:
    """One line if the shards have not all that was planned, but for what failed in a run of which
    every process has ended.
    """
    told = standing(store)
    if told.planned is None:
        return [f"no shard's {SESSIONS_FILE} says how many episodes the run is to have"]
    failed = len({failure.identity for failure in failures})
    if told.is_complete(episodes, failed):
        return []
    return [
        f"{told.planned - episodes} of {told.planned} episodes are owed: shards were not begun,"
        f" were stopped or are still going; {_PLAYS} them, with --shard or without"
    ]


def remarks(store: RunStore) -> list[str]:
    """What happened to a run and changed nothing in it, a line each."""
    with pq.ParquetFile(decisions_file(store)) as file:
        table = file.read(columns=["episode", "lost_workers", "cut_options"])
    return [*_lost_workers(table), *_cut_menus(table)]


def _lost_workers(table: pa.Table) -> list[str]:
    hit = table.filter(pc.greater(table["lost_workers"], 0))
    if not hit.num_rows:
        return []
    workers, episodes = pc.sum(hit["lost_workers"]).as_py(), pc.count_distinct(hit["episode"])
    return [
        f"{workers} workers of the env were lost (killed, stopped, hanging or crashed) in"
        f" {episodes} episodes; what they were asked was asked again"
    ]


def _cut_menus(table: pa.Table) -> list[str]:
    cut = table.filter(pc.greater(table["cut_options"], 0))
    if not cut.num_rows:
        return []
    options = pc.sum(cut["cut_options"]).as_py()
    return [
        f"{cut.num_rows} of {table.num_rows} menus were longer than the env's max_menu:"
        f" {options} of their options were not shown"
    ]


def _sessions_problems(
    store: RunStore, sessions: Sequence[dict[str, Any]], episodes: int, attempts: int
) -> list[str]:
    """What the sessions say that should be there, and is not."""
    starts = [place for place, record in enumerate(sessions) if "start" in record]
    if not starts:
        if not store.segments():
            return []
        return [
            f"{SESSIONS_FILE} is missing or damaged: whether all episodes are there cannot be told"
        ]
    start = sessions[starts[-1]]
    end = next((record for record in sessions[starts[-1] + 1 :] if "end" in record), None)
    found = _missing(start, end or {}, episodes, attempts)
    if end is None:
        found.append(
            f"the run was stopped or is still going: {_PLAYS} the episodes that are"
            f" owed{_owed(start, episodes)}"
        )
    return found


def _missing(
    start: Mapping[str, Any], end: Mapping[str, Any], episodes: int, attempts: int
) -> list[str]:
    """Episodes and failures that were written and are not there."""
    written = _stored(start) + end.get("finished", 0)
    recorded = start.get("failures", 0) + end.get("failed", 0)
    found = []
    if episodes < written:
        found.append(
            f"{written - episodes} of {written} finished episodes are missing: a segment was cut,"
            f" deleted, damaged or not copied whole; {_PLAYS} those that are owed"
        )
    if attempts < recorded:
        found.append(
            f"{recorded - attempts} of {recorded} failures are missing: attempts are counted"
            " without them"
        )
    return found


def _stored(start: Mapping[str, Any]) -> int:
    """Episodes that were there when a session began; of an older version's session the fewest that
    there were.
    """
    planned = start.get("config", {}).get("episodes")
    stored: int = start.get("stored", max(0, (planned or 0) - start.get("owed", 0)))
    return stored


def _owed(start: Mapping[str, Any], episodes: int) -> str:
    """How many of the planned episodes are owed, where the session says how many it was to play."""
    if "planned" not in start:
        return ""
    owed = start["owed"] - (episodes - start["stored"])
    return f" ({max(0, owed)} of {start['planned']})"


def _answers_problems(store: RunStore) -> list[str]:
    """One line if no decision of the run can be used as it is."""
    with pq.ParquetFile(decisions_file(store)) as file:
        table = file.read(columns=["chosen", "dropped_turns"])
    unread = pc.is_null(table["chosen"])
    cut = pc.fill_null(pc.greater(table["dropped_turns"], 0), fill_value=False)
    if not table.num_rows or not pc.all(pc.or_(unread, cut)).as_py():
        return []
    if pc.all(unread).as_py():
        return [
            f"none of the {table.num_rows} answers could be read as an option; look at their texts"
        ]
    counts = (
        f"{pc.sum(unread).as_py()} were unread or refused, {pc.sum(cut).as_py()} had a cut prompt"
    )
    return [f"none of the {table.num_rows} decisions can be used: {counts}"]
