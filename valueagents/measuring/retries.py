"""Retries: decisions that took more than one attempt, and what they could have done to the scores.

A server that fails more often on one answer than on another makes retries a filter: what is kept is
what passes. The failed attempts left no answer, so the bound is the widest: each such decision at
its worst and at its best option.
"""

import msgspec
import numpy as np

from valueagents.arrays import BoolArray
from valueagents.measuring.answers import Answers

WARNED_SHARE = 0.01


class AxisRetries(msgspec.Struct, frozen=True):
    """How many of the contested choices were `retried`; E3 if each of those had been its worst or
    best option.
    """

    contested: int
    retried: int
    lowest: float | None
    highest: float | None


class Retries(msgspec.Struct, frozen=True):
    """`places[k]`: of the decisions that chose the k-th option shown, how many there are and how
    many were retried.
    """

    decisions: int
    retried: int
    places: list[tuple[int, int]]
    axes: dict[str, AxisRetries]

    @property
    def warning(self) -> str | None:
        """What to warn of; None if there is nothing."""
        if self.retried <= WARNED_SHARE * self.decisions:
            return None
        share = self.retried / self.decisions
        return (
            f"{self.retried} of {self.decisions} decisions ({share:.0%}) took more than one"
            " attempt: if attempts failed more often on some answers than on others, the scores"
            " lean towards what passed"
        )


def retries_of(answers: Answers) -> Retries | None:
    """The retries of a run's annotated decisions; None where no decision took more than one
    attempt.
    """
    if "attempts" not in answers.columns.names() or not len(answers.size):
        return None
    retried = answers.columns.read("attempts").fill_null(1).to_numpy(zero_copy_only=False) > 1
    if not retried.any():
        return None
    read = answers.chosen >= 0
    place = answers.chosen - answers.start
    places = []
    for k in range(int(answers.size.max())):
        here = read & (place == k)
        places.append((int(here.sum()), int((here & retried).sum())))
    return Retries(len(retried), int(retried.sum()), places, _axes(answers, retried & read))


def _axes(answers: Answers, retried: BoolArray) -> dict[str, AxisRetries]:
    width = len(answers.taxonomy.axes)
    contested, again, lowest, highest = (np.zeros(width) for _ in range(4))
    for place, part in answers.parts():
        deviations = part.deviations()
        counted = deviations.contested & deviations.read[:, None]
        open_again = counted & retried[place][:, None]
        kept = np.where(counted & ~open_again, deviations.chosen, 0.0).sum(axis=0)
        contested += counted.sum(axis=0)
        again += open_again.sum(axis=0)
        lowest += kept + np.where(open_again, deviations.lowest, 0.0).sum(axis=0)
        highest += kept + np.where(open_again, deviations.highest, 0.0).sum(axis=0)
    found = {}
    for v, axis in enumerate(answers.taxonomy.axes):
        count = int(contested[v])
        enough = count >= max(1, answers.min_contested)
        low, high = (float(sums[v]) / count if enough else None for sums in (lowest, highest))
        found[axis.id] = AxisRetries(count, int(again[v]), low, high)
    return found
