"""Models of Inspect's providers, by a provider of this file: what is asked, read and counted.

Inspect has an environment of its own (`make inspect-test`); elsewhere this is skipped.
"""

import asyncio
import json
import math
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed: make inspect-test")

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    ContentReasoning,
    ContentText,
    Logprob,
    Logprobs,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    TopLogprob,
    modelapi,
)

from valueagents.contracts.plugins import make_policy
from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.engines import GenerateRequest, Message, Sampling, TopRequest
from valueagents.policies.engines.inspect_models import InspectEngine
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

# Inspect's own: it calls a newer tenacity by an older name
pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning")
CHAT = (Message("system", "Decide."), Message("user", "A or B?"))
ASKED: list[tuple[list[Any], Any]] = []
USAGE = {"input_tokens": 30, "output_tokens": 5, "total_tokens": 45, "input_tokens_cache_read": 10}


THOUGHTS = {
    "thinking": ContentReasoning(reasoning="A looks good."),
    "summing up": ContentReasoning(reasoning="gAAAAB", summary="A looks good.", redacted=True),
    "hiding": ContentReasoning(reasoning="gAAAAB", redacted=True),
}
"""What a model thinks before it answers: shown, told in a summary beside a cipher, a cipher."""


class StubAPI(ModelAPI):
    """Answers as its name says: a text, after a thought, with tokens, cut, filtered, or not."""

    async def generate(self, input, tools, tool_choice, config):  # noqa: A002 – Inspect's name
        ASKED.append((input, config))
        kind = self.model_name
        if kind == "failing":
            raise RuntimeError("the key is wrong")
        said: Any = "B"
        if kind in THOUGHTS:
            said = [THOUGHTS[kind], ContentText(text="Answer: B")]
        stop = {"cut": "max_tokens", "filtered": "content_filter"}.get(kind, "stop")
        shown = kind == "showing" and config.logprobs
        top = [TopLogprob(token=t, logprob=math.log(p)) for t, p in (("B", 0.6), ("A", 0.3))]
        place = Logprob(token="B", logprob=math.log(0.6), top_logprobs=top)
        cost = {"total_cost": 0.01} if kind == "priced" else {}
        return ModelOutput(
            model=kind,
            choices=[
                ChatCompletionChoice(
                    message=ChatMessageAssistant(content=said),
                    stop_reason=stop,
                    logprobs=Logprobs(content=[place]) if shown else None,
                )
            ],
            usage=ModelUsage(**USAGE, **cost),
        )


@modelapi(name="stub")
def stub():
    return StubAPI


def ask(kind: str, *, sampling: Sampling | None = None, times: int = 1, **options: Any) -> Any:
    ASKED.clear()

    async def go() -> Any:
        engine = InspectEngine(f"stub/{kind}", InspectEngine.Options(**options))
        async with engine:
            for _ in range(times):
                reply = await engine.generate(
                    GenerateRequest(CHAT, sampling or Sampling(), 2**40 + 3)
                )
            return reply

    return asyncio.run(go())


def test_a_chat_is_put_as_it_is_and_only_what_was_set_is_sent():
    reply = ask("plain", sampling=Sampling(temperature=0.5, max_tokens=9))
    [(messages, config)] = ASKED
    assert [(m.role, m.text) for m in messages] == [("system", "Decide."), ("user", "A or B?")]
    assert (config.temperature, config.max_tokens, config.top_p, config.top_k) == (
        0.5,
        9,
        None,
        None,
    )
    assert config.seed == (2**40 + 3) % 2**31
    assert (reply.text, reply.finish_reason) == ("B", "stop")
    assert (reply.prompt_tokens, reply.cached_tokens, reply.output_tokens) == (40, 10, 5)


def test_explicit_sends_the_defaults_and_effort_is_part_of_the_identity():
    ask("plain", explicit=True, reasoning_effort="low")
    assert (ASKED[0][1].temperature, ASKED[0][1].reasoning_effort) == (1.0, "low")
    told = InspectEngine("stub/x", InspectEngine.Options(reasoning_effort="low")).identity()
    assert told["reasoning_effort"] == "low"


def test_a_thought_is_kept_and_not_read_as_the_answer(out):
    assert ask("thinking").text == "<think>\nA looks good.\n</think>\nAnswer: B"
    run = play("inspect:stub/thinking", out)
    for row in run.episodes():
        [decision] = row.decisions
        assert decision.chosen == 1
        assert "A looks good." in decision.choice.raw


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("summing up", "<think>\nA looks good.\n</think>\nAnswer: B"),
        ("hiding", "Answer: B"),
    ],
)
def test_of_a_thought_that_is_hidden_no_cipher_is_kept(kind, text):
    assert ask(kind).text == text


@pytest.mark.parametrize(("kind", "reason"), [("cut", "length"), ("filtered", "content_filter")])
def test_why_an_answer_ended_is_told(kind, reason):
    assert ask(kind).finish_reason == reason


def test_a_provider_that_fails_says_so_in_one_line():
    with pytest.raises(PolicyError, match="inspect:stub/failing: the key is wrong"):
        ask("failing")


def test_tokens_and_dollars_of_a_session_are_limited():
    assert ask("plain", times=2, most_tokens=90).text == "B"
    with pytest.raises(PolicyError, match="90 tokens are taken, most_tokens=90"):
        ask("plain", times=3, most_tokens=90)
    with pytest.raises(PolicyError, match=r"0.02 dollars are spent, most_cost=0.02"):
        ask("priced", times=3, most_cost=0.02)
    with pytest.raises(PolicyError, match="knows no price of stub/plain: say most_tokens"):
        ask("plain", most_cost=1.0)


def test_top_tokens_are_read_from_a_provider_that_shows_them_and_refused_of_others(out):
    run = play("inspect:stub/showing?reading=top", out)
    for episode in run.episodes():
        choice = episode.decisions[0].choice
        assert choice.mass == pytest.approx(0.9)
        assert choice.position_probabilities[:2] == pytest.approx((1 / 3, 2 / 3))

    async def go() -> None:
        async with InspectEngine("stub/plain") as engine:
            await engine.top(TopRequest((CHAT,), 20))

    with pytest.raises(PolicyError, match=r"does not show .*use reading=sample"):
        asyncio.run(go())


def test_shares_of_replies_are_read_from_any(out):
    run = play("inspect:stub/plain?reading=sample&replies=4&rotations=none", out)
    assert all(e.decisions[0].choice.probabilities[1] == 1 for e in run.episodes())
    assert json.loads(run.episodes()[0].decisions[0].choice.raw) == ["B"] * 4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("inspect:gpt", "write PROVIDER/MODEL"),
        ("inspect:stub/x?adapter=runs/a", "a provider serves no adapters"),
        ("inspect:stub/x?reading=label", "cannot do score"),
        ("inspect:stub/x?most_tokens=0", "most_tokens"),
    ],
)
def test_a_wrong_spec_is_refused_before_anything_is_asked(spec, message):
    with pytest.raises(ConfigError, match=message):
        make_policy(spec)


def test_an_unknown_provider_is_named(out):
    with pytest.raises(ConfigError, match="inspect:nobody/x: "):
        play("inspect:nobody/x", out)


def play(spec: str, out: Any) -> Run:
    return execute(RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=3, seed=1), out)
