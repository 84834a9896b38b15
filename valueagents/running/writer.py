"""The writer of a run directory: every line is with the operating system before the call
returns.
"""

from pathlib import Path
from typing import Any

import msgspec

from valueagents.contracts.decision import Episode, Failure, to_json
from valueagents.running.durable import AppendOnlyFile
from valueagents.running.sealed import seal
from valueagents.running.segments import SegmentWriter

SESSIONS_FILE = "sessions.jsonl"
EPISODES = "episodes-{}.jsonl.gz"
FAILURES = "failures-{}.jsonl"


def is_segment(file: Path) -> bool:
    """True for the name of an episode segment."""
    return file.match(EPISODES.format("*"))


class RunWriter:
    """Appends to a run directory, to segments of its own.

    A line is there when the call returns, or it raises.

    Every method raises DiskError if the disk does not take the line (no line is torn by that), and
    StoreError if the directory was removed meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._episodes: SegmentWriter | None = None
        self._failures: AppendOnlyFile | None = None
        self._sessions: AppendOnlyFile | None = None

    def episode(self, episode: Episode) -> None:
        """Append a finished episode."""
        self._episodes = self._episodes or SegmentWriter(self._next(EPISODES))
        self._episodes.append(to_json(episode))

    def failure(self, failure: Failure) -> None:
        """Append a failed episode."""
        self._failures = self._failures or AppendOnlyFile(self._next(FAILURES), new=True)
        self._failures.append(seal(to_json(failure)) + b"\n")

    def session(self, record: dict[str, Any]) -> None:
        """Append a line on a process that starts or ends; it is on the disk."""
        file = self._path / SESSIONS_FILE
        self._sessions = self._sessions or AppendOnlyFile(file, new=not file.exists())
        line = seal(msgspec.json.encode(record))
        self._sessions.append(b"\n" + line + b"\n")  # the line before may be torn
        self._sessions.sync()

    def close(self) -> None:
        """Finish the segments; all of them are on the disk."""
        try:
            for file in (self._episodes, self._failures):
                if file is not None:
                    file.close()
        finally:
            if self._sessions is not None:
                self._sessions.close()

    def _next(self, pattern: str) -> Path:
        """The name of a new file, after all that are there."""
        taken = [
            int(path.name.split("-")[1].split(".")[0])
            for path in self._path.glob(pattern.format("*"))
        ]
        return self._path / pattern.format(f"{max(taken, default=0) + 1:04d}")
