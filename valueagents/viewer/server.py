"""The pages over HTTP, on this machine only: 127.0.0.1, no other host's name, nothing but reading.

A page in a browser elsewhere could have its own name point to 127.0.0.1 and then read what is here
(DNS rebinding); so a request must name this host.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from valueagents.errors import ConfigError
from valueagents.viewer.site import Answer, Site, policy

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")


def serve(site: Site, port: int, ready: Callable[[str], None]) -> None:
    """The site is served until the process is interrupted; `ready` is told its address. Port 0
    takes a free one.

    Raises ConfigError if the port is taken.
    """
    asyncio.run(_serve(site, port, ready))


async def _serve(site: Site, port: int, ready: Callable[[str], None]) -> None:
    runner = web.AppRunner(make_app(site), access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ConfigError(
                f"port {port} of {HOST} is taken or not allowed; give another --port, or 0 for a"
                " free one"
            ) from error
        ready(f"http://{HOST}:{runner.addresses[0][1]}/")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def make_app(site: Site) -> web.Application:
    """The application: every address is a page of the site, made on one thread, one at a time."""
    thread = ThreadPoolExecutor(1, "view")

    async def page(request: web.Request) -> web.Response:
        loop = asyncio.get_running_loop()
        made: Answer = await loop.run_in_executor(
            thread, site.page, request.match_info["path"], dict(request.query)
        )
        return web.Response(status=made.status, text=made.html, content_type="text/html")

    @web.middleware
    async def guarded(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.url.host not in _NAMES or request.url.port != _port(request):
            return web.Response(status=421, text="This server is not of that name.\n")
        return await handler(request)

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_headers())

    app = web.Application(middlewares=[guarded], client_max_size=1)
    app.on_response_prepare.append(add_headers)
    app.router.add_get("/{path:.*}", page)
    return app


def _port(request: web.Request) -> int:
    """The port at which the request came in."""
    assert request.transport is not None  # noqa: S101 – it has just come
    port: int = request.transport.get_extra_info("sockname")[1]
    return port


def _headers() -> dict[str, str]:
    return {
        "Content-Security-Policy": policy(),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
