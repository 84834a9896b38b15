"""Q: the scores of a questionnaire as its authors take them: means in points of the answer scale.

The score of a scale is the mean over its statements, reverse-keyed ones turned round: with points
from l to h, an answer r to one counts as l + h − r. Centred (Schwartz 2021), the mean m of the
answers to *all* statements, as given, is taken off each answer before it is turned; the standard
deviation is never divided by. A statement put several times counts once, by its mean.

An env that asks to rate names its options by the numbers of its scale, and its annotation says
which way each axis runs; nothing else is needed of it.
"""

from dataclasses import dataclass

import numpy as np

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.answers import Answers, common_form
from valueagents.measuring.estimators.declaration import Estimator, Measured, Result
from valueagents.measuring.inference import Estimate, ratio_estimates
from valueagents.measuring.sums import cluster_sums

_STATEMENT = ("item", "pole")
"""The factors that tell statements apart (`valueagents/Survey-v0`); where an env declares neither,
its clusters are its statements."""


@dataclass(frozen=True, slots=True)
class Ratings:
    """The answers to S statements on V axes.

    given: (S,) the number that was answered, or is expected by the probabilities.
    ends: (2, S) the lowest and the highest number of the scale.
    way: (S, V) 1 where a higher number is more of the axis, -1 where less, NaN where neither.
    cluster: (S,) codes of the answers' clusters.
    """

    given: FloatArray
    ends: FloatArray
    way: FloatArray
    cluster: IntArray


def questionnaire_scores(measured: Measured) -> Result:
    """The mean of every axis with its interval over clusters; `centred` and the number of `items`
    are details.
    """
    answers = measured.answers
    points = _points(answers)
    if points is None:
        reason = "its options are not named by the numbers of a scale"
        return Result([Estimate(reason=reason)] * len(answers.taxonomy.axes))
    found = _ratings(answers, points)
    keyed = ~np.isnan(found.way)
    lowest, highest = found.ends
    given = found.given[:, None]
    turned = np.where(found.way > 0, given, (lowest + highest)[:, None] - given)
    sums = [
        cluster_sums(each, found.cluster, answers.clusters)
        for each in (np.where(keyed, turned, 0.0), keyed.astype(np.float64))
    ]
    centred = np.nan_to_num(found.way) * (given - (given.mean() if len(given) else 0.0))
    items = keyed.sum(axis=0).tolist()
    return Result(
        ratio_estimates([sums[0]], [sums[1]], found.ends @ keyed, seed=measured.seed),
        details={
            "centred": [
                total / count if count else None
                for total, count in zip(centred.sum(axis=0).tolist(), items, strict=True)
            ],
            "items": [float(count) for count in items],
        },
    )


def _points(answers: Answers) -> FloatArray | None:
    """(N,) the number of each option; None if some is not a number or two of a menu are equal."""
    if "option_ids" not in answers.columns.names():
        return None
    menus = answers.columns.read("option_ids").to_pylist()
    try:
        numbers = [[float(name) for name in menu] for menu in menus]
    except ValueError:
        return None
    if any(len(set(menu)) < len(menu) or not np.isfinite(menu).all() for menu in numbers):
        return None
    return np.array([number for menu in numbers for number in menu], dtype=np.float64)


def _ratings(answers: Answers, points: FloatArray) -> Ratings:
    form = common_form(answers)
    read = np.flatnonzero(answers.answered(form))
    column = points[:, None]
    given = answers.per_menu(column, np.nan_to_num(answers.weights(form)))[read, 0]
    ends = np.stack([end[read, 0] for end in answers.extremes(column)])
    middle = (answers.per_menu(column)[:, 0] / answers.size)[answers.menu_of]
    way = np.sign(answers.per_menu(np.nan_to_num(answers.x) * (points - middle)[:, None]))[read]
    way[way == 0] = np.nan
    names = _statements(answers)[read]
    known, first, statement = np.unique(names, return_index=True, return_inverse=True)
    mean = np.bincount(statement, given, minlength=len(known)) / np.bincount(
        statement, minlength=len(known)
    )
    return Ratings(mean, ends[:, first], way[first], answers.cluster[read][first])


def _statements(answers: Answers) -> FloatArray:
    """(T,) codes of the statements that were put."""
    declared = [name for name in _STATEMENT if name in answers.columns.factors()]
    if not declared:
        return answers.cluster.astype(np.float64)
    levels = np.stack([answers.factor(name) for name in declared], axis=1)
    codes = np.unique(levels, axis=0, return_inverse=True)[1]
    return codes.reshape(-1).astype(np.float64)


RATING = Estimator(
    id="Q",
    name="mean rating",
    formula=(
        "mean over the scale's statements of r, reverse-keyed l + h − r; in brackets centred: of"
        " ±(r − m), m the mean of all statements"
    ),
    source="Schwartz 2021 for the centring; the questionnaire's own key for its scales",
    needs="choices",
    unit="points of the answer scale",
    meaning="the questionnaire's own score, and in brackets centred on all its items",
    shown_details=("centred",),
    estimate=questionnaire_scores,
    asks="rate",
    calibrated=False,
)
