"""What the transformers engine remembers: nothing is read twice, and every answer is as by full
forward passes.
"""

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from valueagents.policies.engines import (
    Chat,
    GenerateReply,
    GenerateRequest,
    Message,
    Sampling,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.transformers.engine import TransformersEngine

Naive = Callable[[Path, ScoreRequest], list[list[float]]]
PromptIds = Callable[[Path, Chat], list[int]]
LETTERS = ("A", "B", "C")
SENTENCES = ("Give it back.", "Keep it", "Ask the neighbour whose coat it is.")
TASK = "Decide what you do."


def _ask(folder: Path, *rounds: Sequence[ScoreRequest], **options: Any) -> list[list[ScoreReply]]:
    """Round after round to one engine, the requests of a round at once."""

    async def ask() -> list[list[ScoreReply]]:
        adapters = options.pop("adapters", ())
        async with TransformersEngine(
            str(folder), TransformersEngine.Options(**options), adapters
        ) as engine:
            return [
                list(await asyncio.gather(*(engine.score(request) for request in asked)))
                for asked in rounds
            ]

    return asyncio.run(ask())


def _chat(*texts: str) -> Chat:
    roles = ["user", "assistant"] * len(texts)
    return (
        Message("system", TASK),
        *(Message(role, text) for role, text in zip(roles, texts, strict=False)),
    )


def _turns(name: str, count: int) -> list[tuple[str, ...]]:
    """The transcripts of an episode, turn by turn: what was seen, and what was answered to it."""
    texts: list[str] = []
    chats = []
    for turn in range(count):
        texts.append(
            f"{name}, evening {turn}. You find a coat. A: keep it, B: ask, C: give it back."
        )
        chats.append(tuple(texts))
        texts.append("ABC"[turn % 3])
    return chats


def _computed(reply: ScoreReply) -> int:
    return reply.prompt_tokens - reply.cached_tokens


def test_a_later_turn_computes_only_what_is_new(
    tiny_model: Path, naive: Naive, prompt_ids: PromptIds
):
    requests = [ScoreRequest((_chat(*texts),), LETTERS) for texts in _turns("Ann", 4)]
    replies = [reply for [reply] in _ask(tiny_model, *([request] for request in requests))]
    read = 0
    for request, reply in zip(requests, replies, strict=True):
        length = len(prompt_ids(tiny_model, request.chats[0]))
        assert reply.prompt_tokens == length
        assert _computed(reply) == length - read
        read = length
        assert reply.logprobs[0] == pytest.approx(naive(tiny_model, request)[0], abs=1e-4)


def test_with_rotations_the_order_that_the_transcript_shows_is_remembered(
    tiny_model: Path, prompt_ids: PromptIds
):
    first, second = _turns("Ann", 2)
    turned = (*first[:-1], first[-1].replace("A: keep it, B: ask", "A: ask, B: keep it"))
    asked = [
        ScoreRequest((_chat(*first), _chat(*turned)), LETTERS),
        ScoreRequest((_chat(*second),), LETTERS),
    ]
    [_], [later] = _ask(tiny_model, *([request] for request in asked))
    assert later.cached_tokens == len(prompt_ids(tiny_model, _chat(*first)))


def test_after_a_likelihood_menu_the_prompt_is_remembered(
    tiny_model: Path, prompt_ids: PromptIds, naive: Naive
):
    asked = [ScoreRequest((_chat(*texts),), SENTENCES) for texts in _turns("Ann", 2)]
    [_], [later] = _ask(tiny_model, *([request] for request in asked))
    prompt = len(prompt_ids(tiny_model, asked[1].chats[0]))
    earlier = len(prompt_ids(tiny_model, asked[0].chats[0]))
    assert _computed(later) == prompt - earlier - 1 + sum(later.tokens)
    assert later.logprobs[0] == pytest.approx(naive(tiny_model, asked[1])[0], abs=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 400, None])
@pytest.mark.parametrize("kv_cache_gib", [None, 0.0001, 0])
def test_many_episodes_at_once_are_scored_as_by_full_passes(
    tiny_model: Path, naive: Naive, batch_tokens: int | None, kv_cache_gib: float | None
):
    episodes = [_turns("x" * (1 + 7 * i), 4) for i in range(5)]
    rounds = [
        [
            ScoreRequest((_chat(*turns[t]),), LETTERS if i % 2 else SENTENCES)
            for i, turns in enumerate(episodes)
        ]
        for t in range(4)
    ]
    rounds[2].append(ScoreRequest((_chat(*_turns("a newcomer", 1)[0]),), LETTERS))
    replies = _ask(tiny_model, *rounds, batch_tokens=batch_tokens, kv_cache_gib=kv_cache_gib)
    for asked, answered in zip(rounds, replies, strict=True):
        for request, reply in zip(asked, answered, strict=True):
            assert reply.logprobs[0] == pytest.approx(naive(tiny_model, request)[0], abs=1e-4)
    last = replies[-1]
    if kv_cache_gib is None:
        assert all(_computed(reply) < reply.prompt_tokens / 2 for reply in last)


def test_any_order_of_questions_is_scored_as_by_full_passes(tiny_model: Path, naive: Naive):
    rng = random.Random(3)
    chats = [_chat(*texts) for name in ("Ann", "Bo", "Cy") for texts in _turns(name, 3)]
    answers = [letters for k in (1, 2, 3) for letters in itertools.permutations(LETTERS, k)]
    rng.shuffle(answers)  # other answers each time: the same question is not read at all
    rounds = [
        [
            ScoreRequest((chat,), answers[turn % len(answers)])
            for chat in rng.sample(chats, rng.randint(1, 3))
        ]
        for turn in range(25)
    ]
    for asked, answered in zip(rounds, _ask(tiny_model, *rounds), strict=True):
        for request, reply in zip(asked, answered, strict=True):
            assert reply.logprobs[0] == pytest.approx(naive(tiny_model, request)[0], abs=1e-4)


def test_the_same_question_again_costs_nothing_at_once_or_later(tiny_model: Path, naive: Naive):
    request = ScoreRequest((_chat("Now?"), _chat("Or now?")), LETTERS)
    [first, twin], [again] = _ask(tiny_model, [request, request], [request])
    assert _computed(first) > 0
    assert [_computed(twin), _computed(again)] == [0, 0]
    for reply in (first, twin, again):
        for row, wanted in zip(reply.logprobs, naive(tiny_model, request), strict=True):
            assert row == pytest.approx(wanted, abs=1e-4)


def test_another_question_after_the_same_chat_costs_its_last_token(tiny_model: Path, naive: Naive):
    asked = [ScoreRequest((_chat("Now?"),), letters) for letters in (LETTERS, LETTERS[:2])]
    [_], [other] = _ask(tiny_model, *([request] for request in asked))
    assert _computed(other) == 1
    assert other.logprobs[0] == pytest.approx(naive(tiny_model, asked[1])[0], abs=1e-4)


def test_without_memory_everything_is_computed_again(tiny_model: Path):
    request = ScoreRequest((_chat("Now?"),), LETTERS)
    [_], [again] = _ask(tiny_model, [request], [request], kv_cache_gib=0)
    assert again.cached_tokens == 0


def test_little_memory_forgets_the_oldest_first(tiny_model: Path):
    a, b, c = (ScoreRequest((_chat(f"{name}" + " the coat" * 60),), LETTERS) for name in "abc")
    [first], *_ = _ask(tiny_model, [a])
    bytes_a_token = 2 * 2 * _kv_width(tiny_model) * 4  # keys and values, two layers, float32
    room_for_two = 2.5 * first.prompt_tokens * bytes_a_token / 2**30
    two_letters = [
        ScoreRequest(request.chats, LETTERS[:2]) for request in (b, a)
    ]  # other questions, known texts
    *_, [kept], [forgotten] = _ask(
        tiny_model, [a], [b], [c], *([each] for each in two_letters), kv_cache_gib=room_for_two
    )
    assert _computed(kept) == 1
    assert _computed(forgotten) > 60


def _kv_width(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text())
    return config["num_key_value_heads"] * config["hidden_size"] // config["num_attention_heads"]


@pytest.fixture(scope="module")
def windowed_model(tiny_model: Path, copy_model: Callable[[Path], Path]) -> Path:
    """A model whose layers see only the last 24 tokens."""
    import torch
    import transformers

    folder = copy_model(tiny_model)
    config = json.loads((folder / "config.json").read_text())
    sizes = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "bos_token_id",
        "eos_token_id",
    )
    sliding = transformers.MistralConfig(
        **{name: config[name] for name in sizes},
        sliding_window=24,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        transformers.MistralForCausalLM(sliding).save_pretrained(folder)
    return folder


def test_layers_with_a_window_are_scored_as_by_full_passes_whoever_else_asks(
    windowed_model: Path, naive: Naive
):
    episodes = [_turns("x" * (1 + 9 * i), 3) for i in range(4)]
    rounds = [
        [ScoreRequest((_chat(*turns[t]),), (*LETTERS, *SENTENCES)) for turns in episodes]
        for t in range(3)
    ]
    for asked, answered in zip(rounds, _ask(windowed_model, *rounds), strict=True):
        for request, reply in zip(asked, answered, strict=True):
            assert reply.logprobs[0] == pytest.approx(naive(windowed_model, request)[0], abs=1e-4)


def test_what_a_window_hides_is_remembered_all_the_same(
    windowed_model: Path, prompt_ids: PromptIds
):
    requests = [ScoreRequest((_chat(*texts),), LETTERS) for texts in _turns("Ann", 3)]
    replies = [reply for [reply] in _ask(windowed_model, *([request] for request in requests))]
    lengths = [len(prompt_ids(windowed_model, request.chats[0])) for request in requests]
    assert [reply.cached_tokens for reply in replies] == [0, *lengths[:-1]]


def _say(folder: Path, *chats: Chat, **options: Any) -> list[GenerateReply]:
    """One after another to one engine."""

    async def ask() -> list[GenerateReply]:
        adapters = options.pop("adapters", ())
        async with TransformersEngine(
            str(folder), TransformersEngine.Options(**options), adapters
        ) as engine:
            return [
                await engine.generate(GenerateRequest(chat, Sampling(max_tokens=12), seed=i))
                for i, chat in enumerate(chats)
            ]

    return asyncio.run(ask())


def test_what_is_said_does_not_depend_on_what_is_remembered(
    tiny_model: Path, prompt_ids: PromptIds
):
    chats = [_chat(*texts) for texts in _turns("Ann", 4)]
    remembered, anew = _say(tiny_model, *chats), _say(tiny_model, *chats, kv_cache_gib=0)
    assert [reply.text for reply in remembered] == [reply.text for reply in anew]
    lengths = [len(prompt_ids(tiny_model, chat)) for chat in chats]
    assert [reply.cached_tokens for reply in remembered] == [0, *lengths[:-1]]
    assert [reply.cached_tokens for reply in anew] == [0, 0, 0, 0]
