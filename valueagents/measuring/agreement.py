"""Agreement of two readings: does a policy choose alike whichever way its answer is read?

Both runs are of one policy on the same situations, read once from probabilities and once from what
it says, say. A reading is an instrument, not the policy: where two of them differ, a score is of
the reading as well.
"""

from functools import partial

import msgspec
import numpy as np

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.answers import Answers
from valueagents.measuring.deviations import Form, propensity_terms
from valueagents.measuring.inference import Estimate, ratio_estimates
from valueagents.measuring.pairing import Pairing, last_meetings, pair
from valueagents.measuring.reading import Source, read_answers
from valueagents.measuring.sums import cluster_sums


class AxisAgreement(msgspec.Struct, frozen=True):
    """The propensity of the first reading minus the second's, on contested situations of both."""

    axis: str
    name: str
    situations: int
    difference: Estimate


class ReadingAgreement(msgspec.Struct, frozen=True):
    """Of the `situations` that both readings answered.

    `equal` is the share in which both take the same option: the likeliest one where a reading has
    probabilities, else the one chosen. `by_chance` is that share for independent readings which
    take the menu's places as often as these do. `unread` are the situations that the first and the
    second reading left without an answer.
    """

    first: str
    second: str
    situations: int
    unread: tuple[int, int]
    equal: Estimate
    by_chance: float | None
    axes: list[AxisAgreement]


def reading_agreement(first: Source, second: Source, *, seed: int = 0) -> ReadingAgreement:
    """How far two runs agree. Raises ConfigError if they share no situation."""
    pairing = pair(read_answers(first), read_answers(second))
    mine, theirs = (_taken(run, pairing) for run in (pairing.first, pairing.second))
    both = (mine >= 0) & (theirs >= 0)
    equal = np.where(both, mine == theirs, 0.0)[:, None]
    sums, counts = (
        cluster_sums(each, pairing.cluster, pairing.clusters)
        for each in (equal, both.astype(np.float64)[:, None])
    )
    [share] = ratio_estimates([sums], [counts], seed=seed)
    return ReadingAgreement(
        first=_name(pairing.first),
        second=_name(pairing.second),
        situations=int(both.sum()),
        unread=(int((mine < 0).sum()), int((theirs < 0).sum())),
        equal=share,
        by_chance=_by_chance(mine[both], theirs[both]),
        axes=_axes(pairing, seed),
    )


def _axes(pairing: Pairing, seed: int) -> list[AxisAgreement]:
    differences = pairing.differences(_propensities)  # (S, V)
    known = ~np.isnan(differences)
    sums = cluster_sums(np.nan_to_num(differences), pairing.cluster, pairing.clusters)
    counts = cluster_sums(known.astype(np.float64), pairing.cluster, pairing.clusters)
    estimates = ratio_estimates([sums], [counts], seed=seed)
    return [
        AxisAgreement(axis.id, axis.name, int(known[:, v].sum()), estimates[v])
        for v, axis in enumerate(pairing.first.taxonomy.axes)
    ]


def _propensities(answers: Answers) -> FloatArray:
    """(T, V) of each decision, from probabilities where all decisions have them."""
    form: Form = "probability" if answers.knows_p.all() else "choice"
    return answers.per_decision(partial(propensity_terms, form=form))


def _taken(answers: Answers, pairing: Pairing) -> IntArray:
    """(S,) a number of the option taken at each shared situation, equal for equal ids; −1 =
    unread.
    """
    ids = answers.columns.read("option_ids").to_pylist()
    found = []
    for row in last_meetings(answers, pairing.shown).tolist():
        place = _place(answers, row)
        names = sorted(ids[row])
        found.append(names.index(ids[row][place]) if place >= 0 else -1)
    return np.array(found, dtype=np.int64)


def _place(answers: Answers, row: int) -> int:
    """The place on the menu of the likeliest option, else of the chosen one; −1 = unread."""
    start, size = int(answers.start[row]), int(answers.size[row])
    p = answers.p[start : start + size]
    if not np.isnan(p).any():
        return int(np.argmax(p))
    return int(answers.chosen[row]) - start if answers.chosen[row] >= 0 else -1


def _by_chance(mine: IntArray, theirs: IntArray) -> float | None:
    """Σ_k share_1(k) share_2(k) (Cohen 1960); None where nothing was answered by both."""
    if not len(mine):
        return None
    width = int(max(mine.max(), theirs.max())) + 1
    shares = [np.bincount(each, minlength=width) / len(each) for each in (mine, theirs)]
    return float(shares[0] @ shares[1])


def _name(answers: Answers) -> str:
    return answers.name if answers.run is None else answers.run.header.policy
