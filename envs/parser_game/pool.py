"""A pool of worker processes, as many as there are cores, that play games for all envs of this
process.

A worker keeps no env's state: requests carry it. So any worker serves any env; one that hangs or
ends is killed by the wall clock and replaced, and what it was asked is asked again. The machine may
have been the reason (a kill for memory, a process that was stopped), so nothing is held against a
command that lost one worker. One that loses a second, fresh one at the same place is at fault:
typed, it is refused and its env stays where it was; tried for a menu, it is left out of the menus
of that state. Every loss is counted in the reply.
"""

import atexit
import os
import queue
import threading
from collections import Counter
from functools import cache
from tempfile import mkdtemp

import msgspec

from valueagents.envs.parser_game.game import OWN, Consider, GameReply, GameRequest, Start, Take
from valueagents.envs.parser_game.worker import Fault
from valueagents.envs.parser_game.worker_process import Lost, WorkerProcess
from valueagents.errors import EnvError
from valueagents.identity import content_hash
from valueagents.running.scratch import ScratchFolder

_LOSSES_OF_A_FAULT = 2
_MOST_LOST_AT_NO_COMMAND = 5
_MOST_LOST = 40


class WorkerPool:
    """The workers of one process. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._scratch = ScratchFolder()
        self._owner = os.getpid()
        self._faults: list[Fault] = []
        self._refused: dict[str, str] = {}
        self._counting = threading.Lock()
        self.replaced = 0
        self.workers = [WorkerProcess(self._scratch.path) for _ in range(size)]
        self._idle: queue.LifoQueue[WorkerProcess] = queue.LifoQueue()
        for worker in reversed(self.workers):
            self._idle.put(worker)

    def scratch(self) -> str:
        """A new folder that an env's games may write to."""
        return mkdtemp(dir=self._scratch.path)

    def ask(self, request: Start | Take | Consider, folder: str, *, hang_s: float) -> GameReply:
        """The reply to a request. Raises what the game raises, EnvError if workers are lost to it
        again and again, or at the very start of a story.
        """
        losses: Counter[tuple[str, str]] = Counter()
        while True:
            refused = self._why_refused(request)
            if refused is not None:
                return GameReply(request.state, refused=refused, lost_workers=losses.total())
            worker = self._idle.get()
            try:
                reply = worker.ask(request, folder, self._faults, hang_s)
                return msgspec.structs.replace(reply, lost_workers=losses.total())
            except Lost as lost:
                worker.stop()
                losses[lost.place, lost.command] += 1
                last = lost
            finally:
                self._idle.put(worker)
            self._judge(request, last, losses)

    def _judge(
        self, request: Start | Take | Consider, last: Lost, losses: Counter[tuple[str, str]]
    ) -> None:
        """What is at fault is known now. Raises EnvError where asking again would not help."""
        with self._counting:
            self.replaced += 1
        story, at = request.settings.story, losses[last.place, last.command]
        if losses.total() >= _MOST_LOST or (not last.place and at >= _MOST_LOST_AT_NO_COMMAND):
            where = f"at {last.command!r:.80}" if last.place else "before they began"
            raise EnvError(
                f"{story}: {losses.total()} workers were lost to one request, the last, which"
                f" {last.how}, {where}; is the memory short?"
            )
        if not last.place or at < _LOSSES_OF_A_FAULT:
            return
        if last.place != OWN:
            self._faults.append(Fault(request.settings, last.place, last.command))
        elif isinstance(request, Start):
            raise EnvError(f"{story} {last.how} at its very start; this story cannot be played")
        else:
            told = f"the game {last.how} at {last.command!r:.80} and was put back"
            self._refused[_name(request)] = told

    def _why_refused(self, request: Start | Take | Consider) -> str | None:
        if not self._refused or not isinstance(request, Take):  # to hash a state takes time
            return None
        return self._refused.get(_name(request))

    def close(self) -> None:
        """End the workers. In a forked child, where they belong to the parent, nothing happens."""
        if os.getpid() == self._owner:
            for worker in self.workers:
                worker.end()
            self._scratch.close()


def _name(request: GameRequest) -> str:
    """The hash of a request."""
    return content_hash(request)


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
