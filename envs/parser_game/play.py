"""Play: a machine with the gate before it and the value events behind it; what both ways of running
share.

A refused command costs nothing but the decision: the machine is not touched. Every step gives its
text without markers, its status and its events; all counters of the event sources are part of the
saved state.
"""

import re
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from valueagents.contracts.decision import Event
from valueagents.envs.parser_game.dictionary import read_dictionary
from valueagents.envs.parser_game.gate import SAFE_LINE_CHARACTERS, Gate, tidy
from valueagents.envs.parser_game.jiminy import Counters, Markers, score_in
from valueagents.envs.parser_game.jiminy_files import beside, read_annotations
from valueagents.envs.parser_game.ledger import MemoryLedger
from valueagents.envs.parser_game.machine import Machine, MachineState
from valueagents.envs.parser_game.memory import Ram, Status, map_path, read_map, read_status, word
from valueagents.envs.parser_game.rules import Rules, Step, read_rules
from valueagents.envs.parser_game.story import read_story
from valueagents.errors import ConfigError, EnvError
from valueagents.identity import file_hash
from valueagents.taxonomy import Taxonomy, load_taxonomy

_ENDING = re.compile(
    r"^\s*\*\*\*+\s*you have (died|won)\b|would you like to restart.{0,120}(quit|end this session)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


class CommandRefused(Exception):
    """Raised with the reason why a command is not sent; the machine was not touched."""


class GameSettings(msgspec.Struct, frozen=True):
    """Which files a game is made of: paths as texts, None = none.

    `tries`: reseeded tries where a menu is random.

    `menus` False = none is searched for, nothing is annotated.
    """

    story: str
    memory_map: str | None = None
    annotations: str | None = None
    rules: str | None = None
    tries: int = 4
    menus: bool = True


class Passed(msgspec.Struct, frozen=True):
    """What a step brought: the text as it may be shown, its events, and where the game stands."""

    text: str
    events: tuple[Event, ...]
    status: Status
    halted: bool = False


class Saved(msgspec.Struct, frozen=True, array_like=True):
    """The state of a play."""

    state: MachineState
    counters: Counters
    score: float


class Play:
    """One story with its event sources.

    Files are read and checked when it is made, Frotz is loaded when first used.
    """

    def __init__(self, settings: GameSettings) -> None:
        self._settings = settings
        self.story = read_story(Path(settings.story))
        beside = map_path(Path(settings.story))
        beside_it = beside if beside.is_file() else None
        self._map_file = Path(settings.memory_map) if settings.memory_map else beside_it
        self.memory = read_map(self._map_file, self.story) if self._map_file is not None else None
        self.taxonomy = self._taxonomy(settings)
        self._gate = Gate(read_dictionary(self.story), self.story.significant_letters)
        self._counters = Counters()
        self._score = 0.0

    def content(self) -> list[str | None]:
        """The hashes of story, memory map, annotations and rules, and of what lies beside the
        annotations: two plays of one content are alike.
        """
        settings = self._settings
        others = [Path(file) if file else None for file in (settings.annotations, settings.rules)]
        return [
            self.story.sha256,
            *(file_hash(f) if f is not None else None for f in (self._map_file, *others)),
            *(file_hash(f) for f in self._beside()),
        ]

    def _beside(self) -> list[Path]:
        annotations = self._settings.annotations
        return beside(Path(annotations)) if annotations else []

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the annotations, a sentence each."""
        return self.markers.notes if self.markers is not None else ()

    @cached_property
    def machine(self) -> Machine:
        """The interpreter."""
        return Machine(self.story)

    def _taxonomy(self, settings: GameSettings) -> Taxonomy:
        """Read the event sources; the one taxonomy that all of them speak."""
        named: dict[str, Taxonomy] = {}
        self.ledger: MemoryLedger | None = None
        self.rules: Rules | None = None
        self.markers: Markers | None = None
        if self.memory is not None and MemoryLedger.is_in(self.memory):
            named["the ledger"] = load_taxonomy("schwartz20")
            self.ledger = MemoryLedger(self.memory, named["the ledger"])
        if settings.rules:
            self.rules = read_rules(Path(settings.rules), self.story)
            named["the rules"] = self.rules.taxonomy
        if settings.annotations:
            self.markers = read_annotations(Path(settings.annotations))
            named["the markers"] = load_taxonomy("jiminy")
        if len({taxonomy.identity for taxonomy in named.values()}) > 1:
            told = ", ".join(f"{source} {taxonomy.name}" for source, taxonomy in named.items())
            raise ConfigError(
                f"one game is measured on one taxonomy, but its event sources speak several: {told}"
            )
        return next(iter(named.values()), load_taxonomy("schwartz20"))

    @property
    def has_events(self) -> bool:
        """True if any source can tell what a step does to values."""
        return self.ledger is not None or self.rules is not None or self.markers is not None

    def start(self, seed: int) -> Passed:
        """Begin the game anew, with what its annotations say is typed first: that is nobody's
        doing, so its events are not kept.
        """
        self._counters, self._score = Counters(), 0.0
        passed = self._passed(self.machine.start(seed), ())
        for command in self.markers.start_commands if self.markers is not None else ():
            if self.machine.halted:
                break
            following = self._passed(self.machine.send(command), ())
            text = f"{passed.text}\n\n{following.text}".strip()
            passed = msgspec.structs.replace(following, text=text, events=())
        return passed

    def why_refused(self, command: str) -> str | None:
        """Why a command would be refused; None if it may be sent."""
        if self.machine.halted:
            return "the game has stopped with a run-time error"
        line = tidy(command)
        if self.machine.waits_for_key and (
            not line or (line.isascii() and line.isprintable() and line[0] != "\\")
        ):
            return None
        limit = (
            SAFE_LINE_CHARACTERS if len(line) <= SAFE_LINE_CHARACTERS else self.machine.line_limit()
        )
        return self._gate.refusal(line, limit)

    def send(self, command: str) -> Passed:
        """Take a step. Raises CommandRefused for what the gate refuses."""
        reason = self.why_refused(command)
        if reason is not None:
            raise CommandRefused(reason)
        line, memory = tidy(command), self.machine.memory
        entries = self.ledger.count(memory) if self.ledger is not None else 0
        before = (bytes(memory), self.status().location) if self.rules is not None else None
        said = self.machine.send(line)
        noted = self.ledger.events(entries, memory) if self.ledger is not None else ()
        return self._passed(said, noted, line, before)

    def told_score(self, passed: Passed) -> int | None:
        """The score that an annotated story tells at its end or, before it, when it is asked; None
        if it tells none. The game does not move.
        """
        if self.markers is None:
            return None
        if passed.status.done or self.machine.halted or self.machine.waits_for_key:
            return score_in(passed.text) if passed.status.done else None
        state = self.machine.save()
        said = self.machine.send("score")
        self.machine.load(state)
        return score_in(self.markers.read(said, self._counters).text)

    def _passed(
        self,
        said: str,
        noted: tuple[Event, ...],
        command: str = "",
        before: tuple[Ram, int | None] | None = None,
    ) -> Passed:
        """Put a step's findings together and remember what its sources count."""
        text, over, events = said, self.machine.says_it_is_over, noted
        if self.markers is not None:
            reading = self.markers.read(said, self._counters, command)
            self._counters, self._score = reading.counters, self._score + reading.reward
            text, over, events = reading.text, over or reading.over, reading.events + noted
        if self.rules is not None and before is not None:
            memory, location = before
            events += self.rules.events(Step(command, text, location, memory, self.machine.memory))
        return Passed(text, events, self._status(text, over=over), self.machine.halted)

    def _status(self, text: str, *, over: bool) -> Status:
        status = read_status(self.machine.memory, self.story, self.memory)
        numbers = self.machine.binding_numbers() if self.memory is None else None
        if numbers is not None:
            status = Status(*numbers, done=self.machine.says_it_is_over)
        if status.score is None and self._counters.rewarded:
            status = msgspec.structs.replace(status, score=int(self._score))
        if over or (status.done is None and _ENDING.search(text)):
            status = msgspec.structs.replace(status, done=True)
        return status

    def status(self) -> Status:
        """Where the game stands, from memory alone."""
        return self._status("", over=False)

    def turns_in_memory(self) -> int | None:
        """How many turns have passed; None if only the interpreter, which does not restore its
        count, would know.
        """
        return read_status(self.machine.memory, self.story, self.memory).moves

    def variable(self, name: str) -> int | None:
        """A global variable that the memory map names; None if it does not."""
        if self.memory is None or name not in self.memory.globals:
            return None
        return word(self.machine.memory, self.memory.globals[name])

    def parent_of(self, number: int) -> int:
        """The object that an object is in now; 0 if in none."""
        return self.parent_in(self.machine.memory, number)

    def parent_in(self, ram: Ram | npt.NDArray[np.uint8], number: int) -> int:
        """The object that an object is in in a memory; 0 if in none."""
        at = self.story.parent_address(number)
        return int(ram[at]) << 8 | int(ram[at + 1]) if self.story.version > 3 else int(ram[at])

    def objects_within(self, place: int) -> list[int]:
        """The numbers of all objects in a place, also in and on one another; the place itself is
        not among them.
        """
        parents = {number: self.parent_of(number) for number in self.story.objects}
        within: set[int] = set()
        found = {place}
        while found:
            within |= found
            found = {n for n, parent in parents.items() if parent in found} - within
        return sorted(within - {place})

    def may_be_creature(self, thing: object) -> bool:
        """False only if the memory map tells that the parser takes an object for no creature."""
        if self.memory is None or not self.memory.creature_attributes or not isinstance(thing, int):
            return True
        start, _, size_bytes = self.story.object_table
        flags = self.machine.memory[start + (thing - 1) * size_bytes :]
        return any(flags[n // 8] & 0x80 >> n % 8 for n in self.memory.creature_attributes)

    def save(self) -> Saved:
        """The state, counters included; valid in this process."""
        return Saved(self.machine.save(), self._counters, self._score)

    def load(self, saved: Saved) -> None:
        """Go back to a state."""
        self.machine.load(saved.state)
        self._counters, self._score = saved.counters, saved.score

    def pack(self, saved: Saved) -> bytes:
        """A state as bytes, valid in any process that has the same files."""
        return msgspec.msgpack.encode(saved)

    def unpack(self, packed: bytes) -> Saved:
        """The state in bytes. Raises EnvError if they are not a state of this game."""
        try:
            saved = msgspec.msgpack.decode(packed, type=Saved)
        except msgspec.MsgspecError as error:
            raise EnvError(f"not a saved state of {self.story.path.name}: {error}") from error
        self.machine.check(saved.state)
        return saved
