"""Reading mode `label`: options are listed under letters, and the letters' probabilities are
read.
"""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Literal

import numpy as np

from valueagents.contracts.policy import View
from valueagents.policies.engines import ScoreReply, ScoreRequest
from valueagents.policies.prompts import Prompt
from valueagents.policies.readings.scored import Reading, ScoreReading, softmax

_OPENING = "Answer:"


class LabelReading(ScoreReading):
    """Options are listed under letters; p is the probability of the letter, normalised over the
    menu's letters.

    With `rotations="all"` the menu is listed in all its K cyclic orders and p averaged over them:
    every option has every letter once, so a liking for a letter or a place cancels, and is
    measured. Small models rarely begin with a letter, whatever they are told: with
    `opening="answer"` the answer's beginning "Answer:" is given, and p is of the letter after it.
    With `neither` a last line that names none of them is listed below every order; what the model
    gives to it is recorded, and p is over the menu alone.
    """

    class Options(ScoreReading.Options, frozen=True, kw_only=True):
        """How the menu is listed.

        Args:
            rotations: list the menu in all cyclic orders and average, or none: in the shown order
                only.
            opening: begin the answer with "Answer:" (answer), so that the letter comes next, or
                leave its beginning to the model (none).
            neither: offer "none of these" below the menu; scores are bounded by what it gets.
        """

        rotations: Literal["all", "none"] = "all"
        opening: Literal["answer", "none"] = "none"
        neither: bool = False

    def __init__(self, options: Options | None = None) -> None:
        options = options or self.Options()
        super().__init__(options)
        self._rotations, self._neither = options.rotations, options.neither
        self._opens = options.opening == "answer"

    def identity(self) -> dict[str, str]:
        """Name and rotations; whether the answer is begun, and "none of these" offered."""
        offered = {"opening": "answer"} if self._opens else {}
        offered |= {"neither": "offered"} if self._neither else {}
        return {"reading": "label/1", "rotations": self._rotations, "pick": self.pick, **offered}

    def requests(self, prompt: Prompt, view: View) -> tuple[ScoreRequest, ...]:
        """One request: a chat for each rotation, a continuation for each letter, and one for the
        answer's beginning if that is given.
        """
        count = len(view.menu)
        turns = range(count if self._rotations == "all" else 1)
        orders = [view.menu[turn:] + view.menu[:turn] for turn in turns]
        chats = tuple(prompt.listing(view, order, neither=self._neither) for order in orders)
        letters = tuple(ascii_uppercase[: count + self._neither])
        if self._opens:
            letters = (*(f"{_OPENING} {letter}" for letter in letters), _OPENING)
        return (ScoreRequest(chats, letters),)

    def read(self, view: View, replies: Sequence[ScoreReply]) -> Reading:
        """Softmax over the letters of each rotation, the rotation undone, averaged."""
        count = len(view.menu)
        logprobs = np.array(replies[0].logprobs)  # (R, K), with `neither` (R, K + 1)
        if self._opens:  # the last column is the beginning's
            logprobs = logprobs[:, :-1] - logprobs[:, -1:]
        listed = softmax(logprobs[:, :count])
        shown = np.mean([np.roll(row, turn) for turn, row in enumerate(listed)], axis=0)
        return Reading(
            probabilities=tuple(shown.tolist()),
            position_probabilities=tuple(listed.mean(axis=0).tolist()),
            mass=min(1.0, float(np.exp(logprobs).sum(axis=1).mean())),
            neither=float(softmax(logprobs)[:, count].mean()) if self._neither else None,
        )
