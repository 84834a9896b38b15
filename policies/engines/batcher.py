"""MicroBatcher: requests of many live episodes become batches for the one thread that owns the
model.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from valueagents.running.threads import OwnerThread

BatchRequest = TypeVar("BatchRequest")
BatchJob = TypeVar("BatchJob")
BatchReply = TypeVar("BatchReply")


@dataclass(frozen=True, slots=True)
class Work(Generic[BatchRequest, BatchJob, BatchReply]):
    """What a batcher runs, all on the owner's thread.

    `prepare` makes a job of a request, `size` says how large it is, `run` answers a batch of jobs
    of one `kind` whose sizes add up to at most `budget` (one job may be larger).
    """

    prepare: Callable[[BatchRequest], BatchJob]
    size: Callable[[BatchJob], int]
    run: Callable[[Sequence[BatchJob]], Sequence[BatchReply]]
    budget: int
    kind: Callable[[BatchJob], Hashable] = lambda job: None


class MicroBatcher(Generic[BatchRequest, BatchJob, BatchReply]):
    """Answers requests in batches of one kind and like size.

    While one runs the next gathers, so there is no timer.

    The oldest request is always in the next batch: none waits for ever. An error of `prepare`
    belongs to its request, one of `run` to all requests of the batch.
    """

    def __init__(self, thread: OwnerThread, work: Work[BatchRequest, BatchJob, BatchReply]) -> None:
        self._thread = thread
        self._work = work
        self._arrived: list[tuple[BatchRequest, asyncio.Future[BatchReply]]] = []
        self._ready: list[tuple[BatchJob, asyncio.Future[BatchReply]]] = []
        self._open: dict[asyncio.Future[BatchReply], Callable[[], object]] = {}
        self._wake = asyncio.Event()
        self._pump = asyncio.create_task(self._run())

    async def submit(
        self, request: BatchRequest, *, on_start: Callable[[], object] = lambda: None
    ) -> BatchReply:
        """The reply to one request; `on_start` is called when its batch begins."""
        future: asyncio.Future[BatchReply] = asyncio.get_running_loop().create_future()
        self._open[future] = on_start
        future.add_done_callback(lambda done: self._open.pop(done, None))
        self._arrived.append((request, future))
        self._wake.set()
        return await future

    async def close(self) -> None:
        """Stop; whoever still waits is cancelled."""
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        for future in tuple(self._open):
            future.cancel()

    async def _run(self) -> None:
        while True:
            if not self._ready:
                await self._wake.wait()
                await asyncio.sleep(
                    0
                )  # let every episode that is ready ask before the first batch is cut
            self._wake.clear()
            await self._prepare()
            batch = self._next_batch()
            if batch:
                await self._answer(batch)

    async def _prepare(self) -> None:
        arrived, self._arrived = self._arrived, []
        for request, future in arrived:
            try:
                job = await self._thread.call(self._work.prepare, request)
            except Exception as error:  # it is the request's, raised where the request was made
                _fail(future, error)
            else:
                self._ready.append((job, future))

    def _next_batch(self) -> list[tuple[BatchJob, "asyncio.Future[BatchReply]"]]:
        """The oldest job and those of its kind that are nearest to it in size, within the
        budget.
        """
        self._ready = [(job, future) for job, future in self._ready if not future.done()]
        if not self._ready:
            return []
        size, oldest = self._work.size, self._work.size(self._ready[0][0])
        kind = self._work.kind(self._ready[0][0])
        alike = [i for i, (job, _) in enumerate(self._ready) if self._work.kind(job) == kind]
        order = sorted(alike, key=lambda i: (abs(size(self._ready[i][0]) - oldest), i))
        batch: list[int] = []
        total = 0
        for i in order:
            total += size(self._ready[i][0])
            if batch and total > self._work.budget:
                break
            batch.append(i)
        chosen = [self._ready[i] for i in batch]
        self._ready = [entry for i, entry in enumerate(self._ready) if i not in set(batch)]
        return chosen

    async def _answer(self, batch: list[tuple[BatchJob, "asyncio.Future[BatchReply]"]]) -> None:
        for _, future in batch:
            self._open[future]()
        try:
            replies = await self._thread.call(self._work.run, [job for job, _ in batch])
            if len(replies) != len(batch):
                raise RuntimeError(f"{len(replies)} replies to {len(batch)} requests")  # noqa: TRY301
        except Exception as error:  # raised in every episode of the batch
            for _, future in batch:
                _fail(future, error)
        else:
            for (_, future), reply in zip(batch, replies, strict=True):
                if not future.done():
                    future.set_result(reply)


def _fail(future: "asyncio.Future[BatchReply]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
