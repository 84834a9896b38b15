"""Requests become batches: who goes first, how large, and who bears an error."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valueagents.errors import PolicyError
from valueagents.policies.engines.batcher import MicroBatcher, Work
from valueagents.running.threads import OwnerThread

SOON_S = 5.0
Session = Callable[[MicroBatcher], Awaitable[object]]


def _identity(x: object) -> object:
    return x


def _serve(
    session: Session, run: Callable, *, prepare: Callable = _identity, budget: int = 100
) -> object:
    """Run a session with a batcher of jobs that are their own size."""

    async def serve() -> object:
        thread = OwnerThread("test")
        batcher = MicroBatcher(thread, Work(prepare, abs, run, budget))
        try:
            return await asyncio.wait_for(session(batcher), SOON_S)
        finally:
            await batcher.close()
            thread.close()

    return asyncio.run(serve())


class _Engine:
    """Answers a job with its double; holds its first batch until the gate opens."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.busy, self.gate = threading.Event(), threading.Event()

    def run(self, jobs: Sequence[int]) -> list[int]:
        self.batches.append(list(jobs))
        self.busy.set()
        self.gate.wait(SOON_S)
        return [2 * job for job in jobs]

    async def submit_while_busy(
        self, batcher: MicroBatcher, requests: Sequence[int]
    ) -> list[asyncio.Task]:
        """A first request of size 1 keeps the engine busy until all others have arrived."""
        tasks = [asyncio.create_task(batcher.submit(1))]
        await asyncio.to_thread(self.busy.wait, SOON_S)
        tasks += [asyncio.create_task(batcher.submit(request)) for request in requests]
        await asyncio.sleep(0)
        return tasks


def _batches(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """The batches in which requests of these sizes are answered that arrive while the engine is
    busy.
    """
    engine = _Engine()

    async def session(batcher: MicroBatcher) -> list[int]:
        tasks = await engine.submit_while_busy(batcher, sizes)
        engine.gate.set()
        return list(await asyncio.gather(*tasks))

    assert _serve(session, engine.run, budget=budget) == [2, *(2 * size for size in sizes)]
    assert engine.batches[0] == [1]
    return engine.batches[1:]


def test_every_request_gets_its_own_reply():
    async def session(batcher: MicroBatcher) -> list[int]:
        return await asyncio.gather(*map(batcher.submit, range(50)))

    assert _serve(session, lambda jobs: [job * job for job in jobs]) == [n * n for n in range(50)]


def test_requests_made_at_the_same_time_are_one_batch():
    batches = []

    def run(jobs: Sequence[int]) -> list[int]:
        batches.append(list(jobs))
        return list(jobs)

    async def session(batcher: MicroBatcher) -> None:
        await asyncio.gather(*map(batcher.submit, [3, 4, 5]))

    _serve(session, run)
    assert [sorted(batch) for batch in batches] == [[3, 4, 5]]


def test_what_arrives_while_a_batch_runs_is_the_next_batch():
    assert [sorted(batch) for batch in _batches([3, 4, 5], budget=100)] == [[3, 4, 5]]


def test_a_batch_is_the_oldest_and_those_nearest_to_it_in_size():
    assert [sorted(batch) for batch in _batches([10, 90, 11, 50, 9], budget=40)] == [
        [9, 10, 11],
        [90],
        [50],
    ]


def test_a_job_larger_than_the_budget_goes_alone():
    assert _batches([1000, 1, 1], budget=10) == [[1000], [1, 1]]


def test_a_large_old_request_is_not_overtaken_for_ever():
    batches = _batches([100, *[5] * 20], budget=50)
    assert batches[0] == [100]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12, unique=True), st.integers(1, 60))
def test_the_oldest_is_always_in_the_next_batch_and_the_budget_is_kept(
    sizes: list[int], budget: int
):
    waiting = list(sizes)
    for batch in _batches(sizes, budget):
        assert waiting[0] in batch
        assert len(batch) == 1 or sum(batch) <= budget
        waiting = [size for size in waiting if size not in batch]
    assert waiting == []


def test_an_error_in_prepare_belongs_to_its_request():
    def prepare(request: int) -> int:
        if request == 7:
            raise PolicyError("seven is refused")
        return request

    async def session(batcher: MicroBatcher) -> list[object]:
        return await asyncio.gather(*map(batcher.submit, [6, 7, 8]), return_exceptions=True)

    first, refused, last = _serve(session, list, prepare=prepare)
    assert (first, last) == (6, 8)
    assert isinstance(refused, PolicyError)
    assert str(refused) == "seven is refused"


def test_an_error_in_run_belongs_to_its_batch_alone():
    def run(jobs: Sequence[int]) -> list[int]:
        if 7 in jobs:
            raise MemoryError("out of memory")
        return list(jobs)

    async def session(batcher: MicroBatcher) -> list[object]:
        failed = await asyncio.gather(*map(batcher.submit, [6, 7]), return_exceptions=True)
        return [*failed, await batcher.submit(8)]

    *failed, later = _serve(session, run)
    assert [type(error) for error in failed] == [MemoryError, MemoryError]
    assert later == 8


@pytest.mark.parametrize("replies", [0, 1, 3])
def test_a_wrong_number_of_replies_is_an_error_of_the_batch_not_a_wait_for_ever(replies: int):
    async def session(batcher: MicroBatcher) -> list[object]:
        asked = [asyncio.create_task(batcher.submit(size)) for size in (6, 7)]
        await asyncio.wait(asked, timeout=0.2)
        return [task.exception() if task.done() else "waits" for task in asked]

    outcome = _serve(session, lambda _jobs: [0] * replies)
    assert all(isinstance(error, Exception) for error in outcome), outcome


def test_a_cancelled_request_is_not_run():
    engine = _Engine()

    async def session(batcher: MicroBatcher) -> list[object]:
        tasks = await engine.submit_while_busy(batcher, [3, 4, 5])
        tasks[2].cancel()
        engine.gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    replies = _serve(session, engine.run)
    assert [reply for reply in replies if not isinstance(reply, asyncio.CancelledError)] == [
        2,
        6,
        10,
    ]
    assert sorted(engine.batches[1]) == [3, 5]


def test_a_request_cancelled_while_it_is_run_does_not_harm_its_batch():
    engine = _Engine()

    async def session(batcher: MicroBatcher) -> tuple[bool, int]:
        [first] = await engine.submit_while_busy(batcher, [])
        first.cancel()
        engine.gate.set()
        later = await batcher.submit(4)
        return first.cancelled(), later

    assert _serve(session, engine.run) == (True, 8)


def test_when_all_are_cancelled_the_next_request_is_still_answered():
    engine = _Engine()

    async def session(batcher: MicroBatcher) -> int:
        tasks = await engine.submit_while_busy(batcher, [3])
        tasks[1].cancel()
        engine.gate.set()
        await asyncio.wait(tasks)
        return await batcher.submit(4)

    assert _serve(session, engine.run) == 8


def _states_after_close(
    requests: Sequence[int], *, prepare: Callable, engine: _Engine
) -> list[str]:
    """How the requests stand once the batcher was closed while the engine was busy."""

    async def session(batcher: MicroBatcher) -> list[str]:
        tasks = await engine.submit_while_busy(batcher, requests)
        await batcher.close()
        engine.gate.set()
        await asyncio.wait(tasks, timeout=0.2)
        states = [
            "cancelled" if task.cancelled() else "done" if task.done() else "waits"
            for task in tasks
        ]
        for task in tasks:
            task.cancel()
        return states

    return _serve(session, engine.run, prepare=prepare)


def test_close_cancels_who_waits_for_a_batch():
    assert _states_after_close([3, 4], prepare=_identity, engine=_Engine())[1:] == [
        "cancelled",
        "cancelled",
    ]


def test_close_cancels_who_is_in_the_running_batch():
    assert _states_after_close([], prepare=_identity, engine=_Engine()) == ["cancelled"]


def test_close_cancels_who_is_being_prepared():
    engine = _Engine()

    def prepare(request: int) -> int:
        engine.busy.set()
        engine.gate.wait(SOON_S)
        return request

    async def session(batcher: MicroBatcher) -> list[str]:
        tasks = [asyncio.create_task(batcher.submit(size)) for size in (1, 2, 3)]
        await asyncio.to_thread(engine.busy.wait, SOON_S)
        await batcher.close()
        engine.gate.set()
        await asyncio.wait(tasks, timeout=0.2)
        states = ["cancelled" if task.cancelled() else "waits" for task in tasks]
        for task in tasks:
            task.cancel()
        return states

    assert _serve(session, engine.run, prepare=prepare) == ["cancelled"] * 3


def test_closing_twice_is_harmless():
    async def session(batcher: MicroBatcher) -> int:
        reply = await batcher.submit(3)
        await batcher.close()
        return reply

    assert _serve(session, list) == 3
