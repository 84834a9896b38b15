"""Story files: read and checked before any C code sees them, because Frotz answers a bad one with
`exit(1)`.

Addresses and layouts are those of the Z-Machine Standards Document 1.1, sections 11 (header) and 12
(object table).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from valueagents.errors import ConfigError, DataError
from valueagents.files.text import once_per_file

_HEADER_BYTES = 64
_LENGTH_UNIT = {1: 2, 2: 2, 3: 2, 4: 4, 5: 4, 6: 8, 7: 8, 8: 8}


@dataclass(frozen=True)
class Story:
    """A checked story file; two of the same bytes are the same story, whatever their paths."""

    path: Path
    data: bytes

    def word(self, address: int) -> int:
        """The unsigned 16-bit number at an address of the file (the memory before the first
        turn).
        """
        return self.data[address] << 8 | self.data[address + 1]

    @property
    def version(self) -> int:
        """The Z-machine version, 1 to 8."""
        return self.data[0]

    @property
    def dynamic_bytes(self) -> int:
        """The size of the memory that the game can write."""
        return self.word(0x0E)

    @property
    def globals_address(self) -> int:
        """Where the 240 global variables begin, two bytes each."""
        return self.word(0x0C)

    @property
    def significant_letters(self) -> int:
        """How many letters of a word the parser reads."""
        return 6 if self.version <= 3 else 9

    @property
    def is_inform(self) -> bool:
        """True if Inform 6.12 or later wrote the file: it leaves its version in the header, e.g.

        `6.41`.
        """
        mark = self.data[0x3C:0x40]
        return mark[1:2] == b"." and mark[:1].isdigit() and mark[2:].isdigit()

    @cached_property
    def sha256(self) -> str:
        """The hash of the whole file, 64 hex digits."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def object_table(self) -> tuple[int, int, int]:
        """Where the object entries begin and end, and the size of one in bytes."""
        defaults, size_bytes, pointer = (31, 9, 7) if self.version <= 3 else (63, 14, 12)
        start = address = self.word(0x0A) + 2 * defaults
        lowest = self.dynamic_bytes
        while address + size_bytes <= lowest:
            properties = self.word(address + pointer)
            if properties > address:
                lowest = min(lowest, properties)
            address += size_bytes
        return start, address, size_bytes

    def properties(self, number: int) -> int:
        """Where an object's property table is: its name, then its properties."""
        start, _, size_bytes = self.object_table
        return self.word(start + number * size_bytes - 2)

    def property_entries(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Number and data of an object's properties as the story begins (Standard 12.4)."""
        address = self.properties(number)
        address += 1 + 2 * self.data[address]
        while address < self.dynamic_bytes and (head := self.data[address]):
            if self.version <= 3:
                found, length, address = head & 31, 1 + head // 32, address + 1
            elif head & 0x80:
                found, length, address = head & 63, self.data[address + 1] & 63 or 64, address + 2
            else:
                found, length, address = head & 63, 1 + (head >> 6 & 1), address + 1
            yield found, self.data[address : address + length]
            address += length

    def property_data(self, number: int, wanted: int) -> bytes:
        """An object's data of a property as the story begins; empty if it has none."""
        return next((data for found, data in self.property_entries(number) if found == wanted), b"")

    @cached_property
    def objects(self) -> range:
        """The numbers of all objects."""
        start, end, size_bytes = self.object_table
        return range(1, (end - start) // size_bytes + 1)

    def first_parent_of(self, number: int) -> int | None:
        """The object that an object is in as the story begins; None if in none."""
        at = self.parent_address(number)
        return (self.word(at) if self.version > 3 else self.data[at]) or None

    def parent_address(self, number: int) -> int:
        """Where an object's parent is stored (one byte in versions 1-3, two later)."""
        start, _, size_bytes = self.object_table
        return start + (number - 1) * size_bytes + (4 if self.version <= 3 else 6)


def read_story(path: Path) -> Story:
    """The story in a file. Raises ConfigError if there is no such file, DataError if it is not a
    valid story.
    """
    if not path.is_file():
        raise ConfigError(
            f"story file {str(path)!r} does not exist; give the path of a .z1 to .z8 file"
        )
    return _read_checked(path.resolve())


@once_per_file
def _read_checked(path: Path) -> Story:
    data = path.read_bytes()
    problem = _problem(data)
    if problem is not None:
        raise DataError(
            f"{path.name} is not a sound story file: {problem}; fetch or compile it again"
        )
    return Story(path, data)


def _problem(data: bytes) -> str | None:
    """What is wrong with a file's bytes, or None."""
    if len(data) < _HEADER_BYTES:
        return f"it has {len(data)} bytes, a header alone has {_HEADER_BYTES}"
    if data[0] not in _LENGTH_UNIT:
        return f"its first byte is {data[0]}, a Z-machine version is 1 to 8"

    def word(address: int) -> int:
        return data[address] << 8 | data[address + 1]

    static = word(0x0E)
    for name, address in (
        ("dictionary", word(0x08)),
        ("static memory", static),
        ("high memory", word(0x04)),
    ):
        if not _HEADER_BYTES <= address <= len(data):
            return f"its {name} is said to be at {address} of {len(data)} bytes"
    for name, address in (("object table", word(0x0A)), ("globals", word(0x0C))):
        if not _HEADER_BYTES <= address < static:
            return (
                f"its {name} is said to be at {address}, outside of the {static} bytes that a game"
                " can write"
            )
    length = word(0x1A) * _LENGTH_UNIT[data[0]]
    if length > len(data):
        return f"it is cut short: {len(data)} of {length} bytes"
    if length and word(0x1C) and word(0x1C) != sum(data[_HEADER_BYTES:length]) & 0xFFFF:
        return "its checksum does not fit its bytes"
    return None
