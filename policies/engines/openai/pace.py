"""Pace: how many requests are under way at once, and how many begin in a second, so that a server's
limit is kept.

Nobody says what a server takes. The number at once starts small and doubles with every round of
answers, as TCP's slow start does (RFC 5681, 3.1). From the first refusal (429) on, requests begin
at a rate: what the server took until then, by the time that this took. The rate grows, slowly near
the value at which it was refused last, and is cut by a few per cent at every refusal: additive
increase, multiplicative decrease (Chiu and Jain 1989), of a rate and not of a window, because a
server that answers in a millisecond is over its limit with one request at a time.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MOST_AT_ONCE = 512
_FIRST_AT_ONCE = 4.0
_FIRST_CUT, _CUT = (
    0.7,
    0.93,
)  # the first ends a quick search, which has gone as far as saved permits let it
_PAUSE_S = 1.0  # after a refusal that tells nothing of the rate, where the server names no time
# servers round "in a moment" up to this Retry-After; more is a quota that is used up for all
_ROUNDED_S = 1.0
_NEAR, _FAR = 0.004, 0.12  # growth in a second, as a share of the rate
_HORIZON_S = 60.0  # quotas are by the minute at most, where they are not by the day
_RECENT, _MOSTLY = (
    20,
    0.5,
)  # if fewer of the last requests than this share were taken, the rate is unknown
_LOWEST = 1 / 60


class Pace:
    """Hands out turns, within one event loop. A turn lasts from the request to its answer."""

    def __init__(self, at_once: int = MOST_AT_ONCE) -> None:
        self._most = at_once
        self._window = min(_FIRST_AT_ONCE, float(at_once))
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._rate: float | None = None  # None: no refusal so far
        self._refused_rate = math.inf
        self._next_at = 0.0
        self._grown_at = 0.0
        self._cut_at = -1.0
        self._measured_from: float | None = None
        self._paused = False
        self._taken: deque[float] = deque()
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def rate(self) -> float | None:
        """Requests begun in a second at most; None = the server has refused none."""
        return self._rate

    @asynccontextmanager
    async def turn(self, *, again: bool = False) -> AsyncIterator[float]:
        """A turn for one request; gives the loop's time at its start.

        `again`: before those that wait for their first.

        Whoever has the turn says `taken` or `refused` before it ends, or neither where the server
        did not answer.
        """
        await self._begin(again=again)
        try:
            yield self._now()
        finally:
            self._under_way -= 1
            self._hand_out()

    def taken(self) -> None:
        """The server has taken a request."""
        now = self._now()
        self._window = min(float(self._most), self._window + 0.5)
        self._recent.append(True)
        self._taken.append(now)
        while self._taken[0] < now - _HORIZON_S:
            self._taken.popleft()
        self._grow(now)

    def refused(self, began: float, retry_after_s: float) -> None:
        """The server has refused a request that began then because there were too many."""
        now = self._now()
        self._recent.append(False)
        if self._paused or began < self._cut_at:
            return  # it was sent before what the last refusal has changed
        self._cut_at = now
        unknown = self._rate is None or self._recent.count(False) > _MOSTLY * _RECENT
        if unknown or retry_after_s > _ROUNDED_S:
            self._pause(retry_after_s or _PAUSE_S)
        elif self._rate is not None:
            searched = self._refused_rate == math.inf
            self._refused_rate = self._rate
            self._rate = max(_LOWEST, self._rate * (_FIRST_CUT if searched else _CUT))
            self._next_at += (
                1 / self._rate
            )  # a bucket of permits is empty now: the next one would be refused, too

    async def _begin(self, *, again: bool) -> None:
        if self._measured_from is None:
            self._measured_from = self._now()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if again:
            self._waiting.appendleft(turn)
        else:
            self._waiting.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was handed out in the same moment
                self._under_way -= 1
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        """Begin what may begin now, and come back when the next may."""
        while self._waiting and not self._paused and self._under_way < int(self._window):
            if self._waiting[0].done():  # its request was cancelled
                self._waiting.popleft()
                continue
            now = self._now()
            if self._rate is not None:
                if now < self._next_at:
                    self._come_back(self._next_at)
                    return
                self._next_at = max(self._next_at + 1 / self._rate, now)
            self._under_way += 1
            self._waiting.popleft().set_result(None)

    def _come_back(self, at: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(at, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._hand_out()

    def _pause(self, seconds: float) -> None:
        self._paused = True
        asyncio.get_running_loop().call_later(seconds, self._resume)

    def _resume(self) -> None:
        """Go on at the rate that the server took, the pause included."""
        now = self._now()
        begin = max(self._measured_from or now, now - _HORIZON_S)
        took = sum(at >= begin for at in self._taken)
        self._rate = max(_LOWEST, took / max(now - begin, _PAUSE_S))
        self._refused_rate = (
            math.inf
        )  # none so far: what the pause has told is rough, so the rate grows quickly
        self._window = float(self._most)
        self._measured_from = self._next_at = self._grown_at = self._cut_at = now
        self._recent.clear()
        self._paused = False
        self._hand_out()

    def _grow(self, now: float) -> None:
        if self._rate is None or self._paused:
            return
        near = 0.9 * self._refused_rate <= self._rate <= 1.1 * self._refused_rate
        elapsed = min(1.0, now - self._grown_at)
        self._rate *= 1 + elapsed * (_NEAR if near else _FAR)
        self._grown_at = now

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
