"""What vLLM is asked and what it answers, and how the answers to a `score` request are put
together.

vLLM computes one sequence at a time, but keeps the blocks of those that it has computed, also
within one step. So every chat is asked first, for the first token of each continuation; the longer
continuations follow, each computing little more than its own tokens. Its own way of scoring texts
(prompt_logprobs) does not read the cache unless told to; told to, it is 3 to 7 times faster for six
options after 300 tokens, with the same results to the last digit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from valueagents.policies.engines.chats import Tokens
from valueagents.policies.engines.engine import Sampling, ScoreReply

MAX_NEXT = 128  # vllm.sampling_params.MAX_LOGPROB_TOKEN_IDS


@dataclass(frozen=True, slots=True)
class SequenceAsk:
    """One sequence for vLLM.

    `next_ids`: tokens whose log-probability of coming next is wanted; `scored_from`: the place in
    `tokens` from which on the log-probability of the tokens themselves is wanted (None = of none).
    With `sampling` a text is generated, which one of `ends` ends, as the tokenizer's own end does;
    `told`: of exactly `max_tokens` tokens, with the log-probability of each. Of the cache only what
    was read with the same `salt` is used.
    """

    tokens: Tokens
    adapter: str | None = None
    next_ids: tuple[int, ...] = ()
    scored_from: int | None = None
    sampling: Sampling | None = None
    seed: int | None = None
    choices: tuple[str, ...] = ()
    told: bool = False
    salt: str = ""
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SequenceAnswer:
    """`next_logprobs` by token; `scored` from `scored_from` on; `said` and `finish_reason` of what
    was generated, `told` its log-probabilities if they were wanted.
    """

    next_logprobs: dict[int, float]
    scored: tuple[float, ...]
    said: Tokens
    finish_reason: str
    cached_tokens: int
    queue_s: float
    told: tuple[float, ...] = ()


@dataclass(slots=True)
class _Sequence:
    """What is wanted of one sequence."""

    next_ids: dict[int, None] = field(default_factory=dict)  # in order of first mention
    scored_from: int | None = None


class SequenceScoreJob:
    """A `score` request as distinct sequences.

    `asks` go to vLLM, `reply` makes the answer of theirs.
    """

    def __init__(
        self, prompts: Sequence[Tokens], answers: Sequence[Tokens], adapter: str | None
    ) -> None:
        self._prompts, self._answers = prompts, answers
        sequences: dict[Tokens, _Sequence] = {}
        for prompt in prompts:
            wanted = sequences.setdefault(prompt, _Sequence())
            wanted.next_ids |= {ids[0]: None for ids in answers}
        for prompt in prompts:
            for ids in answers:
                if len(ids) > 1:
                    wanted = sequences.setdefault(prompt + ids[:-1], _Sequence())
                    wanted.next_ids[ids[-1]] = None
                    if len(ids) > 2:
                        wanted.scored_from = min(
                            len(prompt) + 1, wanted.scored_from or len(prompt) + 1
                        )
        self.asks = [
            SequenceAsk(tokens, adapter, next_ids, wanted.scored_from if not i else None)
            for tokens, wanted in sequences.items()
            for i, next_ids in enumerate(_chunks(tuple(wanted.next_ids)))
        ]

    def reply(self, answered: Sequence[SequenceAnswer]) -> ScoreReply:
        """The log-probabilities, from the answers in the order of `asks`."""
        coming: dict[Tokens, dict[int, float]] = {}
        scored: dict[Tokens, dict[int, float]] = {}
        computed = 0
        for ask, answer in zip(self.asks, answered, strict=True):
            coming.setdefault(ask.tokens, {}).update(answer.next_logprobs)
            if ask.scored_from is not None:
                scored[ask.tokens] = dict(enumerate(answer.scored, start=ask.scored_from))
            computed += len(ask.tokens) - answer.cached_tokens

        def logprob(prompt: Tokens, ids: Tokens) -> float:
            whole = prompt + ids[:-1]
            between = (scored[whole][place] for place in range(len(prompt) + 1, len(whole)))
            last = (coming[whole][ids[-1]],) if len(ids) > 1 else ()
            return math.fsum((coming[prompt][ids[0]], *between, *last))

        asked = {prompt + ids[:-1] for prompt in self._prompts for ids in self._answers}
        prompt_tokens = sum(map(len, asked))
        return ScoreReply(
            logprobs=tuple(
                tuple(logprob(prompt, ids) for ids in self._answers) for prompt in self._prompts
            ),
            tokens=tuple(map(len, self._answers)),
            prompt_tokens=prompt_tokens,
            cached_tokens=max(0, prompt_tokens - computed),
            queue_s=max(answer.queue_s for answer in answered),
        )


def _chunks(ids: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [ids[i : i + MAX_NEXT] for i in range(0, len(ids), MAX_NEXT)]
