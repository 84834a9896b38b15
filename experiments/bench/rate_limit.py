"""Does the engine for served models keep a server busy that refuses what is over its limit, without
being refused?

A mock server in a process of its own has a bucket of permits, refilled at the limit and at first
full for one second. A request without a permit is refused (429, Retry-After: 1), any other is
answered after a delay. Many agents ask at once and know nothing of the limit. The time begins with
the first request: finding the limit is part of it. The server counts what it took and what it
refused. Without adapting, 190 answers at 5 a second once cost 847 refusals.
"""

import asyncio
import multiprocessing
import multiprocessing.connection
import time
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from valueagents.experiments.bench.engines import make_engine
from valueagents.experiments.bench.timing import (
    make_parser,
    print_figure,
    read_options,
    require_work,
)
from valueagents.policies.engines import GenerateRequest, Message, Sampling

SIZES = {"agents": (64, 16), "answers": (600, 60), "limit": (20, 20), "delay_ms": (200, 50)}


class LimitedServer:
    """Answers `limit` requests a second and refuses the others."""

    def __init__(self, limit: float, delay_s: float) -> None:
        self._limit, self._delay_s = limit, delay_s
        self._permits, self._filled_at = limit, time.monotonic()
        self._taken = self._refused = 0

    async def serve(self, told: multiprocessing.connection.Connection) -> None:
        """Answer on a free port of the loopback, which is told, until killed."""
        app = web.Application()
        app.add_routes(
            [web.post("/v1/chat/completions", self._chat), web.get("/v1/models", self._models)]
        )
        app.add_routes([web.get("/counts", self._counts)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        told.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    def _permitted(self) -> bool:
        now = time.monotonic()
        self._permits = min(self._limit, self._permits + (now - self._filled_at) * self._limit)
        self._filled_at = now
        if self._permits < 1:
            return False
        self._permits -= 1
        return True

    async def _chat(self, request: web.Request) -> web.Response:
        await request.read()
        if not self._permitted():
            self._refused += 1
            return web.json_response(
                {"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "1"}
            )
        self._taken += 1
        await asyncio.sleep(self._delay_s)
        return web.json_response(
            {"choices": [{"message": {"content": "A"}, "finish_reason": "stop"}]}
        )

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "base"}]})

    async def _counts(self, _: web.Request) -> web.Response:
        return web.json_response([self._taken, self._refused])


def serve(told: multiprocessing.connection.Connection, limit: float, delay_s: float) -> None:
    """The process of the mock server."""
    asyncio.run(LimitedServer(limit, delay_s).serve(told))


async def measure(port: int, *, agents: int, answers: int) -> tuple[float, int, int]:
    """The seconds that the answers took, and how many requests the server took and refused
    meanwhile.
    """
    root = f"http://127.0.0.1:{port}"
    left = iter(range(answers))
    async with make_engine(f"openai:{root}/v1?server=other&reading=say&live={agents}") as engine:

        async def agent() -> None:
            for seed in left:
                await engine.generate(
                    GenerateRequest((Message("user", "A or B?"),), Sampling(), seed=seed)
                )

        started = time.perf_counter()
        await asyncio.gather(*(agent() for _ in range(agents)))
        seconds = time.perf_counter() - started
    async with aiohttp.ClientSession() as session, session.get(f"{root}/counts") as response:
        taken, refused = await response.json()
    return seconds, taken, refused


def main(argv: Sequence[str] | None = None) -> None:
    """Start the mock server, measure, stop it."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    arguments = (there, float(options.limit), options.delay_ms / 1000)
    server = context.Process(target=serve, args=arguments, daemon=True)
    server.start()
    try:
        port: int = here.recv()
        measuring = measure(port, agents=options.agents, answers=options.answers)
        seconds, taken, refused = asyncio.run(measuring)
    finally:
        server.terminate()
        server.join()
    require_work("answers", done=taken, needed=options.answers)
    print(
        f"{options.agents} agents, {options.answers:,} answers, a limit of {options.limit} requests"
        " a second"
    )
    print_figure("answers a second ÷ limit", [taken / seconds / options.limit], least=0.9)
    print_figure("refused, as a share of all requests", [refused / (taken + refused)], most=0.05)


if __name__ == "__main__":
    main()
