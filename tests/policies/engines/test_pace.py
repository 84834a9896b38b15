"""The pace of requests: slow start, a rate after refusals, turns that are neither lost nor handed
out twice.
"""

import asyncio
from itertools import pairwise

import pytest

from valueagents.policies.engines.openai.pace import Pace


def test_the_number_at_once_starts_small_and_grows_with_what_is_taken():
    async def go() -> list[int]:
        pace, at_once, most = Pace(16), 0, []

        async def request() -> None:
            nonlocal at_once
            async with pace.turn():
                at_once += 1
                most.append(at_once)
                await asyncio.sleep(0.01)
                at_once -= 1
                pace.taken()

        await asyncio.gather(*(request() for _ in range(120)))
        return most

    most = asyncio.run(go())
    assert max(most[:4]) == 4
    assert max(most) == 16


def test_a_cancelled_request_gives_its_turn_back():
    async def go() -> None:
        pace = Pace(1)

        async def request() -> None:
            async with pace.turn():
                await asyncio.sleep(0.05)

        first, second, third = (asyncio.create_task(request()) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        await first
        await asyncio.wait_for(third, 1)
        late = asyncio.create_task(request())
        await asyncio.sleep(0)
        late.cancel()  # in the moment in which its turn was handed out
        await asyncio.wait_for(request(), 1)

    asyncio.run(go())


def test_after_a_refusal_all_wait_and_then_begin_at_a_rate_the_refused_one_first():
    async def go() -> tuple[list[str], list[float], float | None]:
        pace, loop = Pace(), asyncio.get_running_loop()
        for _ in range(10):
            async with pace.turn():
                pace.taken()
        async with pace.turn() as began:
            pace.refused(began, 0.0)
        refused_at, order, at = loop.time(), [], []

        async def request(name: str, *, again: bool) -> None:
            async with pace.turn(again=again):
                order.append(name)
                at.append(loop.time() - refused_at)
                pace.taken()

        new = [asyncio.create_task(request(f"new {i}", again=False)) for i in range(3)]
        await asyncio.sleep(0.1)
        await asyncio.gather(request("refused", again=True), *new)
        return order, at, pace.rate

    order, at, rate = asyncio.run(go())
    assert order == ["refused", "new 0", "new 1", "new 2"]
    assert at[0] >= 0.95
    assert rate == pytest.approx(10, rel=0.3)  # taken in the second of the pause
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert min(gaps) > 0.05


def test_one_answer_to_many_refusals_of_the_same_moment():
    async def go() -> tuple[float, float]:
        pace = Pace()
        for _ in range(20):
            async with pace.turn():
                pace.taken()
        async with pace.turn() as began:
            pace.refused(began, 0.01)
        await asyncio.sleep(0.05)
        before = pace.rate or 0.0
        turns = [pace.turn() for _ in range(5)]
        began_at = [await turn.__aenter__() for turn in turns]
        for began in began_at:
            pace.refused(began, 0.0)
        for turn in turns:
            await turn.__aexit__(None, None, None)
        return before, pace.rate or 0.0

    before, after = asyncio.run(go())
    assert after == pytest.approx(0.7 * before)
