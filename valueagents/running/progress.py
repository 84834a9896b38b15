"""Progress of a run on standard error: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from valueagents.running.execution import Progress
from valueagents.screen import console, visible

_STOPPED = "stopped; what was finished is kept, the same command goes on from there"
_QUIET_S = 2.0
_LINE_EVERY_S = 10.0
_MIN_FOR_ESTIMATE = 10  # the first batch also loads and warms up


@contextmanager
def show_progress(what: str, unit: str = "episodes") -> Iterator[Progress]:
    """A callback for `run`; `unit` is what it counts.

    Nothing is shown for what takes less than two seconds. A KeyboardInterrupt leaves with what it
    means for the run, for the command line to print.
    """
    try:
        if sys.stderr.isatty():
            with _bar(what) as progress:
                yield progress
        else:
            yield _lines(what, unit)
    except KeyboardInterrupt as stopped:
        raise KeyboardInterrupt(_STOPPED) from stopped


@contextmanager
def _bar(what: str) -> Iterator[Progress]:
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
    )
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task(visible(what), total=None)

        def progress(finished: int, failed: int, owed: int) -> None:
            bar.update(task, total=owed, completed=finished + failed)

        yield progress


def _lines(what: str, unit: str) -> Progress:
    started = last = time.monotonic()

    def progress(finished: int, failed: int, owed: int) -> None:
        nonlocal last
        now, done = time.monotonic(), finished + failed
        if now - started < _QUIET_S or (now - last < _LINE_EVERY_S and done < owed):
            return
        last = now
        failures = f", {failed} failed" if failed else ""
        left = (
            f", about {(now - started) / done * (owed - done):.0f} s left"
            if done >= _MIN_FOR_ESTIMATE
            else ""
        )
        print(f"{what}: {done}/{owed} {unit}{failures}{left}", file=sys.stderr, flush=True)

    return progress
