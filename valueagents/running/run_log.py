"""`run.log` in a run directory: what happened while it was played, a line each with its level.

It holds what our loggers say meanwhile, and what is too much for a terminal (how fast it goes, each
failure). It is there to be read by people: nothing here reads it, and a disk that does not take a
line of it costs the line, not the run.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from valueagents.screen import visible

LOG_FILE = "run.log"
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class RunLog(logging.FileHandler):
    """The log file of a run directory, appended to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / LOG_FILE, encoding="utf-8", errors="backslashreplace", delay=True)
        self.setFormatter(logging.Formatter(_FORMAT))

    def tell(self, level: int, message: str) -> None:
        """Write a line that no other handler gets."""
        self.handle(logging.LogRecord("valueagents", level, "", 0, message, None, None))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; one that cannot be written is lost."""
        with suppress(OSError):
            super().emit(record)

    def close(self) -> None:
        """Close the file; what it had not taken yet is lost with it."""
        with suppress(OSError):
            super().close()

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        return visible(super().format(record).replace("\n", " "))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 – the library's name
        """The line is lost."""


@contextmanager
def run_log(folder: Path) -> Iterator[RunLog]:
    """The log of a run, which our loggers write to while the block lasts."""
    handler, logger = RunLog(folder), logging.getLogger("valueagents")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        handler.close()
