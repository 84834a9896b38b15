"""The recorder of a run: what is played goes to the writer, and is counted, told and shown."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from valueagents.contracts.decision import Episode, Failure
from valueagents.errors import StoreError
from valueagents.running.durable import DiskError
from valueagents.running.run_log import RunLog
from valueagents.running.store import RunWriter
from valueagents.running.throughput import Throughput

Progress = Callable[[int, int, int], None]
"""Called as (finished, failed, owed at the start) whenever an episode ends."""


@runtime_checkable
class Display(Protocol):
    """A `Progress` that is also told, now and then, how fast it goes and what is waited for."""

    def __call__(self, finished: int, failed: int, owed: int) -> None:
        """The run has begun, or an episode has ended."""

    def throughput(self, line: str) -> None:
        """Show what `Throughput.line` says."""


TELL_EVERY_S = 5.0


class Recorder:
    """The sink of a rollout: writes, counts, reports progress."""

    def __init__(self, progress: Progress | None) -> None:
        self.finished = self.failed = self._owed = 0
        self._progress, self.throughput = progress, Throughput()

    def begin(self, writer: RunWriter, owed: int, told: RunLog) -> None:
        """From now on episodes go to the writer, and what happens to the log."""
        self._writer, self._owed, self._told, self.throughput = writer, owed, told, Throughput()
        told.tell(logging.INFO, f"begun: {owed} episodes are owed")
        if isinstance(self._progress, Display):
            self._report()

    async def tell_throughput(self) -> None:
        """Tell every few seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            line = self.throughput.line()
            done = f"{self.finished + self.failed} of {self._owed} episodes"
            self._told.tell(logging.DEBUG, f"{done}: {line}")
            if isinstance(self._progress, Display):
                self._progress.throughput(line)

    def episode(self, episode: Episode) -> None:
        """A finished episode is written."""
        with self.told_in_one_line():
            self._writer.episode(episode)
        self.finished += 1
        self.throughput.episode(episode)
        self._report()

    def failure(self, failure: Failure) -> None:
        """A failed one is written."""
        with self.told_in_one_line():
            self._writer.failure(failure)
        self.failed += 1
        self.throughput.failed += 1
        name = failure.situation or failure.identity[:12]
        place = f"episode {name}, step {failure.step}, attempt {failure.attempt}"
        self._told.tell(logging.WARNING, f"{place}: {failure.error}: {failure.message}")
        self._report()

    @contextmanager
    def told_in_one_line(self) -> Iterator[None]:
        """A disk that takes no more is a StoreError that says what is kept and what is owed."""
        try:
            yield
        except DiskError as error:
            kept = f"{self.finished} episodes of this session are kept"
            owed = f"{self._owed - self.finished} are owed" if self._owed else "the others are owed"
            raise StoreError(
                f"{error.filename!r}: {error.strerror}; {kept}, {owed}: make room and give the same"
                " command again"
            ) from error

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self.finished, self.failed, self._owed)
