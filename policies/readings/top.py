"""Reading mode `top`: options are listed under letters, and the letters are looked for among the
most probable first tokens, which is all that many servers tell.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from valueagents.contracts.decision import Choice
from valueagents.policies.engines import Engine, ScoreReply, TopRequest
from valueagents.policies.readings.label import LabelReading
from valueagents.policies.readings.mode import Question
from valueagents.policies.readings.scored import require_menu

_FORMS = ("", " ")
"""How tokenizers begin a letter: as it is, or with a space."""

Top = Sequence[tuple[str, float]]


class TopReading(LabelReading):
    """As `label`, where a server shows the most probable tokens only (`top_logprobs`).

    A letter that is not among them is at most as probable as the last one shown, and the letters
    that are missing have together at most what all shown ones leave. A missing letter counts as 0,
    and `unseen` says what the probabilities may be off by because of that. A listing of which no
    letter is shown makes the decision unread.
    """

    class Options(LabelReading.Options, frozen=True, kw_only=True):
        """How the menu is listed.

        Args:
            rotations: list the menu in all cyclic orders and average, or none: in the shown order
                only.
            neither: offer "none of these" below the menu; scores are bounded by what it gets.
            count: how many tokens to ask for; some servers show 5 at most.
        """

        count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20

    needs = ("top",)

    def __init__(self, options: Options | None = None) -> None:
        options = options or self.Options()
        super().__init__(options)
        self._count = options.count

    def identity(self) -> dict[str, str]:
        """As `label`, and how many tokens are asked for."""
        return {**super().identity(), "reading": "top/1", "count": str(self._count)}

    async def choose(self, engine: Engine, asked: Question) -> Choice:
        """The option drawn from (or most probable under) the letters' probabilities."""
        view = asked.view
        require_menu(view)
        [listed] = self.requests(asked.prompt, view)
        reply = await engine.top(TopRequest(listed.chats, self._count, asked.adapter))
        found = [find_letters(top, listed.continuations) for top in reply.tops]
        menu = len(view.menu)
        if not all(any(p > 0 for p in each.p[:menu]) for each in found):
            return Choice(
                None,
                "failed",
                mass=_mean([math.fsum(each.p) for each in found]),
                parsed_by="no letter among the most probable tokens",
                prompt_tokens=reply.prompt_tokens,
                cached_tokens=reply.cached_tokens,
                queue_s=reply.queue_s,
                attempts=reply.attempts,
                replayed=reply.replayed,
            )
        logprobs = tuple(tuple(map(_log, each.p)) for each in found)
        tokens = (1,) * len(listed.continuations)
        reading = self.read(view, [ScoreReply(logprobs, tokens, 0, 0)])
        off = _mean([each.off_by(menu) for each in found])
        return self.choice(view, msgspec.structs.replace(reading, unseen=off), [reply])


@dataclass(frozen=True, slots=True)
class FoundLetters:
    """What a list of tokens says of letters: `p` of each, 0 for one that is not shown; `last`, the
    probability of the last token shown; `rest`, what all shown ones leave.
    """

    p: tuple[float, ...]
    last: float
    rest: float

    def off_by(self, menu: int) -> float:
        """The most by which the first `menu` letters, made to add up to 1, may be off in total
        variation.

        With F shown and at most u not shown of them it is u / (F + u): a letter that is shown has
        p / F in place of at least p / (F + u), one that is not 0 in place of at most u / (F + u).
        """
        shown = math.fsum(self.p[:menu])
        missing = sum(p == 0 for p in self.p[:menu])
        unseen = min(missing * self.last, self.rest)
        return unseen / (shown + unseen) if unseen else 0.0


def find_letters(top: Top, letters: Sequence[str]) -> FoundLetters:
    """What the tokens say of the letters, in the form in which most of them are said: as they are,
    or each after a space.
    """
    shown = [math.exp(min(0.0, logprob)) for _, logprob in top]
    by_form = [
        tuple(
            math.fsum(p for (token, _), p in zip(top, shown, strict=True) if token == form + letter)
            for letter in letters
        )
        for form in _FORMS
    ]
    return FoundLetters(max(by_form, key=math.fsum), min(shown), max(0.0, 1.0 - math.fsum(shown)))


def _log(p: float) -> float:
    return math.log(p) if p > 0 else -math.inf


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
