"""What a command did, told from what happens by itself.

A byte of the world counts as the command's doing only if neither the state before it nor any idle
turn – waiting, looking, gibberish, under several seeds, two turns on – has its value: so clocks and
creatures that wander are nobody's doing, unless a command leaves them where they never go, under
every seed. Without a memory map the global variables mix the world's with the parser's scratch,
which is told by four signs: many kinds of commands write it; it names the thing or the word just
typed; it changes where no turn passes and nothing moves; the next idle turn writes over it.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from valueagents.envs.parser_game.dictionary import GIBBERISH
from valueagents.envs.parser_game.memory import (
    Mask,
    individual_properties,
    parent_addresses,
    world_mask,
)
from valueagents.envs.parser_game.play import Play
from valueagents.envs.parser_game.reactions import reactions
from valueagents.envs.parser_game.tries import Addresses, Bytes, StateTries, Tried

DIGEST_BYTES = 16
_GLOBALS_BYTES = 480
_FEWEST_KINDS = 2
_WRITTEN_ALWAYS = ("global", "array")
_MOSTLY = 0.6
_LINE_BYTES = 124
_SHARES = {"global": 0.02, "array": 0.02, "property": 0.05, "byte": 0.25}
"""What share of the kinds of commands must write a variable for it to be scratch. Many kinds open a
box on their way: a byte, as of attributes, needs more.
"""


Variable = tuple[str, int]
"""A kind (global, array, property, byte) and the address, of a property its number."""


class World:
    """Which bits of a story's memory are world, and which of those are global variables."""

    def __init__(self, play: Play) -> None:
        story = play.story
        self.mask: Mask = world_mask(story, play.memory)
        self.has_map = play.memory is not None
        self.globals = range(story.globals_address, story.globals_address + _GLOBALS_BYTES)
        self.arrays = range(0)
        # Inform 6 keeps arrays behind its global variables; Inform 7 keeps its printing there, too
        if reactions(story).knows_rules and not self.has_map:
            self.arrays = range(self.globals.stop, story.dynamic_bytes)
            self.mask[self.arrays.start : self.arrays.stop] = 0xFF
        self.variables = (self.globals, self.arrays)
        self.places = parent_addresses(story)
        self.objects = story.object_table
        self._of_property: dict[int, int] = {}
        for number in story.objects if story.is_inform else ():
            for found, low, high in individual_properties(story, number):
                self._of_property |= dict.fromkeys(range(low, high), found)

    def variable(self, address: int) -> Variable:
        """What an address is part of: a global variable, an array, a property, which all things
        share here that have it, or a byte by itself.
        """
        if address in self.arrays:
            return "array", address
        if address in self.globals:
            return "global", address - (address - self.globals.start) % 2
        if address in self._of_property:
            return "property", self._of_property[address]
        return "byte", address

    def addresses(self, variable: Variable) -> list[int]:
        """All addresses of a variable."""
        kind, number = variable
        if kind == "property":
            return [address for address, found in self._of_property.items() if found == number]
        return [number, number + 1] if kind == "global" else [number]


class Effects:
    """Tells what commands did in one state. `scratch_variables` are no world here."""

    def __init__(self, world: World, tries: StateTries, waiting: str, nulls: Sequence[str]) -> None:
        self._world, self._tries, self._waiting = world, tries, waiting
        self._before = tries.before
        self.waits = [tries.send(waiting, seed) for seed in range(len(tries.seeds))]
        later = [tries.send(waiting, seed, then=waiting) for seed in range(len(tries.seeds))]
        idle = [tries.send(c) for c in nulls if c != waiting and tries.may_try(c)]
        gibberish = tries.send(GIBBERISH) if tries.may_try(GIBBERISH) else None
        everything = [*self.waits, *later, *idle, *([gibberish] if gibberish else [])]
        self._idle = np.stack(
            [self._before, *(one.memory_after(self._before) for one in everything)]
        )
        self._moving = (self._idle != self._before).any(axis=0)
        self._clock = self._find_clock(self.waits[0], later[0], gibberish)
        self.scratch_variables: frozenset[Variable] = frozenset()
        self._scratch: frozenset[int] = frozenset()
        self._mask = world.mask if world.has_map else self._without_marks(idle)
        tries.put_back()

    def _without_marks(self, idle: Sequence[Tried]) -> Mask:
        """The mask without attributes that looking round sets or clears: marks for printing."""
        mask = self._world.mask.copy()
        start, end, size_bytes = self._world.objects
        flags = 4 if size_bytes == 9 else 6
        for start_of_line in self._lines_typed():
            low, high = max(start_of_line, self._world.arrays.start), start_of_line + _LINE_BYTES
            mask[low:high] = 0
        for one in idle:
            within = (one.addresses >= start) & (one.addresses < end)
            offsets = (one.addresses[within] - start) % size_bytes
            bits = one.values[within] ^ self._before[one.addresses[within]]
            for offset, bit in zip(offsets[offsets < flags], bits[offsets < flags], strict=True):
                mask[start + offset : end : size_bytes] &= 0xFF ^ bit
        return mask

    def _lines_typed(self) -> list[int]:
        """Where the story keeps what was typed, and what the parser made of it."""
        if not self._world.arrays or not self._tries.may_try(GIBBERISH):
            return []
        memory = self._tries.send(GIBBERISH).memory_after(self._before).tobytes()
        typed = [found.start() - 2 for found in re.finditer(GIBBERISH.encode(), memory)]
        word = re.compile(re.escape(bytes(2)) + b"\x05[\x00-\x02]")  # unknown, five letters
        return typed + [found.start() - 2 for found in word.finditer(memory)]

    def is_random(self, tried: Tried, seed: int = 0) -> bool:
        """True if a command drew other random numbers than waiting does."""
        return tried.number != self.waits[seed].number

    def changed(self, tried: Tried) -> Addresses:
        """The addresses of the world where a command left what no idle turn leaves."""
        bits = self._mask[tried.addresses]
        in_world = bits != 0
        differs: Addresses = tried.addresses[in_world]
        values, bits = tried.values[in_world], bits[in_world]
        if not differs.size:
            return differs
        same = ((self._idle[:, differs] ^ values) & bits) == 0
        found: Addresses = differs[~same.any(axis=0)]
        if self._scratch:
            found = found[[int(address) not in self._scratch for address in found]]
        if self._world.has_map or not found.size:
            return found
        if self._are_variables(found).all() and not self._turn_passed(tried):
            return found[:0]
        return found

    def has_effect(self, tries: Sequence[Tried]) -> bool:
        """True if a command, tried under one or all seeds, did something."""
        return any(self.outcome(tries))

    def outcome(self, tries: Sequence[Tried]) -> list[bytes]:
        """A hash of what a command did for each seed under which it was tried (`things_of` gives
        the part that is not of variables); empty = nothing.
        """
        changes = [self.changed(one) for one in tries]
        if len(changes) > 1:  # what moves by itself is the command's doing only if it always is
            always = set.intersection(*({int(a) for a in change} for change in changes))
            changes = [
                np.array([a for a in c if int(a) in always or not self._moving[a]], dtype=np.int64)
                for c in changes
            ]
        return [self._hash(one, change) for one, change in zip(tries, changes, strict=True)]

    def learn_scratch(self, tried: Iterable[tuple[int, bool, Tried]]) -> None:
        """What of the variables is scratch, told from all that was tried: the number of a command's
        template, whether a rule of the story's own is for it, and what it came to.

        Scratch is what many kinds of commands write for which there is no rule, or one kind
        whatever it is about.
        """
        if self._world.has_map:
            return
        scratch: set[Variable] = set()
        tries: Counter[int] = Counter()
        writes: defaultdict[Variable, Counter[int]] = defaultdict(Counter)
        plain: defaultdict[Variable, set[int]] = defaultdict(set)
        for template, has_rule, one in tried:
            tries[template] += 1
            changed = {int(address) for address in self.changed(one)} - self._world.places
            for variable in {self._world.variable(address) for address in changed}:
                writes[variable][template] += 1
                if not has_rule:
                    plain[variable].add(template)
        for variable, written in writes.items():
            kind = variable[0]
            most = max(_FEWEST_KINDS, int(_SHARES[kind] * len(tries)))
            always = kind in _WRITTEN_ALWAYS and any(
                n > 1 and n >= _MOSTLY * tries[template] for template, n in written.items()
            )
            if always or len(plain[variable]) > most:
                scratch.add(variable)
        self.leave_out(scratch)

    def leave_out(self, variables: Iterable[Variable]) -> None:
        """From now on these variables are no world."""
        self.scratch_variables |= frozenset(variables)
        self._scratch = frozenset(
            address
            for variable in self.scratch_variables
            for address in self._world.addresses(variable)
        )

    def is_more_than_variables(self, tried: Tried) -> bool:
        """False if all that a command did was to write variables."""
        found = self.changed(tried)
        if self._world.has_map or tried.events or tried.done or tried.waits_for_key:
            return True
        return not found.size or not self._are_variables(found).all()

    def settled(self, command: str, tried: Tried) -> bool:
        """False if all that a command did was to write variables which an idle turn writes over."""
        if self.is_more_than_variables(tried):
            return True
        after = self._tries.send(command, then=self._waiting)
        return bool(np.isin(self.changed(tried), self.changed(after)).any())

    def _hash(self, tried: Tried, found: Addresses) -> bytes:
        """Of the things that a command left, and of the question if it asks for a key, then of its
        variables if it wrote any; empty if all is as after an idle turn.
        """
        wait = self.waits[0]
        asked = tried.text if tried.waits_for_key else ""
        same = (tried.events, tried.done, asked) == (wait.events, wait.done, "")
        if not found.size and same:
            return b""
        variables = self._are_variables(found) & (not self._world.has_map)
        things, written = found[~variables], found[variables]
        digest = self._digest(tried, things, asked) if things.size or asked else bytes(DIGEST_BYTES)
        return digest + (self._digest(tried, written, "") if written.size else b"")

    def _digest(self, tried: Tried, found: Addresses, asked: str) -> bytes:
        values = tried.memory_after(self._before)[found] & self._mask[found]
        data = found.astype(np.uint32).tobytes() + values.tobytes() + asked.encode()
        return hashlib.sha256(data).digest()[:DIGEST_BYTES]

    def _are_variables(self, found: Addresses) -> npt.NDArray[np.bool_]:
        within = [(found >= r.start) & (found < r.stop) for r in self._world.variables]
        either: npt.NDArray[np.bool_] = np.logical_or.reduce(within)
        return either

    def _turn_passed(self, tried: Tried) -> bool:
        """False if the variable that counts turns says that none passed."""
        clock = self._clock
        return clock is None or bool(np.isin((clock, clock + 1), tried.addresses).any())

    def _find_clock(self, once: Tried, twice: Tried, gibberish: Tried | None) -> int | None:
        """The address of a variable that each idle turn raises by one, and gibberish does not."""
        if gibberish is None:
            return None
        rams = [self._before, *(one.memory_after(self._before) for one in (once, twice, gibberish))]
        start, stop = self._world.globals.start, self._world.globals.stop
        for address in range(start, stop, 2):
            values = [_word(ram, address) for ram in rams]
            steady = values[3] == values[0]
            if steady and values[1] - values[0] == 1 and values[2] - values[1] == 1:
                return address
        return None


def things_of(outcome: bytes) -> bytes:
    """The part of an outcome's hash that tells what became of things; empty if nothing did."""
    things = outcome[:DIGEST_BYTES]
    return things if things.strip(b"\0") else b""


def _word(ram: Bytes, address: int) -> int:
    return int(ram[address]) << 8 | int(ram[address + 1])
