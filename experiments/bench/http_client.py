"""Does the engine for served models keep up with many agents? 512 of them ask a mock server that
takes 200 ms a time.

Side by side, in turn, in one process: the engine (tokens checked, retries armed, counters read) and
a bare aiohttp loop that posts the same bodies and parses the same answers. The mock server is a
process of its own. One decision of the engine is two requests, the tokens of the chat and the
scores of its labels; the first round, which connects and asks for the tokens of the labels, does
not count. Every decision has a text of its own, because the engine remembers the tokens of a chat;
the server says how many requests came, and a round with fewer is not printed.
"""

import asyncio
import multiprocessing
import multiprocessing.connection
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from aiohttp import web

from valueagents.experiments.bench.engines import make_engine
from valueagents.experiments.bench.timing import (
    Rounds,
    make_parser,
    print_figure,
    read_options,
    require_work,
)
from valueagents.policies.engines import Engine, Message, ScoreRequest
from valueagents.policies.engines.chats import TEMPLATE_OPTIONS
from valueagents.policies.engines.openai.completions import AS_IT_IS

SIZES = {"agents": (512, 64), "decisions": (6, 2), "rounds": (5, 2), "delay_ms": (200, 50)}
REQUESTS_A_DECISION = 2
LABELS = ("A", "B", "C", "D", "E", "F")
TOKENS = list(range(300, 600))
LOGPROB = -1.5  # of every token: what is said is scored alike
MARK = "zq"  # stands in every message that the engine tests a template with

Decide = Callable[[int, int], Awaitable[object]]


class MockServer:
    """Answers as vLLM does, after a delay, and counts what it was asked by agents."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._asked = 0

    async def serve(self, told: multiprocessing.connection.Connection, backlog: int) -> None:
        """Answer on a free port of the loopback, which is told, until killed."""
        app = web.Application()
        app.add_routes(
            [web.post("/tokenize", self._tokenize), web.post("/v1/completions", self._complete)]
        )
        app.add_routes([web.post("/detokenize", self._detokenize)])
        app.add_routes([web.get("/v1/models", self._models), web.get("/version", self._version)])
        app.add_routes([web.get("/asked", self._how_many)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=backlog).start()
        told.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "messages" not in body:
            return web.json_response({"tokens": [ord(letter) for letter in body["prompt"]]})
        said = "".join(f"{each['role']}: {each['content']}\n" for each in body["messages"])
        if MARK in said:  # the engine asks what the template does, once
            return web.json_response({"tokens": [ord(letter) for letter in said]})
        self._asked += 1
        await asyncio.sleep(self._delay_s)
        return web.json_response({"tokens": TOKENS})

    async def _detokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"prompt": "".join(map(chr, body["tokens"]))})

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._asked += 1
        await asyncio.sleep(self._delay_s)
        said = ["token_id:65"] * body["max_tokens"]
        asked = [f"token_id:{token}" for token in body.get("logprob_token_ids", [])]
        choice: dict[str, Any] = {
            "text": "A" * len(said),
            "finish_reason": "length",
            "logprobs": {
                "tokens": said,
                "token_logprobs": [LOGPROB] * len(said),
                "top_logprobs": [dict.fromkeys([each, *asked], LOGPROB) for each in said],
            },
        }
        if "prompt_logprobs" in body:
            choice["prompt_logprobs"] = [
                {str(token): {"logprob": LOGPROB}} for token in body["prompt"]
            ]
        return web.json_response(
            {"choices": [choice], "usage": {"prompt_tokens": 300, "completion_tokens": 1}}
        )

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "base", "max_model_len": 4096}]})

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "mock"})

    async def _how_many(self, _: web.Request) -> web.Response:
        return web.json_response(self._asked)


def serve(told: multiprocessing.connection.Connection, delay_s: float, backlog: int) -> None:
    """The process of the mock server."""
    asyncio.run(MockServer(delay_s).serve(told, backlog))


def situation(number: int, i: int) -> str:
    """A text of its own for every decision, so that none is remembered."""
    return (
        f"Agent {number}, decision {i}. "
        + "The ferry was late again, and on the bench lay a purse. " * 8
    )


async def all_agents(decide: Decide, *, agents: int, decisions: int, first: int) -> None:
    """All agents made this many decisions, each one after another; theirs are numbered from
    `first`.
    """

    async def agent(number: int) -> None:
        for i in range(decisions):
            await decide(number, first + i)

    await asyncio.gather(*(agent(number) for number in range(agents)))


def bare_client(session: aiohttp.ClientSession, root: str) -> Decide:
    """What decides by plain posts: the same bodies as the engine's, answers parsed and looked
    at.
    """

    async def post(path: str, body: dict[str, Any]) -> Any:
        async with session.post(root + path, json=body) as response:
            return await response.json()

    async def decide(number: int, i: int) -> None:
        messages = [{"role": "user", "content": situation(number, i)}]
        asked = {"add_generation_prompt": True, "chat_template_kwargs": TEMPLATE_OPTIONS}
        prompt = (await post("/tokenize", {"model": "base", "messages": messages, **asked}))[
            "tokens"
        ]
        body = {**AS_IT_IS, "model": "base", "prompt": prompt, "max_tokens": 1, "logprobs": 0}
        body |= {"return_tokens_as_token_ids": True, "logprob_token_ids": list(map(ord, LABELS))}
        reply = await post("/v1/completions", body)
        if len(reply["choices"][0]["logprobs"]["top_logprobs"][0]) != len(LABELS):
            raise ValueError(f"the mock server answered {reply}")

    return decide


def engine_client(engine: Engine) -> Decide:
    """What decides by the engine."""

    async def decide(number: int, i: int) -> None:
        reply = await engine.score(
            ScoreRequest(((Message("user", situation(number, i)),),), LABELS)
        )
        if reply.attempts > 1:
            raise ValueError(
                "the mock server was asked twice: this machine is too busy to measure on"
            )

    return decide


async def measure(port: int, *, agents: int, decisions: int, rounds: int) -> tuple[Rounds, int]:
    """The times of both ways, and the requests of a round.

    Raises NotMeasured if a round sent fewer.
    """
    root = f"http://127.0.0.1:{port}"
    requests = REQUESTS_A_DECISION * agents * decisions
    measured = Rounds()
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=agents))
    async with session, make_engine(f"openai:{root}/v1?live={agents}") as engine:

        async def asked() -> int:
            async with session.get(f"{root}/asked") as response:
                return int(await response.json())

        ways = {"bare": bare_client(session, root), "engine": engine_client(engine)}
        for decide in ways.values():
            await all_agents(decide, agents=agents, decisions=decisions, first=0)
        for turn in range(1, rounds + 1):
            for way, decide in ways.items():
                before = await asked()
                with measured.timed(way):
                    await all_agents(
                        decide, agents=agents, decisions=decisions, first=turn * decisions
                    )
                require_work(
                    f"requests of the {way} client", done=await asked() - before, needed=requests
                )
    return measured, requests


def main(argv: Sequence[str] | None = None) -> None:
    """Start the mock server, measure, stop it."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    backlog = 2 * options.agents
    server = context.Process(
        target=serve, args=(there, options.delay_ms / 1000, backlog), daemon=True
    )
    server.start()
    try:
        port: int = here.recv()
        sizes = {"agents": options.agents, "decisions": options.decisions, "rounds": options.rounds}
        measured, requests = asyncio.run(measure(port, **sizes))
    finally:
        server.terminate()
        server.join()
    print(
        f"{options.agents} agents, an answer after {options.delay_ms} ms, {requests:,} requests a"
        " round"
    )
    print_figure("bare aiohttp", measured.rates("bare", requests), "requests/s")
    print_figure("engine", measured.rates("engine", requests), "requests/s")
    print_figure("bare aiohttp ÷ engine, in seconds", measured.ratios("bare", "engine"), least=0.9)


if __name__ == "__main__":
    main()
