"""Completions: what vLLM's answers say of the texts that end right after a sequence.

Of OpenAI's completion objects, and of what vLLM adds to them, only the fields that are read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from valueagents.errors import PolicyError
from valueagents.policies.engines.chats import Tokens
from valueagents.policies.engines.openai.bodies import BrokenOff, counted, decode, fields_of
from valueagents.policies.engines.openai.client import Client, together

AS_IT_IS: dict[
    str, Any
] = {  # said outright: else the server takes what the model's generation_config.json advises
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
_BROKEN_OFF = ("abort", "error")
_LONGEST_QUEUE_S = 86_400.0

NOTHING = msgspec.Raw()


class TokenLogprob(msgspec.Struct):
    """The log-probability of a token of the prompt."""

    logprob: float


class Logprobs(msgspec.Struct):
    """`top_logprobs` by place of the answer and token ("token_id:7"); of what was said `tokens` and
    `token_logprobs`.
    """

    top_logprobs: list[dict[str, float]]
    tokens: Any = None
    token_logprobs: Any = None


class CompletionChoice(msgspec.Struct):
    """`prompt_logprobs` by place of the prompt and token ("7"); the first place has none."""

    text: str
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    prompt_logprobs: list[dict[str, TokenLogprob] | None] | None = None


class Completion(msgspec.Struct):
    """The answer of /v1/completions.

    Of `usage` and `metrics` nothing is required, because no score needs them.
    """

    choices: Annotated[list[CompletionChoice], msgspec.Meta(min_length=1)]
    usage: msgspec.Raw = NOTHING
    metrics: msgspec.Raw = NOTHING

    @property
    def queue_s(self) -> float:
        """Seconds that the request waited in the server, 0 where it does not say."""
        waited = fields_of(self.metrics).get("queue_time_ms")
        valid = isinstance(waited, (int, float)) and 0 <= waited <= _LONGEST_QUEUE_S * 1000
        return float(waited) / 1000 if valid and waited is not None else 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counts them; 0 where it does not, or says what is not a count."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


def usage_of(raw: msgspec.Raw) -> Usage:
    """The usage of an answer, whatever is in its place."""
    found = fields_of(raw)
    details = found.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(
        counted(found.get("prompt_tokens")),
        counted(found.get("completion_tokens")),
        counted(cached),
    )


def require_finished(finish_reason: str | None) -> None:
    """Raise BrokenOff for an answer that the server broke off when it stopped."""
    if finish_reason is not None and finish_reason.startswith(_BROKEN_OFF):
        raise BrokenOff(f"the server broke the answer off (finish_reason {finish_reason[:40]!r})")


def read_completion(body: bytes) -> Completion:
    """The completion. Raises NoAnswer if it is none, BrokenOff if the server did not finish it."""
    found = decode(body, _COMPLETION)
    require_finished(found.choices[0].finish_reason)
    return found


_COMPLETION = msgspec.json.Decoder(Completion)


@dataclass(frozen=True, slots=True)
class SequenceScore:
    """The log-probability of each answer that ends right after the sequence, and what it took."""

    logprobs: dict[Tokens, float]
    cached_tokens: int
    queue_s: float
    attempts: int


async def score_sequence(
    client: Client,
    url: str,
    model: str,
    sequence: Tokens,
    answers: Sequence[Tokens],
    *,
    salt: str | None = None,
) -> SequenceScore:
    """The log-probabilities of answers of which the sequence holds all tokens but the last.

    With a `salt` the server reads nothing from its cache but what came with the same one.

    One more token is drawn and thrown away; with it vLLM tells the raw log-probabilities of up to
    128 tokens that it is asked for, whatever their rank. Those of the sequence's own tokens
    (`prompt_logprobs`) come only where an answer needs them, because vLLM then computes the whole
    sequence again.
    """
    nexts = sorted({ids[-1] for ids in answers})
    longest = max(map(len, answers)) - 1
    parts = [nexts[i : i + _IDS_A_REQUEST] for i in range(0, len(nexts), _IDS_A_REQUEST)]
    body = {**AS_IT_IS, "model": model, "prompt": sequence, "max_tokens": 1}
    body |= {"logprobs": 0, "return_tokens_as_token_ids": True}
    if salt is not None:
        body["cache_salt"] = salt
    bodies = [{**body, "logprob_token_ids": part} for part in parts]
    if longest:
        bodies[0]["prompt_logprobs"] = 0
    replies = await together([client.post(url, body, read_completion) for body in bodies])
    after: dict[int, float] = {}
    for part, reply in zip(parts, replies, strict=True):
        after |= _next_logprobs(reply.value, part)
    before = _prompt_logprobs(replies[0].value, sequence, longest)
    return SequenceScore(
        logprobs={
            ids: math.fsum([*before[longest - len(ids) + 1 :], after[ids[-1]]]) for ids in answers
        },
        cached_tokens=usage_of(replies[0].value.usage).cached_tokens,
        queue_s=max(reply.queue_s + reply.value.queue_s for reply in replies),
        attempts=max(reply.attempts for reply in replies),
    )


def _next_logprobs(reply: Completion, tokens: Sequence[int]) -> dict[int, float]:
    """The log-probabilities of tokens as the next one."""
    logprobs = reply.choices[0].logprobs
    found = logprobs.top_logprobs[0] if logprobs and logprobs.top_logprobs else {}
    return {token: checked_logprob(found.get(f"token_id:{token}")) for token in tokens}


def _prompt_logprobs(reply: Completion, sequence: Tokens, last: int) -> list[float]:
    """The log-probabilities of the last tokens of a sequence, each after those before it."""
    places = reply.choices[0].prompt_logprobs or []
    found = []
    for i in range(len(sequence) - last, len(sequence)):
        told = (places[i] or {}).get(str(sequence[i])) if i < len(places) else None
        found.append(checked_logprob(told.logprob if told else None))
    return found


def checked_logprob(logprob: float | None) -> float:
    """A raw log-probability. Raises PolicyError if the server did not give one, or something else
    in its place.
    """
    if logprob is None:
        raise PolicyError(
            "the server left out log-probabilities that it was asked for; it needs vLLM 0.32 or"
            " later"
        )
    if not logprob <= _NOISE:
        raise PolicyError(
            f"the server says {logprob:.3g} for a log-probability; start it without --logprobs-mode"
        )
    return -math.inf if logprob <= _LOWEST else logprob
