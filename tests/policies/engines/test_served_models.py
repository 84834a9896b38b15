"""The engine for served models against a real vLLM server, beside the engine in this process; a
server that is killed.

They run where $VALUEAGENTS_VLLM is the path of a Python that has vLLM (0.32 or later, here its
build for CPUs).
"""

import asyncio
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from valueagents.errors import PolicyError
from valueagents.policies.engines import Engine, GenerateRequest, Message, Sampling, ScoreRequest
from valueagents.policies.engines.openai.engine import OpenAIEngine
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.models import EMBEDDED, find_model
from valueagents.running.execution import RunConfig, execute

PYTHON = os.environ.get("VALUEAGENTS_VLLM", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="$VALUEAGENTS_VLLM names no Python with vLLM"),
    pytest.mark.filterwarnings(
        "ignore:.is_gradient_checkpointing:FutureWarning"
    ),  # peft 0.21 on transformers 5.23
]

TOLERANCE = 1e-3  # nats, in a sum over some 20 tokens, float32 on both sides
READY_S, AWAY_S, WINDOW = 300.0, 20.0, 2_048
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "OMP_WAIT_POLICY": "passive",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "0-1",
    "VLLM_NO_USAGE_STATS": "1",
}
CHATS = (
    (
        Message("system", "Decide what you do."),
        Message("user", "You find a coat – whose? – on your chair."),
    ),
    (
        Message("system", "Decide what you do."),
        Message("user", "Options:\nA. Go.\nB. Stay.\nC. Ask.\n\nWhich letter?"),
    ),
)
LETTERS = ("A", "B", "C", "D")
TEXTS = (
    "Give it back.",
    "Keep it",
    "Ask the neighbour whose coat it is, and wait – quietly – for an answer.\nThen go.",
)


class Server:
    """vLLM in a process group of its own, on a port that stays the same when it is started
    again.
    """

    def __init__(self, model: Path, *options: str, window: int = WINDOW) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        served = [
            "--model",
            str(model),
            "--served-model-name",
            "base",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        sizes = [
            "--dtype",
            "float32",
            "--max-model-len",
            str(window),
            "--block-size",
            "32",
            "--enforce-eager",
        ]
        self._command = [
            PYTHON,
            "-m",
            "vllm.entrypoints.openai.api_server",
            *served,
            *sizes,
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [*self._command, "--enable-prompt-tokens-details"],
            env={**os.environ, **SETTINGS},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_until_ready(self) -> "Server":
        deadline = time.monotonic() + READY_S
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
            except OSError:
                assert self._process is not None
                assert self._process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not get ready"
                time.sleep(0.2)
            else:
                return self

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None


@pytest.fixture(scope="module")
def embedded() -> Iterator[Server]:
    """A server of the embedded model."""
    server = Server(find_model(EMBEDDED).folder)
    server.start()
    yield server.wait_until_ready()
    server.kill()


@pytest.fixture(scope="module")
def tiny_adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters of the tiny model that change its answers."""
    import peft
    import torch
    import transformers

    folders = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model)
            lora = peft.LoraConfig(
                r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"], init_lora_weights=False
            )
            folders.append(tmp_path_factory.mktemp("adapters") / f"seed-{seed}")
            peft.get_peft_model(model, lora).save_pretrained(folders[-1])
    return folders


def with_adapters(model: Path, adapters: list[Path], slots: int) -> Server:
    """The model and its adapters, served under the names of their folders."""
    lora = ["--enable-lora", "--max-lora-rank", "8", "--max-loras", str(slots)]
    lora += [
        "--lora-target-modules",
        "q_proj",
        "v_proj",
    ]  # else vLLM for CPUs dies of prompt_logprobs
    return Server(
        model, *lora, "--lora-modules", *(f"{each.name}={each}" for each in adapters), window=512
    )


def put(engine: Engine, *requests: ScoreRequest | GenerateRequest) -> list[Any]:
    """The replies, all asked for at once."""

    async def ask() -> list[Any]:
        async with engine:
            calls = [
                engine.score(r) if isinstance(r, ScoreRequest) else engine.generate(r)
                for r in requests
            ]
            return await asyncio.gather(*calls)

    return asyncio.run(ask())


def assert_alike(served: list[Any], here: list[Any]) -> None:
    for reply, expected in zip(served, here, strict=True):
        for row, wanted in zip(reply.logprobs, expected.logprobs, strict=True):
            assert row == pytest.approx(wanted, abs=TOLERANCE)
        assert (reply.tokens, reply.prompt_tokens) == (expected.tokens, expected.prompt_tokens)


def test_scores_are_those_of_the_engine_in_this_process(embedded: Server):
    requests = [
        ScoreRequest(CHATS, LETTERS),
        ScoreRequest(CHATS, TEXTS),
        ScoreRequest(CHATS[:1], (*LETTERS, *TEXTS)),
    ]
    served = put(OpenAIEngine(embedded.url), *requests)
    assert_alike(
        served,
        put(
            TransformersEngine(EMBEDDED, TransformersEngine.Options(dtype="float32", device="cpu")),
            *requests,
        ),
    )
    assert {reply.attempts for reply in served} == {1}


def test_a_prompt_asked_about_again_is_not_computed_again(embedded: Server):
    request = ScoreRequest(
        (((*CHATS[0], Message("assistant", "It is mine. " * 20), Message("user", "Sure?"))),),
        LETTERS,
    )
    put(OpenAIEngine(embedded.url), request)
    [again] = put(OpenAIEngine(embedded.url), request)
    assert 64 <= again.cached_tokens < again.prompt_tokens


def test_the_most_probable_text_is_the_same(embedded: Server):
    requests = [
        GenerateRequest(chat, Sampling(temperature=0, max_tokens=24), seed=1) for chat in CHATS
    ]
    served = put(OpenAIEngine(embedded.url), *requests)
    here = put(
        TransformersEngine(EMBEDDED, TransformersEngine.Options(dtype="float32", device="cpu")),
        *requests,
    )
    counts = ("text", "finish_reason", "prompt_tokens", "output_tokens")
    for reply, expected in zip(served, here, strict=True):
        assert [getattr(reply, name) for name in counts] == [
            getattr(expected, name) for name in counts
        ]


def test_the_same_seed_draws_the_same_text_and_another_another(embedded: Server):
    drawn = []
    for seed in (2**62, 2**62, 2**62 + 1):
        request = GenerateRequest(CHATS[0], Sampling(max_tokens=16), seed=seed)
        drawn += [reply.text for reply in put(OpenAIEngine(embedded.url), request)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_answer_is_held_to_its_choices(embedded: Server):
    choices = ("Give it back.", "Keep it")
    requests = [
        GenerateRequest(CHATS[0], Sampling(max_tokens=16), seed=s, choices=choices)
        for s in range(12)
    ]
    assert {reply.text for reply in put(OpenAIEngine(embedded.url), *requests)} <= set(choices)


def test_an_overlong_prompt_is_refused_and_a_full_window_is_not(embedded: Server):
    def chat(words: int) -> tuple[Message, ...]:
        return (Message("user", "a" + " b" * (words - 1)),)

    [short] = put(OpenAIEngine(embedded.url), ScoreRequest((chat(10),), ("A",)))
    around = short.prompt_tokens - 10
    [full] = put(OpenAIEngine(embedded.url), ScoreRequest((chat(WINDOW - around - 1),), ("A",)))
    assert full.prompt_tokens == WINDOW - 1
    with pytest.raises(
        PolicyError, match=rf"prompt of {WINDOW} tokens and an answer of 1 .* window of {WINDOW}"
    ):
        put(OpenAIEngine(embedded.url), ScoreRequest((chat(WINDOW - around),), ("A",)))


def test_a_text_that_holds_a_control_token_is_refused(embedded: Server):
    with pytest.raises(PolicyError, match=r"control token '<\|im_end\|>'"):
        put(
            OpenAIEngine(embedded.url),
            ScoreRequest(((Message("user", "Mine.<|im_end|>"),),), LETTERS),
        )


def test_each_adapter_answers_as_in_this_process(tiny_model: Path, tiny_adapters: list[Path]):
    server = with_adapters(tiny_model, tiny_adapters, slots=len(tiny_adapters) + 1)
    here = TransformersEngine(str(tiny_model), adapters=[str(folder) for folder in tiny_adapters])
    names = [adapter.name for adapter in here.adapters]
    server.start()
    try:
        served_as = [folder.name for folder in tiny_adapters]
        engine = OpenAIEngine(server.wait_until_ready().url, adapters=served_as)
        asked = [
            ScoreRequest(CHATS, answers, name)
            for name in (None, *served_as)
            for answers in (LETTERS, TEXTS)
        ]
        served = put(engine, *asked)
    finally:
        server.kill()
    requests = [
        ScoreRequest(CHATS, answers, name)
        for name in (None, *names)
        for answers in (LETTERS, TEXTS)
    ]
    assert_alike(served, put(here, *requests))
    assert len({reply.logprobs for reply in served}) == len(requests)


def test_a_run_outlives_its_server(embedded: Server, tmp_path: Path):
    """Killed in mid-run, and started again 20 s later.

    Last in this file, because the others need the server too.
    """
    spec = f"openai:{embedded.url}?model=base&live=4&patience_s={READY_S}"
    config = RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=16, seed=5)

    def restart() -> None:
        embedded.kill()
        time.sleep(AWAY_S)
        embedded.start()

    restarting = threading.Thread(target=restart)

    def watch(finished: int, failed: int, owed: int) -> None:
        if finished == 4:
            restarting.start()

    played = execute(config, tmp_path / "run", progress=watch)
    restarting.join()
    assert played.failed() == []
    choices = [episode.decisions[0].choice for episode in played.episodes()]
    assert len(choices) == 16
    again = [choice for choice in choices if choice.attempts > 1]
    assert 1 <= len(again) <= 4  # those that were live
    assert max(choice.latency_s for choice in again) > AWAY_S
