"""Reading mode `likelihood`: options are not listed; each is scored as the model's own answer."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from valueagents.contracts.policy import View
from valueagents.policies.engines import ScoreReply, ScoreRequest
from valueagents.policies.prompts import Prompt
from valueagents.policies.readings.scored import Reading, ScoreReading, softmax


class LikelihoodReading(ScoreReading):
    """Options are not listed; p is the softmax of each option's likelihood as the model's own
    answer, normalised by

    sum     nothing: log P(text), which favours short texts;
    token   its number of tokens: the mean log-probability of a token;
    pmi     log P(text | situation) - log P(text | no situation): what the situation makes of it
            (Holtzman et al. 2021).
    """

    class Options(ScoreReading.Options, frozen=True, kw_only=True):
        """How likelihoods become comparable.

        Args:
            normaliser: sum (of the text's log-probabilities), token (their mean), or pmi (minus the
                sum without the situation).
        """

        normaliser: Literal["sum", "token", "pmi"] = "token"

    def __init__(self, options: Options | None = None) -> None:
        options = options or self.Options()
        super().__init__(options)
        self._normaliser = options.normaliser

    def identity(self) -> dict[str, str]:
        """Name and normaliser."""
        return {"reading": "likelihood/1", "normaliser": self._normaliser, "pick": self.pick}

    def requests(self, prompt: Prompt, view: View) -> tuple[ScoreRequest, ...]:
        """A continuation for each option after the question; for pmi a second request without the
        situation.
        """
        texts = tuple(option.text for option in view.menu)
        asked = ScoreRequest((prompt.open_question(view),), texts)
        if self._normaliser != "pmi":
            return (asked,)
        return asked, ScoreRequest((prompt.neutral_question(view),), texts)

    def read(self, replies: Sequence[ScoreReply]) -> Reading:
        """Softmax of the normalised log-likelihoods."""
        asked = np.array(replies[0].logprobs[0])  # (K,)
        utility = asked
        if self._normaliser == "token":
            utility = asked / np.array(replies[0].tokens)
        elif self._normaliser == "pmi":
            utility = asked - np.array(replies[1].logprobs[0])
        return Reading(
            probabilities=tuple(softmax(utility[None])[0].tolist()),
            position_probabilities=None,
            mass=min(1.0, math.fsum(np.exp(asked).tolist())),
        )
