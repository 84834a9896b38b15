"""The generation cache: an engine's replies on disk; the same request of the same model gets the same reply for ever.

One SQLite file, written reply by reply: a killed run loses none that it was given. Keys are hashes of the engine's
identity and the request – content, never a path or a time.
"""

import asyncio
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from valueagents.errors import PolicyError
from valueagents.identity import content_hash
from valueagents.policies.engines import Engine, GenerateReply, GenerateRequest, ScoreReply, ScoreRequest

_FORMAT = "valueagents-replies 1"

Reply = TypeVar("Reply", ScoreReply, GenerateReply)


class CachingEngine(Engine):
    """Answers from the file what it has answered before, and asks the engine inside for the rest.

    A stored reply comes back as it was given, marked `replayed`. The model is loaded only when the first question comes
    that the file does not answer.
    """

    def __init__(self, engine: Engine, file: Path) -> None:
        self.engine, self.file = engine, file
        self.can, self.live, self.tokens_per_s = engine.can, engine.live, engine.tokens_per_s
        self._entered = False
        self._loading = asyncio.Lock()
        self._store: sqlite3.Connection | None = None
        self._prefix = ""

    def identity(self) -> dict[str, str]:
        """The engine's own: a cache changes no answer."""
        return self.engine.identity()

    async def __aenter__(self) -> Self:
        """Open the file. Raises PolicyError if it is no cache of replies."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._store = sqlite3.connect(self.file, timeout=60, isolation_level=None)
        try:
            self._store.execute("PRAGMA journal_mode=WAL")
            self._store.execute("CREATE TABLE IF NOT EXISTS format (name TEXT PRIMARY KEY)")
            self._store.execute("CREATE TABLE IF NOT EXISTS replies (request TEXT PRIMARY KEY, reply BLOB NOT NULL)")
            self._store.execute("INSERT OR IGNORE INTO format VALUES (?)", (_FORMAT,))
            formats = [name for (name,) in self._store.execute("SELECT name FROM format")]
        except sqlite3.Error as error:
            raise PolicyError(f"{self.file} is no cache of replies ({error}); move it away or name another") from error
        if formats != [_FORMAT]:
            raise PolicyError(f"{self.file} was written by another version ({formats}); move it away or name another")
        self._prefix = content_hash(self.engine.identity())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and free the model if it was loaded."""
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._entered:
            self._entered = False
            await self.engine.__aexit__(kind, error, trace)

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """The reply of the first time."""
        stored = self._stored("score", request, ScoreReply)
        if stored is not None:
            return stored
        reply = await (await self._loaded()).score(request)
        self._keep("score", request, reply)
        return reply

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """The reply of the first time."""
        stored = self._stored("generate", request, GenerateReply)
        if stored is not None:
            return stored
        reply = await (await self._loaded()).generate(request)
        self._keep("generate", request, reply)
        return reply

    async def _loaded(self) -> Engine:
        async with self._loading:
            if not self._entered:
                await self.engine.__aenter__()
                self._entered = True
        return self.engine

    def _key(self, call: str, request: ScoreRequest | GenerateRequest) -> str:
        return content_hash(self._prefix, call, msgspec.to_builtins(request))

    def _stored(self, call: str, request: ScoreRequest | GenerateRequest, kind: type[Reply]) -> Reply | None:
        if self._store is None:
            raise PolicyError("the cache is not open: use `async with`")
        row = self._store.execute("SELECT reply FROM replies WHERE request = ?", (self._key(call, request),)).fetchone()
        if row is None:
            return None
        try:
            reply = msgspec.json.decode(row[0], type=kind)
        except msgspec.MsgspecError as error:
            raise PolicyError(f"{self.file} holds a damaged reply ({error}); move it away") from error
        return msgspec.structs.replace(reply, replayed=True, queue_s=0.0)

    def _keep(self, call: str, request: ScoreRequest | GenerateRequest, reply: ScoreReply | GenerateReply) -> None:
        if self._store is not None:
            row = self._key(call, request), msgspec.json.encode(reply)
            self._store.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", row)
