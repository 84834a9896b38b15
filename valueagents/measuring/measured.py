"""One pass over a run's decisions, part by part: the sums from which the means, the bounds and the
chance test come.
"""

from collections.abc import Sequence
from threading import Lock

import numpy as np

from valueagents.arrays import FloatArray
from valueagents.measuring.answers import Answers
from valueagents.measuring.chance import chance_covariance
from valueagents.measuring.deviations import attainable
from valueagents.measuring.estimators.declaration import Estimator, Measured, Tally
from valueagents.measuring.inference import Estimate, ratio_estimates
from valueagents.measuring.sums import Clustering, add_cluster_sums

_TOTALS = ("partly_annotated", "promotions", "violations", "chosen", "lowest", "highest")


def measure(answers: Answers, estimators: Sequence[Estimator], *, seed: int = 0) -> Measured:
    """The answers with their tally; the means' estimates are made together when the first is asked
    for.
    """
    means = [each for each in estimators if each.terms is not None]
    clustering = answers.clustering
    tally = _tally(answers, clustering, means)
    return Measured(
        answers, clustering, tally, _Means([each.id for each in means], tally, seed), seed
    )


class _Means:
    """The estimates of all means, made once, whichever thread asks first: one bootstrap serves them
    all.
    """

    def __init__(self, ids: Sequence[str], tally: Tally, seed: int) -> None:
        self._ids, self._tally, self._seed = ids, tally, seed
        self._made: dict[str, Sequence[Estimate]] = {}
        self._making = Lock()

    def __call__(self, estimator: str) -> Sequence[Estimate]:
        with self._making:
            if not self._made:
                self._made = self._make()
        return self._made[estimator]

    def _make(self) -> dict[str, Sequence[Estimate]]:
        ways = range(len(self._tally.above[self._ids[0]]))
        above = [np.hstack([self._tally.above[name][way] for name in self._ids]) for way in ways]
        below = [np.hstack([self._tally.below[name][way] for name in self._ids]) for way in ways]
        extremes = np.hstack([self._tally.attainable[name] for name in self._ids])
        estimates = ratio_estimates(above, below, extremes, seed=self._seed)
        width = len(estimates) // len(self._ids)
        return {name: estimates[k * width : (k + 1) * width] for k, name in enumerate(self._ids)}


def _tally(answers: Answers, clustering: Clustering, means: Sequence[Estimator]) -> Tally:
    axes = len(answers.taxonomy.axes)
    width = axes * len(means)
    above = [np.zeros((way.count, width)) for way in clustering.ways]
    below = [np.zeros((way.count, width)) for way in clustering.ways]
    contested = np.zeros((len(answers.size), axes), dtype=np.bool_)
    covariance, totals = np.zeros((axes, axes)), np.zeros((len(_TOTALS), axes))
    extremes = np.zeros((2, width))
    for place, part in answers.parts():
        deviations = part.deviations()
        contested[place] = deviations.contested
        covariance += chance_covariance(part, deviations)
        terms = [mean.terms(deviations) for mean in means if mean.terms is not None]
        values = np.hstack([each.values for each in terms])
        counted = np.hstack([each.counted for each in terms]).astype(np.float64)
        extremes += np.hstack([attainable(each) for each in terms])
        for way, n, d in zip(clustering.ways, above, below, strict=True):
            add_cluster_sums(n, values, way.codes[place])
            add_cluster_sums(d, counted, way.codes[place])
        unread = ~deviations.read
        taken = deviations.taken * deviations.annotated
        totals += np.stack(
            [
                (~deviations.annotated).sum(axis=0),
                np.maximum(taken, 0).sum(axis=0),
                np.minimum(taken, 0).sum(axis=0),
                deviations.chosen.sum(axis=0),
                deviations.lowest[unread].sum(axis=0),
                deviations.highest[unread].sum(axis=0),
            ]
        )
    return Tally(
        contested=contested,
        read=answers.chosen >= 0,
        covariance=covariance,
        above=_by_mean(above, means, axes),
        below=_by_mean(below, means, axes),
        attainable={m.id: extremes[:, k * axes : (k + 1) * axes] for k, m in enumerate(means)},
        **dict(zip(_TOTALS, totals, strict=True)),
    )


def _by_mean(
    sums: Sequence[FloatArray], means: Sequence[Estimator], axes: int
) -> dict[str, list[FloatArray]]:
    return {
        mean.id: [way[:, k * axes : (k + 1) * axes] for way in sums] for k, mean in enumerate(means)
    }
