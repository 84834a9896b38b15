"""The gate of a server that takes in adapters while it runs: `valueagents serve --load-from
FOLDER`.

Left alone, vLLM 0.32 loads whatever folder anybody names, also over the page /adapters, which its
key does not guard; leaves out, without a word, matrices of modules that it was not started for; and
with every slot taken gives base-model rows an adapter's answers on a CPU. Through the gate comes
only what lies in one folder, is called by the hash of what it holds, and fits what the server was
started for. Nothing is replaced or unloaded: others may be using it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import msgspec

from valueagents.errors import NOT_JSON, ConfigError, ValueAgentsError
from valueagents.policies.adapters import read_adapter
from valueagents.policies.engines.vllm.settings import check_applied_whole
from valueagents.policies.models import ModelFiles

LIMITS_VARIABLE = "VALUEAGENTS_ADAPTER_LIMITS"
LOAD_PATH = "/v1/load_checked_adapter"
"""A page of the gate's own: a server without a gate does not answer there."""

_BEHIND = "/v1/load_lora_adapter"
_SHUT = (_BEHIND, "/v1/unload_lora_adapter", "/adapters")
_BODY_BYTES = 65_536

AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
App = Callable[[AsgiMessage, Receive, Send], Awaitable[None]]


class AdapterLimits(msgspec.Struct, frozen=True):
    """What a server was started for: adapters of `model` (a folder) that lie in `folder`, of at
    most that rank.

    `modules` are the ones that may be adapted; `slots` counts adapters on top of those that were
    loaded at the start.
    """

    model: str
    folder: str
    rank: int
    modules: tuple[str, ...]
    slots: int

    def check(self, path: str, name: str) -> None:
        """Raise ConfigError if the adapter at a path lies elsewhere, does not fit, or is another
        than the one named.
        """
        where = Path(path)
        if not (
            where.is_absolute() and where == where.resolve() and where.is_relative_to(self.folder)
        ):
            raise ConfigError(
                f"{path} is not in {self.folder}, the only folder that this server loads from"
            )
        adapter = read_adapter(path, ModelFiles(self.model, Path(self.model)))
        if adapter.name != name:
            raise ConfigError(f"{path} holds the adapter {adapter.name}, not {name}; start again")
        check_applied_whole([adapter])
        lacking = sorted(set(adapter.target_modules) - set(self.modules))
        if adapter.rank > self.rank or lacking:
            raise ConfigError(
                f"{path} has rank {adapter.rank} and adapts {', '.join(adapter.target_modules)};"
                f" this server was started for rank {self.rank} and {', '.join(self.modules)};"
                f" restart it with --adapter {path}"
            )


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    """vLLM's own further options would exchange the weights under a name."""

    lora_name: str
    lora_path: str


class AdapterGate:
    """ASGI middleware of vLLM's server; its limits are in $VALUEAGENTS_ADAPTER_LIMITS."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._limits = msgspec.json.decode(os.environ[LIMITS_VARIABLE], type=AdapterLimits)
        self._loaded: set[str] = set()
        self._turn = asyncio.Lock()  # the last slot is taken once

    async def __call__(self, scope: AsgiMessage, receive: Receive, send: Send) -> None:
        """Pass on what has nothing to do with loading."""
        path = scope.get("path", "")
        if path.startswith(_SHUT):
            await _answer(
                send, 403, f"adapters are loaded by POST {LOAD_PATH} only, and never unloaded"
            )
        elif path == LOAD_PATH:
            body = await _body(receive)
            async with self._turn:
                await self._load(scope, body, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _load(self, scope: AsgiMessage, body: bytes, receive: Receive, send: Send) -> None:
        try:
            asked = msgspec.json.decode(body, type=_Asked)
            if asked.lora_name in self._loaded:
                await _answer(send, 200, "another client was first")
                return
            if len(self._loaded) >= self._limits.slots:
                raise ConfigError(
                    f"all {self._limits.slots} slots are taken; restart the server with more"
                    " --load-slots"
                )
            await asyncio.to_thread(self._limits.check, asked.lora_path, asked.lora_name)
        except (
            ValueAgentsError,
            OSError,
            *NOT_JSON,
        ) as error:  # a NUL or too long a path, too
            await _answer(send, 400, str(error))
            return
        again: list[AsgiMessage] = [{"type": "http.request", "body": body, "more_body": False}]

        async def reread() -> AsgiMessage:
            return again.pop() if again else await receive()

        async def watch(message: AsgiMessage) -> None:
            if message.get("status") == 200:
                self._loaded.add(asked.lora_name)
            await send(message)

        await self._app({**scope, "path": _BEHIND, "raw_path": _BEHIND.encode()}, reread, watch)


async def _body(receive: Receive) -> bytes:
    """The body, or as much of it as no honest one has."""
    body, more = b"", True
    while more and len(body) <= _BODY_BYTES:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _answer(send: Send, status: int, message: str) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode({"message": message})})
