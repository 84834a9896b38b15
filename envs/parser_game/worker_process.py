"""A worker as its pool sees it: a process that is started when first asked, waited for while it
makes progress, and ended when it does not.
"""

import mmap
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from valueagents import errors
from valueagents.envs.parser_game.game import Consider, GameReply, Start, Take
from valueagents.envs.parser_game.worker import (
    NOTE_BYTES,
    Answered,
    EnvRequest,
    Fault,
    Note,
    receive_frame,
    send_frame,
)

_SLICE_S = 0.2
_START_S = 60.0
_CODE = "from valueagents.envs.parser_game.worker import main; main()"


class Lost(Exception):
    """A worker hung or ended at a command; where the place is empty it was at none (`Note`)."""

    def __init__(self, how: str, place: str, command: str) -> None:
        super().__init__(how)
        self.how, self.place, self.command = how, place, command


class WorkerProcess:
    """One process, which may be another after `stop`. To be used by one thread at a time.

    Args:
        folder: the pool's, where it keeps temporary files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._note: mmap.mmap | None = None
        self._told = 0
        self._starting = threading.Lock()
        self._ended = False

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return self._process.pid if self._process is not None else None

    def ask(
        self,
        request: Start | Take | Consider,
        folder: str,
        faults: Sequence[Fault],
        hang_s: float,
    ) -> GameReply:
        """Send a request and wait while the note moves; `faults` are all that the pool knows, of
        which the process is told what is news to it.

        Raises Lost if it stands still or the process ends.
        """
        connection, note = self._connected()
        news = tuple(faults[self._told :])
        try:
            send_frame(connection, msgspec.msgpack.encode(EnvRequest(folder, request, news)))
            self._told += len(news)
            self._wait(connection, note, hang_s)
            connection.settimeout(None)
            frame = receive_frame(connection)
        except OSError:
            frame = None
        if frame is None:
            raise Lost("crashed", *Note.read(note)[1:])
        answered = msgspec.msgpack.decode(frame, type=Answered)
        if answered.reply is None:
            raise getattr(errors, answered.error)(answered.message)
        return answered.reply

    @staticmethod
    def _wait(connection: socket.socket, note: mmap.mmap, hang_s: float) -> None:
        """Until there is something to read.

        A worker that tries one command after another is not hanging. Time in which this process
        did not run, because it was stopped or the machine slept, is not counted.
        """
        seen, waited_s, looked = Note.read(note), 0.0, time.monotonic()
        slice_s = min(_SLICE_S, hang_s)
        connection.settimeout(slice_s)
        while True:
            try:
                connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                now = time.monotonic()
                waited_s += min(now - looked, 2 * slice_s)
                looked = now
            else:
                return
            note_now = Note.read(note)
            count, place, command = note_now
            if note_now != seen:
                seen, waited_s = note_now, 0.0
            elif waited_s > (hang_s if count else max(hang_s, _START_S)):  # 0: still starting
                raise Lost(f"did not answer within {hang_s:g} s", place, command)

    def _connected(self) -> tuple[socket.socket, mmap.mmap]:
        with self._starting:
            if self._ended:  # a thread goes on while this process comes to its end
                raise Lost("has ended", "", "")
            if self._connection is None or self._note is None:
                return self._connection_to_another()
            return self._connection, self._note

    def _connection_to_another(self) -> tuple[socket.socket, mmap.mmap]:
        with tempfile.TemporaryFile(dir=self._folder) as file:  # without a name: nothing stays
            file.truncate(NOTE_BYTES)
            self._note = mmap.mmap(file.fileno(), NOTE_BYTES)
            self._connection, theirs = socket.socketpair()
            with theirs:
                self._process = self._started(theirs.fileno(), file.fileno())
        return self._connection, self._note

    def _started(self, connection: int, note: int) -> "subprocess.Popen[bytes]":
        """The process; in a session of its own, so that Ctrl-C is for this process alone."""
        arguments = [str(connection), str(note), str(os.getpid()), str(self._folder)]
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        return subprocess.Popen(  # noqa: S603 – our own interpreter and code
            [sys.executable, "-c", _CODE, *arguments],
            pass_fds=[connection, note],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(self._folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> None:
        """End the process; no request starts another."""
        with self._starting:
            self._ended = True
        self.stop()

    def stop(self) -> None:
        """End the process; the next request starts another."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._note is not None:
            self._note.close()
        self._process = self._connection = self._note = None
        self._told = 0
