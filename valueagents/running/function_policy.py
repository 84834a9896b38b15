"""A plain function of a view as a policy; one that is not asynchronous runs on a thread of its own,
call by call.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from valueagents.contracts.code import Unhashable, value_hash
from valueagents.contracts.decision import Choice, Option
from valueagents.contracts.policy import Policy, View, draw
from valueagents.errors import PolicyError
from valueagents.running.threads import OwnerThread

_LIVE = 8
_SUM_TOLERANCE = 1e-6


class FunctionPolicy(Policy):
    """Asks a function for an option, its id, its index, probabilities over the menu, a `Choice`, or
    None (no answer).

    In an env of free text a text is what is said. Its identity is the function's source with all
    that it reads; where that cannot be hashed, `unrepeatable` says why, and no other run has its
    identity.
    """

    live = _LIVE

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.function, self.name = function, name
        self.unrepeatable: str | None = None
        try:
            code = value_hash(function)
        except Unhashable as value:
            code = f"unrepeatable {uuid4().hex}"
            self.unrepeatable = f"it depends on {value}, which cannot be hashed"
        self._identity = {"policy": f"function {name}", "code": code}
        self._thread: OwnerThread | None = None

    def identity(self) -> dict[str, str]:
        """Name and code of the function."""
        return self._identity

    async def __aenter__(self) -> Self:
        """A thread is there for a function that is not asynchronous."""
        if not inspect.iscoroutinefunction(self.function):
            self._thread = OwnerThread(f"policy {self.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The thread ends."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    async def decide(self, view: View) -> Choice:
        """What the function's answer comes to.

        Raises PolicyError for an answer that means none of the options.
        """
        if self._thread is not None:
            answer = await self._thread.call(self.function, view)
        else:
            answer = self.function(view)
        if inspect.isawaitable(answer):
            answer = await answer
        return choice_of(answer, view, self.name)


def choice_of(answer: object, view: View, name: str) -> Choice:
    """The choice that an answer means.

    Raises PolicyError, saying what may be answered, if it means none.
    """
    if isinstance(answer, Choice):
        return answer
    if answer is None:
        return Choice(None, "refused")
    if isinstance(answer, Option):
        answer = answer.id
    if isinstance(answer, str):
        return _of_text(answer, view, name)
    if isinstance(answer, int) and not isinstance(answer, bool):
        if 0 <= answer < len(view.menu):
            return Choice(view.menu[answer].id, "argmax")
        raise PolicyError(
            f"policy {name} answered option {answer} of a menu of {len(view.menu)}; count from 0"
        )
    return _of_probabilities(answer, view, name)


def _of_text(answer: str, view: View, name: str) -> Choice:
    for option in view.menu:
        if answer in (option.id, option.text):
            return Choice(option.id, "argmax")
    if view.free_text:
        return Choice(None, "parsed", text=answer)
    known = ", ".join(option.id for option in view.menu)
    raise PolicyError(
        f"policy {name} answered {answer!r:.80}, neither the id nor the text of an option; ids:"
        f" {known}"
    )


def _of_probabilities(answer: object, view: View, name: str) -> Choice:
    listed: Any = answer.tolist() if hasattr(answer, "tolist") else answer
    try:
        p = tuple(float(each) for each in listed) if isinstance(listed, Sequence) else ()
    except (TypeError, ValueError):
        p = ()
    right = len(p) == len(view.menu) and all(math.isfinite(each) and each >= 0 for each in p)
    if not right or abs(math.fsum(p) - 1) > _SUM_TOLERANCE:
        raise PolicyError(
            f"policy {name} answered {answer!r:.80}; answer an option, its id or index, a Choice,"
            f" None, or {len(view.menu)} probabilities that add up to 1"
        )
    return Choice(draw(view.menu, p, view.seed), "drawn", p)
