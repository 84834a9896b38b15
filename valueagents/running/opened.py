"""Opening a run, wherever it lies: in a run directory, or in an export that was made of one."""

from pathlib import Path

from valueagents.errors import ConfigError, DataError
from valueagents.running.exported_tables import FACTS_OF_EXPORT, run_of_tables
from valueagents.running.inspect_log import LOG_SUFFIX, run_of_inspect_log
from valueagents.running.runs import Run

_TABLES = (".parquet", ".csv")


def open_run(path: Path | str) -> Run:
    """The run at a path: a run directory, a folder of exported tables or its table of decisions, an
    exported log of Inspect.

    Raises StoreError if none is there, DataError for an export that cannot be read, ConfigError for
    a log where Inspect is not installed.
    """
    path = Path(path)
    if path.suffix == LOG_SUFFIX and path.is_file():
        return run_of_inspect_log(path)
    if path.suffix in _TABLES and path.is_file():
        if not (path.parent / FACTS_OF_EXPORT).is_file():
            raise DataError(
                f"{str(path)!r}: {FACTS_OF_EXPORT} is not beside it, which says what the table is"
                " of; give a run directory, or the whole folder that `valueagents export` made"
            )
        if path.stem != "decisions":
            raise ConfigError(f"{str(path)!r}: give the folder, or its table of decisions")
        path = path.parent
    if (path / FACTS_OF_EXPORT).is_file():
        return run_of_tables(path)
    return Run(path)
