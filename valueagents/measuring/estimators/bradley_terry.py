"""E5: strengths of values from menus of two options of which each promotes one value (Bradley &
Terry 1952).

P(the option of v is taken before that of w) = 1 / (1 + exp(s_w - s_v)), strengths by maximum
likelihood, their mean 0. There is a maximum only if the graph "v was chosen over w" is strongly
connected (Ford 1957); else (λ/2)|s|² is taken off the log-likelihood and every strength says so.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse, special
from scipy.sparse import csgraph

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.answers import Answers
from valueagents.measuring.estimators.declaration import Estimator, Measured, Result
from valueagents.measuring.inference import Estimate, clustered_variance, t_estimate
from valueagents.measuring.sums import Clustering, cluster_sums

RIDGE = 1.0
"""λ, where the comparisons do not connect all values."""
_MAX_STEPS = 100
_TOLERANCE = 1e-14
NOT_SUCH = "no menu of two options that promote one value each"


@dataclass(frozen=True, slots=True)
class Duels:
    """Decisions between two values: (D,) axis taken, axis left, and which decision of the run it
    was.
    """

    winner: IntArray
    loser: IntArray
    decision: IntArray


def strengths(answers: Answers, clustering: Clustering) -> list[Estimate]:
    """The strength of every axis with its clustered t interval; None with a reason where it was in
    no such menu.
    """
    found = duels(answers)
    met = np.union1d(found.winner, found.loser)
    result = [Estimate(reason=NOT_SUCH if not len(met) else "in no menu of two values")] * len(
        answers.taxonomy.axes
    )
    if not len(met):
        return result
    winner, loser = np.searchsorted(met, found.winner), np.searchsorted(met, found.loser)
    connected = is_connected(winner, loser, len(met))
    ridge = 0.0 if connected else RIDGE
    s, inverse = fit(winner, loser, len(met), ridge)
    missed = special.expit(s[loser] - s[winner])[:, None]
    moved = missed * (np.eye(len(met))[winner] - np.eye(len(met))[loser]) @ inverse
    counts, influence = [], []
    for way in clustering.ways:
        present, codes = np.unique(way.codes[found.decision], return_inverse=True)
        counts.append(len(present))
        influence.append(cluster_sums(moved, codes, len(present)))
    units = min(counts[:2])
    errors = np.sqrt(clustered_variance(influence, counts))
    caution = (
        None
        if connected
        else f"regularised (λ = {RIDGE:g}): the comparisons do not connect all values"
    )
    for place, v in enumerate(met):
        result[v] = t_estimate(float(s[place]), float(errors[place]), units, caution)
    return result


def duels(answers: Answers) -> Duels:
    """The decisions with a choice between two options that promote one value each, not the same,
    and nothing else.
    """
    pairs = np.flatnonzero((answers.size == 2) & (answers.chosen >= 0))
    first, second = answers.x[answers.start[pairs]], answers.x[answers.start[pairs] + 1]
    promoted = [np.argmax(np.nan_to_num(x), axis=1) for x in (first, second)]
    alone = [(np.nan_to_num(x) != 0).sum(axis=1) == 1 for x in (first, second)]
    upward = [np.nan_to_num(x).max(axis=1, initial=0) > 0 for x in (first, second)]
    such = alone[0] & alone[1] & upward[0] & upward[1] & (promoted[0] != promoted[1])
    pairs, one, two = pairs[such], promoted[0][such], promoted[1][such]
    took_first = answers.chosen[pairs] == answers.start[pairs]
    return Duels(np.where(took_first, one, two), np.where(took_first, two, one), pairs)


def is_connected(winner: IntArray, loser: IntArray, count: int) -> bool:
    """Is there a chain of wins from every value to every other?"""
    graph = sparse.csr_array((np.ones(len(winner)), (winner, loser)), shape=(count, count))
    parts, _ = csgraph.connected_components(graph, connection="strong")
    return bool(parts == 1)


def fit(
    winner: IntArray, loser: IntArray, count: int, ridge: float
) -> tuple[FloatArray, FloatArray]:
    """Strengths (K,) with mean 0, and the inverse of the information (K, K), both by Newton's
    method.
    """
    wins = sparse.csr_array((np.ones(len(winner)), (winner, loser)), shape=(count, count)).toarray()
    s = np.zeros(count)
    level = np.full(
        (count, count), 1.0 / count
    )  # all strengths up together: no choice tells, so it is held at 0

    def objective(s: FloatArray) -> float:
        return float((wins * special.log_expit(s[:, None] - s)).sum() - ridge / 2 * s @ s)

    for _ in range(_MAX_STEPS):
        p = special.expit(s[None, :] - s[:, None])  # that the loser would have won
        gradient = (wins * p).sum(axis=1) - (wins * p).sum(axis=0) - ridge * s
        weight = (wins + wins.T) * p * (1 - p)
        information = np.diag(weight.sum(axis=1) + ridge) - weight
        step = np.linalg.solve(information + level, gradient)
        scale, before = 1.0, objective(s)
        while objective(s + scale * step) < before - 1e-12 and scale > 1e-6:
            scale /= 2
        s = s + scale * step
        if float(gradient @ step) < _TOLERANCE:
            break
    return s - s.mean(), np.linalg.inv(information + level) - level


def _strengths(measured: Measured) -> Result:
    return Result(strengths(measured.answers, measured.clustering))


BRADLEY_TERRY = Estimator(
    id="E5",
    name="strength",
    formula=(
        "s_v of P(v before w) = 1 / (1 + exp(s_w − s_v)), mean 0; menus of two options that promote"
        " one value each"
    ),
    source=(
        "Bradley & Terry 1952; where comparisons do not connect all values (Ford 1957), ridge λ ="
        f" {RIDGE:g}"
    ),
    needs="choices",
    unit="log-odds of one value before another",
    meaning="which value is taken before which, where menus set one against one other",
    estimate=_strengths,
    calibrated=False,  # no simulated menu sets one value against one other
)
