"""Reading mode `likelihood`: options are not listed; each is scored as the model's own answer."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from valueagents.arrays import FloatArray
from valueagents.contracts.decision import Asks
from valueagents.contracts.policy import View
from valueagents.policies.engines import ScoreReply, ScoreRequest
from valueagents.policies.prompts import Prompt
from valueagents.policies.readings.scored import Reading, ScoreReading, softmax

SHORT: tuple[Asks, ...] = ("rate", "judge")
"""Questions whose answers are short and could exhaust what is said."""


class LikelihoodReading(ScoreReading):
    """Options are not listed; p is the softmax of each option's likelihood as the model's own
    answer, normalised by

    sum     nothing: log P(text), which favours short texts;
    token   its number of tokens: the mean log-probability of a token;
    pmi     log P(text | situation) - log P(text | no situation): what the situation makes of it
            (Holtzman et al. 2021).

    What all ratings or verdicts begin with ("Rating: ") is given to the model first: p is that of
    what follows. The other normalisers' probabilities are recorded beside the chosen one's, since
    the sign of a score may hang on it.
    """

    class Options(ScoreReading.Options, frozen=True, kw_only=True):
        """How likelihoods become comparable.

        Args:
            normaliser: sum (of the text's log-probabilities), token (their mean), or pmi (minus the
                sum without the situation).
            beside: all: record what every other normaliser gives, too, which asks once more,
                without the situation; free: only those that ask nothing more.
        """

        normaliser: Literal["sum", "token", "pmi"] = "token"
        beside: Literal["all", "free"] = "all"

    def __init__(self, options: Options | None = None) -> None:
        options = options or self.Options()
        super().__init__(options)
        self._normaliser = options.normaliser
        self._neutral = options.normaliser == "pmi" or options.beside == "all"

    def identity(self) -> dict[str, str]:
        """Name and normaliser."""
        return {"reading": "likelihood/2", "normaliser": self._normaliser, "pick": self.pick}

    def requests(self, prompt: Prompt, view: View) -> tuple[ScoreRequest, ...]:
        """A continuation for each option after the question, and one for what all of them begin
        with; for pmi a second request without the situation.
        """
        texts = tuple(option.text for option in view.menu)
        fixed = fixed_part(texts) if view.asks in SHORT else ""
        asked = (*texts, fixed) if fixed else texts
        request = ScoreRequest((prompt.open_question(view),), asked)
        if not self._neutral:
            return (request,)
        return request, ScoreRequest((prompt.neutral_question(view),), asked)

    def read(self, view: View, replies: Sequence[ScoreReply]) -> Reading:
        """Softmax of the normalised log-likelihoods; the mass only where the answers could exhaust
        what is said.
        """
        count = len(view.menu)
        asked, tokens = _after_the_fixed_part(replies[0], count)  # (K,) each
        utilities = {"sum": asked, "token": asked / tokens}
        if self._neutral:
            utilities["pmi"] = asked - _after_the_fixed_part(replies[1], count)[0]
        shares = {
            name: tuple(softmax(utility[None])[0].tolist()) for name, utility in utilities.items()
        }
        mass = min(1.0, math.fsum(np.exp(asked).tolist())) if view.asks in SHORT else None
        return Reading(
            probabilities=shares.pop(self._normaliser),
            position_probabilities=None,
            mass=mass,
            beside=shares,
        )


def fixed_part(texts: Sequence[str]) -> str:
    """What all answers begin with, up to the last space: "Rating:" of "Rating: 1", "Rating: 2"; ""
    where there is nothing.
    """
    first, last = min(texts), max(texts)  # of sorted texts the two that have least in common
    same = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first[:same].rpartition(" ")[0].rstrip()


def _after_the_fixed_part(reply: ScoreReply, count: int) -> tuple[FloatArray, FloatArray]:
    """(K,) log-probabilities and numbers of tokens of the options, given what all begin with."""
    logprobs, tokens = np.array(reply.logprobs[0]), np.array(reply.tokens, dtype=np.float64)
    if len(logprobs) == count:
        return logprobs, tokens
    rest = np.maximum(1.0, tokens[:count] - tokens[count])
    return logprobs[:count] - logprobs[count], rest
