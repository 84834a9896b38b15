"""What every reply has, whichever engine gave it and wherever it was kept."""

import math

from valueagents.policies.engines.engine import (
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)

MOST_COUNTED = 2**31 - 1
_NOISE = 1e-3  # rounding can take a probability of 1 a little above


def problem_of(
    request: ScoreRequest | GenerateRequest, reply: ScoreReply | GenerateReply
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
