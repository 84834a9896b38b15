"""Client: requests to a server although it may be slow, overloaded, or dead for a while.

What may pass – refused and broken connections, time-outs, 408, 429, 5xx, answers that were broken
off – is tried again with exponential backoff and full jitter (Brooker, "Exponential Backoff And
Jitter", AWS 2015) until the client's patience ends; a server that names its own time is asked again
after it. What will not pass fails at once, and an answer of another shape than asked for, which may
be a proxy's page, when it comes the second time.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec

from valueagents.errors import ConfigError, PolicyError, first_line
from valueagents.policies.engines.openai.address import Address
from valueagents.policies.engines.openai.bodies import (
    MIB,
    BrokenOff,
    NoAnswer,
    error_code,
    error_message,
    read_body,
)
from valueagents.policies.engines.openai.pace import Pace

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

MOST_BYTES = 32 * MIB
"""Of an answer: the log-probabilities of 128 thousand tokens take 12 MiB."""

# uvicorn, which serves vLLM, drops idle connections after 5 s; being first saves a broken request
_IDLE_S = 4.0
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.5, 8.0
_PASSING = frozenset({408, 425, 429})
_MOST_SHAPELESS = 2
_ASKED_ONCE_BYTES, _ASKED_ONCE_S = 8 * MIB, 10.0
_ENCODER = msgspec.json.Encoder()


class ServerRefused(PolicyError):
    """The server answered with an error status that will not pass."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(f"the server refuses the request (status {status}): {message}")
        self.status, self.message, self.code = status, message, code


class Unreachable(PolicyError):
    """Nobody answers at the address, or not in time."""


@dataclass(frozen=True, slots=True)
class TimedAnswer(Generic[T]):
    """`attempts` says how often it was asked for, `queue_s` how long it waited for its turn."""

    value: T
    attempts: int
    queue_s: float


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why an attempt failed, and when the server wants to be asked again."""

    reason: str
    kind: Literal["passing", "away", "too many", "shapeless"] = "passing"
    retry_after_s: float = 0.0


class Client:
    """Posts JSON. Make it on the event loop that uses it, and close it.

    `returned` is awaited once after the server was away, before its next answer is believed.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float,
        patience_s: float,
        returned: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._address, self._timeout_s, self._patience_s = address, timeout_s, patience_s
        self._pace = Pace()  # not the connector's limit: waiting there is counted as time-out
        self._proxy = address.proxy()
        self._session = open_session(address, timeout_s)
        self._broken = _broken()
        self._returned, self._away, self._returning = returned, False, asyncio.Lock()
        self._jitter = random.Random()  # noqa: S311 – spreads retries, reaches no result

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def post(
        self,
        url: str,
        body: dict[str, Any],
        read: Callable[[bytes], T],
        *,
        most_bytes: int = MOST_BYTES,
    ) -> TimedAnswer[T]:
        """What `read` makes of the answer; it raises NoAnswer or BrokenOff.

        Raises Refused if the request is refused, PolicyError if there is no answer in time.
        """
        data = _ENCODER.encode(body)
        attempts, queue_s, deadline, shapeless = 0, 0.0, 0.0, 0
        while True:
            asked = time.monotonic()
            async with self._pace.turn(again=attempts > 0) as began:
                queue_s += time.monotonic() - asked
                attempts += 1
                found = await self._try(url, data, read, most_bytes)
                self._note(found, began)
            if self._away and not isinstance(found, _Trouble):
                found = await self._after_return(found)
            if isinstance(found, ServerRefused):
                raise found
            if not isinstance(found, _Trouble):
                return TimedAnswer(found, attempts, queue_s)
            shapeless += found.kind == "shapeless"
            if shapeless == _MOST_SHAPELESS:
                raise PolicyError(f"the server's answer is not what was asked for: {found.reason}")
            deadline = deadline or time.monotonic() + self._patience_s
            await self._wait(found, attempts, deadline)

    async def _wait(self, trouble: _Trouble, attempts: int, deadline: float) -> None:
        """Wait before the next attempt. Raises PolicyError if patience ends before it."""
        backoff = min(_LAST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** min(attempts - 1, 10))
        pause = 0.0 if trouble.kind == "too many" else self._jitter.uniform(0, backoff)
        pause = max(pause, trouble.retry_after_s)
        if time.monotonic() + pause <= deadline:
            await asyncio.sleep(pause)
            return
        if trouble.retry_after_s > self._patience_s:
            raise PolicyError(
                f"{self._address.root} asks to be left alone for {trouble.retry_after_s:,.0f} s"
                f" (Retry-After), longer than patience_s={self._patience_s:g}: {trouble.reason};"
                " continue the run after that"
            )
        raise Unreachable(
            f"{self._address.root} gave no answer in {attempts} attempts over {self._patience_s:g}"
            f" s (last: {trouble.reason}); look at the server's log, or raise patience_s"
        )

    def _note(self, found: object, began: float) -> None:
        """The pace and whether the server is away follow from an attempt."""
        if not isinstance(found, _Trouble):
            self._pace.taken()
        elif found.kind == "too many":
            self._pace.refused(began, min(found.retry_after_s, self._patience_s))
        elif found.kind == "away":
            self._away = True

    async def _after_return(self, found: T | ServerRefused) -> T | ServerRefused | _Trouble:
        """What to believe of the first answers of a server that was away: another one may answer
        now.
        """
        async with self._returning:
            if self._away and self._returned is not None:
                try:
                    await self._returned()
                except (Unreachable, ServerRefused) as error:
                    return _Trouble(first_line(error), "away")
            self._away = False
        if isinstance(found, ServerRefused):  # of an adapter, perhaps, that it has only loaded now
            return _Trouble(first_line(found))
        return found

    async def _try(
        self, url: str, data: bytes, read: Callable[[bytes], T], most_bytes: int
    ) -> T | ServerRefused | _Trouble:
        text = b""
        try:
            async with self._session.post(
                url, data=data, allow_redirects=False, proxy=self._proxy
            ) as response:
                status, retry_after = response.status, response.headers.get("Retry-After", "")
                text = self._address.body_without_key(await read_body(response, most_bytes))
            if status < 300:
                return read(text)
        except self._broken as error:
            why = (
                f"nothing within {self._timeout_s:g} s"
                if isinstance(error, TimeoutError)
                else first_line(error)
            )
            return _Trouble(
                self._address.without_key(why),
                "passing" if isinstance(error, TimeoutError) else "away",
            )
        except BrokenOff as error:
            return _Trouble(str(error))
        except NoAnswer as error:
            return _Trouble(f"{error} ({self._message(text)})" if text else str(error), "shapeless")
        if status in _PASSING or status >= 500:
            overloaded = status == 429 or (status == 503 and retry_after != "")
            kind: Literal["too many", "passing"] = "too many" if overloaded else "passing"
            return _Trouble(
                f"status {status}: {self._message(text)}", kind, seconds_of(retry_after)
            )
        return ServerRefused(status, self._message(text), error_code(text))

    def _message(self, text: bytes) -> str:
        return self._address.without_key(error_message(text))


def ask_server(
    address: Address, url: str, data: bytes | None = None, *, timeout_s: float = _ASKED_ONCE_S
) -> bytes:
    """The body of an answer to a GET or to posted JSON, asked for once.

    Blocks, for `timeout_s` in all at most.

    Raises Refused for an error status, Unreachable if nobody answers in that time.
    """
    with ThreadPoolExecutor(
        1, "ask server"
    ) as thread:  # a loop of its own, because the caller's may be running
        return thread.submit(lambda: asyncio.run(_ask(address, url, data, timeout_s))).result()


async def _ask(address: Address, url: str, data: bytes | None, timeout_s: float) -> bytes:
    method = "GET" if data is None else "POST"
    try:
        async with (
            open_session(address, timeout_s) as session,
            session.request(
                method, url, data=data, allow_redirects=False, proxy=address.proxy()
            ) as response,
        ):
            body = address.body_without_key(await read_body(response, _ASKED_ONCE_BYTES))
            if response.status >= 300:
                raise ServerRefused(response.status, address.without_key(error_message(body)))
            return body
    except NoAnswer as error:
        raise PolicyError(f"{url}: the answer cannot be read, {error}") from None
    except _broken() as error:
        why = (
            f"nothing within {timeout_s:g} s"
            if isinstance(error, TimeoutError)
            else first_line(error)
        )
        raise Unreachable(
            f"no server answers at {address.root} ({address.without_key(why)}); start one with:"
            " valueagents serve MODEL"
        ) from error


def open_session(address: Address, timeout_s: float) -> "aiohttp.ClientSession":
    """A session that sends the key, keeps no cookies, and leaves bodies packed as they come."""
    module = import_aiohttp()
    session: aiohttp.ClientSession = module.ClientSession(
        connector=module.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
        timeout=module.ClientTimeout(total=timeout_s),
        headers=address.headers(),
        cookie_jar=module.DummyCookieJar(),
        auto_decompress=False,
    )
    return session


async def together(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. The first error cancels the others and is raised."""
    if len(coroutines) == 1:
        return [await coroutines[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except* PolicyError as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def import_aiohttp() -> Any:
    """The module. Raises ConfigError, naming the extra, if it is not installed."""
    try:
        import aiohttp
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed: pip install 'valueagents[openai]'"
        ) from error
    return aiohttp


def _broken() -> tuple[type[Exception], ...]:
    """What is raised where nobody answers, or only half."""
    return (import_aiohttp().ClientError, TimeoutError, OSError)


def seconds_of(retry_after: str) -> float:
    """The header as seconds from now: a number or a date (RFC 9110, 10.2.3); 0 if it is neither."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            until = parsedate_to_datetime(retry_after)
            until = until if until.tzinfo else until.replace(tzinfo=UTC)
            seconds = (until - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return 0.0
    return 0.0 if math.isnan(seconds) else max(0.0, seconds)
