"""Where a story keeps what matters: a memory map beside the story file, or what the header alone
tells.

`STORY.map.json` lies next to `STORY.z5` and is distilled from `inform6 -k` (see `distil.py`). It
names the addresses of score, turns, deadflag, location and the ledger, and the byte ranges that
make up the world: the object tree and properties, and the story's own variables – not the parser's
scratch memory.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from valueagents.envs.parser_game.story import Story
from valueagents.errors import DataError
from valueagents.files.text import decode_json, read_text

FORMAT = "valueagents-memory-map"
_INDIVIDUAL = 3  # the property with the address of an object's own further properties
STATUS_GLOBALS = ("score", "turns", "location", "deadflag")
Ram = bytes | memoryview
Mask = npt.NDArray[np.uint8]


class MemoryMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses in bytes. `arrays`: name -> (address, bytes); `world`: half-open ranges;
    `noise_attributes`: numbers.

    A noise attribute is one that the library sets and clears while it prints lists (`workflag`): no
    part of the world. A thing with one of the creature attributes (`animate`, `talkable`) may stand
    where the grammar asks for a creature.
    """

    format: str
    version: int
    story_sha256: str
    globals: dict[str, int]
    arrays: dict[str, tuple[int, int]]
    world: tuple[tuple[int, int], ...]
    noise_attributes: tuple[int, ...] = ()
    creature_attributes: tuple[int, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """What a story's memory says about the game: right or None, never a default.

    `location` is an object number. `done` True = over, False = going on, None = the story does not
    say.
    """

    score: int | None = None
    moves: int | None = None
    location: int | None = None
    done: bool | None = None


def map_path(story: Path) -> Path:
    """Where the memory map of a story file lies."""
    return story.with_name(story.stem + ".map.json")


def read_map(path: Path, story: Story) -> MemoryMap:
    """The memory map in a file. Raises DataError if it is malformed or made for another story."""
    try:
        found = decode_json(path.name, read_text(path), MemoryMap)
    except (OSError, DataError) as error:
        raise DataError(
            f"{path.name} is not a valid memory map ({error}); make it with python -m"
            f" {__package__}.distil"
        ) from error
    if (found.format, found.version) != (FORMAT, 1):
        raise DataError(
            f"{path.name}: format {found.format!r} version {found.version}; this reads {FORMAT} 1"
        )
    if found.story_sha256 != story.sha256:
        raise DataError(
            f"{path.name} was made for other bytes than those of {story.path.name}; distil it again"
        )
    problem = _problem(found, story)
    if problem is not None:
        raise DataError(f"{path.name}: {problem}; distil it again")
    return found


def _problem(found: MemoryMap, story: Story) -> str | None:
    """What of a map the story's memory cannot hold; None = nothing."""
    ranges = {f"world[{number}]": span for number, span in enumerate(found.world)}
    ranges |= {f"globals.{name}": (at, at + 2) for name, at in found.globals.items()}
    ranges |= {f"arrays.{name}": (at, at + size) for name, (at, size) in found.arrays.items()}
    for name, (start, end) in ranges.items():
        if not 0 <= start <= end <= story.dynamic_bytes:
            return (
                f"{name} is from {start} to {end}; a range lies in the {story.dynamic_bytes} bytes"
                " that the game writes, its start before its end"
            )
    most = 32 if story.version <= 3 else 48  # Standard 12.3
    for attribute in (*found.noise_attributes, *found.creature_attributes):
        if not 0 <= attribute < most:
            return f"there is no attribute {attribute}; they are 0 to {most - 1}"
    return None


def word(ram: Ram, address: int) -> int:
    """The unsigned 16-bit number at an address."""
    return ram[address] << 8 | ram[address + 1]


def signed(value: int) -> int:
    """A 16-bit number read as two's complement."""
    return value - 0x10000 if value & 0x8000 else value


def read_status(ram: Ram, story: Story, memory: MemoryMap | None) -> Status:
    """What the memory says, by the map if there is one, else by the header.

    In versions 1-3 the interpreter draws the status line itself, so the first three globals are
    fixed: location, score and turns – or hours and minutes where bit 1 of the flags says that the
    story keeps time (Standard 8.2.3).
    """
    if memory is not None:
        score, moves, location, deadflag = map(memory.globals.get, STATUS_GLOBALS)
        return Status(
            None if score is None else signed(word(ram, score)),
            None if moves is None else word(ram, moves),
            None if location is None else word(ram, location),
            None if deadflag is None else word(ram, deadflag) != 0,
        )
    if story.version > 3:
        return Status()
    first = story.globals_address
    keeps_time = story.version == 3 and bool(story.data[1] & 0x02)
    counts_turns = not keeps_time and story.word(first + 4) == 0  # else it is a clock, or something
    return Status(
        score=None if keeps_time else signed(word(ram, first + 2)),
        moves=word(ram, first + 4) if counts_turns else None,
        location=word(ram, first),
    )


def world_mask(story: Story, memory: MemoryMap | None) -> Mask:
    """Which bits of the writable memory are world: 1 where they are, shape (dynamic_bytes,).

    Without a map: objects, their properties, and the global variables; noise among them must be
    learned by trying.
    """
    mask = np.zeros(story.dynamic_bytes, dtype=np.uint8)
    start, end, size_bytes = story.object_table
    if memory is not None:
        for low, high in memory.world:
            mask[low:high] = 0xFF
        for attribute in memory.noise_attributes:
            mask[start + attribute // 8 : end : size_bytes] &= 0xFF ^ 0x80 >> attribute % 8
        _without_order(story, mask)
        return mask
    mask[start:end] = 0xFF
    properties = [story.word(entry + size_bytes - 2) for entry in range(start, end, size_bytes)]
    mask[min(properties) : properties_end(story, max(properties))] = 0xFF
    for number in story.objects if story.is_inform else ():
        for _, first, past in individual_properties(story, number):
            mask[first:past] = 0xFF
    mask[story.globals_address : story.globals_address + 480] = 0xFF
    if story.version <= 3:
        mask[story.globals_address + 4 : story.globals_address + 6] = 0  # turns, or minutes
    _without_order(story, mask)
    return mask


@lru_cache(maxsize=16)
def parent_addresses(story: Story) -> frozenset[int]:
    """The addresses of the parents of all objects."""
    start, end, size_bytes = story.object_table
    first, past = (4, 5) if story.version <= 3 else (6, 8)
    return frozenset(
        entry + byte for entry in range(start, end, size_bytes) for byte in range(first, past)
    )


def _without_order(story: Story, mask: Mask) -> None:
    """Siblings and children are no world: they follow from the parents, but for an order that only
    lists show.
    """
    start, end, size_bytes = story.object_table
    first, past = (5, 7) if story.version <= 3 else (8, 12)
    for entry in range(start, end, size_bytes):
        mask[entry + first : entry + past] = 0


def individual_properties(story: Story, number: int) -> Iterator[tuple[int, int, int]]:
    """Number, first and past-the-last address of each property that only some objects of an Inform
    story have (Inform Technical Manual 9.6).
    """
    data = story.property_data(number, _INDIVIDUAL) if story.is_inform else b""
    address = (data[0] << 8 | data[1]) if len(data) == 2 else 0
    while 0 < address < story.dynamic_bytes - 3 and story.word(address):
        first = address + 3
        past = first + story.data[address + 2]
        yield story.word(address) & 0x7FFF, first, min(past, story.dynamic_bytes)
        address = past


def properties_end(story: Story, address: int) -> int:
    """Where the property table at an address ends (Standard 12.4)."""
    address += 1 + 2 * story.data[address]
    while address < story.dynamic_bytes and (size := story.data[address]):
        if story.version <= 3:
            address += 2 + size // 32
        elif size & 0x80:
            address += 2 + (story.data[address + 1] & 0x3F or 64)
        else:
            address += 3 if size & 0x40 else 2
    return min(address + 1, story.dynamic_bytes)
