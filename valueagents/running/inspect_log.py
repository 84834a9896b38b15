"""A run read from a log of Inspect (inspect-ai) that `valueagents export --to inspect` wrote.

Whole episodes stand in the log: in the store of each sample, as a run directory has them. What
Inspect shows of them (messages, events, scores) is made from these, and is not read back.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from valueagents.contracts.decision import Episode, failure_from_json
from valueagents.errors import ConfigError, DataError, StoreError, first_line
from valueagents.running.exported import ExportFacts, read_facts, restored
from valueagents.running.records import episode_of_line
from valueagents.running.runs import Run
from valueagents.running.writer import RunWriter

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample

LOG_SUFFIX = ".eval"
FACTS_KEY = "valueagents"
EPISODE_KEY, FAILURE_KEY = "valueagents:episode", "valueagents:failure"
"""Where a log has what it says of its run, in its metadata, and a sample its record."""
_AT_ONCE = 500
_NOT_READ = {"messages", "events"}


def require_inspect() -> None:
    """Raise ConfigError, naming the extra, if Inspect is not installed."""
    try:
        import inspect_ai  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed: pip install 'valueagents[inspect]', in an environment"
            " of its own: it needs other versions than training does"
        ) from error


def run_of_inspect_log(file: Path) -> Run:
    """The run of which a log was made, whole.

    Raises DataError for a log that was not exported from a run, or not all of it is there.
    """
    require_inspect()
    facts = _facts(file)

    def write(writer: RunWriter) -> int:
        episodes = failures = 0
        for sample in _samples(file):
            if FAILURE_KEY in sample.store:
                line = msgspec.json.encode(sample.store[FAILURE_KEY])
                writer.failure(failure_from_json(line))
                failures += 1
            else:
                writer.episode(_episode(file, facts, sample))
                episodes += 1
        if episodes != facts.episodes:
            raise DataError(
                f"{str(file)!r}: {episodes} episodes are there, {facts.episodes} were exported;"
                " export the run again"
            )
        return failures

    return restored(str(file), facts, write)


def _facts(file: Path) -> ExportFacts:
    from inspect_ai.log import read_eval_log

    try:
        log = read_eval_log(str(file), header_only=True)
    except Exception as error:  # what is not a log ends in errors of zip, JSON or pydantic
        raise DataError(
            f"{str(file)!r}: no log that Inspect reads ({first_line(error)})"
        ) from error
    told = (log.eval.metadata or {}).get(FACTS_KEY)
    if told is None:
        raise DataError(
            f"{str(file)!r}: a log of another tool: it says of no option what it does to a value,"
            " so nothing can be scored; play an env with the same model (`valueagents run --policy"
            " inspect:PROVIDER/MODEL`), and `valueagents export --to inspect` makes logs that are"
            " read"
        )
    return read_facts(told, repr(str(file)))


def _samples(file: Path) -> "Iterator[EvalSample]":
    """All samples, some hundreds at a time: one by one, Inspect looks through the file for each."""
    from inspect_ai.log import read_eval_log_sample_summaries, read_eval_log_samples_by_id

    try:
        names = [(each.id, each.epoch) for each in read_eval_log_sample_summaries(str(file))]
        for start in range(0, len(names), _AT_ONCE):
            yield from read_eval_log_samples_by_id(
                str(file), names[start : start + _AT_ONCE], exclude_fields=_NOT_READ
            )
    except Exception as error:  # as in `_facts`
        raise DataError(f"{str(file)!r}: {first_line(error)}; export the run again") from error


def _episode(file: Path, facts: ExportFacts, sample: Any) -> Episode:
    try:
        return episode_of_line(msgspec.json.encode(sample.store[EPISODE_KEY]), facts.header)
    except (KeyError, StoreError) as error:
        raise DataError(
            f"{str(file)!r}, sample {sample.id}: no episode of ours ({first_line(error)}); export"
            " the run again"
        ) from error
