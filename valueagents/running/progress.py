"""Progress of a run on standard error: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from valueagents.running.recorder import Display
from valueagents.screen import console, visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_STOPPED = "stopped; what was finished is kept, the same command goes on from there"
_QUIET_S = 2.0
_LINE_EVERY_S = 10.0
_MIN_FOR_ESTIMATE = 10  # the first batch also loads and warms up


@contextmanager
def show_progress(what: str, unit: str = "episodes") -> Iterator[Display]:
    """A callback for `run`; `unit` is what it counts.

    Nothing is shown for what takes less than two seconds. A KeyboardInterrupt leaves with what it
    means for the run, for the command line to print.
    """
    try:
        if sys.stderr.isatty():
            with _bar(what) as progress:
                yield progress
        else:
            yield _Lines(what, unit)
    except KeyboardInterrupt as stopped:
        raise KeyboardInterrupt(_STOPPED) from stopped


@contextmanager
def _bar(what: str) -> Iterator[Display]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[throughput]}", markup=False),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        yield _Bar(bar, bar.add_task(visible(what), total=None, throughput=""))


class _Bar:
    """A bar of rich, on a terminal."""

    def __init__(self, bar: "Progress", task: "TaskID") -> None:
        self._bar, self._task = bar, task

    def __call__(self, finished: int, failed: int, owed: int) -> None:
        self._bar.update(self._task, total=owed, completed=finished + failed)

    def throughput(self, line: str) -> None:
        self._bar.update(self._task, throughput=visible(line))


class _Lines:
    """A line now and then, also while no episode ends."""

    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit, self._throughput = what, unit, ""
        self._started = self._last = time.monotonic()
        self._counts = 0, 0, 0

    def __call__(self, finished: int, failed: int, owed: int) -> None:
        self._counts = finished, failed, owed
        self._print(last=0 < owed <= finished + failed)

    def throughput(self, line: str) -> None:
        self._throughput = f"; {line}"
        self._print()

    def _print(self, *, last: bool = False) -> None:
        now, (finished, failed, owed) = time.monotonic(), self._counts
        done = finished + failed
        if now - self._started < _QUIET_S or (now - self._last < _LINE_EVERY_S and not last):
            return
        self._last = now
        failures = f", {failed} failed" if failed else ""
        left = (
            f", about {(now - self._started) / done * (owed - done):.0f} s left"
            if done >= _MIN_FOR_ESTIMATE
            else ""
        )
        counted = f"{done}/{owed} {self._unit}{failures}{left}{self._throughput}"
        print(f"{self._what}: {counted}", file=sys.stderr, flush=True)
