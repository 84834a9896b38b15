"""ScoreReading: what the readings share that go by probabilities."""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from valueagents.arrays import FloatArray
from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import View, draw
from valueagents.errors import PolicyError
from valueagents.policies.engines import (
    Capability,
    Engine,
    ScoreReply,
    ScoreRequest,
    TopReply,
)
from valueagents.policies.prompts import Prompt
from valueagents.policies.readings.mode import Question, ReadingMode

Pick = Literal["draw", "argmax"]


class Reading(msgspec.Struct, frozen=True):
    """Probabilities over the menu in shown order; see `valueagents.contracts.decision.Choice` for
    the others.

    `mass` None: the answers could not exhaust what is said.
    """

    probabilities: tuple[float, ...]
    position_probabilities: tuple[float, ...] | None
    mass: float | None
    neither: float | None = None
    beside: dict[str, tuple[float, ...]] = {}
    unseen: float | None = None


class ScoreReading(ReadingMode):
    """Reads from probabilities; the choice is drawn from them with the decision's seed, or the most
    probable option.
    """

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """What becomes of the probabilities.

        Args:
            pick: draw from the probabilities with the decision's seed, or argmax: take the most
                probable option.
        """

        pick: Pick = "draw"

    needs: tuple[Capability, ...] = ("score",)

    def __init__(self, options: Options | None = None) -> None:
        options = options or self.Options()
        super().__init__(options)
        self.pick = options.pick

    @abstractmethod
    def requests(self, prompt: Prompt, view: View) -> tuple[ScoreRequest, ...]:
        """What to ask the engine. What one request asks shares its beginning, so an engine can
        compute that once.
        """

    @abstractmethod
    def read(self, view: View, replies: Sequence[ScoreReply]) -> Reading:
        """The probabilities over the view's menu, from the replies in order."""

    async def choose(self, engine: Engine, asked: Question) -> Choice:
        """The option drawn from (or most probable under) the model's probabilities over the
        menu.
        """
        view = asked.view
        require_menu(view)
        requests = self.requests(asked.prompt, view)
        replies = await asyncio.gather(
            *(
                engine.score(msgspec.structs.replace(request, adapter=asked.adapter))
                for request in requests
            )
        )
        return self.choice(view, self.read(view, replies), replies)

    def choice(
        self, view: View, reading: Reading, replies: Sequence[ScoreReply | TopReply]
    ) -> Choice:
        """The choice that a reading comes to, with what its replies took."""
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
            neither=reading.neither,
            beside=reading.beside,
            unseen=reading.unseen,
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            cached_tokens=sum(reply.cached_tokens for reply in replies),
            queue_s=max(reply.queue_s for reply in replies),
            attempts=max(reply.attempts for reply in replies),
            replayed=all(reply.replayed for reply in replies),
        )


def require_menu(view: View) -> None:
    """Raise PolicyError where a view's menu is not for the model to see."""
    if view.free_text:
        raise PolicyError("an env of free text shows no menu to a model; use reading=say")


def softmax(logits: FloatArray) -> FloatArray:
    """Row by row. Raises PolicyError where the model gave no number or no chance to any option."""
    if np.isnan(logits).any() or not np.isfinite(logits).any(axis=1).all():
        raise PolicyError(
            "the model gave no usable probabilities (not a number, or all 0); try dtype=float32"
        )
    odds: FloatArray = np.exp(logits - logits.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    return odds
