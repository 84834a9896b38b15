"""The start-up self-check: base and adapters must answer alike alone and side by side, or nothing
is measured.

Engines have been seen to give base-model rows of a mixed batch the last adapter's answer, without
any error.
"""

import asyncio
import math

from valueagents.errors import PolicyError
from valueagents.policies.engines.engine import Engine, Message, ScoreRequest

_CHATS = (
    (
        Message("system", "You decide what to do."),
        Message("user", "A neighbour's cat sits in the rain. What do you do?"),
    ),
    (
        Message("system", "You decide what to do."),
        Message("user", "The last seat on the bus is yours or hers. Whose?"),
    ),
)
_ANSWERS = ("Let it in.", "Go on reading.", "Mine", "Hers")
_ROUNDS = 4


async def check_adapters(engine: Engine, adapters: tuple[str, ...], *, tolerance: float) -> float:
    """The largest difference of a log-probability (natural, summed) between alone and mixed.

    Raises PolicyError, naming who differed by how much, if it is above `tolerance` or not a number.
    """
    asked = [
        ScoreRequest((chat,), _ANSWERS, adapter) for chat in _CHATS for adapter in (None, *adapters)
    ]
    alone = [await engine.score(request) for request in asked]
    mixed = await asyncio.gather(*(engine.score(request) for request in asked * _ROUNDS))
    worst = 0.0
    for i, reply in enumerate(mixed):
        request, reference = asked[i % len(asked)], alone[i % len(asked)]
        pairs = zip(reply.logprobs[0], reference.logprobs[0], strict=True)
        difference = max(
            abs(a - b) if math.isfinite(a) and math.isfinite(b) else math.inf for a, b in pairs
        )
        worst = max(worst, difference)
        if difference > tolerance:
            who = f"adapter {request.adapter}" if request.adapter else "the base model"
            raise PolicyError(
                f"{type(engine).__name__}: {who} answers differently beside others than alone, by"
                f" {difference:.3g} nats where {tolerance:g} may be noise; its scores would be"
                " wrong"
            )
    return worst
