"""Does the engine for served models keep up with many agents? 512 of them ask a mock server that takes 200 ms a time.

Side by side, in turn, in one process: the engine (tokens checked, retries armed, counters read) and a bare aiohttp loop
that posts the same bodies and parses the same answers. The mock server is a process of its own. One decision of the
engine is two requests, the tokens of the chat and the scores of its labels; all of them count, the warm-up does not.
"""

import asyncio
import multiprocessing
import multiprocessing.connection
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from valueagents.policies.engines import Message, ScoreRequest
from valueagents.policies.engines.chats import TEMPLATE_OPTIONS
from valueagents.policies.engines.openai.completions import AS_IT_IS
from valueagents.policies.engines.openai.engine import OpenAIEngine

AGENTS = 512
DELAY_S = 0.2
DECISIONS = 6  # by each agent and round
ROUNDS = 5
LABELS = ("A", "B", "C", "D", "E", "F")
TOKENS = list(range(300, 600))


def serve(told: multiprocessing.connection.Connection) -> None:
    """Answer on a free port of the loopback, which is told, until killed."""

    async def tokenize(request: web.Request) -> web.Response:
        body = await request.json()
        if "messages" in body:
            await asyncio.sleep(DELAY_S)
            return web.json_response({"tokens": TOKENS})
        return web.json_response({"tokens": [ord(body["prompt"][0])]})

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(DELAY_S)
        found = {f"token_id:{token}": -1.5 for token in body["logprob_token_ids"]}
        choice: dict[str, Any] = {"text": "A", "finish_reason": "length", "logprobs": {"top_logprobs": [found]}}
        if "prompt_logprobs" in body:
            choice["prompt_logprobs"] = [{str(token): {"logprob": -1.0}} for token in body["prompt"]]
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 300, "completion_tokens": 1}})

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "base", "max_model_len": 4096}]})

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": "mock"})

    async def run() -> None:
        app = web.Application()
        app.add_routes([web.post("/tokenize", tokenize), web.post("/v1/completions", complete)])
        app.add_routes([web.get("/v1/models", models), web.get("/version", version)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=2 * AGENTS).start()
        told.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


async def requests_per_s(decide: Callable[[int, int], Awaitable[Any]], turn: int) -> float:
    """Of all agents deciding one thing after another."""

    async def agent(number: int) -> None:
        for i in range(DECISIONS):
            await decide(number, turn * DECISIONS + i)

    started = time.perf_counter()
    await asyncio.gather(*(agent(number) for number in range(AGENTS)))
    return 2 * AGENTS * DECISIONS / (time.perf_counter() - started)


def situation(number: int, i: int) -> str:
    """A text of its own for every decision, so that none is remembered."""
    return f"Agent {number}, decision {i}. " + "The ferry was late again, and on the bench lay a purse. " * 8


async def measure(port: int) -> None:
    """Print both rates of every round, and the median ratio."""
    root = f"http://127.0.0.1:{port}"
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AGENTS))

    async def post(path: str, body: dict[str, Any]) -> Any:
        async with session.post(root + path, json=body) as response:
            return await response.json()

    async def bare(number: int, i: int) -> None:
        messages = [{"role": "user", "content": situation(number, i)}]
        asked = {"add_generation_prompt": True, "chat_template_kwargs": TEMPLATE_OPTIONS}
        prompt = (await post("/tokenize", {"model": "base", "messages": messages, **asked}))["tokens"]
        body = {**AS_IT_IS, "model": "base", "prompt": prompt, "max_tokens": 1, "logprobs": 0}
        body |= {"return_tokens_as_token_ids": True, "logprob_token_ids": list(map(ord, LABELS))}
        reply = await post("/v1/completions", body)
        if len(reply["choices"][0]["logprobs"]["top_logprobs"][0]) != len(LABELS):
            raise ValueError(f"the mock server answered {reply}")

    async with session, OpenAIEngine(f"{root}/v1", live=AGENTS) as engine:

        async def through_engine(number: int, i: int) -> None:
            reply = await engine.score(ScoreRequest(((Message("user", situation(number, i)),),), LABELS))
            if reply.attempts > 1:
                raise ValueError("the mock server was asked twice: this machine is too busy to measure on")

        ratios = []
        for turn in range(ROUNDS + 1):  # the first round connects and is not counted
            plain, ours = await requests_per_s(bare, turn), await requests_per_s(through_engine, turn)
            if turn:
                ratios.append(ours / plain)
                print(
                    f"bare aiohttp {plain:7,.0f} requests/s   engine {ours:7,.0f} requests/s   ratio {ratios[-1]:.2f}"
                )
    print(f"{AGENTS} agents, {DELAY_S * 1000:.0f} ms: median ratio {sorted(ratios)[ROUNDS // 2]:.2f}  (bar: 0.90)")


def main() -> None:
    """Start the mock server, measure, stop it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        asyncio.run(measure(here.recv()))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
