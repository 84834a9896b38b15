"""Dialects of the OpenAI-compatible servers, each played from a spec to scores: by the most probable
tokens where a server shows them, else by shares of replies.
"""

import hashlib
import math
import random
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from aiohttp import web

from chat_server import ChatServer, answer, error
from valueagents.contracts.plugins import make_policy
from valueagents.errors import PolicyError
from valueagents.measuring.scores import score
from valueagents.policies.engines import (
    Engine,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.language import LanguagePolicy
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import LabelReading
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

EPISODES = 6
CONFIG = RunConfig(env="valueagents/Dilemma-v0", policy="a served model", episodes=EPISODES, seed=2)
WORDS = ["I", "The", "**", "Answer", "Sure", "a", "b", "(", "Option", "My", *map(str, range(10))]
KNOWN = {
    "model",
    "messages",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "logprobs",
    "top_logprobs",
}


def first_tokens(chat: str) -> dict[str, float]:
    """The model behind every mock: log P of its first tokens, by the texts of the options."""
    letters = re.findall(r"^([A-Z])\. (.*)$", chat, flags=re.MULTILINE)
    logits = {letter: 1.5 + 3 * _liking(text) for letter, text in letters}
    logits |= {word: 3 * _liking(word + chat) - 1 for word in WORDS}
    whole = math.log(sum(map(math.exp, logits.values())))
    return {token: logit - whole for token, logit in logits.items()}


def _liking(text: str) -> float:
    return hashlib.sha256(text.encode()).digest()[0] / 255


class Whole(Engine):
    """The same model, all of whose log-probabilities are told."""

    can, live = frozenset({"score"}), 4

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def identity(self) -> dict[str, str]:
        return {"engine": "whole"}

    async def score(self, request: ScoreRequest) -> ScoreReply:
        rows = [first_tokens(chat[-1].content) for chat in request.chats]
        logprobs = tuple(tuple(row[text] for text in request.continuations) for row in rows)
        return ScoreReply(logprobs, (1,) * len(request.continuations), 9, 0)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        raise NotImplementedError


class Dialect:
    """A server's way of answering a chat with the model's first token."""

    fields = KNOWN
    most_shown = 20
    begins = ""
    more: ClassVar[dict[str, Any]] = {}

    def __call__(self, body: dict[str, Any]) -> web.Response:
        unknown = sorted(body.keys() - {"request"} - self.fields)
        if unknown:
            return error(400, f"Unknown parameter: '{unknown[0]}'.")
        if body.get("top_logprobs", 0) > self.most_shown:
            return error(400, f"top_logprobs must be at most {self.most_shown}")
        told = first_tokens(body["messages"][-1]["content"])
        drawn = random.Random(body.get("seed")).choices(
            list(told), list(map(math.exp, told.values()))
        )
        return answer(drawn[0], **self.shown(body, told), top=self.usage())

    def shown(self, body: dict[str, Any], told: dict[str, float]) -> dict[str, Any]:
        if not body.get("logprobs"):
            return {"logprobs": None}
        ordered = sorted(told.items(), key=lambda each: -each[1])[: body["top_logprobs"]]
        top = [{"token": self.begins + token, "logprob": p, **self.more} for token, p in ordered]
        return {"logprobs": {"content": [{**top[0], "top_logprobs": top}], "refusal": None}}

    def usage(self) -> dict[str, Any]:
        return {"usage": {"prompt_tokens": 50, "completion_tokens": 1}}


class Newer(Dialect):
    """OpenAI's models that do not reason take the newer name of the limit."""

    fields = KNOWN - {"max_tokens"} | {"max_completion_tokens"}

    def __call__(self, body):
        if "max_tokens" in body:
            said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
            return error(400, f"{said} 'max_completion_tokens' instead.")
        return super().__call__(body)


class Reasoning(Newer):
    """OpenAI's reasoning models show no tokens and have a temperature of their own."""

    fields = Newer.fields - {"logprobs", "top_logprobs", "temperature", "top_p"}


class LlamaCpp(Dialect):
    """Tokens begin with a space, and have ids."""

    begins, more = " ", {"id": 7, "bytes": [32, 65]}


class SgLang(Dialect):
    """Usage without details; defaults of its own."""

    fields = KNOWN | {"top_k"}

    def usage(self):
        return {
            "usage": {"prompt_tokens": 50, "completion_tokens": 1, "prompt_tokens_details": None}
        }


class Few(Dialect):
    """Shows five tokens at most."""

    most_shown = 5


class Silent(Dialect):
    """Ignores what it does not know, and shows nothing."""

    def shown(self, body, told):
        return {}


MODELS = {
    "Gemini": {"data": [{"id": "models/gemini-x"}, {"id": "models/other"}]},
    "Ollama": {"object": "list", "data": [{"id": "m", "owned_by": "library"}]},
}
SHOWING: dict[str, tuple[Dialect, str]] = {
    "OpenAI": (Newer(), "model=m"),
    "Gemini": (Dialect(), "model=gemini-x"),
    "Ollama": (Dialect(), ""),
    "llama.cpp": (LlamaCpp(), "explicit=true&omit=top_k"),
    "SGLang": (SgLang(), "explicit=true"),
    "five tokens": (Few(), "count=5"),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    mock = ChatServer()
    yield mock
    mock.close()


def play(server: ChatServer, out, options: str) -> Run:
    spec = f"openai:{server.url}?server=other&prompt=choose-1&patience_s=2&{options}"
    return execute(CONFIG, out, policy=make_policy(spec.rstrip("&")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    """The full reading by letters."""
    policy = LanguagePolicy(Whole(), load_prompt("choose-1"), LabelReading())
    return execute(CONFIG, tmp_path_factory.mktemp("whole") / "run", policy=policy)


def rows(run: Run) -> list[dict[str, Any]]:
    return sorted(run.decisions().to_pylist(), key=lambda row: row["situation"])


@pytest.mark.parametrize("dialect", SHOWING)
def test_letters_among_the_tokens_shown_agree_with_the_full_reading_within_the_bound(
    server, whole, out, dialect
):
    server.chat, options = SHOWING[dialect]
    if dialect in MODELS:
        server.models = lambda _: web.json_response(MODELS[dialect])
    run = play(server, out, f"reading=top&{options}")
    assert run.failed() == []
    met = list(zip(rows(whole), rows(run), strict=True))
    assert len(met) == EPISODES
    for full, read in met:
        assert (read["situation"], read["option_ids"]) == (full["situation"], full["option_ids"])
        apart = 0.5 * np.abs(np.subtract(full["probabilities"], read["probabilities"])).sum()
        assert apart <= read["unseen"] + 1e-9
        assert 0 < read["mass"] <= full["mass"] + 1e-9
        assert read["prompt_tokens"] == 50 * len(read["option_ids"])
    assert run.header.policy_identity["reading"] == "top/1"
    told = score(run).partial
    assert told.replies is None
    assert told.most_off_by == pytest.approx(max(read["unseen"] for _, read in met))
    assert any(read["unseen"] > 0 for _, read in met) == (dialect == "five tokens")


def test_a_model_that_reasons_shows_no_tokens_and_says_what_to_do(server, out):
    server.chat = Reasoning()
    with pytest.raises(
        PolicyError, match=r"shows no 20 most probable tokens: .*use reading=sample"
    ):
        play_many(server, out, "reading=top&model=m")


def test_a_server_that_ignores_what_it_is_asked_for_says_what_to_do(server, out):
    server.chat = Silent()
    with pytest.raises(PolicyError, match=r"answers without top_logprobs: .*use reading=sample"):
        play_many(server, out, "reading=top&model=m")


def test_a_server_that_shows_fewer_tokens_says_how_to_ask_for_fewer(server, out):
    server.chat = Few()
    with pytest.raises(PolicyError, match="must be at most 5; ask for fewer with count="):
        play_many(server, out, "reading=top&model=m")


def play_many(server: ChatServer, out, options: str) -> Run:
    """So many episodes that a run of failures is an error."""
    spec = f"openai:{server.url}?server=other&patience_s=1&{options}"
    config = RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=40, seed=2)
    return execute(config, out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "dialect", [Reasoning(), Newer(), Silent(), LlamaCpp()], ids=lambda each: type(each).__name__
)
def test_shares_of_replies_are_read_from_any_server_and_the_run_says_so(
    server, whole, out, dialect
):
    server.chat = dialect
    run = play(server, out, "reading=sample&replies=40&model=m")
    assert run.failed() == []
    error_of = []
    for full, read in zip(rows(whole), rows(run), strict=True):
        assert 0 < read["samples"] <= 40
        p = np.array(full["probabilities"])
        error_of += list(
            (np.array(read["probabilities"]) - p) / np.sqrt(p * (1 - p) / read["samples"])
        )
    assert np.abs(error_of).mean() < 1.5  # a standard error is 0.8 on average
    assert score(run).partial.replies == pytest.approx(
        np.mean([row["samples"] for row in rows(run)])
    )
    assert run.header.policy_identity["reading"] == "sample/1"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"top_logprobs": [{"token": "A", "logprob": 0.7}]}, "come to 2"),
        ({"top_logprobs": [{"token": "A", "logprob": -0.1}] * 3}, "come to 2.71"),
        ({"top_logprobs": []}, "without top_logprobs"),
        ({"top_logprobs": "many"}, "not what was asked for"),
        ({"top_logprobs": [{"token": 3, "logprob": -1}]}, "not what was asked for"),
        ({"top_logprobs": [{"token": "A", "logprob": None}]}, "not what was asked for"),
    ],
)
def test_numbers_that_are_no_log_probabilities_are_refused(server, out, changed, message):
    server.chat = lambda _: answer("A", logprobs={"content": [changed]})
    with pytest.raises(PolicyError, match=message):
        play_many(server, out, "reading=top&model=m")


def test_tops_are_kept_in_a_cache_of_replies(server, out, tmp_path):
    server.chat = Dialect()
    options = f"reading=top&model=m&cache={tmp_path / 'replies.sqlite'}"
    first = play(server, out, options)
    asked = len(server.bodies)
    again = play(server, tmp_path / "again", options)
    assert len(server.bodies) == asked
    assert [row["probabilities"] for row in rows(again)] == [
        row["probabilities"] for row in rows(first)
    ]
    assert all(row["replayed"] for row in rows(again))
