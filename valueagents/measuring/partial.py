"""Partial: how the probabilities of a run are known where they are not the model's own in full.

Shares of replies have a binomial error, another one in every decision, so a spread over decisions
holds it and intervals need nothing more (a mean of unbiased terms, clustered). What a server does
not show is no such error: it can lean one way, so it is bounded and told.
"""

import msgspec
import numpy as np
import pyarrow.compute as pc

from valueagents.arrays import FloatArray
from valueagents.measuring.answers import Answers

WARNED = 0.02
"""Mean bound, in total variation, from which scores are warned of."""


class Partial(msgspec.Struct, frozen=True):
    """Of decisions read from shares of replies, how many `replies` named an option on average; of
    those read from a server's most probable tokens, what the probabilities may be `off_by` on
    average, and in the worst decision. None: not read that way.
    """

    replies: float | None
    off_by: float | None
    most_off_by: float | None

    @property
    def told(self) -> str:
        """How the probabilities are known, in words."""
        if self.replies is not None:
            return (
                f"probabilities are shares of {self.replies:.3g} replies a decision: their binomial"
                " error is in the intervals"
            )
        return (
            "probabilities are of the tokens that the server shows: off by at most"
            f" {self.off_by:.2g} on average, {self.most_off_by:.2g} in one decision"
        )

    @property
    def warning(self) -> str | None:
        """What to warn of; None if there is nothing."""
        if self.off_by is None or self.off_by < WARNED:
            return None
        return (
            "the tokens that the server does not show could move probabilities by"
            f" {self.off_by:.2g} on average, and a propensity by up to {2 * self.off_by:.2g}"
        )


def partial_of(answers: Answers) -> Partial | None:
    """How the probabilities of a run are known; None where they are the model's own in full, or
    there are none.
    """
    if "samples" not in answers.columns.names() or not len(answers.size):
        return None
    replies, off_by = _known(answers, "samples"), _known(answers, "unseen")
    if not len(replies) and not len(off_by):
        return None
    return Partial(
        replies=float(replies.mean()) if len(replies) else None,
        off_by=float(off_by.mean()) if len(off_by) else None,
        most_off_by=float(off_by.max()) if len(off_by) else None,
    )


def _known(answers: Answers, name: str) -> FloatArray:
    read = pc.cast(answers.columns.read(name), "double").fill_null(float("nan"))
    column: FloatArray = read.to_numpy(zero_copy_only=False)
    return column[~np.isnan(column)]
