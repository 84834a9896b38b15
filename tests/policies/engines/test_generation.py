"""Generation on a tiny random llama: against a naive loop, alone and in batches, held to choices,
and its endings.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from valueagents.errors import PolicyError
from valueagents.policies.engines import Chat, GenerateReply, GenerateRequest, Message, Sampling
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.engines.transformers.generation import generate_job

WINDOW = 512
GREEDY = Sampling(temperature=0, max_tokens=12)
CHATS = tuple(
    (Message("system", "Decide what you do."), Message("user", text))
    for text in (
        "Now?",
        "You find a coat on your chair. " * 4,
        "It rains; you wait – quietly.",
        "A",
    )
)
Say = Callable[..., list[GenerateReply]]


@pytest.fixture(scope="module")
def say(tiny_model: Path) -> Say:
    """Puts requests to a freshly loaded engine, all at once."""

    async def ask(
        requests: tuple[GenerateRequest, ...], model: Path, options: dict[str, object]
    ) -> list[GenerateReply]:
        adapters = options.pop("adapters", ())
        async with TransformersEngine(
            str(model), TransformersEngine.Options(**options), adapters
        ) as engine:
            return await asyncio.gather(*(engine.generate(request) for request in requests))

    return lambda *requests, model=tiny_model, **options: asyncio.run(ask(requests, model, options))


def _naive(folder: Path, before: list[int], tokens: int) -> list[int]:
    """The most probable token again and again, the whole text read each time; up to an end."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    said: list[int] = []
    while len(said) < tokens and 2 not in said:
        with torch.inference_mode():
            said.append(int(model(torch.tensor([before + said])).logits[0, -1].argmax()))
    return said


def _first_probabilities(folder: Path, before: list[int], temperature: float) -> np.ndarray:
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        return (
            (model(torch.tensor([before])).logits[0, -1].double() / temperature)
            .softmax(dim=-1)
            .numpy()
        )


def test_greedy_says_what_a_naive_loop_says(
    tiny_model: Path, say: Say, prompt_ids: Callable[[Path, Chat], list[int]]
):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    replies = say(*(GenerateRequest(chat, GREEDY, seed=k) for k, chat in enumerate(CHATS)))
    for chat, reply in zip(CHATS, replies, strict=True):
        before = prompt_ids(tiny_model, chat)
        said = _naive(tiny_model, before, GREEDY.max_tokens)
        assert reply.text == tokenizer.decode(
            [token for token in said if token != 2], skip_special_tokens=True
        )
        assert reply.output_tokens == len(said)
        assert reply.prompt_tokens == len(before)
        assert reply.finish_reason == ("stop" if said[-1] == 2 else "length")


@pytest.mark.parametrize("template", ["model", "plain"])
def test_a_seed_says_the_same_alone_and_beside_others(say: Say, template: str):
    sampling = Sampling(temperature=0.9, max_tokens=16)
    requests = [GenerateRequest(chat, sampling, seed=seed) for seed in (3, 4, 5) for chat in CHATS]
    together = say(*requests, template=template)
    for request, reply in list(zip(requests, together, strict=True))[::4]:
        [alone] = say(request, template=template)
        assert (alone.text, alone.finish_reason, alone.output_tokens) == (
            reply.text,
            reply.finish_reason,
            reply.output_tokens,
        )
    small = say(*requests, batch_tokens=100, template=template)
    assert [reply.text for reply in small] == [reply.text for reply in together]


def test_another_seed_says_something_else(say: Say):
    replies = say(
        *(GenerateRequest(CHATS[0], Sampling(max_tokens=16), seed=seed) for seed in range(12))
    )
    assert len({reply.text for reply in replies}) == 12


@pytest.mark.parametrize("sampling", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-6}])
def test_the_narrowest_sampling_is_greedy(say: Say, sampling: dict[str, float]):
    narrow = Sampling(**{"temperature": 1.0, "max_tokens": 12, **sampling})
    requests = [GenerateRequest(chat, kind, seed=7) for chat in CHATS for kind in (GREEDY, narrow)]
    texts = [reply.text for reply in say(*requests)]
    assert texts[::2] == texts[1::2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "count"),
    [(0.6, 0, 1.0, 2000), (1.7, 5, 1.0, 600), (1.0, 0, 0.5, 600)],
)
def test_the_first_token_is_drawn_as_often_as_it_is_probable(
    tiny_model: Path,
    say: Say,
    prompt_ids: Callable[[Path, Chat], list[int]],
    temperature: float,
    top_k: int,
    top_p: float,
    count: int,
):
    p = _first_probabilities(tiny_model, prompt_ids(tiny_model, CHATS[0]), temperature)
    order = np.argsort(-p)
    kept = (np.cumsum(p[order]) - p[order] < top_p) & (np.arange(len(p)) < (top_k or len(p)))
    expected = np.where(kept, p[order], 0.0)
    expected /= expected.sum()
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    texts = [tokenizer.decode([token], skip_special_tokens=True) for token in order]
    sampling = Sampling(temperature, top_p, top_k, max_tokens=1)
    drawn = Counter(
        reply.text
        for reply in say(*(GenerateRequest(CHATS[0], sampling, seed) for seed in range(count)))
    )
    by_text: Counter[str] = Counter()
    for text, probability in zip(texts, expected, strict=True):
        by_text[text] += probability
    assert all(by_text[text] > 0 for text in drawn)
    common = [text for text, probability in by_text.items() if probability * count >= 5]
    observed = [drawn[text] for text in common]
    wanted = [count * by_text[text] for text in common]
    rest = count - sum(wanted)
    if rest > 5:
        observed.append(count - sum(observed))
        wanted.append(rest)
    assert stats.chisquare(observed, np.array(wanted) * sum(observed) / sum(wanted)).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_held_to_choices_is_one_of_them(say: Say, temperature: float):
    choices = ("keep", "keep it", "keep it; say nothing", "Give the coat back.", "é")
    sampling = Sampling(temperature=temperature, max_tokens=24)
    requests = [
        GenerateRequest(chat, sampling, seed, choices) for chat in CHATS for seed in range(20)
    ]
    replies = say(*requests, GenerateRequest(CHATS[0], Sampling(temperature=1, max_tokens=4), 1))
    said = Counter(reply.text for reply in replies[:-1])
    assert set(said) <= set(choices)
    assert {reply.finish_reason for reply in replies[:-1]} == {"stop"}
    if temperature:
        assert {"keep", "Give the coat back."} <= set(said)


def test_a_choice_is_drawn_as_its_tokens_are_probable_among_the_allowed(
    tiny_model: Path, say: Say, prompt_ids: Callable[[Path, Chat], list[int]]
):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    letters = [tokenizer(letter, add_special_tokens=False).input_ids[0] for letter in "ABC"]
    p = _first_probabilities(tiny_model, prompt_ids(tiny_model, CHATS[0]), 1.0)[letters]
    requests = [
        GenerateRequest(CHATS[0], Sampling(max_tokens=1), seed, ("A", "B", "C"))
        for seed in range(500)
    ]
    drawn = Counter(reply.text for reply in say(*requests))
    assert stats.chisquare([drawn[letter] for letter in "ABC"], 500 * p / p.sum()).pvalue > 1e-3


def test_one_token_is_enough_for_a_letter_and_one_more_for_a_beginning_of_another(say: Say):
    one = Sampling(temperature=0, max_tokens=1)
    [reply] = say(GenerateRequest(CHATS[0], one, 0, ("A", "B")))
    assert (reply.text in ("A", "B"), reply.finish_reason, reply.output_tokens) == (True, "stop", 1)
    with pytest.raises(PolicyError, match="needs 3 tokens, max_tokens=1"):
        say(GenerateRequest(CHATS[0], one, 0, ("A", "B", "A B")))


def test_an_answer_that_is_cut_says_so(say: Say):
    [reply] = say(GenerateRequest(CHATS[0], Sampling(temperature=0, max_tokens=3), 0))
    assert (reply.finish_reason, reply.output_tokens) == ("length", 3)


def test_the_end_token_stops_an_answer_and_is_no_part_of_it(say: Say):
    replies = say(
        *(
            GenerateRequest(CHATS[0], Sampling(temperature=2.0, max_tokens=90), seed)
            for seed in range(12)
        )
    )
    ended = [reply for reply in replies if reply.finish_reason == "stop"]
    assert ended
    assert all(reply.output_tokens < 90 for reply in ended)
    assert not any("<|im_end|>" in reply.text for reply in replies)


def test_the_window_holds_prompt_and_answer_to_the_last_token(
    tiny_model: Path, say: Say, prompt_ids: Callable[[Path, Chat], list[int]]
):
    room = WINDOW - len(prompt_ids(tiny_model, CHATS[0]))
    [reply] = say(GenerateRequest(CHATS[0], Sampling(temperature=0, max_tokens=room), 0))
    assert reply.output_tokens <= room
    too_much = GenerateRequest(CHATS[0], Sampling(temperature=0, max_tokens=room + 1), 0)
    with pytest.raises(
        PolicyError,
        match=rf"prompt of {WINDOW - room} tokens and max_tokens={room + 1}.*512.*lower",
    ):
        say(too_much)


def test_an_overflow_costs_only_its_own_request(tiny_model: Path):
    async def ask() -> list[object]:
        async with TransformersEngine(str(tiny_model)) as engine:
            long = (Message("system", "word " * 600), Message("user", "Now?"))
            requests = [GenerateRequest(chat, GREEDY, 0) for chat in (CHATS[0], long, CHATS[1])]
            return await asyncio.gather(
                *(engine.generate(r) for r in requests), return_exceptions=True
            )

    before, overflow, after = asyncio.run(ask())
    assert isinstance(overflow, PolicyError)
    assert "\n" not in str(overflow)
    assert isinstance(before, GenerateReply)
    assert isinstance(after, GenerateReply)


def test_what_a_batch_shares_is_counted_once(say: Say):
    replies = say(*(GenerateRequest(CHATS[1], GREEDY, seed) for seed in range(3)))
    assert replies[0].cached_tokens == 0
    assert all(0 < reply.cached_tokens < reply.prompt_tokens for reply in replies[1:])


def test_a_job_is_as_large_as_its_prompt_and_its_longest_answer(tiny_model: Path):
    from valueagents.policies.engines.chats import ChatTokenizer
    from valueagents.policies.models import find_model

    chats = ChatTokenizer(find_model(str(tiny_model)))
    job = generate_job(chats, GenerateRequest(CHATS[0], GREEDY, 0))
    assert job.size == len(job.prompt) + 12
