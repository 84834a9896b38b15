"""The truth check of engines whose weights are not ours to run: what is said has the
log-probability with which it is scored.

A token that is generated comes from a step of its own, read on from memory; a scored one from a
pass over a whole text, or from the list of tokens that may come next. Where a setting changes one
and not the other (log-probabilities after a sampler's changes, a LoRA that one of them leaves out,
a cache in fewer bits), readings that score and readings that speak would measure different models.
So before the first question of each length (128, 256, 512 … tokens), for base and adapters, a few
tokens are said and then scored: in plain passes, which read nothing from memory, and as every
question is.
"""

import asyncio
import logging
import math
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from valueagents.errors import PolicyError
from valueagents.policies.engines.chats import Tokens

log = logging.getLogger("valueagents")

LEAST_NATS = 1e-4
"""What may be rounding in any case."""

_LARGEST_LOGIT = 32.0
"""What a log-probability is rounded like: engines do not show their logits, and those of language
models reach 16 to 32. One unit in their last place may be rounding where two plain passes agree to
the last bit (bfloat16: 0.25 nats, float16: 0.03, float32: nothing that counts).
"""

_BFLOAT16 = 2.0**-7
_ROUNDS_AS_FLOAT32 = 1e-5
"""Nats that passes in float32 differ by at most; in 16 bits they differ by more, or not at all."""

_FACTOR = 5  # the engine may differ by this many times what two plain passes differ by
_SHORTEST = 128  # tokens of the first check; longer ones are made when a longer question comes
_SAID = 6  # tokens

_AT_FAULT = (
    ("what it says is scored otherwise as the next token", "logprobs-mode and generation-config"),
    ("what it says is scored otherwise as a text", "prompt_logprobs and what the adapter adapts"),
    ("a text read on from memory is scored otherwise", "prefix caching and kv-cache-dtype"),
)
"""What differs, and the settings of vLLM that were seen to do it."""

Rows = Sequence[Sequence[float]]
"""Log-probabilities (prompts, answers), each the sum of an answer's tokens."""


class Speaker(Protocol):
    """An engine, asked with tokens. Adapters are called as in requests."""

    async def say(
        self, prompt: Tokens, count: int, adapter: str | None
    ) -> tuple[Tokens, Sequence[float]]:
        """That many tokens drawn at temperature 1, and the log-probability of each."""

    async def score(
        self, prompts: Sequence[Tokens], answers: Sequence[Tokens], adapter: str | None
    ) -> Rows:
        """As a question is scored."""

    async def score_plainly(
        self, prompts: Sequence[Tokens], answers: Sequence[Tokens], adapter: str | None
    ) -> Rows:
        """By passes over whole texts, all prompts at once; nothing is read from memory."""


class SpokenCheck:
    """Checks an engine at the lengths that are asked for.

    Args:
        name: what a refusal calls the engine, with the settings that decide its answers.
        tokens: tokens that a text may be made of.
        window: how many tokens the model takes, 0 = it does not say.
        unit: the relative rounding of the number format; None = unknown, then that of bfloat16
            unless plain passes differ as those in float32 do.
        longest: tokens of the longest check, 0 = the longest question decides.
        kept: makes the file in which a pass is noted, of a length and an adapter; None = it is not
            kept.
    """

    def __init__(
        self,
        speaker: Speaker,
        name: str,
        *,
        tokens: Sequence[int],
        window: int,
        unit: float | None = None,
        longest: int = 0,
        kept: "KeptFiles | None" = None,
    ) -> None:
        self._speaker, self._name, self._window = speaker, name, window
        self._tokens, self._unit, self._kept = sorted(set(tokens)), unit, kept
        self._longest = longest or math.inf
        self._passed: dict[str | None, float] = {}
        self._turn = asyncio.Lock()

    def forget(self) -> None:
        """Another engine may answer now: everything is checked again."""
        self._passed.clear()

    async def require(self, length: int, adapter: str | None) -> None:
        """The engine scores what it says, on texts of up to `length` tokens.

        Raises PolicyError, with both numbers and the setting that may be at fault, if not.
        """
        if length <= self._passed.get(adapter, 0):
            return
        async with self._turn:
            if length <= self._passed.get(adapter, 0):
                return
            checked = int(min(max(_SHORTEST, 1 << (length - 1).bit_length()), self._longest))
            if self._window:
                checked = min(checked, self._window)
            file = self._kept(checked, adapter) if self._kept is not None else None
            if file is None or not file.is_file():
                found = await self._compare(checked, adapter)
                log.debug("what is said at %d tokens is scored alike: %s", checked, found)
                if file is not None:
                    keep(file, found)
            self._passed[adapter] = max(checked, length) if checked < self._longest else math.inf

    async def _compare(self, length: int, adapter: str | None) -> dict[str, float]:
        """The largest difference in nats a token, and how large it might be."""
        ask = self._speaker
        prompt, other = _texts(self._tokens, max(1, length - _SAID - 1))
        said, spoken = await ask.say(prompt, _SAID, adapter)
        answers = [said[:1], said]
        told = [spoken[0], sum(spoken)]
        [plain] = await ask.score_plainly([prompt], answers, adapter)
        [_, beside] = await ask.score_plainly([other, prompt], answers, adapter)
        [usual] = await ask.score([prompt], answers, adapter)
        noise = max(_differences(plain, beside, answers))
        tolerance = max(LEAST_NATS, self._rounding(noise), _FACTOR * noise)
        letter, text = _differences(told, plain, answers)
        remembered = max(_differences(plain, usual, answers))
        for difference, (how, setting) in zip((letter, text, remembered), _AT_FAULT, strict=True):
            if not difference <= tolerance:  # so that a difference that is not a number is refused
                who = self._name if adapter is None else f"{self._name} with adapter {adapter!r}"
                raise PolicyError(
                    f"{who} is refused: {how}, a log-probability at {length} tokens is"
                    f" {difference:.3g} nats off, {tolerance:.2g} may be rounding; look at"
                    f" {setting}, or use another engine"
                )
        return {"nats": max(letter, text, remembered), "tolerance": tolerance}

    def _rounding(self, noise: float) -> float:
        """Nats that one unit in the last place of a logit is."""
        unit = self._unit
        if unit is None:
            unit = 0.0 if 0 < noise < _ROUNDS_AS_FLOAT32 else _BFLOAT16
        return unit * _LARGEST_LOGIT


class KeptFiles(Protocol):
    """Names the file in which a pass is noted."""

    def __call__(self, length: int, adapter: str | None) -> Path:
        """Its path; it need not exist."""


def keep(file: Path, found: Mapping[str, float]) -> None:
    """Note what passed, so that the next start need not check it again; whoever cannot write checks
    again.
    """
    draft = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.encode(found))
        draft.replace(file)
    except OSError as error:
        log.debug("the check is not kept: %s", error)


def _texts(tokens: Sequence[int], length: int) -> tuple[Tokens, Tokens]:
    """Two texts without a common beginning, the second a short one."""
    dice = random.Random(length)  # noqa: S311 – a probe, not a secret
    short = min(length, _SHORTEST // 2)
    return tuple(dice.choices(tokens, k=length)), tuple(dice.choices(tokens, k=short))


def _differences(
    one: Sequence[float], other: Sequence[float], answers: Sequence[Tokens]
) -> list[float]:
    """Of each answer, in nats a token; infinite if it is not a number."""
    found = []
    for a, b, answer in zip(one, other, answers, strict=True):
        off = abs(a - b) / len(answer)
        found.append(off if off == off else float("inf"))
    return found
