"""Instructions that would reach beyond the game are taken out of the interpreter's hands.

Whatever verb leads there, in whatever language: saving, restoring and undoing fail as the standard
says that they may (Z-Machine Standards Document 1.1, section 15), nothing is written to or read
from a file, nothing beeps, and a story that quits or restarts itself is over. Frotz keeps the
functions for the instructions in tables that its library exports.
"""

import ctypes
from collections.abc import Callable
from typing import Any

_TABLES = {"op0_opcodes": 16, "var_opcodes": 64, "ext_opcodes": 30}
_FILE_STREAMS = (2, 4)  # the transcript and the record of commands
_NOT_PROVIDED = 0xFFFF
_FAILED = 0
_OPCODE = ctypes.CFUNCTYPE(None)


def disarm(frotz: Any, version: int, on_leaving: Callable[[], None]) -> list[object]:
    """The tables of a loaded Frotz hold harmless functions; what is returned must be kept as long
    as the library is. `on_leaving` is called when a story quits or restarts.
    """
    select_stream = _function(frotz.z_output_stream)
    streams = (ctypes.c_uint16 * 8).in_dll(frotz, "zargs")

    def fail() -> None:
        if version <= 3:
            frotz.branch(_FAILED)
        else:
            frotz.store(_FAILED)

    def no_undo() -> None:
        frotz.store(_NOT_PROVIDED)

    def stream() -> None:
        if abs(ctypes.c_int16(streams[0]).value) not in _FILE_STREAMS:
            select_stream()

    def leaving(function: Any) -> Callable[[], None]:
        original = _function(function)

        def leave() -> None:
            on_leaving()
            original()

        return leave

    replaced: dict[str, Callable[[], None]] = {
        "z_save": fail,
        "z_restore": fail,
        "z_save_undo": no_undo,
        "z_restore_undo": lambda: frotz.store(_FAILED),
        "z_output_stream": stream,
        "z_input_stream": lambda: None,
        "z_sound_effect": lambda: None,
        "z_quit": leaving(frotz.z_quit),
        "z_restart": leaving(frotz.z_restart),
    }
    addresses = {name: _address(getattr(frotz, name)) for name in replaced}
    kept: list[object] = []
    for name, function in replaced.items():
        callback = _OPCODE(function)
        kept.append(callback)
        for table, size in _TABLES.items():
            pointers = (ctypes.c_void_p * size).in_dll(frotz, table)
            for i in range(size):
                if pointers[i] == addresses[name]:
                    pointers[i] = _address(callback)
    return kept


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


def _function(exported: Any) -> Callable[[], None]:
    function: Callable[[], None] = _OPCODE(_address(exported))
    return function
