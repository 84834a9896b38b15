"""OwnerThread: one thread makes all calls in order, raises to the caller, and never keeps the
process from ending.
"""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from valueagents.running.threads import OwnerThread


@pytest.fixture
def owner():
    thread = OwnerThread("owner of a test")
    yield thread
    thread.close()


def fail(error: BaseException) -> None:
    raise error


def test_every_call_is_made_on_the_owners_one_thread(owner):
    async def play() -> set[int]:
        return {await owner.call(threading.get_ident) for _ in range(5)}

    idents = asyncio.run(play())
    assert len(idents) == 1
    assert idents != {threading.get_ident()}


def test_arguments_and_result_pass_through(owner):
    assert asyncio.run(owner.call(sorted, "bca", reverse=True)) == ["c", "b", "a"]
    assert asyncio.run(owner.call(lambda: None)) is None


def test_calls_are_made_in_the_order_of_asking(owner):
    done: list[int] = []

    async def play() -> None:
        await asyncio.gather(*(owner.call(done.append, i) for i in range(50)))

    asyncio.run(play())
    assert done == list(range(50))


@pytest.mark.parametrize("error", [ValueError("no"), KeyError(), OSError(2, "gone")])
def test_an_exception_is_raised_to_the_caller_and_the_thread_lives_on(owner, error):
    async def play() -> int:
        with pytest.raises(type(error)) as caught:
            await owner.call(fail, error)
        assert caught.value is error
        return await owner.call(lambda: 7)

    assert asyncio.run(play()) == 7


def test_an_exhausted_iterator_is_an_error_at_once_and_not_a_wait_without_end(owner):
    async def play() -> None:
        async with asyncio.timeout(1):
            await owner.call(next, iter(()))

    with pytest.raises((StopIteration, RuntimeError)):
        asyncio.run(play())


def test_a_caller_that_gave_up_disturbs_nobody(owner):
    complaints: list[dict] = []

    async def play() -> str:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: complaints.append(context)
        )
        slow = asyncio.create_task(owner.call(time.sleep, 0.05))
        await asyncio.sleep(0.01)
        slow.cancel()
        return await owner.call(lambda: "next")

    assert (asyncio.run(play()), complaints) == ("next", [])


def test_the_loop_goes_on_while_a_call_blocks(owner):
    free = threading.Event()

    async def play() -> None:
        blocked = asyncio.create_task(owner.call(free.wait, 5))
        await asyncio.sleep(0.01)
        free.set()
        assert await blocked is True

    asyncio.run(play())


def test_closing_makes_the_calls_taken_then_the_last_one_and_ends_the_thread():
    thread, done, ended = OwnerThread("closing"), [], threading.Event()

    async def play() -> None:
        calls = [asyncio.create_task(thread.call(done.append, i)) for i in range(3)]
        await asyncio.sleep(0)
        thread.close(last=lambda: (done.append("last"), ended.set()))
        await asyncio.gather(*calls)

    asyncio.run(play())
    assert ended.wait(5)
    assert done == [0, 1, 2, "last"]
    thread._thread.join(5)
    assert not thread._thread.is_alive()


def test_a_result_that_comes_after_its_loop_has_closed_ends_the_thread_with_the_last_call():
    thread, free, ended = OwnerThread("late"), threading.Event(), threading.Event()

    async def play() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await thread.call(free.wait, 5)

    asyncio.run(play())
    thread.close(last=ended.set)
    free.set()
    assert ended.wait(5)
    thread._thread.join(5)
    assert not thread._thread.is_alive()


def test_a_process_ends_while_its_owner_thread_hangs():
    code = """
import asyncio, time
from valueagents.running.threads import OwnerThread
async def play():
    thread = OwnerThread("hangs")
    try:
        async with asyncio.timeout(0.05):
            await thread.call(time.sleep, 60)
    except TimeoutError:
        print("abandoned")
asyncio.run(play())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "abandoned\n", "")


def test_a_call_that_exits_is_an_error_of_the_caller_and_not_the_end():
    async def ask():
        await OwnerThread("t").call(sys.exit, 3)

    with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
        asyncio.run(ask())
