"""A server of chats for tests (/v1/chat/completions, and Anthropic's /v1/messages), and answers in
the usual shape of the first.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

MIB = 2**20

Handler = Callable[[dict[str, Any]], Awaitable[web.StreamResponse] | web.StreamResponse]


class ChatServer:
    """A server of chats on a thread of its own; `chat` answers a body, `models` the question what
    is served.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.chat: Handler = lambda _: answer("Yours.")
        self.models: Callable[[web.Request], Any] = lambda _: web.json_response(
            {"data": [{"id": "m"}]}
        )
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runner: web.AppRunner | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=MIB)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/messages", self._chat)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        found = self.chat({**body, "request": request})
        return found if isinstance(found, web.StreamResponse) else await found

    async def _models(self, request: web.Request) -> web.StreamResponse:
        found = self.models(request)
        return found if isinstance(found, web.StreamResponse) else await found


def answer(content: Any, **changed: Any) -> web.Response:
    """An answer in the usual shape; `changed` are fields of the choice, and `top` those of the
    whole.
    """
    top = changed.pop("top", {})
    message = {"role": "assistant", "content": content, **changed.pop("message", {})}
    return web.json_response(
        {"choices": [{"message": message, "finish_reason": "stop", **changed}], **top}
    )


def raw(body: bytes | str, **options: Any) -> web.Response:
    data = body.encode() if isinstance(body, str) else body
    return web.Response(
        body=data, content_type=options.pop("content_type", "application/json"), **options
    )


def error(status: int, message: str, code: str | None = None, **headers: str) -> web.Response:
    return web.json_response(
        {"error": {"message": message, "code": code}}, status=status, headers=headers
    )
