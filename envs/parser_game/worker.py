"""The other end of `pool.py`: a process that answers requests until its parent goes away.

Frames are four bytes of length and that many of MessagePack. Before each command that is tried, its
name and a counter are written to shared memory: if C code never returns, the parent knows from them
that, and what, it was.
"""

import mmap
import os
import shutil
import socket
import struct
import sys
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import msgspec

from valueagents import errors
from valueagents.envs.parser_game.game import Consider, GameReply, GameServer, Start, Take
from valueagents.envs.parser_game.play import GameSettings

NOTE_BYTES = 1024
GAMES_KEPT = 8
_GONE_WITHIN_S = 1.0
_LENGTH = struct.Struct(">I")
_NOTE = struct.Struct(">QH")


class EnvRequest(msgspec.Struct, frozen=True):
    """A request and the scratch folder of the env that makes it."""

    folder: str
    request: Start | Take | Consider


class Answered(msgspec.Struct, frozen=True):
    """A reply, or the class and message of the error that stands in its place."""

    reply: GameReply | None
    error: str = ""
    message: str = ""


class Note:
    """What the worker is at: a counter that grows with every command tried, and the command."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._count = 0

    def write(self, command: str) -> None:
        """Say what is going to be tried; empty for the player's own command."""
        self._count += 1
        data = command.encode()[: NOTE_BYTES - _NOTE.size]
        self._memory[: _NOTE.size + len(data)] = _NOTE.pack(self._count, len(data)) + data

    @staticmethod
    def read(memory: mmap.mmap) -> tuple[int, str]:
        """The counter and the command."""
        count, length = _NOTE.unpack(memory[: _NOTE.size])
        return count, memory[_NOTE.size : _NOTE.size + length].decode(errors="replace")


def send_frame(connection: socket.socket, data: bytes) -> None:
    """Write a frame."""
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive_frame(connection: socket.socket) -> bytes | None:
    """Read a frame; None if the other end is gone."""
    head = _receive(connection, _LENGTH.size)
    return None if head is None else _receive(connection, _LENGTH.unpack(head)[0])


def _receive(connection: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            return None
        data += more
    return bytes(data)


def main() -> None:
    """Answer until the parent closes its end.

    Arguments: the number of the socket, the file of the note, the parent.

    A parent that was killed leaves its folder, in which the note is: then this process removes it.
    """
    connection = socket.socket(fileno=int(sys.argv[1]))
    with Path(sys.argv[2]).open("r+b") as file:
        note = Note(mmap.mmap(file.fileno(), NOTE_BYTES))
    games: OrderedDict[GameSettings, GameServer] = OrderedDict()
    decoder = msgspec.msgpack.Decoder(EnvRequest)
    with suppress(ConnectionError):  # it may end while it waits for an answer
        while (frame := receive_frame(connection)) is not None:
            send_frame(
                connection, msgspec.msgpack.encode(_answer(decoder.decode(frame), games, note))
            )
    if _is_gone(int(sys.argv[3])):
        shutil.rmtree(Path(sys.argv[2]).parent, ignore_errors=True)


def _is_gone(parent: int) -> bool:
    """True if the parent has ended; its files are closed a moment before its children are given to
    another.
    """
    deadline = time.monotonic() + _GONE_WITHIN_S
    while os.getppid() == parent:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _answer(
    asked: EnvRequest, games: "OrderedDict[GameSettings, GameServer]", note: Note
) -> Answered:
    settings = asked.request.settings
    try:
        os.chdir(asked.folder)  # a story that writes files by itself writes them here
        if settings not in games:
            games[settings] = GameServer(settings)
            games[settings].menus.told_to(note.write)
        games.move_to_end(settings)
        while len(games) > GAMES_KEPT:
            games.popitem(last=False)
        note.write("")
        return Answered(games[settings].answer(asked.request))
    except errors.ValueAgentsError as error:
        return Answered(None, type(error).__name__, str(error))


if __name__ == "__main__":
    main()
