"""Distil `gameinfo.dbg`, 2 MB of XML that `inform6 -k` writes, into the small memory map of a
story.

    inform6 -k -v5 +include_path=… story.inf story.z5
    python -m valueagents.envs.parser_game.distil gameinfo.dbg story.z5      # writes story.map.json

What is world: the object tree, and the properties, globals and arrays that the story itself
declares; of the library's own the few that are not scratch memory of its parser.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from valueagents.envs.parser_game.memory import (
    FORMAT,
    STATUS_GLOBALS,
    MemoryMap,
    individual_properties,
    map_path,
    properties_end,
)
from valueagents.envs.parser_game.story import Story, read_story
from valueagents.errors import ConfigError, DataError, ValueAgentsError

_LIBRARY_FILES = (
    "english",
    "grammar",
    "infix",
    "linklpa",
    "linklv",
    "parser",
    "parserm",
    "verblib",
    "verblibm",
    "version",
)
_LIBRARY_WORLD = (
    "score",
    "deadflag",
    "location",
    "real_location",
    "player",
    "the_timers",
    "active_timers",
)
_LIBRARY_READ = ("noun", "player")
_NOISE, _CREATURES = ("workflag",), ("animate", "talkable")  # attributes


def distil(debug_file: Path, story: Story) -> MemoryMap:
    """The memory map of a story. Raises DataError if the debug file is not Inform's or belongs to
    another story.
    """
    try:
        root = ElementTree.parse(debug_file).getroot()  # noqa: S314 – the user's own compiler wrote it
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f"{debug_file.name} is not what inform6 -k writes: {error}") from error
    if root.tag != "inform-story-file" or _prefix(root) != story.data[:64]:
        raise DataError(
            f"{debug_file.name} does not belong to {story.path.name}; compile both in one go"
            " with -k"
        )
    library = _library_sources(root)
    addresses: dict[str, int] = {}
    arrays: dict[str, tuple[int, int]] = {}
    world = [story.object_table[:2]]
    for entry in root.iter("object"):
        if _is_own(entry, library):
            world += _properties(story, int(_text(entry, "value")))
    for entry in root.iter("global-variable"):
        name, address = _text(entry, "identifier"), int(_text(entry, "address"))
        own = _is_own(entry, library)
        if own or name in STATUS_GLOBALS or name in _LIBRARY_READ:
            addresses[name] = address
        if own or name in _LIBRARY_WORLD:
            world.append((address, address + 2))
    for entry in root.iter("array"):
        name, address, size = (
            _text(entry, "identifier"),
            int(_text(entry, "value")),
            int(_text(entry, "byte-count")),
        )
        own = _is_own(entry, library)
        if own:
            arrays[name] = (address, size)
        if own or name in _LIBRARY_WORLD:
            world.append((address, address + size))
    numbers = {
        _text(entry, "identifier"): int(_text(entry, "value")) for entry in root.iter("attribute")
    }
    noise, creature = (
        tuple(numbers[n] for n in names if n in numbers) for names in (_NOISE, _CREATURES)
    )
    return MemoryMap(FORMAT, 1, story.sha256, addresses, arrays, _merged(world), noise, creature)


def _prefix(root: ElementTree.Element) -> bytes:
    """The story's first 64 bytes as the compiler noted them."""
    import base64

    return base64.b64decode(_text(root, "story-file-prefix"))


def _library_sources(root: ElementTree.Element) -> set[str]:
    """The numbers of the source files that are the library's, known by their names."""
    found = set()
    for source in root.iter("source"):
        stem = _text(source, "given-path").replace("\\", "/").rsplit("/", 1)[-1].split(".")[0]
        if stem.casefold() in _LIBRARY_FILES:
            found.add(source.attrib["index"])
    return found


def _is_own(entry: ElementTree.Element, library: set[str]) -> bool:
    """True if the story declares it: the compiler's own variables have no place in the source."""
    place = entry.find("source-code-location/file-index")
    return place is not None and place.text not in library


def _properties(story: Story, number: int) -> list[tuple[int, int]]:
    """The byte ranges of the properties of an object."""
    table = story.properties(number)
    found = [(table, properties_end(story, table))]
    return found + [(low, high) for _, low, high in individual_properties(story, number)]


def _text(entry: ElementTree.Element, name: str) -> str:
    found = entry.findtext(name)
    if found is None:
        raise DataError(
            f"the debug file has a <{entry.tag}> without <{name}>; compile again with inform6 -k"
        )
    return found.strip()


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        elif low < high:
            merged.append((low, high))
    return tuple(merged)


def main() -> None:
    """Write STORY.map.json beside the story."""
    try:
        if len(sys.argv) != 3:
            raise ConfigError(
                f"usage: python -m {__spec__.name if __spec__ else 'distil'} gameinfo.dbg STORY.z5"
            )
        story = read_story(Path(sys.argv[2]))
        target = map_path(Path(sys.argv[2]))
        found = distil(Path(sys.argv[1]), story)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    except ValueAgentsError as error:
        sys.exit(f"error: {error}")
    print(target)


if __name__ == "__main__":
    main()
