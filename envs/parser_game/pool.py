"""A pool of worker processes, as many as there are cores, that play games for all envs of this
process.

A worker keeps no env's state: requests carry it. So any worker serves any env, one that hangs or
crashes is killed by the wall clock and replaced, and its env goes on from the state before the
fatal command – which costs one refused decision, or, if it was only tried for a menu, is left out
of that menu.
"""

import atexit
import mmap
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import msgspec

from valueagents import errors
from valueagents.envs.parser_game.game import Consider, GameReply, Start, Take
from valueagents.envs.parser_game.worker import (
    NOTE_BYTES,
    Answered,
    EnvRequest,
    Note,
    receive_frame,
    send_frame,
)
from valueagents.errors import EnvError

_SLICE_S = 0.2
_START_S = 60.0
_MAX_HANGS = 20
_CODE = "from valueagents.envs.parser_game.worker import main; main()"


class Lost(Exception):
    """A worker hung or died; the command that it was at (empty: the player's own)."""

    def __init__(self, how: str, command: str) -> None:
        super().__init__(how)
        self.how, self.command = how, command


class WorkerPool:
    """The workers of one process. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="valueagents-games-"))
        self._owner = os.getpid()
        self.replaced = 0
        self.workers = [_Worker(self._folder) for _ in range(size)]
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in reversed(self.workers):
            self._idle.put(worker)

    def scratch(self) -> str:
        """A new folder that an env's games may write to."""
        return tempfile.mkdtemp(dir=self._folder)

    def ask(self, request: Start | Take | Consider, folder: str, *, hang_s: float) -> GameReply:
        """The reply to a request. Raises what the game raises, EnvError if nothing but hangs comes
        of it.
        """
        for _ in range(_MAX_HANGS):
            worker = self._idle.get()
            try:
                return worker.ask(EnvRequest(folder, request), hang_s)
            except Lost as lost:
                self.replaced += 1
                worker.stop()
                if not lost.command:
                    return _refusal(request, lost)
                request = msgspec.structs.replace(request, skip=(*request.skip, lost.command))
            finally:
                self._idle.put(worker)
        hung = ", ".join(request.skip[:5])
        raise EnvError(
            f"{request.settings.story}: {_MAX_HANGS} commands in one place never came back:"
            f" {hung}, …"
        )

    def close(self) -> None:
        """End the workers. In a forked child, where they belong to the parent, nothing happens."""
        if os.getpid() == self._owner:
            for worker in self.workers:
                worker.stop()
            shutil.rmtree(self._folder, ignore_errors=True)


def _refusal(request: Start | Take | Consider, lost: Lost) -> GameReply:
    if isinstance(request, Start):
        raise EnvError(
            f"{request.settings.story} {lost.how} at its very start; this story cannot be played"
        )
    return GameReply(
        request.state, refused=f"the game {lost.how} at {request.command!r:.80} and was put back"
    )


class _Worker:
    """One process, started when first asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._note: mmap.mmap | None = None

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return self._process.pid if self._process is not None else None

    def ask(self, asked: EnvRequest, hang_s: float) -> GameReply:
        """Send a request and wait while the note moves.

        Raises Lost if it stands still or the process ends.
        """
        connection, note = self._connected()
        try:
            send_frame(connection, msgspec.msgpack.encode(asked))
            self._wait(connection, note, hang_s)
            connection.settimeout(None)
            frame = receive_frame(connection)
        except OSError:
            frame = None
        if frame is None:
            raise Lost("crashed", Note.read(note)[1])
        answered = msgspec.msgpack.decode(frame, type=Answered)
        if answered.reply is None:
            raise getattr(errors, answered.error)(answered.message)
        return answered.reply

    @staticmethod
    def _wait(connection: socket.socket, note: mmap.mmap, hang_s: float) -> None:
        """Until there is something to read.

        A worker that tries one command after another is not hanging.
        """
        seen, since = Note.read(note), time.monotonic()
        connection.settimeout(min(_SLICE_S, hang_s))
        while True:
            try:
                connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                now = Note.read(note)
                if now != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > (
                    hang_s if now[0] else max(hang_s, _START_S)
                ):  # 0: still starting
                    raise Lost(f"did not answer within {hang_s:g} s", now[1]) from None
            else:
                return

    def _connected(self) -> tuple[socket.socket, mmap.mmap]:
        if self._connection is None or self._note is None:
            handle, name = tempfile.mkstemp(dir=self._folder, prefix="note-")
            os.ftruncate(handle, NOTE_BYTES)
            self._note = mmap.mmap(handle, NOTE_BYTES)
            os.close(handle)
            self._connection, theirs = socket.socketpair()
            path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 – our own interpreter and code
                    [sys.executable, "-c", _CODE, str(theirs.fileno()), name, str(os.getpid())],
                    pass_fds=[theirs.fileno()],
                    cwd=self._folder,
                    env={**os.environ, "PYTHONPATH": path},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
        return self._connection, self._note

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


def shared_pool() -> WorkerPool:
    """The pool of this process: made when first asked for, another one in a forked child."""
    return _pool_of(os.getpid())


@cache
def _pool_of(process: int) -> WorkerPool:
    cores = (
        len(os.sched_getaffinity(process)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    pool = WorkerPool(cores or 1)
    atexit.register(pool.close)
    return pool
