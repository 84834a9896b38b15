"""What a routine's code mentions: constants that it compares with or stores, attributes that it
tests, routines that it calls.

Instructions are read, never run. Layouts: Z-Machine Standards Document 1.1, sections 4 (operands,
stores, branches), 5 (routines) and 14 (the table of opcodes).
"""

from dataclasses import dataclass
from functools import lru_cache

from valueagents.envs.parser_game.story import Story

_MOST_INSTRUCTIONS = 4000
_MOST_LOCALS = 15
_LARGE, _SMALL, _VARIABLE, _OMITTED = range(4)
_TERMINAL = {"0OP": {0, 1, 3, 7, 8, 10}, "1OP": {0x0B, 0x0C}, "2OP": {0x1C}}
_BRANCHES = {
    "0OP": {0x0D, 0x0F},
    "1OP": {0, 1, 2},
    "2OP": {1, 2, 3, 4, 5, 6, 7, 0x0A},
    "VAR": {0x17, 0x1F},
    "EXT": {0x06, 0x18, 0x1B},
}
_STORES = {
    "0OP": frozenset[int](),
    "1OP": {1, 2, 3, 4, 8, 0x0E},
    "2OP": {8, 9, *range(0x0F, 0x1A)},
    "VAR": {0, 7, 0x0C, 0x16, 0x17},
    "EXT": {0, 1, 2, 3, 4, 9, 0x0A, 0x0C, 0x13},
}
_TEXTS = {2, 3}
_CALLS = {"1OP": {8, 0x0F}, "2OP": {0x19, 0x1A}, "VAR": {0, 0x0C, 0x19, 0x1A}}
_TREE = {"1OP": {1, 2, 3}, "2OP": {6}}


@dataclass(frozen=True, slots=True)
class Routine:
    """What the code of a routine mentions. `calls` are byte addresses of routines."""

    constants: frozenset[int]
    stored: frozenset[int]
    attributes: frozenset[int]
    calls: tuple[int, ...]
    asks_for_places: bool


@dataclass(frozen=True, slots=True)
class _Instruction:
    kind: str
    number: int
    operands: tuple[tuple[int, int], ...]
    target: int | None
    end: int


class _NoCode(Exception):
    """The bytes are not instructions."""


@lru_cache(maxsize=65536)
def routine_at(story: Story, address: int) -> Routine | None:
    """What the routine at a byte address mentions; None if there is none."""
    data = story.data
    if not story.word(0x0E) <= address < len(data) or data[address] > _MOST_LOCALS:
        return None
    at = address + 1 + (2 * data[address] if story.version <= 4 else 0)
    found, furthest = [], at
    try:
        for _ in range(_MOST_INSTRUCTIONS):
            instruction = _instruction(story, at)
            found.append(instruction)
            at = instruction.end
            if instruction.target is not None:
                furthest = max(furthest, instruction.target)
            ends = instruction.number in _TERMINAL.get(instruction.kind, ())
            if ends and at > furthest:
                return _summary(story, found)
    except (IndexError, _NoCode):
        pass
    return None


def unpacked(story: Story, packed: int) -> int:
    """The byte address of a routine (Standard 1.2.3)."""
    if story.version <= 3:
        return 2 * packed
    if story.version <= 5:
        return 4 * packed
    if story.version <= 7:
        return 4 * packed + 8 * story.word(0x28)
    return 8 * packed


def _summary(story: Story, code: list[_Instruction]) -> Routine:
    constants: set[int] = set()
    stored: set[int] = set()
    attributes: set[int] = set()
    calls: list[int] = []
    places = False
    for one in code:
        values = [value for kind, value in one.operands if kind != _VARIABLE]
        if one.kind == "2OP" and one.number == 1:
            constants.update(values)
        elif one.kind == "2OP" and one.number == 0x0D:
            stored.update(values)
        elif one.kind == "2OP" and one.number == 0x0A and one.operands[1][0] != _VARIABLE:
            attributes.add(one.operands[1][1])
        elif one.number in _CALLS.get(one.kind, ()) and one.operands[0][0] == _LARGE:
            calls.append(unpacked(story, one.operands[0][1]))
        if one.number in _TREE.get(one.kind, ()):
            places = True
            constants.update(values)
    return Routine(
        frozenset(constants), frozenset(stored), frozenset(attributes), tuple(calls), places
    )


def _instruction(story: Story, at: int) -> _Instruction:
    kind, number, types, at = _opening(story, at)
    operands = []
    for one in types:
        if one == _LARGE:
            operands.append((one, story.word(at)))
            at += 2
        else:
            operands.append((one, story.data[at]))
            at += 1
    if _stores(story.version, kind, number):
        at += 1
    target = None
    if _branches(story.version, kind, number):
        target, at = _branch(story, at)
    if kind == "0OP" and number in _TEXTS:
        while not story.data[at] & 0x80:
            at += 2
        at += 2
    if kind == "1OP" and number == 0x0C:
        target = at + _signed(operands[0][1], 16) - 2
    return _Instruction(kind, number, tuple(operands), target, at)


def _opening(story: Story, at: int) -> tuple[str, int, list[int], int]:
    """Kind, number and operand types of the opcode at an address, and where its operands begin."""
    code, at = story.data[at], at + 1
    if code == 0xBE and story.version >= 5:
        return "EXT", story.data[at], _types(story.data[at + 1]), at + 2
    if code >= 0xC0:
        kind, number = ("VAR" if code & 0x20 else "2OP"), code & 31
        if kind == "VAR" and number in (0x0C, 0x1A):
            return kind, number, _types(story.data[at]) + _types(story.data[at + 1]), at + 2
        return kind, number, _types(story.data[at]), at + 1
    if code >= 0x80:
        operand = code >> 4 & 3
        return (
            ("0OP", code & 15, [], at) if operand == _OMITTED else ("1OP", code & 15, [operand], at)
        )
    return "2OP", code & 31, [_VARIABLE if code & bit else _SMALL for bit in (0x40, 0x20)], at


def _types(byte: int) -> list[int]:
    found = []
    for shift in (6, 4, 2, 0):
        one = byte >> shift & 3
        if one == _OMITTED:
            break
        found.append(one)
    return found


def _stores(version: int, kind: str, number: int) -> bool:
    if kind == "0OP":
        return (number in (5, 6) and version == 4) or (number == 9 and version >= 5)
    if kind == "1OP" and number == 0x0F:
        return version <= 4
    if kind == "VAR" and number in (4, 0x18):
        return version >= 5
    if kind == "VAR" and number == 9:
        return version == 6
    return number in _STORES[kind]


def _branches(version: int, kind: str, number: int) -> bool:
    if kind == "0OP" and number in (5, 6):
        return version <= 3
    return number in _BRANCHES[kind]


def _branch(story: Story, at: int) -> tuple[int | None, int]:
    """Where a branch leads (None: it returns) and where it ends (Standard 4.7)."""
    first = story.data[at]
    if first & 0x40:
        offset, at = first & 63, at + 1
    else:
        offset, at = _signed((first & 63) << 8 | story.data[at + 1], 14), at + 2
    return (None if offset in (0, 1) else at + offset - 2), at


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
