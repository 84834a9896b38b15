"""What the sessions of a run say of how far it is: planned, started, ended."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from valueagents.running.store import RunStore


class Standing(NamedTuple):
    """How far a run is, by what its sessions say; None where none says it.

    `planned` is how many episodes the run is to have, all shards together; `started` when the first
    process began and `ended` when the last one ended. `stopped` is true where a process goes on, or
    was stopped before it could end.
    """

    planned: int | None
    started: str | None
    ended: str | None
    stopped: bool

    def is_complete(self, finished: int, failed: int) -> bool:
        """True if all that was planned has finished, or has failed in processes that ended."""
        owed = 0 if self.planned is None else self.planned - finished
        return owed <= 0 or (owed <= failed and not self.stopped)

    def ended_with(self, finished: int) -> str | None:
        """When a run of so many finished episodes ended; None while it goes on or is to go on.

        What a killed shard left may have been played by others: then the run has ended.
        """
        complete = self.planned is not None and finished >= self.planned
        return self.ended if complete or not self.stopped else None


def standing(store: RunStore) -> Standing:
    """How far a run is, all its folders together."""
    return combined([_standing(each) for each in store.sessions_of_folders().values() if each])


def _standing(sessions: Sequence[dict[str, Any]]) -> Standing:
    """How far a folder is, whose sessions are these."""
    starts = [record for record in sessions if "start" in record]
    ends = [str(record["end"]) for record in sessions if "end" in record]
    planned = starts[-1].get("planned") if starts else None
    return Standing(
        planned=planned if isinstance(planned, int) else None,
        started=str(starts[0]["start"]) if starts else None,
        ended=ends[-1] if ends else None,
        stopped="end" not in sessions[-1],
    )


def combined(parts: Sequence[Standing]) -> Standing:
    """How far a run is whose parts lie in several places."""
    return Standing(
        planned=max((part.planned for part in parts if part.planned is not None), default=None),
        started=min((part.started for part in parts if part.started is not None), default=None),
        ended=max((part.ended for part in parts if part.ended is not None), default=None),
        stopped=not parts or any(part.stopped for part in parts),
    )


def now() -> str:
    """The time as sessions tell it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
