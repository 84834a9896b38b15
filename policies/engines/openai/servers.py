"""One model behind several servers: each question goes to one of them, and a server that dies is
left and taken back.

What an episode is asked begins alike at every turn, so a question goes where the first messages of
its chat send it (rendezvous hashing: Thaler & Ravishankar, IEEE/ACM Trans. Networking 1998): an
episode stays on one server, which has its beginning in its cache, and where a server is gone only
its own episodes move. Adapters share no beginning, so of several each has servers of its own.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from valueagents.errors import ConfigError, PolicyError, first_line
from valueagents.identity import content_hash
from valueagents.policies.engines.engine import (
    Chat,
    Engine,
    EngineAdapter,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
    TopReply,
    TopRequest,
)
from valueagents.policies.engines.openai.client import Unreachable
from valueagents.policies.engines.openai.engine import OpenAIEngine

log = logging.getLogger("valueagents")

Reply = TypeVar("Reply", ScoreReply, TopReply, GenerateReply)

_LEAVE_AFTER_S = 5.0
"""Of several servers one that gives no answer for so long is left."""
_BACK_AFTER_S = 10.0
"""A server that was left is asked again after that."""
_PAUSE_S = 0.5
_FIRST_MESSAGES = 2


class OpenAIServers(Engine):
    """A served model: vLLM's, or that of any other OpenAI-compatible server, or of several alike.

    Args:
        target: the URL of the server's API, `http://127.0.0.1:8000/v1`; of several servers of one
            model their URLs, with commas between them.
        adapters: as those of one server (`OpenAIEngine`); every server must serve them.
    """

    Options = OpenAIEngine.Options

    def __init__(
        self,
        target: str,
        options: OpenAIEngine.Options | None = None,
        adapters: Sequence[str] = (),
    ) -> None:
        self.options = options or OpenAIEngine.Options()
        urls = [url.strip() for url in target.split(",")]
        if len(set(urls)) < len(urls) or not all(urls):
            raise ConfigError(f"openai:{target}: give each server's URL once, a comma between two")
        patience_s = self.options.patience_s
        if len(urls) > 1:
            patience_s = min(patience_s, _LEAVE_AFTER_S)
        of_one = msgspec.structs.replace(self.options, patience_s=patience_s)
        self._servers = [_Server(url, OpenAIEngine(url, of_one, adapters)) for url in urls]
        self.can = self._servers[0].engine.can
        self.live = self.options.live * len(urls)
        self._told: dict[str, str] | None = None
        self._adapters: tuple[EngineAdapter, ...] | None = None

    def identity(self) -> dict[str, str]:
        """That of one server: how many there are decides no answer.

        Raises PolicyError if none answers, ConfigError if two serve different things.
        """
        unreachable: Unreachable | None = None
        for server in self._servers:
            try:
                self._require_alike(server)
            except Unreachable as error:
                unreachable = error
        if self._told is None:
            raise unreachable or PolicyError("no server was asked")
        return self._told

    @property
    def adapters(self) -> tuple[EngineAdapter, ...]:
        """Those of the first server that answers, which were the same at every other."""
        if self._adapters is None:
            self.identity()
            self._adapters = next(
                server.engine.adapters for server in self._servers if server.was_met
            )
        return self._adapters

    def _require_alike(self, server: "_Server") -> None:
        """Raise ConfigError if a server serves something else than those that were met before,
        Unreachable if nobody answers.
        """
        told = server.engine.identity()
        server.was_met = True
        self._told = self._told or told
        if told != self._told:
            known = self._told
            name = next(name for name in {**known, **told} if known.get(name) != told.get(name))
            raise ConfigError(
                f"{server.url} serves something else than the servers before it: its {name} is"
                f" {told.get(name)}, not {known.get(name)}; give servers of one model"
            )

    async def __aenter__(self) -> Self:
        """Connect to all servers; of several those that do not answer are left until they do.

        Raises PolicyError if none answers, and what `OpenAIEngine` raises of one that does.
        """
        try:
            await self._enter_all()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _enter_all(self) -> None:
        if len(self._servers) == 1:
            await self._servers[0].enter()
            return
        await asyncio.gather(*(self._try_to_enter(server) for server in self._servers))
        if not any(server.entered for server in self._servers):
            raise PolicyError(f"none of the {len(self._servers)} servers answers; start them")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        for server in self._servers:
            await server.leave()

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """By one of the servers."""
        return await self._ask(request.chats[0], request.adapter, lambda e: e.score(request))

    async def top(self, request: TopRequest) -> TopReply:
        """By one of the servers."""
        return await self._ask(request.chats[0], request.adapter, lambda e: e.top(request))

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """By one of the servers."""
        return await self._ask(request.chat, request.adapter, lambda e: e.generate(request))

    async def _ask(
        self,
        chat: Chat,
        adapter: str | None,
        ask: Callable[[OpenAIEngine], Awaitable[Reply]],
    ) -> Reply:
        """The answer of the server that the chat goes to, or of the next one that answers.

        Raises PolicyError if none does while patience lasts.
        """
        if len(self._servers) == 1:
            return await ask(self._servers[0].engine)
        deadline, moves = time.monotonic() + self.options.patience_s, 0
        order = self._order(chat, adapter)
        while True:
            for server in order:
                if not await self._is_there(server):
                    continue
                try:
                    reply = await ask(server.engine)
                except Unreachable as error:
                    server.away(error)
                    moves += 1
                else:
                    return msgspec.structs.replace(reply, attempts=reply.attempts + moves)
            if time.monotonic() > deadline:
                raise PolicyError(
                    f"none of {len(order)} servers gave an answer within"
                    f" {self.options.patience_s:g} s; look at their logs, or raise patience_s"
                )
            await asyncio.sleep(_PAUSE_S)

    def _order(self, chat: Chat, adapter: str | None) -> list["_Server"]:
        """The servers in the order in which they are asked: the adapter's own first, each by what
        the chat begins with.
        """
        begins = [msgspec.to_builtins(message) for message in chat[:_FIRST_MESSAGES]]
        own = self._of_adapter(adapter)
        return sorted(
            self._servers,
            key=lambda server: (server not in own, content_hash(begins, adapter, server.url)),
        )

    def _of_adapter(self, adapter: str | None) -> list["_Server"]:
        """The servers that an adapter is asked on first: of several adapters each has its share."""
        names = [each.name for each in self.adapters]
        if adapter is None or len(names) < 2:
            return self._servers
        count, share = len(self._servers), max(1, len(self._servers) // len(names))
        first = names.index(adapter) * count // len(names)
        return [self._servers[(first + k) % count] for k in range(share)]

    async def _is_there(self, server: "_Server") -> bool:
        """True if a server may be asked: it was not left a moment ago, and has been connected."""
        if time.monotonic() < server.away_until_s:
            return False
        async with server.entering:
            if not server.entered:
                await self._try_to_enter(server)
        return server.entered

    async def _try_to_enter(self, server: "_Server") -> None:
        """The server is connected, or left for a while where nobody answers.

        Raises ConfigError if it serves something else than the others.
        """
        try:
            await server.enter()
        except Unreachable as error:
            server.away(error)
            return
        await asyncio.to_thread(self._require_alike, server)


class _Server:
    """One of the servers: its engine, whether it was asked what it serves, whether it is connected,
    and until when it is left alone.
    """

    def __init__(self, url: str, engine: OpenAIEngine) -> None:
        self.url, self.engine = url, engine
        self.was_met = self.entered = False
        self.away_until_s, self.entering = 0.0, asyncio.Lock()

    async def enter(self) -> None:
        """It is connected."""
        await self.engine.__aenter__()
        self.entered = True
        if self.away_until_s:
            log.info("%s answers again", self.url)
        self.away_until_s = 0.0

    async def leave(self) -> None:
        """It is connected no more."""
        if self.entered:
            self.entered = False
            await self.engine.__aexit__()

    def away(self, error: PolicyError) -> None:
        """It is left alone for a while."""
        if time.monotonic() >= self.away_until_s:
            log.warning("%s is left for a while: %s", self.url, first_line(error))
        self.away_until_s = time.monotonic() + _BACK_AFTER_S
