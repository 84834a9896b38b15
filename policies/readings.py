"""Reading modes: how a choice is read from a language model: probabilities of letters or of texts, or its words."""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import View, draw
from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.engines import Capability, Engine, GenerateRequest, Sampling, ScoreReply, ScoreRequest
from valueagents.policies.parsing import parse, without_thought
from valueagents.policies.prompts import Prompt

FloatArray = npt.NDArray[np.float64]
Normaliser = Literal["sum", "token", "pmi"]
Rotations = Literal["all", "none"]
Pick = Literal["draw", "argmax"]


class Reading(msgspec.Struct, frozen=True):
    """Probabilities over the menu in shown order; see `valueagents.contracts.decision.Choice` for the others."""

    probabilities: tuple[float, ...]
    position_probabilities: tuple[float, ...] | None
    mass: float


class Question(msgspec.Struct, frozen=True):
    """A view as it is put to a model, in a prompt's words, to be answered with an adapter."""

    view: View
    prompt: Prompt
    adapter: str | None = None


class ReadingMode(ABC):
    """A way of asking and of reading the answer."""

    needs: tuple[Capability, ...]
    """What the engine must be able to do."""

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Name, version and options."""

    @abstractmethod
    async def choose(self, engine: Engine, asked: Question) -> Choice:
        """The answer to a view. Raises PolicyError if there is none."""


class ScoreReading(ReadingMode):
    """Reads from probabilities; the choice is drawn from them with the decision's seed, or the most probable option."""

    needs = ("score",)

    def __init__(self, pick: Pick = "draw") -> None:
        self.pick = pick

    @abstractmethod
    def requests(self, prompt: Prompt, view: View) -> tuple[ScoreRequest, ...]:
        """What to ask the engine. What one request asks shares its beginning, so an engine can compute that once."""

    @abstractmethod
    def read(self, replies: Sequence[ScoreReply]) -> Reading:
        """The probabilities over the menu, from the replies in order."""

    async def choose(self, engine: Engine, asked: Question) -> Choice:
        """The option drawn from (or most probable under) the model's probabilities over the menu."""
        view = asked.view
        if view.free_text:
            raise PolicyError("a world of free text shows no menu to a model; use reading=say")
        requests = self.requests(asked.prompt, view)
        replies = await asyncio.gather(
            *(engine.score(msgspec.structs.replace(request, adapter=asked.adapter)) for request in requests)
        )
        reading = self.read(replies)
        if self.pick == "draw":
            option = draw(view.menu, reading.probabilities, view.seed)
        else:
            option = view.menu[int(np.argmax(reading.probabilities))].id
        return Choice(
            option=option,
            reading="drawn" if self.pick == "draw" else "argmax",
            probabilities=reading.probabilities,
            position_probabilities=reading.position_probabilities,
            mass=reading.mass,
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            cached_tokens=sum(reply.cached_tokens for reply in replies),
            queue_s=max(reply.queue_s for reply in replies),
            attempts=max(reply.attempts for reply in replies),
            replayed=all(reply.replayed for reply in replies),
        )


class LabelReading(ScoreReading):
    """Options are listed under letters; p is the probability of the letter, normalised over the menu's letters.

    With `rotations="all"` the menu is listed in all its K cyclic orders and p averaged over them: every option stands
    once at every letter, so a liking for a letter or a place cancels, and is measured.
    """

    def __init__(self, rotations: Rotations = "all", pick: Pick = "draw") -> None:
        super().__init__(pick)
        self._rotations = rotations

    def identity(self) -> dict[str, str]:
        """Name and rotations."""
        return {"reading": "label/1", "rotations": self._rotations, "pick": self.pick}

    def requests(self, prompt: Prompt, view: View) -> tuple[ScoreRequest, ...]:
        """One request: a chat for each rotation, a continuation for each letter."""
        count = len(view.menu)
        turns = range(count if self._rotations == "all" else 1)
        chats = tuple(prompt.listing(view, view.menu[turn:] + view.menu[:turn]) for turn in turns)
        return (ScoreRequest(chats, tuple(ascii_uppercase[:count])),)

    def read(self, replies: Sequence[ScoreReply]) -> Reading:
        """Softmax over the letters of each rotation, the rotation undone, averaged."""
        logprobs = np.array(replies[0].logprobs)  # (R, K)
        listed = _softmax(logprobs)
        shown = np.mean([np.roll(row, turn) for turn, row in enumerate(listed)], axis=0)
        return Reading(
            probabilities=tuple(shown.tolist()),
            position_probabilities=tuple(listed.mean(axis=0).tolist()),
            mass=min(1.0, float(np.exp(logprobs).sum(axis=1).mean())),
        )


class LikelihoodReading(ScoreReading):
    """Options are not listed; p is the softmax of each option's likelihood as the model's own answer, normalised by

    sum     nothing: log P(text), which favours short texts;
    token   its number of tokens: the mean log-probability of a token;
    pmi     log P(text | situation) - log P(text | no situation): what the situation makes of it (Holtzman et al. 2021).
    """

    def __init__(self, normaliser: Normaliser = "token", pick: Pick = "draw") -> None:
        super().__init__(pick)
        self._normaliser = normaliser

    def identity(self) -> dict[str, str]:
        """Name and normaliser."""
        return {"reading": "likelihood/1", "normaliser": self._normaliser, "pick": self.pick}

    def requests(self, prompt: Prompt, view: View) -> tuple[ScoreRequest, ...]:
        """A continuation for each option after the question; for pmi a second request without the situation."""
        texts = tuple(option.text for option in view.menu)
        asked = ScoreRequest((prompt.open_question(view),), texts)
        if self._normaliser != "pmi":
            return (asked,)
        return asked, ScoreRequest((prompt.neutral_question(view),), texts)

    def read(self, replies: Sequence[ScoreReply]) -> Reading:
        """Softmax of the normalised log-likelihoods."""
        asked = np.array(replies[0].logprobs[0])
        utility = asked
        if self._normaliser == "token":
            utility = asked / np.array(replies[0].tokens)
        elif self._normaliser == "pmi":
            utility = asked - np.array(replies[1].logprobs[0])
        return Reading(
            probabilities=tuple(_softmax(utility[None])[0].tolist()),
            position_probabilities=None,
            mass=min(1.0, math.fsum(np.exp(asked).tolist())),
        )


class SayReading(ReadingMode):
    """The model speaks and its words are read (`parsing.py`); the options are listed in the shown order.

    Args:
        sampling: how it speaks; the decision's seed goes with each request.
        reasoning: it is asked to think in words first and to end with a line "Answer: …".
        constrained: it may say nothing but one of the letters, where the engine can hold it to that.
    """

    def __init__(self, sampling: Sampling, *, reasoning: bool = False, constrained: bool = False) -> None:
        if reasoning and constrained:
            raise ConfigError("constrained=true leaves no room for reasoning=true; choose one")
        self._sampling, self._reasoning, self._constrained = sampling, reasoning, constrained
        self.needs = ("generate", "choices") if constrained else ("generate",)

    def identity(self) -> dict[str, str]:
        """Name and every setting."""
        sampling = ", ".join(f"{name} {value:g}" for name, value in msgspec.structs.asdict(self._sampling).items())
        how = "reasoning" if self._reasoning else "constrained" if self._constrained else "plain"
        return {"reading": "say/1", "sampling": sampling, "how": how}

    async def choose(self, engine: Engine, asked: Question) -> Choice:
        """What the reply names; `reading` says if it was as asked (parsed), otherwise understood (repaired), or not."""
        view = asked.view
        if view.free_text and self._constrained:
            raise PolicyError("a world of free text has no letters to be held to; use constrained=false")
        chat = asked.prompt.free(view) if view.free_text else asked.prompt.spoken(view, reasoning=self._reasoning)
        letters = tuple(ascii_uppercase[: len(view.menu)]) if self._constrained else ()
        request = GenerateRequest(chat, self._sampling, view.seed % 2**63, letters, asked.adapter)
        reply = await engine.generate(request)
        choice = self._free(reply.text) if view.free_text else self._listed(reply.text, view)
        return msgspec.structs.replace(
            choice,
            raw=reply.text,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            cached_tokens=reply.cached_tokens,
            output_tokens=reply.output_tokens,
            queue_s=reply.queue_s,
            attempts=reply.attempts,
            replayed=reply.replayed,
        )

    @staticmethod
    def _listed(text: str, view: View) -> Choice:
        parsed = parse(text, [option.text for option in view.menu])
        if parsed.index is None:
            return Choice(None, "refused" if parsed.rule == "refusal" else "failed", parsed_by=parsed.rule)
        reading: Literal["parsed", "repaired"] = "parsed" if parsed.rule == "letter" else "repaired"
        return Choice(view.menu[parsed.index].id, reading, parsed_by=parsed.rule)

    @staticmethod
    def _free(text: str) -> Choice:
        """The first line that says something, without a prompt sign."""
        said = without_thought(text)
        line = next((line.strip().lstrip(">").strip() for line in (said or "").splitlines() if line.strip()), None)
        return Choice(None, "failed" if not line else "parsed", text=line or None)


def _softmax(logits: FloatArray) -> FloatArray:
    """Row by row. Raises PolicyError where the model gave no number or no chance to any option."""
    if np.isnan(logits).any() or not np.isfinite(logits).any(axis=1).all():
        raise PolicyError("the model gave no usable probabilities (not a number, or all 0); try dtype=float32")
    odds: FloatArray = np.exp(logits - logits.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    return odds
