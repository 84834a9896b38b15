"""Reading mode `sample`: the model answers several times, and the shares of its answers are the
probabilities.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import View, draw
from valueagents.errors import ConfigError
from valueagents.identity import seed_from
from valueagents.policies.engines import WITHHELD, Engine, GenerateReply, GenerateRequest, Sampling
from valueagents.policies.readings.mode import Question, ReadingMode
from valueagents.policies.readings.say import read_listed
from valueagents.policies.readings.scored import require_menu


class SampleReading(ReadingMode):
    """For servers that tell no probabilities: K replies are drawn and read as `say` reads them.

    The probabilities are the shares of the replies that name an option, of which `samples` says how
    many there are: each has the binomial error √(p (1 − p) / samples), which differs from decision
    to decision by itself, so intervals over decisions hold it. `mass` is the share of replies that
    name an option. Reply by reply the menu is listed in another cyclic order, so with as many
    replies as options, or a multiple, a liking for a place cancels.
    """

    class Options(Sampling, frozen=True, kw_only=True):
        """How often the model speaks, and how.

        Args:
            replies: how many are drawn for a decision.
            rotations: list the menu in another cyclic order for every reply, or none: always in the
                shown order.
            reasoning: ask it to think in words first and to end with a line "Answer: …".
        """

        replies: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 12
        rotations: Literal["all", "none"] = "all"
        reasoning: bool = False

    needs = ("generate",)

    def __init__(self, options: Options | None = None) -> None:
        options = options or self.Options()
        super().__init__(options)
        if options.temperature == 0:
            raise ConfigError(
                "reading=sample draws replies: temperature=0 would give one of them many times; use"
                " reading=say"
            )
        self._asked = options
        self._sampling = Sampling(
            options.temperature, options.top_p, options.top_k, options.max_tokens
        )

    def identity(self) -> dict[str, str]:
        """Name and every setting."""
        settings = msgspec.structs.asdict(self._sampling)
        return {
            "reading": "sample/1",
            "replies": str(self._asked.replies),
            "rotations": self._asked.rotations,
            "sampling": ", ".join(f"{name} {value:g}" for name, value in settings.items()),
            "how": "reasoning" if self._asked.reasoning else "plain",
        }

    async def choose(self, engine: Engine, asked: Question) -> Choice:
        """An option drawn from the shares of the replies; unread where none of them names one."""
        view = asked.view
        require_menu(view)
        turned = [self._turned(view, number) for number in range(self._asked.replies)]
        replies = await asyncio.gather(
            *(self._reply(engine, asked, each, number) for number, each in enumerate(turned))
        )
        read = [self._read(each, reply) for each, reply in zip(turned, replies, strict=True)]
        named = Counter(choice.option for choice in read if choice.option is not None)
        count = named.total()
        shares = tuple(named[option.id] / count for option in view.menu) if count else None
        return Choice(
            option=None if shares is None else draw(view.menu, shares, view.seed),
            reading="failed" if shares is None else "drawn",
            probabilities=shares,
            position_probabilities=_by_place(turned, read) if count else None,
            mass=count / len(replies),
            samples=count,
            raw=msgspec.json.encode([reply.text for reply in replies]).decode(),
            finish_reason=_common([reply.finish_reason for reply in replies]),
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            cached_tokens=sum(reply.cached_tokens for reply in replies),
            output_tokens=sum(reply.output_tokens for reply in replies),
            queue_s=max(reply.queue_s for reply in replies),
            attempts=max(reply.attempts for reply in replies),
            replayed=all(reply.replayed for reply in replies),
        )

    def _turned(self, view: View, number: int) -> View:
        turn = number % len(view.menu) if self._asked.rotations == "all" else 0
        return msgspec.structs.replace(view, menu=view.menu[turn:] + view.menu[:turn])

    async def _reply(
        self, engine: Engine, asked: Question, view: View, number: int
    ) -> GenerateReply:
        chat = asked.prompt.spoken(view, reasoning=self._asked.reasoning)
        seed = seed_from("sample", view.seed, number)
        return await engine.generate(GenerateRequest(chat, self._sampling, seed, (), asked.adapter))

    def _read(self, view: View, reply: GenerateReply) -> Choice:
        if reply.finish_reason in WITHHELD:
            return Choice(None, "refused")
        cut = reply.finish_reason == "length"
        return read_listed(reply.text, view, [], cut=cut, reasoning=self._asked.reasoning)


def _by_place(views: Sequence[View], read: Sequence[Choice]) -> tuple[float, ...]:
    """The share of each listed place among the replies that name an option."""
    places = Counter(
        next(place for place, option in enumerate(view.menu) if option.id == choice.option)
        for view, choice in zip(views, read, strict=True)
        if choice.option is not None
    )
    return tuple(places[place] / places.total() for place in range(len(views[0].menu)))


def _common(reasons: Sequence[str]) -> str | None:
    """The finish reason that all replies have; None where they differ."""
    return reasons[0] if len(set(reasons)) == 1 else None
