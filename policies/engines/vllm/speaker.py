"""VllmSpeaker: vLLM in this process as the truth check asks it (`engines/spoken.py`)."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from valueagents.policies.engines.chats import Tokens
from valueagents.policies.engines.engine import Sampling
from valueagents.policies.engines.spoken import Rows
from valueagents.policies.engines.vllm.asks import SequenceAsk, SequenceScoreJob
from valueagents.policies.engines.vllm.thread import VllmThread


class VllmSpeaker:
    """Says and scores tokens on vLLM's thread."""

    def __init__(self, thread: VllmThread) -> None:
        self._thread, self._salts = thread, itertools.count()

    async def say(
        self, prompt: Tokens, count: int, adapter: str | None
    ) -> tuple[Tokens, Sequence[float]]:
        """That many tokens drawn at temperature 1, and the log-probability of each."""
        sampling = Sampling(max_tokens=count)
        ask = SequenceAsk(prompt, adapter, sampling=sampling, seed=0, told=True, salt=self._salt())
        [answer] = await self._thread.answer([ask])
        return answer.said, answer.told

    async def score(
        self, prompts: Sequence[Tokens], answers: Sequence[Tokens], adapter: str | None
    ) -> Rows:
        """As a question is scored."""
        job = SequenceScoreJob(prompts, answers, adapter)
        return job.reply(await self._thread.answer(job.asks)).logprobs

    async def score_plainly(
        self, prompts: Sequence[Tokens], answers: Sequence[Tokens], adapter: str | None
    ) -> Rows:
        """With a salt for every sequence, so that no other one's cache is read."""
        job = SequenceScoreJob(prompts, answers, adapter)
        asks = [replace(ask, salt=self._salt()) for ask in job.asks]
        return job.reply(await self._thread.answer(asks)).logprobs

    def _salt(self) -> str:
        return f"plain pass {next(self._salts)}"
