"""Policy, the contract of whatever acts: it is shown a `View` and answers with a `Choice`.

It never sees a value.

Policies are asynchronous context managers: entering loads what they need, leaving frees it.
`decide` is called for many live episodes at once, so a policy that owns a model can batch them.
"""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec

from valueagents.contracts.decision import Annotation, Asks, Choice, Menu


class Exchange(msgspec.Struct, frozen=True):
    """An earlier turn of the episode: what was new to see, and the text of what the agent did.

    `menu` is what was on offer in shown order, `taken` the place of the option taken (None where
    the answer was not on the menu); an empty menu: it is not known.
    """

    observation: str
    action: str
    menu: Menu = ()
    taken: int | None = None


class DesignPlace(msgspec.Struct, frozen=True):
    """Where an item stands in the design of a study, the same for every policy.

    `place` is the item's among the env's situations (where an env lists none, the number of the
    episode), `repetition` how often the run has met it before, `seed` the run's.
    """

    place: int = 0
    repetition: int = 0
    seed: int = 0


class View(msgspec.Struct, frozen=True):
    """All that a policy is shown.

    `transcript` only grows; `seed` is this decision's own, for what is drawn. `asks` is the env's
    question, `design` decides in which of its paraphrases it is put.

    In an env of `free_text` a policy may answer with any text; its menu is hidden from language
    models.
    """

    task: str
    transcript: tuple[Exchange, ...]
    observation: str
    menu: Menu
    seed: int
    free_text: bool = False
    asks: Asks = "choose"
    design: DesignPlace = DesignPlace()


class AskedChats(msgspec.Struct, frozen=True):
    """What a model was asked at a decision: chats, each of (role, text) messages; or why that is
    not known.
    """

    chats: tuple[tuple[tuple[str, str], ...], ...] = ()
    why_not: str | None = None


class Policy(ABC):
    """What acts in an env.

    `live` is how many episodes at once it can make use of; `seconds_per_decision` serves the plan
    of a run.
    """

    live: int = 1
    unrepeatable: str | None = None
    """Why two policies with this identity may differ, so that a run cannot be continued; None =
    they cannot.
    """
    seconds_per_decision: float | None = None

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """The content that decides how this policy answers: hashes, versions, options; never a path
        or URL.
        """

    @abstractmethod
    async def decide(self, view: View) -> Choice:
        """The answer to one view. Raises PolicyError if there is none; the episode then fails, the
        run goes on.
        """

    def for_question(self, asks: Asks, language: str = "en") -> "Policy":
        """The policy as it answers an env that asks this in a language (ISO 639-1); itself where
        that makes no difference.
        """
        return self

    async def __aenter__(self) -> Self:
        """Load what `decide` needs."""
        return self

    async def __aexit__(  # noqa: B027 – most policies hold nothing to free
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free it."""

    def estimate_s(self, decisions: int, characters: int | None) -> float | None:
        """A rough guess of the seconds that decisions take which show this many characters; None =
        no basis for one.
        """
        return None if self.seconds_per_decision is None else decisions * self.seconds_per_decision


class InformedPolicy(Policy):
    """The explicit door to annotations, for calibration only: the rollout calls `decide_informed`
    and marks the run.
    """

    async def decide(self, view: View) -> Choice:
        """Not possible: without annotations an informed policy has no answer."""
        raise TypeError(f"{type(self).__name__} must be asked through decide_informed")

    @abstractmethod
    async def decide_informed(self, view: View, annotation: Annotation | None) -> Choice:
        """The answer to one view, knowing the menu's annotation."""


def draw(menu: Menu, probabilities: Sequence[float], seed: int) -> str:
    """The id of an option drawn c ~ p with the decision's own seed: one uniform number against the
    cumulated p.
    """
    rest = random.Random(seed).random() * math.fsum(probabilities)  # noqa: S311 – a statistic, not a secret
    for option, p in zip(menu, probabilities, strict=True):
        rest -= p
        if rest < 0:
            return option.id
    return menu[-1].id
