"""Trying commands in one state: each from there, under seeds that derive from the state itself.

As the tries never use the game's own random numbers, what they find foretells no roll of the dice.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from valueagents.contracts.decision import Event
from valueagents.envs.parser_game.play import Play, Saved
from valueagents.identity import seed_from

Bytes = npt.NDArray[np.uint8]
Addresses = npt.NDArray[np.int64]
Told = Callable[[str, str], object]


@dataclass(frozen=True, slots=True)
class Tried:
    """What a command came to under one seed: the `values` at the `addresses` of memory that it
    changed, and the `number` of the random generator after it.
    """

    addresses: Addresses
    values: Bytes
    text: str
    events: tuple[Event, ...]
    done: bool | None
    number: int
    waits_for_key: bool
    halted: bool

    def memory_after(self, before: Bytes) -> Bytes:
        """The whole memory, given what it was before."""
        ram = before.copy()
        ram[self.addresses] = self.values
        return ram


class StateTries:
    """The tries of one state, whose hash is its place; `asked` are keys or numbers that its text
    asks for.

    `note` is told place and command before a command is tried, so that a hang has a name; those in
    `faults`, by place, never come back and are not tried.
    """

    def __init__(
        self,
        play: Play,
        saved: Saved,
        place: str,
        asked: tuple[str, ...],
        number: int,
        note: Told,
        faults: Container[tuple[str, str]],
    ) -> None:
        self.play, self.place, self.asked = play, place, asked
        self._saved, self._note, self._faults = saved, note, faults
        self._sent: dict[tuple[str, int, str | None], Tried] = {}
        self.before: Bytes = np.frombuffer(saved.state.ram, dtype=np.uint8)
        self.seeds = tuple(seed_from("try", place, i) for i in range(number))

    def may_try(self, command: str) -> bool:
        """True if the gate lets a command pass here and it is not known never to come back."""
        self.put_back()
        known = (self.place, command) in self._faults
        return not known and self.play.why_refused(command) is None

    def send(self, command: str, seed: int = 0, *, then: str | None = None) -> Tried:
        """What a command comes to under the seed of that index, or it and `then` another; each is
        sent once.
        """
        key = command, seed, then
        if key not in self._sent:
            self._sent[key] = self._send(command, seed, then)
        return self._sent[key]

    def _send(self, command: str, seed: int, then: str | None) -> Tried:
        self.put_back()
        machine = self.play.machine
        machine.reseed(self.seeds[seed])
        self._note(self.place, command)
        passed = self.play.send(command)
        if then is not None and self.play.why_refused(then) is None:
            passed = self.play.send(then)
        ram = np.frombuffer(machine.memory, dtype=np.uint8)
        changed = np.flatnonzero(ram != self.before)
        return Tried(
            changed,
            ram[changed],
            passed.text,
            passed.events,
            passed.status.done,
            machine.random_number,
            machine.waits_for_key,
            machine.halted,
        )

    def put_back(self) -> None:
        """The game is where the tries began."""
        self.play.load(self._saved)
