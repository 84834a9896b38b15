"""Top log-probabilities: the most probable first tokens in the answer of /v1/chat/completions, as
OpenAI, Gemini, llama.cpp, Ollama and SGLang show them.
"""

import math
from typing import Annotated, NamedTuple

import msgspec

from valueagents.errors import PolicyError
from valueagents.policies.engines.openai.bodies import decode
from valueagents.policies.engines.openai.completions import NOTHING, usage_of

_NOISE = 1e-3  # rounding can take a sum of probabilities a little above 1


class ShownTop(NamedTuple):
    """Texts and natural log-probabilities of tokens, most probable first, and what they took."""

    top: tuple[tuple[str, float], ...]
    prompt_tokens: int
    cached_tokens: int


class _TopToken(msgspec.Struct):
    token: str
    logprob: float


class _Place(msgspec.Struct):
    top_logprobs: list[_TopToken] = []


class _TopLogprobs(msgspec.Struct):
    content: list[_Place] | None = None


class _TopChoice(msgspec.Struct):
    logprobs: _TopLogprobs | None = None


class _TopChat(msgspec.Struct):
    choices: Annotated[list[_TopChoice], msgspec.Meta(min_length=1)]
    usage: msgspec.Raw = NOTHING


_TOP_CHAT = msgspec.json.Decoder(_TopChat)


def read_top(body: bytes) -> ShownTop:
    """The most probable tokens of the answer's first place.

    Raises NoAnswer for another answer, PolicyError for one without them, or with numbers that are
    no log-probabilities.
    """
    found = decode(body, _TOP_CHAT)
    logprobs = found.choices[0].logprobs
    places = (logprobs.content if logprobs is not None else None) or []
    shown = places[0].top_logprobs if places else []
    if not shown:
        raise PolicyError(
            "the server answers without top_logprobs: it does not show the most probable tokens;"
            " use reading=sample"
        )
    together = math.fsum(math.exp(min(each.logprob, 1.0)) for each in shown)
    if not together <= 1 + _NOISE:  # NaN is not, either
        raise PolicyError(
            f"the probabilities of the tokens that the server shows come to {together:.3g}; use"
            " reading=sample"
        )
    usage = usage_of(found.usage)
    ordered = sorted(((each.token, each.logprob) for each in shown), key=lambda each: -each[1])
    return ShownTop(tuple(ordered), usage.prompt_tokens, usage.cached_tokens)
