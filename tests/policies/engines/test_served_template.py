"""The chat template of a server: what it leaves out, where an answer begins and ends, which answers
are alike.
"""

import asyncio
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.engines import GenerateRequest, Message, Sampling, ScoreRequest
from valueagents.policies.engines.openai.engine import OpenAIEngine

MOCK = Path(__file__).with_name("test_openai_engine.py")
CHAT = (Message("system", "Decide."), Message("user", "Whose coat?"))
Messages = list[dict[str, str]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The mock of vLLM; one token a character."""
    spec = importlib.util.spec_from_file_location("mock_of_vllm", MOCK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    mock = module.MockServer()
    yield mock
    mock.close()


def _template(*roles: str, begun: str = "<a>", answer: str = "<a>") -> Callable[[Messages], str]:
    """Shows the messages of these roles; `begun` ends a prompt, `answer` begins earlier answers."""
    before = {"system": "<s>", "user": "<u>", "assistant": answer}

    def render(messages: Messages) -> str:
        shown = (m for m in messages if m["role"] in roles)
        return "".join(f"{before[m['role']]}{m['content']}<|end|>" for m in shown) + begun

    return render


ALL = ("system", "user", "assistant")


def _asked_about(server: Any, *letters: str) -> str:
    """The text of the prompt whose letters were asked for."""

    async def ask() -> None:
        async with OpenAIEngine(server.url) as engine:
            server.asked.clear()
            await engine.score(ScoreRequest((CHAT,), letters or ("A", "B")))

    asyncio.run(ask())
    [body] = server.bodies("/v1/completions")
    return "".join(map(chr, body["prompt"])).replace("\0", "<|end|>")


def test_a_template_that_shows_all_is_asked_about_as_it_renders(server: Any):
    server.renders = _template(*ALL)
    assert _asked_about(server) == "<s>Decide.<|end|><u>Whose coat?<|end|><a>"
    assert server.bodies("/detokenize") == []
    assert "template" not in OpenAIEngine(server.url).identity()


def test_a_task_that_the_template_drops_joins_the_first_question(server: Any):
    server.renders = _template("user", "assistant")
    assert _asked_about(server) == "<u>Decide.\n\nWhose coat?<|end|><a>"
    assert OpenAIEngine(server.url).identity()["template"] == "task joined"


@pytest.mark.parametrize(
    ("roles", "message"),
    [(("system", "user"), "earlier answers"), (("system", "assistant"), "task")],
)
def test_a_template_that_drops_a_question_or_an_answer_is_refused(
    server: Any, roles: tuple[str, ...], message: str
):
    server.renders = _template(*roles)
    with pytest.raises(ConfigError, match=f"does not show the {message}; .*--chat-template"):
        _asked_about(server)


def test_a_thought_that_the_template_opens_is_ended_before_the_answer(server: Any):
    server.renders = _template(*ALL, begun="<a><think>\n", answer="<a>")
    assert _asked_about(server).endswith("<a><think>\n\n</think>\n\n")


def test_an_answer_follows_the_header_that_answers_have_in_the_template(server: Any):
    server.renders = _template(*ALL, answer="<a><final>")
    assert _asked_about(server).endswith("<|end|><a><final>")


def test_what_ends_a_turn_in_the_template_ends_an_answer(server: Any):
    server.renders = _template(*ALL)

    async def ask() -> None:
        async with OpenAIEngine(server.url) as engine:
            await engine.generate(GenerateRequest(CHAT, Sampling(max_tokens=5), seed=1))

    asyncio.run(ask())
    assert server.bodies("/v1/completions")[-1]["stop_token_ids"] == [0]  # the mock's <|end|>


def test_answers_that_are_the_same_tokens_are_refused(server: Any):
    server.taken_for = {"B": "A"}
    with pytest.raises(PolicyError, match="'A' and 'B' are the same"):
        _asked_about(server, "A", "B")
