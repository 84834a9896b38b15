"""Reading mode `sentences`: each option is read by itself, as a whole text; nothing is asked."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from valueagents.contracts.policy import View
from valueagents.policies.engines import ScoreReply, ScoreRequest
from valueagents.policies.prompts import Prompt
from valueagents.policies.readings.scored import Reading, ScoreReading, softmax


class SentencesReading(ScoreReading):
    """Options are whole sentences; p is the softmax of their log-likelihoods after the model's
    start token alone, without task, prompt or chat template, normalised by

    sum     nothing: log P(sentence), as CrowS-Pairs is read on causal models;
    token   its number of tokens: the mean log-probability of a token.

    The other normaliser's probabilities are recorded beside the chosen one's.
    """

    class Options(ScoreReading.Options, frozen=True, kw_only=True):
        """How log-likelihoods become comparable.

        Args:
            normaliser: sum (of the sentence's log-probabilities) or token (their mean).
        """

        normaliser: Literal["sum", "token"] = "sum"

    prompted = False

    def __init__(self, options: Options | None = None) -> None:
        options = options or self.Options()
        super().__init__(options)
        self._normaliser = options.normaliser

    def identity(self) -> dict[str, str]:
        """Name and normaliser."""
        return {"reading": "sentences/1", "normaliser": self._normaliser, "pick": self.pick}

    def requests(self, prompt: Prompt, view: View) -> tuple[ScoreRequest, ...]:
        """A continuation of nothing for each option."""
        return (ScoreRequest(((),), tuple(option.text for option in view.menu)),)

    def read(self, view: View, replies: Sequence[ScoreReply]) -> Reading:
        """Softmax of the log-likelihoods. The mass is not defined: sentences never exhaust a
        language.
        """
        sums, tokens = np.array(replies[0].logprobs[0]), np.array(replies[0].tokens)
        utilities = {"sum": sums, "token": sums / tokens}
        shares = {
            name: tuple(softmax(utility[None])[0].tolist()) for name, utility in utilities.items()
        }
        return Reading(
            probabilities=shares.pop(self._normaliser),
            position_probabilities=None,
            mass=None,
            beside=shares,
        )
