"""Client: where a server is, and requests to it although it may be slow, overloaded, or dead for a while.

What may pass – refused and broken connections, time-outs, 408, 429, 5xx, answers that are no answer – is tried again
with exponential backoff and full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015) until the client's
patience ends; a server that names its own time is asked again after it. What will not pass fails at once.

A key stays in its environment variable: it is read when a request is made, and never stored, printed or hashed.
"""

import asyncio
import ipaddress
import os
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from valueagents.errors import ConfigError, PolicyError, first_line

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

_CONNECTIONS = 512
_IDLE_S = 4.0  # uvicorn, which serves vLLM, drops idle connections after 5 s; being first saves a broken request
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.5, 8.0
_PASSING = frozenset({408, 425, 429})
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Address:
    """`api` is what the user wrote (…/v1), `root` the same without /v1: vLLM's additions to the standard are there."""

    api: str
    root: str
    key_env: str
    insecure: bool

    def headers(self) -> dict[str, str]:
        """The headers of a request. Raises ConfigError if the key would cross a network unencrypted."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        key = self._key()
        if not key:
            return headers
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"the key in ${self.key_env} holds characters that no header can; set it again")
        parts = urlsplit(self.api)
        if parts.scheme == "http" and not _is_loopback(parts.hostname or "") and not self.insecure:
            raise ConfigError(
                f"{self.root} is not encrypted and not on this machine: the key in ${self.key_env} could be read on "
                f"the way; use https, unset ${self.key_env}, or say insecure=true"
            )
        return {**headers, "Authorization": f"Bearer {key}"}

    def without_key(self, text: str) -> str:
        """A server's text, with the key taken out if it repeats it."""
        key = self._key()
        return text.replace(key, "***") if key else text

    def _key(self) -> str:
        return os.environ.get(self.key_env, "").strip()


def read_address(url: str, *, key_env: str, insecure: bool) -> Address:
    """The address in a URL; /v1 is added where the URL has no path. Raises ConfigError if it is none."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is not a URL ({error}); give something like http://127.0.0.1:8000/v1") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"the URL of {host} holds a user name or password; put the key into ${key_env} instead")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ConfigError(f"{url!r} is not a server's URL; give something like http://127.0.0.1:8000/v1")
    path = parts.path.rstrip("/") or "/v1"
    api = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return Address(api, api.removesuffix("/v1"), key_env, insecure)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """`attempts` says how often it was asked for, `queue_s` how long it waited for a free connection."""

    value: T
    attempts: int
    queue_s: float


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why an attempt failed, and when the server wants to be asked again."""

    reason: str
    retry_after_s: float = 0.0


class Client:
    """Posts JSON. Make it on the event loop that uses it, and close it."""

    def __init__(self, address: Address, *, timeout_s: float, patience_s: float) -> None:
        module = import_aiohttp()
        self._address, self._timeout_s, self._patience_s = address, timeout_s, patience_s
        self._seats = asyncio.Semaphore(_CONNECTIONS)  # not the connector's limit: waiting there is counted as time-out
        self._session: aiohttp.ClientSession = module.ClientSession(
            connector=module.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
            timeout=module.ClientTimeout(total=timeout_s),
            headers=address.headers(),
        )
        self._broken = (module.ClientError, TimeoutError)
        self._jitter = random.Random()  # noqa: S311 – spreads retries, reaches no result

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def post(self, url: str, body: dict[str, Any], decoder: msgspec.json.Decoder[T]) -> Answer[T]:
        """The answer to a request. Raises PolicyError if it is refused, or patience ends."""
        data = _ENCODER.encode(body)
        attempts, queue_s, deadline = 0, 0.0, 0.0
        while True:
            asked = time.monotonic()
            async with self._seats:
                queue_s += time.monotonic() - asked
                attempts += 1
                found = await self._try(url, data, decoder)
            if not isinstance(found, _Trouble):
                return Answer(found, attempts, queue_s)
            deadline = deadline or time.monotonic() + self._patience_s
            backoff = min(_LAST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** min(attempts - 1, 10))
            pause = max(self._jitter.uniform(0, backoff), found.retry_after_s)
            if time.monotonic() + pause > deadline:
                raise PolicyError(
                    f"{self._address.root} gave no answer in {attempts} attempts over {self._patience_s:g} s "
                    f"(last: {found.reason}); look at the server's log, or raise patience_s"
                )
            await asyncio.sleep(pause)

    async def _try(self, url: str, data: bytes, decoder: msgspec.json.Decoder[T]) -> T | _Trouble:
        try:
            async with self._session.post(url, data=data, allow_redirects=False) as response:
                text = await response.read()
                status, retry_after = response.status, response.headers.get("Retry-After", "")
        except self._broken as error:
            return _Trouble(
                f"nothing within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else first_line(error)
            )
        if status in _PASSING or status >= 500:
            return _Trouble(f"status {status}: {self._message(text)}", _seconds(retry_after))
        if status >= 300:
            raise PolicyError(f"the server refuses the request (status {status}): {self._message(text)}")
        try:
            return decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return _Trouble(f"not the JSON that was asked for ({first_line(error)}): {self._message(text)}")

    def _message(self, text: bytes) -> str:
        return self._address.without_key(error_message(text))


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


def error_message(text: bytes) -> str:
    """What a server's error says, in one line, in any of the usual shapes."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = None
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(key):
            found = found[key]
    said = found if isinstance(found, str) else text.decode(errors="replace")
    return " ".join(said.split())[:400] or "no message"


def import_aiohttp() -> Any:
    """The module. Raises ConfigError, naming the extra, if it is not installed."""
    try:
        import aiohttp
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'valueagents[openai]'") from error
    return aiohttp


def _seconds(retry_after: str) -> float:
    """The header as seconds from now: a number or a date (RFC 9110, 10.2.3); 0 if it is neither."""
    try:
        if retry_after.strip().isdigit():
            return float(retry_after)
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
