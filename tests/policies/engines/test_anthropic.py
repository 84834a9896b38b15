"""Anthropic's own interface, by Inspect's provider for it, against a server that speaks it: played
from a spec to scores.

Inspect and Anthropic's package have an environment of their own (`make inspect-test`); elsewhere
this is skipped.
"""

import random
import re

import pytest

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed: make inspect-test")
pytest.importorskip("anthropic", reason="anthropic is not installed: make inspect-test")

from aiohttp import web

from chat_server import ChatServer
from valueagents.measuring.scores import score
from valueagents.running.execution import RunConfig, execute

# Inspect's own: it calls a newer tenacity by an older name
pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning")
KEY = "a key for tests"
TAKEN = {"model", "max_tokens", "messages", "system", "temperature", "top_p", "top_k"}
TAKEN |= {"cache_control", "stop_sequences", "stream", "thinking", "tools"}
FIRST = 0.7


class Claude:
    """Takes the first option listed with a probability of 0.7, else the second; refuses what the
    real one refuses: no key, no max_tokens, a system message among the others, unknown fields.
    """

    def __init__(self, *, thinks=False, stop="end_turn"):
        self.thinks, self.stop = thinks, stop
        self._rng = random.Random(5)

    def __call__(self, body):
        headers = body.pop("request").headers
        keys = {headers.get("x-api-key"), headers.get("Authorization")}
        if not keys & {KEY, f"Bearer {KEY}"} or "anthropic-version" not in headers:
            return refused(401, "authentication_error", "invalid x-api-key")
        unknown = sorted(set(body) - TAKEN)
        roles = {message["role"] for message in body.get("messages", [])}
        if unknown or "max_tokens" not in body or not roles <= {"user", "assistant"}:
            return refused(400, "invalid_request_error", f"Extra inputs: {unknown} {roles}")
        content = body["messages"][-1]["content"]
        asked = content if isinstance(content, str) else content[-1]["text"]
        letters = re.findall(r"^([A-Z])[.:)] ", asked, flags=re.MULTILINE)
        said = letters[0] if self._rng.random() < FIRST else letters[1]
        told = [{"type": "text", "text": f"Answer: {said}"}]
        if self.thinks:
            told.insert(0, {"type": "thinking", "thinking": "B, I think.", "signature": "s"})
        usage = {"input_tokens": 40, "output_tokens": 4, "cache_creation_input_tokens": 0}
        return web.json_response(
            {
                "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"],
                "content": told, "stop_reason": self.stop, "stop_sequence": None,
                "usage": {**usage, "cache_read_input_tokens": 10},
            }
        )  # fmt: skip


def refused(status, kind, message):
    told = {"type": "error", "error": {"type": kind, "message": message}}
    return web.json_response(told, status=status)


@pytest.fixture
def server(monkeypatch):
    mock = ChatServer()
    monkeypatch.setenv("ANTHROPIC_BASE_URL", mock.url.removesuffix("/v1"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    yield mock
    mock.close()


def play(out, episodes, options=""):
    spec = f"inspect:anthropic/claude-sonnet-5{options}"
    config = RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=episodes, seed=3)
    return execute(config, out)


def choices(run):
    return [decision.choice for episode in run.episodes() for decision in episode.decisions]


def test_replies_are_read_and_their_tokens_counted(server, out):
    server.chat = Claude()
    run = play(out, 40)
    assert run.failed() == []
    counts = score(run).counts
    assert (counts.decisions, counts.unread) == (40, 0)
    assert (counts.prompt_tokens, counts.cached_tokens, counts.output_tokens) == (2000, 400, 160)
    assert all(choice.reading == "parsed" for choice in choices(run))
    assert KEY not in b"".join(file.read_bytes() for file in out.iterdir()).decode("latin-1")


def test_a_thought_is_kept_and_not_read_as_the_answer(server, out):
    server.chat = Claude(thinks=True)
    run = play(out, 5)
    assert len(choices(run)) == 5
    for choice in choices(run):
        assert choice.raw.startswith("<think>\nB, I think.\n</think>\nAnswer: ")
        assert choice.reading == "parsed"


def test_shares_of_replies_are_the_models_probabilities_within_their_error(server, out):
    server.chat = Claude()
    run = play(out, 12, "?reading=sample&replies=40&rotations=none&temperature=1")
    assert run.failed() == []
    assert {choice.samples for choice in choices(run)} == {40}
    first = [choice.position_probabilities[0] for choice in choices(run)]
    assert sum(first) / len(first) == pytest.approx(FIRST, abs=4 * (0.21 / 480) ** 0.5)
    assert score(run).partial.replies == pytest.approx(40)


@pytest.mark.parametrize(
    ("stop", "told"), [("max_tokens", "length"), ("refusal", "content_filter")]
)
def test_a_reply_that_was_cut_or_refused_says_so(server, out, stop, told):
    server.chat = Claude(stop=stop)
    assert {choice.finish_reason for choice in choices(play(out, 3))} == {told}


def test_what_a_request_was_refused_for_is_said(server, out):
    server.chat = lambda _: refused(400, "invalid_request_error", "max_tokens: too many")
    [message] = {failure.message for failure in play(out, 3).failed()}
    assert "max_tokens: too many" in message


def test_what_is_wrong_with_the_key_is_said(server, out, monkeypatch):
    server.chat = Claude()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "another")
    run = play(out, 3)
    [message] = {failure.message for failure in run.failed()}
    assert "invalid x-api-key" in message
    assert "another" not in message
