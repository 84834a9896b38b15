"""A sequence of tokens put to vLLM: what it says about the answers that end right after it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from valueagents.errors import PolicyError
from valueagents.policies.engines.chats import Tokens
from valueagents.policies.engines.client import Client, together
from valueagents.policies.engines.wire import COMPLETION, Completion

AS_IT_IS: dict[str, Any] = {  # said outright: else the server takes what the model's generation_config.json advises
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_IDS_A_REQUEST = 128  # vLLM refuses more logprob_token_ids
_LOWEST = -9999.0  # what vLLM puts for minus infinity, which JSON does not know
_NOISE = 1e-3  # rounding can take a probability of 1 a little above


@dataclass(frozen=True, slots=True)
class SequenceScore:
    """The log-probability of each answer that ends right after the sequence, and what it took."""

    logprobs: dict[Tokens, float]
    cached_tokens: int
    queue_s: float
    attempts: int


async def score_sequence(
    client: Client, url: str, model: str, sequence: Tokens, answers: Sequence[Tokens]
) -> SequenceScore:
    """The log-probabilities of answers of which the sequence holds all tokens but the last.

    One more token is drawn and thrown away; beside it vLLM tells the raw log-probabilities of up to 128 tokens that it
    is asked for, whatever their rank. Those of the sequence's own tokens (`prompt_logprobs`) come only where an answer
    needs them, because vLLM then computes the whole sequence again.
    """
    nexts = sorted({ids[-1] for ids in answers})
    longest = max(map(len, answers)) - 1
    parts = [nexts[i : i + _IDS_A_REQUEST] for i in range(0, len(nexts), _IDS_A_REQUEST)]
    body = {**AS_IT_IS, "model": model, "prompt": sequence, "max_tokens": 1}
    body |= {"logprobs": 0, "return_tokens_as_token_ids": True}
    bodies = [{**body, "logprob_token_ids": part} for part in parts]
    if longest:
        bodies[0]["prompt_logprobs"] = 0
    replies = await together([client.post(url, body, COMPLETION) for body in bodies])
    after: dict[int, float] = {}
    for part, reply in zip(parts, replies, strict=True):
        after |= _next_logprobs(reply.value, part)
    before = _prompt_logprobs(replies[0].value, sequence, longest)
    return SequenceScore(
        logprobs={ids: math.fsum([*before[longest - len(ids) + 1 :], after[ids[-1]]]) for ids in answers},
        cached_tokens=replies[0].value.counted.cached_tokens,
        queue_s=max(reply.queue_s + reply.value.queue_s for reply in replies),
        attempts=max(reply.attempts for reply in replies),
    )


def _next_logprobs(reply: Completion, tokens: Sequence[int]) -> dict[int, float]:
    """The log-probabilities of tokens as the next one."""
    logprobs = reply.choices[0].logprobs
    found = logprobs.top_logprobs[0] if logprobs and logprobs.top_logprobs else {}
    return {token: _checked(found.get(f"token_id:{token}")) for token in tokens}


def _prompt_logprobs(reply: Completion, sequence: Tokens, last: int) -> list[float]:
    """The log-probabilities of the last tokens of a sequence, each after those before it."""
    places = reply.choices[0].prompt_logprobs or []
    found = []
    for i in range(len(sequence) - last, len(sequence)):
        told = (places[i] or {}).get(str(sequence[i])) if i < len(places) else None
        found.append(_checked(told.logprob if told else None))
    return found


def _checked(logprob: float | None) -> float:
    """A raw log-probability. Raises PolicyError if the server did not give one, or something else in its place."""
    if logprob is None:
        raise PolicyError("the server left out log-probabilities that it was asked for; it needs vLLM 0.32 or later")
    if logprob > _NOISE:
        raise PolicyError(f"the server says {logprob:.3g} for a log-probability; start it without --logprobs-mode")
    return -math.inf if logprob <= _LOWEST else logprob
