"""The folder that is shown: its runs by their keys, and what was read of those that were looked at
last.
"""

from collections import OrderedDict
from pathlib import Path

from valueagents.contracts.decision import Episode, Failure
from valueagents.errors import ValueAgentsError
from valueagents.identity import content_hash
from valueagents.running.header import RUN_FILE, RunHeader
from valueagents.running.inventory import FoundRun, Inventory, take_inventory
from valueagents.running.places import EpisodePlaces
from valueagents.running.sessions import standing
from valueagents.running.store import RunStore
from valueagents.viewer.index import Index, LiveIndex
from valueagents.viewer.transcript import ShownDecision, shown_decisions

KEPT_DECISIONS = 2_000_000
"""Of the runs that are kept in memory, together; the one that is shown is always kept."""
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_LONGEST = 64


def address_name(identity: str) -> str:
    """An episode's identity as it stands in addresses and names of files; the hash of one that is
    not plain (ours are 32 hex digits).
    """
    if 0 < len(identity) <= _LONGEST and _PLAIN.issuperset(identity):
        return identity
    return content_hash("episode", identity)


class ShownRun:
    """A run that is looked at: what was found, its header, its index and its episodes."""

    def __init__(self, found: FoundRun, store: RunStore) -> None:
        self.found, self.store = found, store
        self.header: RunHeader = store.header
        self._index, self._places = LiveIndex(store), EpisodePlaces(store, address_name)
        self._last: tuple[str, tuple[Episode, list[ShownDecision]]] | None = None
        self._version = _version(store)

    def index(self) -> Index:
        """Its decisions now."""
        return self._index.now()

    def transcript(self, name: str) -> tuple[Episode, list[ShownDecision]] | None:
        """The episode of that name in addresses, and its decisions as they are shown; the last one
        asked for is kept.
        """
        if self._last is None or self._last[0] != name:
            episode = self._places.find(name)
            if episode is None:
                return None
            self._last = name, (episode, shown_decisions(self.header, episode))
        return self._last[1]

    def failures(self) -> list[Failure]:
        """The last failure of each episode that has not finished since."""
        last = {failure.identity: failure for failure in self.store.failures()}
        if last:
            for identity in self.index().identity.to_pylist():
                last.pop(identity, None)
        return list(last.values())

    def has_ended(self) -> bool:
        """True if no process that began to play it is still to end, or was killed."""
        return standing(self.store).ended_with(self.index().episodes) is not None

    def planned(self) -> int | None:
        """How many episodes it is to have; None where no session says."""
        return standing(self.store).planned

    def is_there(self) -> bool:
        """True if its folder still holds the header that was read."""
        return bool(self._version) and _version(self.store) == self._version


class Shelf:
    """The runs under a folder.

    Args:
        folder: what is shown; nothing outside it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: OrderedDict[str, ShownRun] = OrderedDict()
        self._paths: dict[str, tuple[FoundRun, Path]] = {}

    def inventory(self) -> Inventory:
        """What is under the folder now."""
        found = take_inventory(self.folder)
        self._paths = {run.key: (run, self.folder / run.path) for run in found.runs}
        return found

    def known(self) -> list[FoundRun]:
        """The runs that were found the last time; the folder is looked through if it never was."""
        if not self._paths:
            self.inventory()
        return [run for run, _ in self._paths.values()]

    def run(self, key: str) -> ShownRun | None:
        """The run of a key, or None if there is none now, or it cannot be read."""
        known = self._open.get(key)
        if known is None or not known.is_there():
            self._open.pop(key, None)
            known = self._opened(key)
            if known is None:
                return None
        self._open[key] = known
        self._open.move_to_end(key)
        return known

    def make_room(self) -> None:
        """No more decisions are in memory than `KEPT_DECISIONS`, but for the last run looked at."""
        kept = 0
        for key, run in reversed(list(self._open.items())):
            kept += run.index().decisions
            if kept > KEPT_DECISIONS and key != next(reversed(self._open)):
                del self._open[key]

    def _opened(self, key: str) -> ShownRun | None:
        if key not in self._paths or not self._paths[key][1].is_dir():
            self.inventory()
        if key not in self._paths:
            return None
        found, path = self._paths[key]
        try:
            return ShownRun(found, RunStore.open(path))
        except (ValueAgentsError, OSError):
            return None


def _version(store: RunStore) -> list[tuple[int, int]]:
    """Which headers the folders of the run have; none where one has lost its own."""
    try:
        found = [(folder / RUN_FILE).stat() for folder in store.folders]
    except OSError:
        return []
    return [(header.st_ino, header.st_mtime_ns) for header in found]
