"""Menus that were found, remembered in so many bytes."""

import threading
from collections import OrderedDict

import msgspec

from valueagents.contracts.decision import Annotation, Event, Menu

CACHE_BYTES = 16 << 20
"""Room for the menus that one process remembers, some 6,000 of our story."""
_ENTRY_BYTES = 320
"""What an entry of the cache takes beside its menu: the key, two objects, its place."""
Destination = tuple[tuple[bytes, tuple[Event, ...], bool | None], ...]
"""Where a command leads: the world's hash, events and whether it is over, for each seed under which
it was tried.
"""


class Found(msgspec.Struct, frozen=True, array_like=True):
    """A menu, waiting last. `keys` says where each option leads, `scratch` which variables were no
    world when it was found (`effects.Variable`).
    """

    menu: Menu
    keys: tuple[Destination, ...]
    annotation: Annotation | None
    scratch: tuple[tuple[str, int], ...] = ()


_DECODER = msgspec.msgpack.Decoder(Found)


class MenuCache:
    """Menus by content and exact state, the least recently used forgotten; what is in it never
    depends on who asked before.

    They are kept encoded: that takes a tenth of the memory, and its size is known. Thread-safe.
    """

    def __init__(self, size_bytes: int = CACHE_BYTES) -> None:
        self._found: OrderedDict[str, bytes] = OrderedDict()
        self._room_bytes = size_bytes
        self._lock = threading.Lock()

    def get(self, key: str) -> Found | None:
        """The menu of a state, if it is known."""
        with self._lock:
            encoded = self._found.get(key)
            if encoded is None:
                return None
            self._found.move_to_end(key)
        return _DECODER.decode(encoded)

    def put(self, key: str, found: Found) -> None:
        """Keep a menu, if there is none of that key."""
        encoded = bytes(memoryview(msgspec.msgpack.encode(found)))  # which has room to spare
        with self._lock:
            if key in self._found:
                return
            self._found[key] = encoded
            self._room_bytes -= len(encoded) + _ENTRY_BYTES
            while self._room_bytes < 0:
                _, forgotten = self._found.popitem(last=False)
                self._room_bytes += len(forgotten) + _ENTRY_BYTES
