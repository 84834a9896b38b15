"""Servers as they are: whatever an OpenAI-compatible server does oddly is understood, or said in
one clear line.
"""

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from chat_server import MIB, ChatServer, Handler, answer, error, raw
from valueagents.contracts.plugins import make_policy
from valueagents.errors import ConfigError, PolicyError, ValueAgentsError
from valueagents.policies.engines import GenerateReply, GenerateRequest, Message, Sampling
from valueagents.policies.engines.openai.client import seconds_of
from valueagents.policies.engines.openai.engine import OpenAIEngine
from valueagents.running.execution import RunConfig, execute

CHAT = (Message("system", "Decide."), Message("user", "Whose coat – yours?"))
KEY = "sk-planted-0123456789"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    mock = ChatServer()
    yield mock
    mock.close()


def ask(server: ChatServer, *, sampling: Sampling | None = None, **options: Any) -> GenerateReply:
    """The reply to one question."""
    settings: dict[str, Any] = {"server": "other", "patience_s": 2.0, "timeout_s": 4.0, **options}

    async def go() -> GenerateReply:
        async with OpenAIEngine(server.url, OpenAIEngine.Options(**settings)) as engine:
            return await engine.generate(
                GenerateRequest(CHAT, sampling or Sampling(max_tokens=9), seed=3)
            )

    return asyncio.run(go())


TEXT = json.dumps({"choices": [{"message": {"content": "Yours."}, "finish_reason": "stop"}]})
BOMB = gzip.compress(b" " * (64 * MIB), 1)
DEEP = "[" * 100_000 + "]" * 100_000
REFUSAL = {"refusal": "I will not say."}

UNDERSTOOD: dict[str, tuple[Handler, str, str]] = {
    "content in parts": (
        lambda _: answer([{"type": "text", "text": "You"}, {"type": "text", "text": "rs."}]),
        "Yours.",
        "stop",
    ),
    "a thought beside the text": (
        lambda _: answer(
            [{"type": "thinking", "text": "Hm."}, {"type": "output_text", "text": "Yours."}]
        ),
        "Yours.",
        "stop",
    ),
    "no content at all": (lambda _: answer(None, finish_reason="length"), "", "length"),
    "a refusal in its own field": (
        lambda _: answer(None, message=REFUSAL),
        "I will not say.",
        "refusal",
    ),
    "a content filter": (
        lambda _: answer("", finish_reason="content_filter"),
        "",
        "content_filter",
    ),
    "Gemini's filter": (lambda _: answer(None, finish_reason="SAFETY"), "", "content_filter"),
    "a filter as an error": (
        lambda _: error(400, "The prompt was filtered.", "content_filter"),
        "The prompt was filtered.",
        "content_filter",
    ),
    "no finish reason": (lambda _: answer("Yours.", finish_reason=None), "Yours.", "stop"),
    "a finish reason that is a number": (
        lambda _: answer("Yours.", finish_reason=7),
        "Yours.",
        "stop",
    ),
    "usage as a text": (lambda _: answer("Yours.", top={"usage": "much"}), "Yours.", "stop"),
    "usage that is null": (lambda _: answer("Yours.", top={"usage": None}), "Yours.", "stop"),
    "fields of any kind": (
        lambda _: answer(
            "Yours.", message={"tool_calls": 7, "role": None}, top={"created": "today", "model": []}
        ),
        "Yours.",
        "stop",
    ),
    "a byte order mark": (lambda _: raw(b"\xef\xbb\xbf" + TEXT.encode()), "Yours.", "stop"),
    "NaN where nobody looks": (lambda _: raw(TEXT[:-1] + ', "logprobs": NaN}'), "Yours.", "stop"),
    "half a character": (lambda _: raw(TEXT.replace("Yours.", "Yours\\ud83d")), "Yours?", "stop"),
    "bytes that are not UTF-8": (
        lambda _: raw(TEXT.encode().replace(b"Yours.", b"Yours\xff")),
        "Yours\ufffd",
        "stop",
    ),
    "another content type": (lambda _: raw(TEXT, content_type="text/plain"), "Yours.", "stop"),
    "packed unasked": (
        lambda _: raw(gzip.compress(TEXT.encode()), headers={"Content-Encoding": "gzip"}),
        "Yours.",
        "stop",
    ),
    "cookies": (lambda _: raw(TEXT, headers={"Set-Cookie": "a=b"}), "Yours.", "stop"),
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_what_can_be_understood_is(server: ChatServer, case: str):
    server.chat, text, finish_reason = UNDERSTOOD[case]
    reply = ask(server)
    assert (reply.text, reply.finish_reason) == (text, finish_reason)
    assert len(server.bodies) == reply.attempts == 1


async def _trickle(body: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(body["request"])
    for byte in TEXT.encode():
        await response.write(bytes([byte]))
        await asyncio.sleep(0.3)
    return response


async def _cut_off(body: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "5000"})
    await response.prepare(body["request"])
    await response.write(TEXT.encode())
    body["request"].transport.close()
    return response


ONE_LINE: dict[str, tuple[Handler, str]] = {
    "no choices": (lambda _: raw('{"choices": []}'), "not what was asked for: .*length"),
    "a page in place of an answer": (
        lambda _: raw("<html>Sign in"),
        "not what was asked for: .*Sign in",
    ),
    "null": (lambda _: raw("null"), "not what was asked for"),
    "an empty body": (lambda _: raw(""), "not what was asked for"),
    "an error with status 200": (
        lambda _: raw('{"error": {"message": "no credit left"}}'),
        "not what was asked for: .*no credit left",
    ),
    "a stream nobody asked for": (lambda _: raw(f"data: {TEXT}\n\n"), "not what was asked for"),
    "a number as content": (lambda _: answer(7), "not what was asked for: .*content"),
    "parts without text": (
        lambda _: answer([{"type": "image"}]),
        "none of the parts of its content is text",
    ),
    "nested without end": (lambda _: raw(TEXT[:-1] + f', "x": {DEEP}}}'), "nested too deeply"),
    "usage nested without end": (
        lambda _: raw(TEXT[:-1] + f', "usage": {DEEP}}}'),
        "nested too deeply",
    ),
    "a small reply that unpacks to 64 MiB": (
        lambda _: raw(BOMB, headers={"Content-Encoding": "gzip"}),
        "larger than 8 MiB",
    ),
    "a large reply": (lambda _: raw(b" " * (9 * MIB)), "larger than 8 MiB"),
    "an unknown packing": (
        lambda _: raw(TEXT, headers={"Content-Encoding": "br"}),
        "packed as 'br'",
    ),
    "a broken packing": (
        lambda _: raw(TEXT, headers={"Content-Encoding": "gzip"}),
        "cannot be unpacked",
    ),
    "a redirect": (
        lambda _: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        "status 302",
    ),
    "an hour to wait": (
        lambda _: error(429, "quota", **{"Retry-After": "3600"}),
        "to be left alone for 3,600 s .*quota",
    ),
    "a wrong key": (
        lambda _: error(401, "no such key"),
        r"refuses the request \(status 401\): no such key",
    ),
    "details as a list": (
        lambda _: web.json_response(
            {"detail": [{"loc": ["body", "messages"], "msg": "bad"}]}, status=422
        ),
        "status 422.*bad",
    ),
    "a page of a proxy": (
        lambda _: raw("<html>Bad gateway", status=502),
        "status 502: <html>Bad gateway",
    ),
    "one byte after another": (_trickle, "nothing within 4 s"),
    "a connection that is cut": (_cut_off, "gave no answer in"),
    "an aborted answer": (lambda _: answer("Yo", finish_reason="abort"), "broke the answer off"),
}


@pytest.mark.parametrize("case", ONE_LINE)
def test_what_cannot_be_understood_is_one_clear_line(server: ChatServer, case: str):
    server.chat, said = ONE_LINE[case]
    started = time.monotonic()
    with pytest.raises(PolicyError, match=said) as caught:
        ask(server)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_000
    assert time.monotonic() - started < 20


def _refusing(*names: str, saying: str) -> Handler:
    def chat(body: dict[str, Any]) -> web.Response:
        wrong = [name for name in names if name in body]
        return error(400, saying.format(name=wrong[0])) if wrong else answer("Yours.")

    return chat


@pytest.mark.parametrize(
    "saying",
    [
        "Unsupported parameter: '{name}' is not supported with this model.",
        "Extra inputs are not permitted: {name}",
        "Unrecognized request argument supplied: {name}",
    ],
)
@pytest.mark.parametrize(
    "names", [("max_tokens",), ("seed",), ("max_tokens", "seed", "top_p", "top_k", "temperature")]
)
def test_a_server_that_refuses_a_field_is_asked_without_it_from_then_on(
    server: ChatServer, names: tuple[str, ...], saying: str
):
    server.chat = _refusing(*names, saying=saying)

    async def go() -> list[GenerateReply]:
        async with OpenAIEngine(server.url, OpenAIEngine.Options(server="other")) as engine:
            return [
                await engine.generate(GenerateRequest(CHAT, Sampling(max_tokens=9), seed=3))
                for _ in range(2)
            ]

    assert [reply.text for reply in asyncio.run(go())] == ["Yours.", "Yours."]
    accepted = server.bodies[-2:]
    assert not any(name in body for name in names for body in accepted)
    if "max_tokens" in names:
        assert all(body["max_completion_tokens"] == 9 for body in accepted)


def test_a_setting_that_was_set_is_never_dropped_in_silence(server: ChatServer):
    server.chat = _refusing(
        "temperature", saying="Unsupported value: '{name}' does not support 0.7."
    )
    with pytest.raises(
        PolicyError, match=r"refuses temperature=0.7: .*; leave it at its default, or say omit=temp"
    ):
        ask(server, sampling=Sampling(temperature=0.7, max_tokens=9))
    assert (
        ask(server, sampling=Sampling(temperature=0.7, max_tokens=9), omit="temperature").text
        == "Yours."
    )


def test_a_server_with_defaults_of_its_own_can_be_told_every_setting(server: ChatServer):
    ask(server, explicit=True)
    assert {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_tokens": 9}.items() <= server.bodies[
        -1
    ].items()
    ask(server, omit="seed, max_tokens")
    assert set(server.bodies[-1]) == {"model", "messages"}
    with pytest.raises(ConfigError, match="unknown field 'tokens'"):
        ask(server, omit="tokens")


@pytest.mark.parametrize("number", [2**63, -1, 1.5, True, "9", None, [9]])
def test_a_count_from_outside_that_is_none_is_0_and_the_run_can_be_read(
    server: ChatServer, tmp_path: Path, number: object
):
    usage = {
        "prompt_tokens": number,
        "completion_tokens": number,
        "prompt_tokens_details": {"cached_tokens": number},
    }
    server.chat = lambda _: answer("A", top={"usage": usage})
    spec = f"openai:{server.url}?server=other&reading=say"
    played = execute(
        RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=2), tmp_path / "run"
    )
    assert (
        played.decisions(["prompt_tokens"])["prompt_tokens"].to_pylist()
        == [0] * played.decisions().num_rows
    )
    assert played.failed() == []


@pytest.mark.parametrize(
    ("models", "options", "expected"),
    [
        (
            {
                "object": "list",
                "data": [{"id": "m", "parent": 0, "max_model_len": "long", "root": {}}],
            },
            {"model": "m"},
            "",
        ),
        ({"data": [{"id": "models/gem"}, {"id": "models/other"}]}, {"model": "gem"}, ""),
        ({"data": [{"id": "m", "max_model_len": 2**80}]}, {}, ""),
        ({"models": ["m"]}, {"model": "m"}, ""),
        ({"models": ["m"]}, {}, "does not list what is served"),
        ([], {}, "does not list what is served"),
        (
            {"data": [{"id": f"m{i}"} for i in range(400)]},
            {},
            "and 388 more; say which with model=",
        ),
    ],
)
def test_lists_of_models_come_as_they_may(
    server: ChatServer, models: object, options: dict[str, str], expected: str
):
    server.models = lambda _: web.json_response(models)
    if expected:
        with pytest.raises(ValueAgentsError, match=expected):
            ask(server, **options)
    else:
        assert ask(server, **options).text == "Yours."


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_server_that_lists_no_models_is_asked_for_the_one_that_was_named(
    server: ChatServer, status: int
):
    server.models = lambda _: web.Response(status=status)
    assert ask(server, model="mine").text == "Yours."
    assert server.bodies[-1]["model"] == "mine"
    with pytest.raises(PolicyError, match=f"does not list what is served: .*status {status}"):
        ask(server)


@pytest.mark.slow
def test_the_first_question_ends_in_time_although_a_byte_comes_every_second(server: ChatServer):
    async def trickle(request: web.Request) -> web.StreamResponse:
        return await _trickle({"request": request})

    server.models = trickle
    started = time.monotonic()
    with pytest.raises(PolicyError, match=r"no server answers .*nothing within 10 s"):
        ask(server)
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("1.5", 1.5),
        ("-3", 0),
        ("soon", 0),
        ("", 0),
        ("nan", 0),
        ("Wed, 99 Foo 2026", 0),
        ("²", 0),
    ],
)
def test_a_retry_after_is_a_number_a_date_or_nothing(header: str, seconds: float):
    assert seconds_of(header) == seconds
    assert seconds_of("Thu, 01 Jan 2099 00:00:00 GMT") > 1e9


def test_a_proxy_of_the_environment_is_used_and_a_server_on_this_machine_is_not_asked_through_it(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    through = OpenAIEngine("http://models.invalid/v1", OpenAIEngine.Options(server="other"))

    async def go() -> GenerateReply:
        async with through as engine:
            return await engine.generate(GenerateRequest(CHAT, Sampling(), seed=1))

    assert asyncio.run(go()).text == "Yours."
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert ask(server).text == "Yours."


@pytest.mark.parametrize("given", [KEY, "gsk_0123456789abcdef", "AKIA0123456789ABCDEF"])
def test_a_key_in_place_of_the_name_of_a_variable_is_refused_and_not_repeated(
    given: str, tmp_path: Path
):
    spec = f"openai:http://127.0.0.1:1/v1?server=other&reading=say&api_key_env={given}"
    with pytest.raises(ConfigError, match="give the name of the variable, never the key") as caught:
        make_policy(spec)
    assert given not in str(caught.value)
    with pytest.raises(ConfigError):
        execute(RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_planted_key_is_in_no_byte_that_is_written_or_printed(
    server: ChatServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("MY_KEY", KEY)
    turn = iter(range(1_000))

    def chat(body: dict[str, Any]) -> web.Response:
        assert body["request"].headers["Authorization"] == f"Bearer {KEY}"
        return [
            lambda: answer(f"A, says {KEY}."),
            lambda: answer([{"type": "text", "text": KEY}]),
            lambda: answer(None, message={"refusal": KEY}, finish_reason=KEY),
            lambda: error(400, f"{KEY} is wrong", KEY),
            lambda: raw(f"<html>{KEY}"),
        ][next(turn) % 5]()

    server.chat = chat
    spec = f"openai:{server.url}?server=other&reading=say&api_key_env=MY_KEY&cache={tmp_path / 'replies.sqlite'}"
    played = execute(
        RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=12), tmp_path / "run"
    )
    assert played.decisions().num_rows
    assert played.failed()
    print([failure.message for failure in played.failed()])
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) >= 3
    for file in written:
        assert KEY.encode() not in file.read_bytes(), file
    assert KEY not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_a_live_run_outlives_a_restart_of_the_server(server: ChatServer, tmp_path: Path):
    async def slowly(_: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return answer("A")

    server.chat = slowly

    def restart() -> None:
        server.stop()
        time.sleep(2)
        server.start()

    restarting = threading.Thread(target=restart)

    def watch(finished: int, failed: int, owed: int) -> None:
        if finished == 5:
            restarting.start()

    spec = f"openai:{server.url}?server=other&reading=say&live=4&patience_s=30"
    config = RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=30)
    played = execute(config, tmp_path / "run", progress=watch)
    restarting.join()
    assert played.failed() == []
    assert max(played.decisions(["attempts"])["attempts"].to_pylist()) > 1


@pytest.mark.slow
def test_a_server_that_comes_back_with_another_model_is_refused(server: ChatServer):
    async def go() -> None:
        settings = OpenAIEngine.Options(server="other", patience_s=30.0)
        async with OpenAIEngine(server.url, settings) as engine:
            await asyncio.to_thread(server.stop)
            asked = asyncio.create_task(engine.generate(GenerateRequest(CHAT, Sampling(), seed=1)))
            await asyncio.sleep(1)
            server.models = lambda _: web.json_response({"data": [{"id": "another"}]})
            await asyncio.to_thread(server.start)
            await asked

    with pytest.raises(PolicyError, match="came back and serves something else than before"):
        asyncio.run(go())
