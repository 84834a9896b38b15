"""Shares of replies: unbiased, with a binomial error that intervals hold."""

import asyncio
import json
import random
from collections import Counter
from typing import Self

import pytest

from valueagents.contracts.decision import Option
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError
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
from valueagents.policies.readings import Question, SampleReading
from valueagents.running.execution import RunConfig, execute

PROMPT = load_prompt("choose-1")
MENU = tuple(Option(name, text) for name, text in (("a", "Stay."), ("b", "Go."), ("c", "Ask.")))
VIEW = View("Decide.", (), "It rains.", MENU, 7)


class Speaking(Engine):
    """Says a letter: that of an option by its liking, or of a place, or something else."""

    can, live = frozenset({"generate", "seeds"}), 8

    def __init__(self, say) -> None:
        self.say, self.requests = say, []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def identity(self) -> dict[str, str]:
        return {"engine": "speaking"}

    async def score(self, request: ScoreRequest) -> ScoreReply:
        raise NotImplementedError

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        self.requests.append(request)
        said = self.say(request.chat[-1].content, random.Random(request.seed))
        reason = "refusal" if said == "(refused)" else "stop"
        return GenerateReply(said, reason, 20, 5, 1)


def choose(say, **options):
    engine = Speaking(say)
    reading = SampleReading(SampleReading.Options(**options))
    return asyncio.run(reading.choose(engine, Question(VIEW, PROMPT))), engine


def letter_of(chat: str, text: str) -> str:
    return next(line[0] for line in chat.splitlines() if line.endswith(text))


def test_shares_are_of_the_replies_that_name_an_option_and_say_of_how_many():
    def say(chat, rng):
        return (
            letter_of(chat, rng.choice(["Stay.", "Stay.", "Go."])) if rng.random() < 0.75 else "Hm."
        )

    choice, engine = choose(say, replies=60)
    assert len({request.seed for request in engine.requests}) == 60
    assert 30 <= choice.samples < 60
    assert choice.mass == pytest.approx(choice.samples / 60)
    assert sum(choice.probabilities) == pytest.approx(1)
    assert choice.probabilities[2] == 0
    assert choice.probabilities[0] == pytest.approx(2 / 3, abs=0.2)
    assert choice.reading == "drawn"
    assert len(json.loads(choice.raw)) == 60
    assert (choice.prompt_tokens, choice.cached_tokens, choice.output_tokens) == (1200, 300, 60)


def test_a_liking_for_a_place_cancels_over_the_orders_and_is_measured():
    choice, _ = choose(lambda chat, rng: "A", replies=6)
    assert choice.probabilities == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert choice.position_probabilities == (1, 0, 0)
    left_in, _ = choose(lambda chat, rng: "A", replies=6, rotations="none")
    assert left_in.probabilities == (1, 0, 0)


def test_replies_that_name_nothing_make_the_decision_unread():
    choice, _ = choose(lambda chat, rng: "(refused)", replies=3)
    assert (choice.option, choice.probabilities, choice.mass, choice.samples) == (None, None, 0, 0)
    assert choice.reading == "failed"


def test_the_same_seed_draws_the_same_replies_and_another_decision_others():
    def say(chat, rng):
        return rng.choice("ABC")

    first, second = (choose(say, replies=9)[0] for _ in range(2))
    assert first.raw == second.raw


def test_one_reply_many_times_is_refused_when_the_policy_is_made():
    with pytest.raises(ConfigError, match="temperature=0 would give one of them many times"):
        SampleReading(SampleReading.Options(temperature=0))


@pytest.mark.slow
def test_intervals_of_shares_hold_their_binomial_error(tmp_path):
    """A policy that chooses by chance has a propensity of 0: of 3 runs × 20 values about 5 % of
    the intervals of E3p may miss it, with three replies a decision as with any number.
    """
    missed = Counter()
    for seed in range(3):
        policy = LanguagePolicy(
            Speaking(lambda chat, rng: rng.choice("AB")),
            PROMPT,
            SampleReading(SampleReading.Options(replies=3)),
        )
        config = RunConfig(
            env="valueagents/Dilemma-v0", policy="by chance", episodes=192, seed=seed
        )
        scores = score(execute(config, tmp_path / str(seed), policy=policy))
        assert scores.partial.replies == pytest.approx(3, abs=0.9)
        assert "shares of" in scores.partial.told
        for axis in scores.axes:
            estimate = axis["E3p"]
            if estimate.value is not None:
                missed[not estimate.low <= 0 <= estimate.high] += 1
    assert missed.total() > 45
    assert missed[True] <= 0.15 * missed.total()
