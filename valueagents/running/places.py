"""Single episodes of a run, read from where they stand: for who shows one of many, while the run
goes on.

A segment only grows, so what was read of it once is never read again but for its last member, which
may have got further lines.
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from valueagents.contracts.decision import Episode
from valueagents.running.records import episode_of_line, identity_of_line
from valueagents.running.segments import read_placed_lines
from valueagents.running.store import RunStore


class LinePlace(NamedTuple):
    """Where an episode stands: its segment, the byte at which its member begins, and the number of
    its line among the readable ones of the member, from 0.
    """

    segment: Path
    member: int
    number: int


class NewLines:
    """The readable lines of a run's segments, each once, however often it is asked.

    Args:
        store: of the run.
        without: names of segments that are left out.
    """

    def __init__(self, store: RunStore, without: Collection[str] = ()) -> None:
        self._store, self._without = store, without
        self._next: dict[Path, LinePlace] = {}

    def __iter__(self) -> Iterator[tuple[LinePlace, bytes]]:
        """Those that were written since the last time."""
        for segment in self._store.segments():
            if self._store.name_of(segment) not in self._without:
                yield from self._of(segment)

    def _of(self, segment: Path) -> Iterator[tuple[LinePlace, bytes]]:
        known = self._next.get(segment, LinePlace(segment, 0, 0))
        member, number = known.member, 0
        for start, line in read_placed_lines(segment, [], known.member):
            if start != member:
                member, number = start, 0
            place = LinePlace(segment, member, number)
            number += 1
            if place >= known:
                self._next[segment] = LinePlace(segment, member, number)
                yield place, line


class EpisodePlaces:
    """Finds an episode of a run by its name.

    Args:
        store: of the run.
        name_of: the name of an identity; two identities have two names.
    """

    def __init__(self, store: RunStore, name_of: Callable[[str], str]) -> None:
        self._store, self._name_of = store, name_of
        self._lines = NewLines(store)
        self._places: dict[str, LinePlace] = {}

    def find(self, name: str) -> Episode | None:
        """The episode, or None if the run holds none of that name now."""
        if name not in self._places:
            self._look(name)
        place = self._places.get(name)
        return None if place is None else self._read(place)

    def _look(self, name: str) -> None:
        """Note where episodes stand, from where it was stopped last until that name is met."""
        for place, line in self._lines:
            identity = identity_of_line(line)
            if identity is None:  # what is not an episode is owed again
                continue
            found = self._name_of(identity)
            self._places.setdefault(found, place)
            if found == name:
                return

    def _read(self, place: LinePlace) -> Episode | None:
        lines = read_placed_lines(place.segment, [], place.member)
        for number, (member, line) in enumerate(lines):
            if member != place.member:
                return None
            if number == place.number:
                return episode_of_line(line, self._store.header)
        return None
