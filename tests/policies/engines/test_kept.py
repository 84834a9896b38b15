"""One model for many policies: loaded once, when the first is entered, and not tried again if it
cannot be loaded.
"""

import asyncio

from valueagents.errors import PolicyError
from valueagents.policies.engines import (
    Engine,
    GenerateReply,
    GenerateRequest,
    Message,
    Sampling,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.kept import KeptEngine

CHAT = (Message("user", "Now?"),)
SCORE, SAY = ScoreRequest((CHAT,), ("yes", "no")), GenerateRequest(CHAT, Sampling(), seed=1)


class _Counting(Engine):
    """Counts how often it is loaded and freed; `broken` cannot be loaded."""

    can, live = frozenset({"score", "generate"}), 3

    def __init__(self, *, broken: bool = False) -> None:
        self.broken, self.loaded, self.freed = broken, 0, 0

    def identity(self) -> dict[str, str]:
        return {"engine": "counting/1"}

    async def __aenter__(self):
        self.loaded += 1
        await asyncio.sleep(0.01)
        if self.broken:
            raise PolicyError("no such weights")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.freed += 1

    async def score(self, request: ScoreRequest) -> ScoreReply:
        return ScoreReply(((-1.0, -2.0),), (1, 1), 3, 0)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        return GenerateReply("yes", "stop", 3, 0, 1)


def test_policies_come_and_go_while_the_model_stays():
    async def study(engine: Engine) -> tuple[int, int]:
        kept = KeptEngine(engine)
        kept.identity()
        before = engine.loaded
        async with kept:
            assert engine.loaded == 1  # before anything is asked: a question has a deadline
        for _ in range(2):
            async with kept:
                await asyncio.gather(kept.score(SCORE), kept.generate(SAY), kept.score(SCORE))
        assert engine.freed == 0
        await kept.close()
        await kept.close()
        return before, engine.loaded

    engine = _Counting()
    assert asyncio.run(study(engine)) == (0, 1)
    assert engine.freed == 1
    assert KeptEngine(engine).identity() == engine.identity()


def test_a_model_that_cannot_be_loaded_is_tried_once():
    async def study(engine: Engine) -> list[BaseException | ScoreReply | GenerateReply]:
        kept = KeptEngine(engine)
        answers = await asyncio.gather(
            kept.score(SCORE), kept.generate(SAY), return_exceptions=True
        )
        answers += await asyncio.gather(kept.score(SCORE), return_exceptions=True)
        await kept.close()
        return answers

    engine = _Counting(broken=True)
    answers = asyncio.run(study(engine))
    assert [str(answer) for answer in answers] == ["no such weights"] * 3
    assert all(isinstance(answer, PolicyError) for answer in answers)
    assert (engine.loaded, engine.freed) == (1, 0)
