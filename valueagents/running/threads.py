"""OwnerThread: a thread that owns one thing (a model, a slow env) so that nobody else ever touches
it.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class OwnerThread:
    """Runs calls one after another off the event loop.

    The thread is a daemon: a call that never returns costs its episode (the caller's deadline sees
    to that) but can not keep the process from ending. `concurrent.futures` would wait for it at
    exit.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._last: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the call, made on the owner's thread; its exception is raised here."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, future, lambda: function(*args, **kwargs)))
        return await future

    def close(self, last: Callable[[], object] = lambda: None) -> None:
        """Let the thread end after the calls that it has taken and a last one, which nobody waits
        for.
        """
        self._last = last
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, function = job
            try:
                result, error = function(), None
            except BaseException as caught:  # handed to the caller, who awaits the future
                result, error = None, caught
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop has closed: nobody waits any more
                break
        self._last()


def _settle(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration) or not isinstance(error, Exception):
        # A future cannot carry the one; the other (SystemExit, say) would end the whole run.
        future.set_exception(RuntimeError(f"a call on the thread raised {error!r}"))
    else:
        future.set_exception(error)
