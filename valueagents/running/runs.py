"""`Run`: a run directory, read.

It opens as tables and frames; scores and reports are made from it.
"""

import logging
import shutil
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from valueagents.contracts.decision import Episode, Failure
from valueagents.errors import ConfigError
from valueagents.identity import content_hash
from valueagents.running.health import problems, remarks
from valueagents.running.scratch import ScratchFolder
from valueagents.running.store import RunHeader, RunStore, StoreReading
from valueagents.running.table import decisions_file

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


log = logging.getLogger("valueagents")


class Run:
    """A run directory, read.

    Args:
        path: the directory.
        temporary: a folder that is removed when nobody holds this object any more; `save` keeps the
            run.
        name: what messages and results call the run; its path unless it was read from elsewhere.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        temporary: ScratchFolder | None = None,
        name: str | None = None,
    ) -> None:
        self.store = RunStore.open(path)
        self.path = self.store.path
        self.name = str(self.path) if name is None else name
        self.header = self.store.header
        if temporary is not None:
            weakref.finalize(self, temporary.close)

    def save(self, path: Path | str) -> "Run":
        """A copy of the run at `path`, and the run there.

        Raises ConfigError if something is there already.
        """
        if Path(path).exists():
            raise ConfigError(f"{str(path)!r} exists; give a path where nothing is")
        shutil.copytree(self.path, path)
        return Run(path)

    def decisions(self, columns: Sequence[str] | None = None) -> "pa.Table":
        """All decisions as an Arrow table, a row each (columns: `running/table.py`), or some of its
        columns.
        """
        with pq.ParquetFile(self.decisions_file()) as file:
            return file.read(columns=None if columns is None else list(columns))

    def decisions_file(self) -> Path:
        """The same as a Parquet file, for those who read it in parts; made first where it is not up
        to date.
        """
        return decisions_file(self.store)

    def problems(self) -> list[str]:
        """What is wrong with the run, a line each: damages, missing episodes, answers that say
        nothing.
        """
        return problems(self.store)

    def remarks(self) -> list[str]:
        """What happened to the run and changed nothing in it, a line each: lost workers."""
        return remarks(self.store)

    def to_pandas(self) -> "pd.DataFrame":
        """All decisions as a pandas DataFrame (extra `frames`)."""
        return self.decisions().to_pandas()

    def to_polars(self) -> "pl.DataFrame":
        """All decisions as a polars DataFrame (extra `frames`)."""
        try:
            import polars as pl
        except ImportError as error:
            raise ConfigError(
                "polars is not installed: pip install 'valueagents[frames]'"
            ) from error
        frame = pl.from_arrow(self.decisions())
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 – a table makes a frame
        return frame

    def episodes(self) -> list[Episode]:
        """The finished episodes, sorted by identity; what is damaged is left out and warned of."""
        reading = StoreReading()
        found = sorted(self.store.episodes(reading), key=lambda episode: episode.identity)
        for damage in reading.damages:
            log.warning("%s: %s: episodes are left out", self.name, damage)
        return found

    def failed(self) -> list[Failure]:
        """The last failure of every episode that has not finished since."""
        last = {failure.identity: failure for failure in self.store.failures()}
        if not last:
            return []
        finished = {episode.identity for episode in self.store.episodes()}
        finished |= set(
            self.decisions(["episode"])["episode"].to_pylist()
        )  # a segment may have been damaged since
        return [failure for identity, failure in sorted(last.items()) if identity not in finished]


def require_distinct(
    runs: Sequence[Run], unit: str, identity: Callable[[RunHeader], object]
) -> None:
    """Raise ConfigError if two of the runs have one identity: they would count as two units."""
    met: dict[str, Run] = {}
    for each in runs:
        name = content_hash(identity(each.header))
        if name in met:
            raise ConfigError(
                f"{met[name].name!r} and {each.name!r} are of one {unit}: give each once"
            )
        met[name] = each
