"""The generation cache: an engine's replies on disk; the same request of the same model gets the
same reply for ever.

One SQLite file, written reply by reply: a killed run loses none that it was given. Keys are hashes
of the engine's identity and the request – content, never a path or a time. Every row has a check
sum (CRC-32 of key and reply): a damaged row is refused, and so is a reply that no engine could have
given (`reply_checks.py`), whoever wrote it.
"""

import asyncio
import sqlite3
import time
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from weakref import WeakValueDictionary

import msgspec

from valueagents.errors import PolicyError, first_line
from valueagents.identity import content_hash
from valueagents.policies.engines import (
    Engine,
    EngineAdapter,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
    TopReply,
    TopRequest,
)
from valueagents.policies.engines.kept import KeptEngine
from valueagents.policies.engines.reply_checks import problem_of

_FORMAT, _FORMAT_WITHOUT_SUMS = "valueagents-replies 3", "valueagents-replies 2"
_MOVE = "move it away or name another"
_PATIENCE_S = 60.0  # how long one waits for others that hold the file

EngineRequest = ScoreRequest | TopRequest | GenerateRequest
EngineReply = TypeVar("EngineReply", ScoreReply, TopReply, GenerateReply)


class CachingEngine(Engine):
    """Answers from the file what it has answered before, and asks the engine inside for the rest.

    A stored reply comes back as it was given, marked `replayed`. The model is loaded only when the
    first question comes that the file does not answer.
    """

    def __init__(self, engine: Engine, file: Path) -> None:
        self.engine, self.file = engine, file
        self.can, self.live, self.tokens_per_s = engine.can, engine.live, engine.tokens_per_s
        self.default_reading = engine.default_reading
        self._lazy = KeptEngine(engine)
        self._store: sqlite3.Connection | None = None
        self._prefix = ""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def identity(self) -> dict[str, str]:
        """The engine's own: a cache changes no answer."""
        return self.engine.identity()

    @property
    def adapters(self) -> tuple[EngineAdapter, ...]:
        """The engine's own."""
        return self.engine.adapters

    async def __aenter__(self) -> Self:
        """Open the file. Raises PolicyError if it is not a cache of replies, or if another process
        keeps holding it.
        """
        store = None
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            store = sqlite3.connect(self.file, timeout=_PATIENCE_S, isolation_level=None)
            formats = _prepared(store)
        except (sqlite3.Error, OSError) as error:
            if store is not None:
                store.close()
            if _busy(error):
                raise PolicyError(
                    f"{self.file} is held by another process; wait for it or name another"
                ) from error
            raise PolicyError(
                f"{self.file} is not a cache of replies ({error}); move it away or name another"
            ) from error
        if formats != [_FORMAT]:
            store.close()
            raise PolicyError(
                f"{self.file} was written by another version ({formats}); move it away or name"
                " another"
            )
        self._store = store
        self._prefix = content_hash(self.engine.identity())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file, and free the model if it was loaded."""
        if self._store is not None:
            self._store.close()
            self._store = None
        await self._lazy.close()

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """The reply of the first time."""
        key = self._key("score", request)
        async with self._turn(key):
            stored = self._stored(key, request, ScoreReply)
            if stored is None:
                return self._kept(key, request, await self._lazy.score(request))
        return stored

    async def top(self, request: TopRequest) -> TopReply:
        """The reply of the first time."""
        key = self._key("top", request)
        async with self._turn(key):
            stored = self._stored(key, request, TopReply)
            if stored is None:
                return self._kept(key, request, await self._lazy.top(request))
        return stored

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """The reply of the first time."""
        key = self._key("generate", request)
        async with self._turn(key):
            stored = self._stored(key, request, GenerateReply)
            if stored is None:
                return self._kept(key, request, await self._lazy.generate(request))
        return stored

    def _key(self, call: str, request: EngineRequest) -> str:
        return content_hash(self._prefix, call, msgspec.to_builtins(request))

    def _turn(self, key: str) -> asyncio.Lock:
        """Whoever asks the same while it is being answered waits for that answer, and gets it."""
        return self._turns.setdefault(key, asyncio.Lock())

    def _stored(
        self, key: str, request: EngineRequest, kind: type[EngineReply]
    ) -> EngineReply | None:
        """The reply in the file. Raises PolicyError if it is damaged, or cannot be a reply to this
        request.
        """
        row = self._execute("SELECT reply, sum FROM replies WHERE request = ?", key)
        if row is None:
            return None
        packed, stored_sum = row
        if not isinstance(packed, bytes) or stored_sum != _sum(key, packed):
            raise PolicyError(f"{self.file} holds a damaged reply (its check sum differs); {_MOVE}")
        try:
            reply = msgspec.msgpack.decode(packed, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise PolicyError(
                f"{self.file} holds a damaged reply ({first_line(error)}); {_MOVE}"
            ) from error
        problem = problem_of(request, reply)
        if problem is not None:
            raise PolicyError(f"{self.file} holds a reply that no model gave ({problem}); {_MOVE}")
        return msgspec.structs.replace(reply, replayed=True, queue_s=0.0)

    def _kept(self, key: str, request: EngineRequest, reply: EngineReply) -> EngineReply:
        """The reply, stored; where another process was first, the one that it stored.

        Raises PolicyError for a reply that cannot be one: it would be refused whenever it is read.
        """
        if self._store is None:
            return reply
        problem = problem_of(request, reply)
        if problem is not None:
            raise PolicyError(f"the engine's reply is not kept in {self.file}: {problem}")
        packed = msgspec.msgpack.encode(reply)  # JSON has no -inf
        insert = "INSERT OR IGNORE INTO replies (request, reply, sum) VALUES (?, ?, ?)"
        self._execute(insert, key, packed, _sum(key, packed))
        if self._execute("SELECT changes()") == (0,):
            return self._stored(key, request, type(reply)) or reply
        return reply

    def _execute(self, statement: str, *values: object) -> tuple[object, ...] | None:
        """The first row of a statement's result.

        Raises PolicyError if the file cannot be read or written.
        """
        if self._store is None:
            raise PolicyError("the cache is not open: use `async with`")
        try:
            row: tuple[object, ...] | None = self._store.execute(statement, values).fetchone()
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            if isinstance(error, sqlite3.Error) and _busy(error):
                raise PolicyError(
                    f"{self.file} is held by another process; wait for it or name another"
                ) from error
            raise PolicyError(f"{self.file} is damaged ({first_line(error)}); {_MOVE}") from error
        return row


def _prepared(store: sqlite3.Connection) -> list[str]:
    """The formats that a file names, its tables made if it is new."""
    _write_ahead(store)
    store.execute(
        "PRAGMA synchronous=NORMAL"
    )  # a killed process loses nothing, a power cut the last replies at most
    store.execute("CREATE TABLE IF NOT EXISTS format (name TEXT PRIMARY KEY)")
    store.execute(
        "CREATE TABLE IF NOT EXISTS replies (request TEXT PRIMARY KEY, reply BLOB NOT NULL, sum"
        " INTEGER NOT NULL)"
    )
    store.execute("INSERT INTO format SELECT ? WHERE NOT EXISTS (SELECT 1 FROM format)", (_FORMAT,))
    if _formats(store) == [_FORMAT_WITHOUT_SUMS]:
        _add_sums(store)
    return _formats(store)


def _formats(store: sqlite3.Connection) -> list[str]:
    return [name for (name,) in store.execute("SELECT name FROM format")]


def _add_sums(store: sqlite3.Connection) -> None:
    """A file of the format before has check sums of what is in it now; all of them, or none if this
    is killed.
    """
    store.create_function("row_sum", 2, _sum, deterministic=True)
    store.execute("BEGIN IMMEDIATE")
    if _formats(store) == [_FORMAT_WITHOUT_SUMS]:  # else another process was first
        store.execute("ALTER TABLE replies ADD COLUMN sum INTEGER NOT NULL DEFAULT 0")
        store.execute("UPDATE replies SET sum = row_sum(request, reply)")
        store.execute("UPDATE format SET name = ?", (_FORMAT,))
    store.execute("COMMIT")


def _sum(key: str, packed: bytes) -> int:
    """The check sum of a row; the key is part of it, so that no row passes for another."""
    return zlib.crc32(packed, zlib.crc32(key.encode()))


def _write_ahead(store: sqlite3.Connection) -> None:
    """Readers and a writer do not wait for one another from here on; the file remembers it.

    Of two that turn a new file at once SQLite refuses one without waiting: it is asked again.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            store.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if not _busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
