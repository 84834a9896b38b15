"""The other end of `pool.py`: a process that answers requests until its parent goes away.

Frames are four bytes of length and that many of MessagePack. Before each command that is tried, its
name, the place and a counter are written to shared memory: if C code never returns, the parent
knows from them that, and what, it was. A thread looks whether the parent is still there, because a
game that hangs would never let this process read that it is not.
"""

import ctypes
import mmap
import os
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from collections import OrderedDict
from contextlib import suppress

import msgspec

from valueagents import errors
from valueagents.envs.parser_game.game import Consider, GameReply, GameServer, Start, Take
from valueagents.envs.parser_game.play import GameSettings

NOTE_BYTES = 1024
GAMES_KEPT = 8
_LOOK_EVERY_S = 0.2
_GONE_WITHIN_S = 1.0
_PR_SET_PDEATHSIG = 1
_LENGTH = struct.Struct(">I")
_NOTE = struct.Struct(">QHH")


class Fault(msgspec.Struct, frozen=True):
    """A command that must not be tried at a place (`Menus`): two workers did not come back."""

    settings: GameSettings
    place: str
    command: str


class EnvRequest(msgspec.Struct, frozen=True):
    """A request, the scratch folder of the env that makes it, and faults that are news here."""

    folder: str
    request: Start | Take | Consider
    faults: tuple[Fault, ...] = ()


class Answered(msgspec.Struct, frozen=True):
    """A reply, or the class and message of the error that stands in its place."""

    reply: GameReply | None
    error: str = ""
    message: str = ""


class Note:
    """What the worker is at: a counter that grows with every command, its place and the command.

    Where the place is empty it is at none: it starts, reads a story, or has nothing to do.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._count = 0

    def write(self, place: str, command: str) -> None:
        """Say what is going to be done."""
        self._count += 1
        where = place.encode()
        what = command.encode()[: NOTE_BYTES - _NOTE.size - len(where)]
        data = _NOTE.pack(self._count, len(where), len(what)) + where + what
        self._memory[: len(data)] = data

    @staticmethod
    def read(memory: mmap.mmap) -> tuple[int, str, str]:
        """The counter, the place and the command."""
        count, where, what = _NOTE.unpack(memory[: _NOTE.size])
        data = memory[_NOTE.size : _NOTE.size + where + what]
        return count, data[:where].decode(errors="replace"), data[where:].decode(errors="replace")


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
    """Answer until the parent closes its end or is gone.

    Arguments: the number of the socket, that of the note's file, the parent, and its folder, which
    a parent that was killed leaves: then this process removes it.
    """
    _wake_when_the_parent_ends()
    connection = socket.socket(fileno=int(sys.argv[1]))
    note = Note(mmap.mmap(int(sys.argv[2]), NOTE_BYTES))
    watch = threading.Thread(target=_end_with, args=(int(sys.argv[3]), sys.argv[4]), daemon=True)
    watch.start()
    games = Games(note)
    decoder = msgspec.msgpack.Decoder(EnvRequest)
    with suppress(ConnectionError):  # it may end while it waits for an answer
        while (frame := receive_frame(connection)) is not None:
            answered = games.answer(decoder.decode(frame))
            send_frame(connection, msgspec.msgpack.encode(answered))
    watch.join(_GONE_WITHIN_S)


def _wake_when_the_parent_ends() -> None:
    """A process that somebody has stopped would see nothing, and keep its parent's output open: on
    Linux it is continued then (prctl(2), PR_SET_PDEATHSIG).
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)


def _end_with(parent: int, folder: str) -> None:
    """Whatever it is at, the process ends when its parent has ended."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


class Games:
    """The games of a worker, the least recently played forgotten, and the faults it was told of."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._games: OrderedDict[GameSettings, GameServer] = OrderedDict()
        self._faults: dict[GameSettings, set[tuple[str, str]]] = {}

    def answer(self, asked: EnvRequest) -> Answered:
        """The answer to a request; an error of this package is one, too."""
        for fault in asked.faults:
            self._faults_of(fault.settings).add((fault.place, fault.command))
        try:
            os.chdir(asked.folder)  # a story that writes files by itself writes them here
            return Answered(self._game(asked.request.settings).answer(asked.request))
        except errors.ValueAgentsError as error:
            return Answered(None, type(error).__name__, str(error))
        finally:
            self._note.write("", "")

    def _faults_of(self, settings: GameSettings) -> set[tuple[str, str]]:
        return self._faults.setdefault(settings, set())

    def _game(self, settings: GameSettings) -> GameServer:
        if settings not in self._games:
            game = self._games[settings] = GameServer(settings)
            game.menus.told_to(self._note.write, self._faults_of(settings))
        self._games.move_to_end(settings)
        while len(self._games) > GAMES_KEPT:
            self._games.popitem(last=False)
        return self._games[settings]


if __name__ == "__main__":
    main()
