"""What every reply has, whichever engine gave it and wherever it was kept."""

import math

from valueagents.policies.engines.engine import (
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
    TopReply,
    TopRequest,
)

MOST_COUNTED = 2**31 - 1
_NOISE = 1e-3  # rounding can take a probability of 1 a little above


def problem_of(
    request: ScoreRequest | TopRequest | GenerateRequest,
    reply: ScoreReply | TopReply | GenerateReply,
) -> str | None:
    """Why a reply cannot be one to a request, None where it can."""
    counts = [reply.prompt_tokens, reply.cached_tokens, reply.attempts]
    if isinstance(reply, GenerateReply):
        counts.append(reply.output_tokens)
    if not all(0 <= count <= MOST_COUNTED for count in counts):
        return f"counts of {counts}"
    if not 0 <= reply.queue_s < math.inf:
        return f"a wait of {reply.queue_s} s"
    if isinstance(request, ScoreRequest) and isinstance(reply, ScoreReply):
        return _problem_of_scores(request, reply)
    if isinstance(request, TopRequest) and isinstance(reply, TopReply):
        return _problem_of_tops(request, reply)
    return None


def _problem_of_tops(request: TopRequest, reply: TopReply) -> str | None:
    if len(reply.tops) != len(request.chats) or not all(reply.tops):
        return f"{len(reply.tops)} lists of tokens for {len(request.chats)} chats, or empty ones"
    for top in reply.tops:
        together = math.fsum(math.exp(min(logprob, 1.0)) for _, logprob in top)
        if not together <= 1 + _NOISE:  # NaN is not, either
            return f"tokens whose probabilities come to {together:.3g}"
    return None


def _problem_of_scores(request: ScoreRequest, reply: ScoreReply) -> str | None:
    chats, continuations = len(request.chats), len(request.continuations)
    widths = {len(row) for row in reply.logprobs}
    if (
        len(reply.logprobs) != chats
        or widths != {continuations}
        or len(reply.tokens) != continuations
    ):
        return (
            f"{len(reply.logprobs)} × {sorted(widths)} log-probabilities for {chats} ×"
            f" {continuations}"
        )
    if not all(1 <= count <= MOST_COUNTED for count in reply.tokens):
        return f"answers of {reply.tokens} tokens"
    for logprob in (each for row in reply.logprobs for each in row):
        if not logprob <= _NOISE:  # NaN is not, either
            return f"a log-probability of {logprob}"
    return None
