"""Completions: what servers answer, and what vLLM's answers say of the texts that end right after a sequence.

Of OpenAI's completion and chat objects, and of what vLLM adds to them, only the fields that are read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from valueagents.errors import PolicyError
from valueagents.policies.engines.chats import Tokens
from valueagents.policies.engines.openai.client import Client, together

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

FinishReason = Annotated[str, msgspec.Meta(pattern="^(?!abort|error)")]
"""An answer that the server broke off when it stopped is none, and is asked for again."""


class TokenLogprob(msgspec.Struct):
    """The log-probability of a token of the prompt."""

    logprob: float


class Logprobs(msgspec.Struct):
    """By place of the answer and token ("token_id:7")."""

    top_logprobs: list[dict[str, float]]


class CompletionChoice(msgspec.Struct):
    """`prompt_logprobs` by place of the prompt and token ("7"); the first place has none."""

    text: str
    finish_reason: FinishReason | None = None
    logprobs: Logprobs | None = None
    prompt_logprobs: list[dict[str, TokenLogprob] | None] | None = None


class ChatMessage(msgspec.Struct):
    """The assistant's."""

    content: str | None = None


class ChatChoice(msgspec.Struct):
    """One answer of a chat."""

    message: ChatMessage
    finish_reason: FinishReason | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Metrics(msgspec.Struct):
    queue_time_ms: float | None = None


class Usage(msgspec.Struct):
    """Counted by the server; `cached_tokens` 0 where it does not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that the server did not compute again."""
        return (self.prompt_tokens_details.cached_tokens or 0) if self.prompt_tokens_details else 0


class _Reply(msgspec.Struct, kw_only=True):
    usage: Usage | None = None
    metrics: _Metrics | None = None

    @property
    def counted(self) -> Usage:
        """The usage; zeros where the server counts nothing."""
        return self.usage or Usage()

    @property
    def queue_s(self) -> float:
        """Seconds that the request waited in the server, 0 where it does not say."""
        return (self.metrics.queue_time_ms or 0.0) / 1000 if self.metrics else 0.0


class Completion(_Reply, kw_only=True):
    """The answer of /v1/completions."""

    choices: Annotated[list[CompletionChoice], msgspec.Meta(min_length=1)]


class ChatCompletion(_Reply, kw_only=True):
    """The answer of /v1/chat/completions."""

    choices: Annotated[list[ChatChoice], msgspec.Meta(min_length=1)]


COMPLETION = msgspec.json.Decoder(Completion)
CHAT_COMPLETION = msgspec.json.Decoder(ChatCompletion)


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

    One more token is drawn and thrown away; with it vLLM tells the raw log-probabilities of up to 128 tokens that it
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
