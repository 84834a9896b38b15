"""How fast a run goes and what it waits for: told now and then while it is played."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from valueagents.contracts.decision import Episode

STUCK_S = 10.0
"""A slot that waits so long for one answer is told."""


class Throughput:
    """Counts what is played from when it is made on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._waits: dict[int, tuple[float, str]] = {}
        self._number = 0
        self.decisions = self.prompt_tokens = self.cached_tokens = self.output_tokens = 0
        self.failed = 0

    def episode(self, episode: Episode) -> None:
        """Count a finished episode."""
        for decision in episode.decisions:
            choice = decision.choice
            self.decisions += 1
            self.prompt_tokens += choice.prompt_tokens
            self.cached_tokens += choice.cached_tokens
            self.output_tokens += choice.output_tokens

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """What is waited for in the block may be told."""
        self._number += 1
        number = self._number
        self._waits[number] = time.monotonic(), what
        try:
            yield
        finally:
            del self._waits[number]

    def line(self) -> str:
        """Decisions and tokens a second, prompt tokens that were not computed again, failures, and
        the slot that has waited longest, where that is long.
        """
        now = time.monotonic()
        seconds = max(now - self._began, 1e-9)
        told = [f"{self.decisions / seconds:.3g} decisions/s"]
        tokens = self.prompt_tokens + self.output_tokens
        if tokens:
            told.append(f"{tokens / seconds:,.0f} tokens/s")
        if self.prompt_tokens:
            told.append(f"{self.cached_tokens / self.prompt_tokens:.0%} of prompts cached")
        if self.failed:
            told.append(f"{self.failed} failed")
        since, what = next(iter(self._waits.values()), (now, ""))  # the oldest comes first
        if now - since >= STUCK_S:
            told.append(f"for {now - since:.0f} s: {what}")
        return ", ".join(told)
