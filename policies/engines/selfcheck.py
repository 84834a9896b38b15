"""The start-up self-check: base and adapters must answer alike alone and side by side, or nothing
is measured.

Engines have been seen to give base-model rows of a mixed batch the last adapter's answer, without
any error.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from valueagents.errors import PolicyError
from valueagents.policies.engines.engine import Chat, Engine, Message, ScoreReply, ScoreRequest

_TASK = "You decide what to do."
_SITUATIONS = (
    "A neighbour's cat sits in the rain. What do you do?",
    "The last seat on the bus is yours or hers. Whose?",
)
_ANSWERS = ("Let it in.", "Go on reading.", "Mine", "Hers")
_ROUNDS = 4


async def check_adapters(
    engine: Engine,
    adapters: tuple[str, ...],
    *,
    tolerance: float,
    forget: Callable[[], Awaitable[None]] | None = None,
) -> float:
    """The largest difference of a log-probability (natural, summed) between alone and mixed.

    Every request has a text of its own, of its own length: engines answer equal ones once.
    `forget` makes the engine compute anew what it has read; without it, mixed company reads much of
    what was kept when it was asked alone.

    Raises PolicyError, naming who differed by how much, if it is above `tolerance` or not a number.
    """
    asked = [
        ScoreRequest((_chat(situation, number),), _ANSWERS, adapter)
        for number in range(_ROUNDS)
        for situation in _SITUATIONS
        for adapter in (None, *adapters)
    ]
    alone = [await engine.score(request) for request in asked]
    if forget is not None:
        await forget()
    mixed = await asyncio.gather(*(engine.score(request) for request in asked))
    worst = 0.0
    for request, reply, reference in zip(asked, mixed, alone, strict=True):
        difference = _difference(reply, reference)
        worst = max(worst, difference)
        if difference > tolerance:
            who = f"adapter {request.adapter}" if request.adapter else "the base model"
            raise PolicyError(
                f"{type(engine).__name__}: {who} answers differently beside others than alone, by"
                f" {difference:.3g} nats where {tolerance:g} may be noise; its scores would be"
                " wrong"
            )
    return worst


def _chat(situation: str, number: int) -> Chat:
    """A chat that differs from others of another number from its first words on, and in length."""
    day = f"Day {number + 1}. " + "Nothing happens. " * number
    return Message("system", _TASK), Message("user", day + situation)


def _difference(one: ScoreReply, other: ScoreReply) -> float:
    """The largest of a log-probability; infinite if one is not a number."""
    pairs = zip(one.logprobs[0], other.logprobs[0], strict=True)
    return max(abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf for a, b in pairs)
