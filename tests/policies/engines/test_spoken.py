"""The truth check of served models: what is said is scored alike, or nothing is measured; and a
server that is restarted in the midst of a run.
"""

import asyncio
import importlib.util
import itertools
import json
import logging
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from valueagents.errors import PolicyError
from valueagents.policies.adapters import read_adapter
from valueagents.policies.engines import Message, ScoreRequest
from valueagents.policies.engines.openai.engine import OpenAIEngine
from valueagents.policies.engines.spoken import SpokenCheck
from valueagents.policies.engines.vllm.adapter_gate import LIMITS_VARIABLE, AdapterLimits
from valueagents.policies.models import ModelFiles
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

MOCK = Path(__file__).with_name("test_openai_engine.py")
LETTERS = ("A", "B", "C")
READY_S, AWAY_S = 60.0, 2.0


def _mock() -> ModuleType:
    """The module that holds the mock of vLLM."""
    spec = importlib.util.spec_from_file_location("mock_of_vllm", MOCK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    mock = _mock().MockServer()
    yield mock
    mock.close()


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str | None]]:
    """Length and adapter of every check that is made from here on."""
    made, compare = [], SpokenCheck._compare

    async def counted(self: SpokenCheck, length: int, adapter: str | None) -> dict[str, float]:
        made.append((length, adapter))
        return await compare(self, length, adapter)

    monkeypatch.setattr(SpokenCheck, "_compare", counted)
    return made


def _use(engine: OpenAIEngine, *requests: ScoreRequest) -> None:
    async def ask() -> None:
        async with engine:
            for request in requests:
                await engine.score(request)

    asyncio.run(ask())


def _letters(characters: int) -> ScoreRequest:
    """A question of that many characters, each a token of the mock's."""
    return ScoreRequest(((Message("user", "x" * characters),),), LETTERS)


def test_a_server_that_scores_otherwise_than_it_speaks_is_refused_by_setting(server: Any):
    server.spoken_scale = 1.2
    with pytest.raises(
        PolicyError,
        match=rf"{server.port} \(vLLM 0\.32\.0, model base\) is refused: what it says is scored"
        r" otherwise as the next token, .* at 128 tokens is \d\.\d+ nats off, 0\.25 .*"
        r"logprobs-mode",
    ):
        _use(OpenAIEngine(server.url))


def test_a_server_whose_texts_are_scored_otherwise_is_refused_by_setting(server: Any):
    completion = server._completion

    def left_out(body: dict[str, Any]) -> dict[str, Any]:
        """As an adapter of the output layer is left out of prompt_logprobs, and of nothing else."""
        found = completion(body)
        for place in found["choices"][0].get("prompt_logprobs") or []:
            for told in (place or {}).values():
                told["logprob"] *= 1.5
        return found

    server._completion = left_out
    with pytest.raises(PolicyError, match=r"scored otherwise as a text, .*prompt_logprobs"):
        _use(OpenAIEngine(server.url))


def test_a_server_whose_memory_errs_is_refused_by_setting(server: Any):
    completion = server._completion

    def forgetful(body: dict[str, Any]) -> dict[str, Any]:
        return completion(body if "cache_salt" in body else {**body, "model": "another"})

    server._completion = forgetful
    with pytest.raises(PolicyError, match=r"read on from memory is scored otherwise, .*caching"):
        _use(OpenAIEngine(server.url))


def test_a_server_that_rounds_as_in_float32_may_not_differ_by_more(server: Any):
    completion, spread = server._completion, itertools.count()

    def noisy(body: dict[str, Any]) -> dict[str, Any]:
        found = completion(body)
        for place in (found["choices"][0]["logprobs"] or {}).get("top_logprobs", []):
            for name in place:
                place[name] -= 1e-6 * (next(spread) % 3)
        return found

    server._completion = noisy
    _use(OpenAIEngine(server.url))
    server.spoken_scale = 1.01
    with pytest.raises(PolicyError, match=r"is 0\.0\d+ nats off, 0\.0001 may be rounding"):
        _use(OpenAIEngine(server.url))


def test_a_server_that_does_not_tell_what_it_says_is_refused(server: Any):
    completion = server._completion

    def silent(body: dict[str, Any]) -> dict[str, Any]:
        found = completion(body)
        if "logprob_token_ids" not in body:
            found["choices"][0]["logprobs"] = None
        return found

    server._completion = silent
    with pytest.raises(PolicyError, match=r"does not tell the tokens that it says"):
        _use(OpenAIEngine(server.url))


def test_base_and_adapters_are_checked_once_and_again_at_longer_questions(
    server: Any, lengths: list[tuple[int, str | None]]
):
    server.models = [
        {"id": "base", "max_model_len": 5_000, "parent": None},
        {"id": "kind", "parent": "base"},
    ]
    questions = map(_letters, (10, 200, 210, 350, 700, 4_000))
    _use(OpenAIEngine(server.url, adapters=["kind"]), *questions)
    assert lengths == [(128, None), (128, "kind"), (256, None), (512, None)]  # 512 is the longest


def test_what_passed_is_not_believed_after_the_server_was_away(
    server: Any, lengths: list[tuple[int, str | None]]
):
    async def ask() -> None:
        async with OpenAIEngine(server.url) as engine:
            await engine.score(_letters(10))
            server.stop()
            server.spoken_scale = 1.2
            starting = asyncio.create_task(asyncio.to_thread(_start_later, server))
            with pytest.raises(PolicyError, match="is refused: what it says"):
                await engine.score(_letters(11))
            await starting

    asyncio.run(ask())
    assert lengths == [(128, None), (128, None)]


def _start_later(server: Any) -> None:
    time.sleep(0.2)
    server.start()


def test_of_a_server_that_can_only_generate_it_is_said_that_nothing_is_compared(
    server: Any, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "valueagents"):
        _use(OpenAIEngine(server.url, OpenAIEngine.Options(server="other")))
    assert "tells no tokens: whether it answers as its model does cannot be" in caplog.text
    assert server.asked == []


_PROGRAM = """
import importlib.util, sys, time
from valueagents.policies.engines.vllm.adapter_gate import AdapterGate
spec = importlib.util.spec_from_file_location("mock_of_vllm", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
server = module.MockServer(int(sys.argv[2]))
server.models[0] |= {"max_model_len": 100_000, "root": sys.argv[3]}
server.gate = AdapterGate(server._take_in)
print(server.port, flush=True)
time.sleep(600)
"""


class Process:
    """The mock in a process of its own, with a gate for adapters; what it loads it forgets."""

    def __init__(self, limits: AdapterLimits, environment: dict[str, str]) -> None:
        told = msgspec.json.encode(limits).decode()
        self._model, self._environment = limits.model, {**environment, LIMITS_VARIABLE: told}
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", _PROGRAM, str(MOCK), str(self.port), self._model]
        self._process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def names(self) -> list[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models", timeout=30) as reply:
            return [model["id"] for model in json.load(reply)["data"]]


@pytest.fixture
def process(
    tiny_model: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Process]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    folder, modules = str(tiny_adapter.parent), ("q_proj", "v_proj")
    limits = AdapterLimits(str(tiny_model), folder, rank=8, modules=modules, slots=1)
    made = Process(limits, dict(os.environ))
    yield made
    made.kill()


def _played(spec: str, out: Path, watch: Callable[[int, int, int], None] | None = None) -> Run:
    config = RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=24, seed=5)
    return execute(config, out, progress=watch)


def _answers(run: Run) -> list[tuple[Any, ...]]:
    rows = run.decisions().to_pylist()
    return sorted((row["situation"], *row["probabilities"]) for row in rows)


@pytest.mark.slow
def test_a_run_outlives_the_server_that_had_loaded_its_adapter(
    process: Process, tiny_model: Path, tiny_adapter: Path, tmp_path: Path
):
    spec = f"openai:http://127.0.0.1:{process.port}/v1?model=base&live=4&rotations=none"
    spec += f"&patience_s={READY_S}&adapter={tiny_adapter}"
    name = read_adapter(str(tiny_adapter), ModelFiles("tiny", tiny_model)).name
    loaded: list[list[str]] = []

    def restart() -> None:
        loaded.append(process.names())
        process.kill()
        time.sleep(AWAY_S)
        process.start()
        loaded.append(process.names())

    restarting = threading.Thread(target=restart)

    def watch(finished: int, failed: int, owed: int) -> None:
        if finished == 4:
            restarting.start()

    disturbed = _played(spec, tmp_path / "disturbed", watch)
    restarting.join()
    assert loaded == [["base", name], ["base"]]  # it came back without the adapter
    assert process.names() == ["base", name]  # and was made to load it again
    assert disturbed.failed() == []
    attempts = [episode.decisions[0].choice.attempts for episode in disturbed.episodes()]
    assert len(attempts) == 24
    assert max(attempts) > 1
    assert _answers(disturbed) == _answers(_played(spec, tmp_path / "undisturbed"))
