"""The engine for served models against a server written here: what is asked, what is read, and what
is survived.
"""

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from valueagents.contracts.decision import Choice
from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.adapters import read_adapter
from valueagents.policies.engines import Chat, GenerateRequest, Message, Sampling, ScoreRequest
from valueagents.policies.engines.openai.engine import OpenAIEngine
from valueagents.policies.engines.vllm.adapter_gate import (
    LIMITS_VARIABLE,
    LOAD_PATH,
    AdapterGate,
    AdapterLimits,
)
from valueagents.policies.models import ModelFiles

CONTROL = "<|end|>"
CHAT: Chat = (Message("system", "Decide."), Message("user", "Whose coat – yours?"))
OTHER: Chat = (Message("system", "Decide."), Message("user", "Whose hat?"))
LETTERS, TEXTS = ("A", "B", "C"), ("Mine.", "Mine, I think.", "M")


def tokens_of(text: str) -> list[int]:
    """One token a character, but control tokens are one each."""
    return list(map(ord, text.replace(CONTROL, "\0")))


def rendered(messages: list[dict[str, str]]) -> str:
    return (
        "".join(f"{message['role']}: {message['content']} | " for message in messages)
        + "assistant:"
    )


def logprob(sequence: list[int], token: int, model: str) -> float:
    """The mock's log P(token | sequence): any function of all three."""
    return -(1 + (sum(sequence) * 7 + token * 13 + len(sequence) + len(model)) % 97) / 10


class MockServer:
    """vLLM as far as the engine knows it, on a thread of its own so that blocking questions are
    answered too.

    `asked` records path and body; `faults` are answered, one a completion, before anything else is.
    """

    def __init__(self, port: int = 0) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: list[Callable[[], Awaitable[web.StreamResponse]]] = []
        self.models: list[dict[str, Any]] = [{"id": "base", "max_model_len": 200, "parent": None}]
        self.version: str | None = "0.32.0"
        self.refused_roles: tuple[str, ...] = ()
        self.template, self.renders = True, rendered
        self.taken_for: dict[str, str] = {}
        self.scale, self.answers_mixed_up, self.forgets_logprobs = 1.0, False, False
        self.spoken_scale = 1.0
        self.at_once = 0
        self.gate: AdapterGate | None = None
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runner: web.AppRunner | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [body for asked, body in self.asked if asked == path]

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
        app = web.Application()
        app.router.add_get("/version", self._version)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/detokenize", self._detokenize)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post(LOAD_PATH, self._load)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _body(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.asked.append((request.path, body))
        self.headers.append(dict(request.headers))
        return body

    async def _version(self, _: web.Request) -> web.Response:
        return (
            web.json_response({"version": self.version})
            if self.version
            else web.Response(status=404)
        )

    async def _models(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        return web.json_response({"object": "list", "data": self.models})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        if "messages" in body:
            if not self.template:
                return _error(
                    400, "default chat template is no longer allowed, provide a chat template"
                )
            if any(message["role"] in self.refused_roles for message in body["messages"]):
                return _error(400, "System role not supported")
            return web.json_response({"tokens": tokens_of(self.renders(body["messages"]))})
        text = self.taken_for.get(body["prompt"], body["prompt"])
        return web.json_response({"tokens": tokens_of(text)})

    async def _detokenize(self, request: web.Request) -> web.Response:
        body = await self._body(request)
        text = "".join(map(chr, body["tokens"])).replace("\0", CONTROL)
        return web.json_response({"prompt": text})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        if self.faults:
            return await self.faults.pop(0)()
        self.at_once += 1
        try:
            await asyncio.sleep(0.01 if self.answers_mixed_up else 0)
            return web.json_response(self._completion(body))
        finally:
            self.at_once -= 1

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt, model = body["prompt"], body["model"]
        choice: dict[str, Any] = {"text": "Mine.", "finish_reason": "stop", "logprobs": None}
        if "logprob_token_ids" in body:
            if self.answers_mixed_up and self.at_once > 1:
                model = "another adapter"
            asked = [] if self.forgets_logprobs else [*body["logprob_token_ids"], 9_999]
            assert len(asked) <= 129
            found = {
                f"token_id:{token}": self.scale * logprob(prompt, token, model) for token in asked
            }
            choice["logprobs"] = {
                "top_logprobs": [found],
                "token_logprobs": [-1.0],
                "tokens": ["token_id:9999"],
            }
        elif "logprobs" in body:  # of what is said: the truth check asks for it
            said = list(range(65, 65 + body["max_tokens"]))
            told = [
                self.spoken_scale * self.scale * logprob(prompt + said[:i], token, model)
                for i, token in enumerate(said)
            ]
            names = [f"token_id:{token}" for token in said]
            tops = [{name: number} for name, number in zip(names, told, strict=True)]
            choice["logprobs"] = {"tokens": names, "token_logprobs": told, "top_logprobs": tops}
        if "prompt_logprobs" in body:
            told = [
                {str(prompt[i]): {"logprob": self.scale * logprob(prompt[:i], prompt[i], model)}}
                for i in range(1, len(prompt))
            ]
            choice["prompt_logprobs"] = [None, *told]
        usage = {
            "prompt_tokens": len(prompt),
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 16},
        }
        return {"choices": [choice], "usage": usage, "metrics": {"queue_time_ms": 2_000.0}}

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        await self._body(request)
        if self.faults:
            return await self.faults.pop(0)()
        choice = {"message": {"role": "assistant", "content": "Yours."}, "finish_reason": "length"}
        return web.json_response(
            {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
        )

    def take_in_adapters(self, limits: AdapterLimits, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on a gate lets through what is within the limits."""
        monkeypatch.setenv(LIMITS_VARIABLE, msgspec.json.encode(limits).decode())
        self.models[0]["root"] = limits.model
        self.gate = AdapterGate(self._take_in)

    async def _load(self, request: web.Request) -> web.Response:
        if self.gate is None:
            return web.Response(status=404)
        body, sent = await request.read(), []

        async def receive() -> Any:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.gate({"type": "http", "method": "POST", "path": request.path}, receive, send)
        return web.Response(status=sent[0]["status"], body=sent[1]["body"])

    async def _take_in(self, scope: Any, receive: Any, send: Any) -> None:
        """What vLLM does behind the gate: it loads whatever it is told."""
        assert scope["path"] == "/v1/load_lora_adapter"
        asked = msgspec.json.decode((await receive())["body"])
        self.models.append({"id": asked["lora_name"], "root": asked["lora_path"], "parent": "base"})
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"Success"})


def _error(status: int, message: str, **headers: str) -> web.Response:
    return web.json_response(
        {"error": {"message": message, "code": status}}, status=status, headers=headers
    )


async def _too_many() -> web.StreamResponse:
    return _error(429, "slow down", **{"Retry-After": "1"})


async def _broken() -> web.StreamResponse:
    return _error(500, "EngineCore encountered an issue")


async def _garbage() -> web.StreamResponse:
    return web.Response(text="<html>a proxy's page", content_type="application/json")


async def _half() -> web.StreamResponse:
    return web.json_response({"choices": []})


async def _aborted() -> web.StreamResponse:
    return web.json_response({"choices": [{"text": "Mi", "finish_reason": "abort"}]})


async def _hang() -> web.StreamResponse:
    await asyncio.sleep(5)
    return _error(500, "too late")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    mock = MockServer()
    yield mock
    mock.close()


def use(engine: OpenAIEngine, *requests: ScoreRequest | GenerateRequest) -> list[Any]:
    """The replies to requests, all put at once."""

    async def ask() -> list[Any]:
        async with engine:
            calls = [
                engine.score(r) if isinstance(r, ScoreRequest) else engine.generate(r)
                for r in requests
            ]
            return await asyncio.gather(*calls)

    return asyncio.run(ask())


def prompt_of(chat: Chat) -> list[int]:
    return tokens_of(
        rendered([{"role": message.role, "content": message.content} for message in chat])
    )


def expected(request: ScoreRequest, model: str = "base") -> list[tuple[float, ...]]:
    rows = []
    for prompt in map(prompt_of, request.chats):
        answers = [tokens_of(text) for text in request.continuations]
        rows.append(
            tuple(
                sum(logprob(prompt + ids[:i], ids[i], model) for i in range(len(ids)))
                for ids in answers
            )
        )
    return rows


def say(**options: Any) -> GenerateRequest:
    return GenerateRequest(
        CHAT, Sampling(temperature=0.7, top_p=0.9, top_k=5, max_tokens=12), seed=2**62, **options
    )


@pytest.mark.parametrize("continuations", [LETTERS, TEXTS, ("A",), ("A", "AB", "ABC")])
def test_every_answer_has_the_sum_of_its_tokens_log_probabilities(
    server: MockServer, continuations: tuple[str, ...]
):
    request = ScoreRequest((CHAT, OTHER), continuations)
    (reply,) = use(OpenAIEngine(server.url), request)
    for row, wanted in zip(reply.logprobs, expected(request), strict=True):
        assert row == pytest.approx(wanted)
    assert reply.tokens == tuple(len(tokens_of(text)) for text in continuations)


def test_a_label_menu_is_one_request_a_chat_for_just_its_letters(server: MockServer):
    (reply,) = use(OpenAIEngine(server.url), ScoreRequest((CHAT, OTHER, CHAT), LETTERS))
    asked = [
        body
        for body in server.bodies("/v1/completions")
        if body.get("logprob_token_ids") == [65, 66, 67]
    ]
    assert [body["prompt"] for body in asked] == [
        prompt_of(CHAT),
        prompt_of(OTHER),
    ]  # equal sequences once
    for body in asked:
        assert "prompt_logprobs" not in body
        assert (body["temperature"], body["top_p"], body["top_k"], body["repetition_penalty"]) == (
            1.0,
            1.0,
            0,
            1.0,
        )
        assert body["max_tokens"] == 1
    assert reply.prompt_tokens == len(prompt_of(CHAT)) + len(prompt_of(OTHER))
    assert reply.cached_tokens == 32
    assert reply.queue_s >= 2.0
    assert reply.attempts == 1


def test_more_labels_than_the_server_takes_at_once_are_asked_for_in_parts(server: MockServer):
    labels = tuple(chr(0x4E00 + i) for i in range(300))
    request = ScoreRequest((CHAT,), labels)
    (reply,) = use(OpenAIEngine(server.url), request)
    assert reply.logprobs[0] == pytest.approx(expected(request)[0])


def test_equal_chats_and_texts_are_tokenised_once(server: MockServer):
    async def ask() -> None:
        async with OpenAIEngine(server.url) as engine:
            await engine.score(ScoreRequest((CHAT,), LETTERS))
            before = len(server.bodies("/tokenize"))
            await engine.score(ScoreRequest((CHAT,), LETTERS))
            assert len(server.bodies("/tokenize")) == before

    asyncio.run(ask())


def test_chats_are_tokenised_as_in_process(server: MockServer):
    use(OpenAIEngine(server.url), ScoreRequest((CHAT,), LETTERS))
    (body,) = [body for body in server.bodies("/tokenize") if "coat" in str(body)]
    assert body["add_generation_prompt"] is True
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "date_string": "01 Jan 2025"}
    assert all(
        not body["add_special_tokens"]
        for body in server.bodies("/tokenize")
        if body.get("prompt") == "A"
    )


def test_where_a_template_knows_no_system_role_the_task_joins_the_question(server: MockServer):
    server.refused_roles = ("system",)
    use(OpenAIEngine(server.url), ScoreRequest((CHAT,), LETTERS))
    (body,) = [body for body in server.bodies("/tokenize") if "coat" in str(body)]
    assert body["messages"] == [{"role": "user", "content": "Decide.\n\nWhose coat – yours?"}]


def test_without_a_chat_template_the_texts_are_put_as_they_stand(server: MockServer):
    server.template = False
    use(OpenAIEngine(server.url), ScoreRequest((CHAT,), LETTERS))
    (body,) = [body for body in server.bodies("/tokenize") if "coat" in str(body)]
    assert body["prompt"] == "Decide.\n\nWhose coat – yours?\n"


def test_vllm_generates_from_the_same_tokens_with_every_sampling_field(server: MockServer):
    (reply,) = use(OpenAIEngine(server.url), say())
    body = server.bodies("/v1/completions")[-1]
    assert body["prompt"] == prompt_of(CHAT)
    wanted = {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "max_tokens": 12,
        "seed": 2**62,
        "min_p": 0.0,
    }
    assert wanted.items() <= body.items()
    assert (reply.text, reply.finish_reason, reply.output_tokens, reply.cached_tokens) == (
        "Mine.",
        "stop",
        5,
        16,
    )
    assert reply.prompt_tokens == len(prompt_of(CHAT))
    assert reply.queue_s >= 2.0


def test_choices_are_sent_as_structured_outputs(server: MockServer):
    use(OpenAIEngine(server.url), say(choices=("Mine.", "Yours.")))
    body = server.bodies("/v1/completions")[-1]
    assert body["structured_outputs"] == {"choice": ["Mine.", "Yours."]}
    assert "guided_choice" not in body


def test_any_other_server_is_sent_a_chat_and_only_what_was_set(server: MockServer):
    server.version = None
    plain = GenerateRequest(CHAT, Sampling(max_tokens=12), seed=2**62 + 5)
    (reply,) = use(OpenAIEngine(server.url, OpenAIEngine.Options(server="other")), plain)
    body = server.bodies("/v1/chat/completions")[-1]
    assert body == {
        "model": "base",
        "messages": [{"role": m.role, "content": m.content} for m in CHAT],
        "max_tokens": 12,
        "seed": 5,
    }
    assert (reply.text, reply.finish_reason, reply.prompt_tokens, reply.output_tokens) == (
        "Yours.",
        "length",
        9,
        2,
    )


def test_what_a_server_cannot_do_is_refused_before_anything_is_asked():
    engine = OpenAIEngine("http://127.0.0.1:1/v1", OpenAIEngine.Options(server="other"))
    with pytest.raises(ConfigError, match="cannot do score, only generate, seeds"):
        engine.require("score")
    OpenAIEngine("http://127.0.0.1:1/v1").require(
        "score", "generate", "choices", "seeds", "adapters"
    )
    with pytest.raises(ConfigError, match="serve them with vLLM"):
        OpenAIEngine("http://127.0.0.1:1/v1", OpenAIEngine.Options(server="other"), ["kind"])


def test_choices_of_a_server_without_them_are_refused(server: MockServer):
    server.version = None
    with pytest.raises(ConfigError, match="cannot do choices"):
        use(OpenAIEngine(server.url, OpenAIEngine.Options(server="other")), say(choices=("Mine.",)))


def test_a_server_that_is_not_vllm_is_told_from_one(server: MockServer):
    server.version = None
    with pytest.raises(ConfigError, match=r"is not a vLLM server .*server=other"):
        use(OpenAIEngine(server.url))


def test_if_nobody_answers_the_error_says_how_to_start_a_server(server: MockServer):
    server.stop()
    engine = OpenAIEngine(server.url)
    with pytest.raises(
        PolicyError,
        match=rf"no server answers at http://127.0.0.1:{server.port} .*valueagents serve",
    ):
        engine.identity()
    with pytest.raises(PolicyError, match="no server answers"):
        use(engine)


def test_the_identity_is_content_and_asked_for_once(server: MockServer):
    engine = OpenAIEngine(server.url)
    known = engine.identity()
    assert (known["model"], known["version"], known["window"]) == ("base", "0.32.0", "200")
    assert str(server.port) not in str(known)
    asked = len(server.asked)
    assert engine.identity() == known
    assert len(server.asked) == asked
    server.stop()
    server.port = 0
    server.start()
    assert OpenAIEngine(server.url).identity() == known
    server.template = False
    changed = OpenAIEngine(server.url).identity()
    assert changed != known
    assert changed["tokenizer"] == known["tokenizer"]


def test_an_adapter_that_somebody_else_has_loaded_changes_nothing(server: MockServer):
    engine = OpenAIEngine(server.url)
    engine.identity()
    server.models.append({"id": "kinder", "parent": "base"})
    use(engine)


def test_a_server_that_changed_since_the_plan_is_refused(server: MockServer):
    engine = OpenAIEngine(server.url)
    engine.identity()
    server.models[0]["max_model_len"] = 100
    with pytest.raises(PolicyError, match="something else than a moment ago"):
        use(engine)


def test_an_unknown_model_is_named_with_those_that_are_served(server: MockServer):
    server.models.append({"id": "other-base"})
    with pytest.raises(ConfigError, match=r"unknown served model 'bse'. Did you mean 'base'"):
        OpenAIEngine(server.url, OpenAIEngine.Options(model="bse")).identity()
    with pytest.raises(ConfigError, match="serves base, other-base; say which with model="):
        OpenAIEngine(server.url).identity()
    assert (
        OpenAIEngine(server.url, OpenAIEngine.Options(model="other-base")).identity()["model"]
        == "other-base"
    )


def test_an_adapter_is_asked_for_by_the_name_it_is_served_under(server: MockServer):
    server.models.append({"id": "kinder", "parent": "base"})
    request = ScoreRequest((CHAT,), LETTERS, adapter="kinder")
    engine = OpenAIEngine(server.url, adapters=["kinder"])
    scored, _ = use(engine, request, say(adapter="kinder"))
    assert [adapter.name for adapter in engine.adapters] == ["kinder"]
    assert scored.logprobs[0] == pytest.approx(expected(request, "kinder")[0])
    assert server.bodies("/v1/completions")[-1]["model"] == "kinder"


def test_an_adapter_that_is_not_served_is_refused_at_entry(server: MockServer):
    with pytest.raises(ConfigError, match=r"unknown served adapter 'kinder'. Known: base"):
        use(OpenAIEngine(server.url, adapters=["kinder"]))
    with pytest.raises(PolicyError, match="unknown adapter 'hash'"):
        use(OpenAIEngine(server.url), ScoreRequest((CHAT,), LETTERS, adapter="hash"))


def test_a_server_that_mixes_adapters_up_is_refused_at_entry(server: MockServer):
    server.models.append({"id": "kinder", "parent": "base"})
    server.answers_mixed_up = True
    with pytest.raises(PolicyError, match="answers differently beside others"):
        use(OpenAIEngine(server.url, adapters=["kinder"]))


def test_numbers_that_are_no_log_probabilities_are_refused(server: MockServer):
    server.scale = -1.0
    with pytest.raises(PolicyError, match="--logprobs-mode"):
        use(OpenAIEngine(server.url))


def test_a_server_that_leaves_out_what_it_was_asked_for_is_refused(server: MockServer):
    server.forgets_logprobs = True
    with pytest.raises(PolicyError, match="left out log-probabilities"):
        use(OpenAIEngine(server.url))


def test_an_overlong_prompt_is_refused_with_both_numbers(server: MockServer):
    long = (Message("user", "x" * 300),)
    with pytest.raises(
        PolicyError, match=r"prompt of 3\d\d tokens and an answer of 1 .* window of 200"
    ):
        use(OpenAIEngine(server.url), ScoreRequest((long,), LETTERS))
    with pytest.raises(PolicyError, match="an answer of 150 do not fit the model's window of 200"):
        use(OpenAIEngine(server.url), GenerateRequest(CHAT, Sampling(max_tokens=150), seed=1))


def test_a_text_that_holds_a_control_token_is_refused(server: MockServer):
    with pytest.raises(PolicyError, match=r"control token '<\|end\|>'"):
        use(OpenAIEngine(server.url), ScoreRequest((CHAT,), ("A", f"B{CONTROL}")))
    use(
        OpenAIEngine(server.url),
        ScoreRequest(((Message("user", "a [B] <i>c</i> <|d|>"),),), LETTERS),
    )


def test_a_text_without_tokens_is_refused(server: MockServer):
    with pytest.raises(PolicyError, match="an option has no tokens"):
        use(OpenAIEngine(server.url), ScoreRequest((CHAT,), ("A", "")))


@pytest.mark.slow
@pytest.mark.parametrize("fault", [_too_many, _broken, _aborted, _hang])
def test_what_may_pass_is_asked_again_and_counted(
    server: MockServer, fault: Callable[[], Awaitable[web.StreamResponse]]
):
    async def ask() -> Any:
        async with OpenAIEngine(server.url, OpenAIEngine.Options(timeout_s=0.5)) as engine:
            server.faults = [fault, fault]
            return await engine.score(ScoreRequest((CHAT,), LETTERS))

    started = time.monotonic()
    reply = asyncio.run(ask())
    assert reply.attempts == 3
    assert reply.logprobs[0] == pytest.approx(expected(ScoreRequest((CHAT,), LETTERS))[0])
    if fault is _too_many:
        assert time.monotonic() - started >= 2.0  # the server said: after a second, twice


@pytest.mark.parametrize("fault", [_garbage, _half])
def test_an_answer_of_another_shape_is_asked_for_once_more(
    server: MockServer, fault: Callable[[], Awaitable[web.StreamResponse]]
):
    async def ask(times: int) -> Any:
        async with OpenAIEngine(server.url) as engine:
            server.faults = [fault] * times
            return await engine.score(ScoreRequest((CHAT,), LETTERS))

    assert asyncio.run(ask(1)).attempts == 2
    with pytest.raises(PolicyError, match="the server's answer is not what was asked for"):
        asyncio.run(ask(2))


def test_patience_ends_with_the_number_of_attempts_and_the_last_reason(server: MockServer):
    async def ask() -> None:
        async with OpenAIEngine(server.url, OpenAIEngine.Options(patience_s=1.0)) as engine:
            server.faults = [_broken] * 100
            await engine.score(ScoreRequest((CHAT,), LETTERS))

    with pytest.raises(
        PolicyError, match=r"in \d+ attempts over 1 s \(last: status 500: EngineCore encountered"
    ):
        asyncio.run(ask())


def test_a_wait_longer_than_patience_is_not_begun(server: MockServer):
    async def wait() -> web.StreamResponse:
        return _error(429, "quota", **{"Retry-After": "3600"})

    async def ask() -> None:
        async with OpenAIEngine(server.url) as engine:
            server.faults = [wait]
            await engine.score(ScoreRequest((CHAT,), LETTERS))

    started = time.monotonic()
    with pytest.raises(
        PolicyError, match=r"to be left alone for 3,600 s .* longer than patience_s=120: .*quota"
    ):
        asyncio.run(ask())
    assert time.monotonic() - started < 5


def test_what_will_not_pass_fails_at_once_with_the_servers_message(server: MockServer):
    async def ask(fault: Callable[[], Awaitable[web.StreamResponse]]) -> None:
        async with OpenAIEngine(server.url) as engine:
            server.faults = [fault]
            asked = len(server.bodies("/v1/completions"))
            with pytest.raises(PolicyError, match=r"refuses the request \(status 30\d|400\): .*"):
                await engine.score(ScoreRequest((CHAT,), LETTERS))
            assert len(server.bodies("/v1/completions")) == asked + 1

    async def refused() -> web.StreamResponse:
        return _error(400, "no such thing")

    async def moved() -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/v1/completions"})

    asyncio.run(ask(refused))
    asyncio.run(ask(moved))


@pytest.mark.slow
def test_a_server_that_dies_in_mid_run_and_comes_back_loses_nothing(server: MockServer):
    chats = [(Message("user", f"Case {i}?"),) for i in range(40)]

    async def ask() -> list[Any]:
        async with OpenAIEngine(server.url, OpenAIEngine.Options(patience_s=30)) as engine:
            first = await asyncio.gather(
                *(engine.score(ScoreRequest((chat,), LETTERS)) for chat in chats[:20])
            )
            await asyncio.to_thread(server.stop)
            rest = [
                asyncio.create_task(engine.score(ScoreRequest((chat,), LETTERS)))
                for chat in chats[20:]
            ]
            await asyncio.sleep(2)
            await asyncio.to_thread(server.start)
            return [*first, *[await task for task in rest]]

    replies = asyncio.run(ask())
    for chat, reply in zip(chats, replies, strict=True):
        assert reply.logprobs[0] == pytest.approx(expected(ScoreRequest((chat,), LETTERS))[0])
    assert {reply.attempts for reply in replies[:20]} == {1}
    assert all(reply.attempts > 1 for reply in replies[20:])


def test_the_key_is_sent_and_never_shown(server: MockServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET", "sk-hidden")

    async def refused() -> web.StreamResponse:
        return _error(401, "the key sk-hidden is wrong")

    async def ask() -> None:
        engine = OpenAIEngine(server.url, OpenAIEngine.Options(api_key_env="SECRET"))
        async with engine:
            assert "sk-hidden" not in str(engine.identity())
            server.faults = [refused]
            await engine.score(ScoreRequest((CHAT,), LETTERS))

    with pytest.raises(PolicyError, match=r"the key \*\*\* is wrong"):
        asyncio.run(ask())
    assert {headers.get("Authorization") for headers in server.headers} == {"Bearer sk-hidden"}


def test_a_key_does_not_cross_a_network_in_the_clear(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hidden")
    with pytest.raises(ConfigError, match=r"not encrypted .*insecure=true") as caught:
        OpenAIEngine("http://192.0.2.1/v1").identity()
    assert "sk-hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://127.0.0.1/v1", "http://", "http://h:x/v1", "http://h/v1?a=b"]
)
def test_what_is_no_url_is_refused(url: str):
    with pytest.raises(ConfigError, match=r"give something like http://127.0.0.1:8000/v1"):
        OpenAIEngine(url)


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match=r"into \$OPENAI_API_KEY") as caught:
        OpenAIEngine("http://me:secret@127.0.0.1/v1")
    assert "secret" not in str(caught.value)


def test_a_url_without_a_path_means_the_usual_one(server: MockServer):
    assert use(OpenAIEngine(server.url.removesuffix("/v1") + "/"), say())[0].text == "Mine."


def test_an_engine_must_be_entered(server: MockServer):
    with pytest.raises(PolicyError, match="use `async with`"):
        asyncio.run(OpenAIEngine(server.url).score(ScoreRequest((CHAT,), LETTERS)))


def test_a_client_needs_neither_vllm_nor_torch_nor_transformers(server: MockServer):
    code = f"""
import asyncio, sys
for name in ("vllm", "torch", "transformers", "peft", "huggingface_hub", "safetensors"):
    sys.modules[name] = None  # importing it now fails
from valueagents.contracts.plugins import make_policy
from valueagents.policies.engines import GenerateRequest, Message, Sampling, ScoreRequest
async def main():
    async with make_policy("openai:" + {server.url!r}) as policy:
        engine = policy.engine
        chat = (Message("user", "Whose?"),)
        reply = await engine.score(ScoreRequest((chat,), ("A", "B")))
        print(len(reply.logprobs[0]), (await engine.generate(GenerateRequest(chat, Sampling(max_tokens=5), 1))).text)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("2 Mine.", 0), done.stderr


def test_a_served_model_is_a_policy_by_its_spec(server: MockServer, dilemma: View):
    server.models[0]["max_model_len"] = 1_000
    policy = make_policy(f"openai:{server.url}?model=base&rotations=none&patience_s=5")

    async def decide() -> Choice:
        async with policy:
            return await policy.decide(dilemma)

    choice = asyncio.run(decide())
    assert choice.option in {option.id for option in dilemma.menu}
    assert (choice.reading, choice.attempts) == ("drawn", 1)
    identity = policy.identity()
    assert (identity["policy"], identity["engine"], identity["adapter"]) == (
        "language/2",
        "openai/1",
        "none",
    )
    assert not any(str(server.port) in value or "127.0.0.1" in value for value in identity.values())


def test_an_adapter_of_a_spec_is_the_name_it_is_served_under(server: MockServer, dilemma: View):
    server.models.append({"id": "kinder", "parent": "base"})
    server.models[0]["max_model_len"] = 1_000
    policy = make_policy(f"openai:{server.url}?model=base&adapter=kinder&reading=likelihood")

    async def decide() -> None:
        async with policy:
            await policy.decide(dilemma)

    asyncio.run(decide())
    assert policy.identity()["adapter"] == "kinder"
    asked = [body["model"] for body in server.bodies("/v1/completions")]
    assert set(asked[-3:]) == {"kinder"}
    assert asked.count("base") > 3  # the start-up self-check compares with it
    with pytest.raises(ConfigError, match=r"unknown served adapter 'kind'. Did you mean 'kinder'"):
        make_policy(f"openai:{server.url}?model=base&adapter=kind").identity()


def test_a_server_without_probabilities_is_refused_for_a_reading_that_needs_them(
    server: MockServer,
):
    with pytest.raises(ConfigError, match="cannot do score"):
        make_policy(f"openai:{server.url}?server=other")
    make_policy(f"openai:{server.url}?server=other&reading=say")


@pytest.fixture
def limits(tiny_adapter: Path, tiny_model: Path) -> AdapterLimits:
    """For one adapter like that one, in the folder of all."""
    return AdapterLimits(str(tiny_model), str(tiny_adapter.parent), 8, ("q_proj", "v_proj"), 1)


def test_an_adapter_folder_is_loaded_once_and_asked_for_by_its_hash(
    server: MockServer,
    tiny_adapter: Path,
    limits: AdapterLimits,
    monkeypatch: pytest.MonkeyPatch,
    dilemma: View,
):
    server.take_in_adapters(limits, monkeypatch)
    server.models[0]["max_model_len"] = 1_000
    policies = [
        make_policy(f"openai:{server.url}?model=base&rotations=none&adapter={tiny_adapter}")
        for _ in range(2)
    ]
    identities = [policy.identity() for policy in policies]  # both are planned before either is run

    async def decide() -> None:
        for policy in policies:
            async with policy:
                await policy.decide(dilemma)

    asyncio.run(decide())
    (name,) = [model["id"] for model in server.models if model.get("parent")]
    assert name == read_adapter(str(tiny_adapter), ModelFiles("tiny", Path(limits.model))).name
    assert [identity["adapter"] for identity in identities] == [name, name]
    assert server.bodies("/v1/completions")[-1]["model"] == name


def test_a_server_that_loads_no_adapters_is_refused_with_what_to_do(
    server: MockServer, tiny_adapter: Path, tiny_model: Path
):
    server.models[0]["root"] = str(tiny_model)
    with pytest.raises(
        ConfigError,
        match=rf"loads none while it runs; .*valueagents serve MODEL --adapter {tiny_adapter}",
    ):
        use(OpenAIEngine(server.url, adapters=[str(tiny_adapter)]))
    server.models[0]["root"] = "org/model"
    with pytest.raises(ConfigError, match="the server's model 'org/model' is not on this machine"):
        use(OpenAIEngine(server.url, adapters=[str(tiny_adapter)]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"folder": "/nowhere"}, "is not in /nowhere, the only folder"),
        ({"rank": 4}, "has rank 8 and adapts q_proj, v_proj; .* started for rank 4"),
        ({"modules": ("q_proj",)}, "started for rank 8 and q_proj; restart it with --adapter"),
        ({"slots": 0}, "all 0 slots are taken; .*--load-slots"),
    ],
)
def test_an_adapter_that_the_server_has_no_room_for_is_refused_before_it_is_loaded(
    server: MockServer,
    tiny_adapter: Path,
    limits: AdapterLimits,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    reason: str,
):
    server.take_in_adapters(msgspec.structs.replace(limits, **change), monkeypatch)
    with pytest.raises(ConfigError, match=reason):
        use(OpenAIEngine(server.url, adapters=[str(tiny_adapter)]))
    assert len(server.models) == 1


def test_an_adapter_of_another_model_is_refused_before_the_server_is_asked(
    server: MockServer,
    tiny_adapter: Path,
    limits: AdapterLimits,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    server.take_in_adapters(limits, monkeypatch)
    folder = shutil.copytree(tiny_adapter, tmp_path / "copy")
    (folder / "manifest.json").write_text('{"base": {"weights": "others"}}')
    with pytest.raises(ConfigError, match="trained on a model with other weights"):
        OpenAIEngine(server.url, adapters=[str(folder)]).identity()


@pytest.mark.parametrize(
    "option", ["live=0", "timeout_s=0", "patience_s=-1", "server=ollama", "insecure=maybe"]
)
def test_a_wrong_option_is_a_config_error(option: str):
    with pytest.raises(ConfigError, match=option):
        make_policy(f"openai:http://127.0.0.1:1/v1?{option}")


def test_without_aiohttp_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=r"pip install 'valueagents\[openai\]'"):
        OpenAIEngine("http://127.0.0.1:8000/v1")
