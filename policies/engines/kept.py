"""One model for many policies: loaded when the first of them is entered, kept until the keeper
lets go.
"""

import asyncio
from types import TracebackType
from typing import Self

from valueagents.errors import PolicyError
from valueagents.policies.engines.engine import (
    Engine,
    EngineAdapter,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
    TopReply,
    TopRequest,
)


class KeptEngine(Engine):
    """An engine that policies enter and leave as they like; `close` frees it.

    All within one event loop.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.can, self.live, self.tokens_per_s = engine.can, engine.live, engine.tokens_per_s
        self.default_reading = engine.default_reading
        self._entered = False
        self._loading = asyncio.Lock()
        self._error: PolicyError | None = None

    def identity(self) -> dict[str, str]:
        """The engine's own."""
        return self.engine.identity()

    @property
    def adapters(self) -> tuple[EngineAdapter, ...]:
        """The engine's own."""
        return self.engine.adapters

    async def __aenter__(self) -> Self:
        """Load the model unless it is loaded: here, as a question has a deadline and loading none.

        A run that owes nothing does not enter its policy.
        """
        await self._loaded()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing: others may need it."""

    async def close(self) -> None:
        """Free the model if it was loaded."""
        if self._entered:
            self._entered = False
            await self.engine.__aexit__(None, None, None)

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """The engine's own."""
        return await (await self._loaded()).score(request)

    async def top(self, request: TopRequest) -> TopReply:
        """The engine's own."""
        return await (await self._loaded()).top(request)

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """The engine's own."""
        return await (await self._loaded()).generate(request)

    async def _loaded(self) -> Engine:
        async with self._loading:
            if self._error is not None:  # it would only fail again, as slowly
                raise self._error
            if not self._entered:
                try:
                    await self.engine.__aenter__()
                except PolicyError as error:
                    self._error = error
                    raise
                self._entered = True
        return self.engine
