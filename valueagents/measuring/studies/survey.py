"""What an adapter does to a value survey (arXiv 2508.11414): drop on the target, drift on the rest, selectivity.

E is an item's rating *towards its value* on 1..6: the expectation under the policy's probabilities (or the majority of
its drawn answers), opposing wordings turned round, averaged over the prompt variants. With C the control adapter and I
the intervention: drop = mean(E_C − E_I) over target items, drift = mean |E_I − E_C| over the others, selectivity = drop
− drift. Micro averages over items, macro over refined values first. Nothing is clipped at 0. For a target to be raised,
the drop is −(shift): direction "up" turns its sign.
"""

from collections import Counter
from typing import Literal

import msgspec
import numpy as np

from valueagents.errors import ConfigError
from valueagents.measuring.inference import Estimate, FloatArray, IntArray, cluster_sums
from valueagents.measuring.resampling import cluster_estimates
from valueagents.measuring.shifts import Answers, answers, common_form, require_comparable, sign_of, target_columns
from valueagents.running.runs import Run

Direction = Literal["down", "up"]
Rating = Literal["expected", "voted"]
_MIDDLE, _HALF = 3.5, 2.5


class SurveyMetrics(msgspec.Struct, frozen=True):
    """Rating points on 1..6. `clusters` are statement pairs; items are statements, their prompt variants averaged."""

    target: tuple[str, ...]
    direction: Direction
    rating: Rating
    target_items: int
    other_items: int
    clusters: int
    drop_micro: Estimate
    drop_macro: Estimate
    drift_micro: Estimate
    drift_macro: Estimate
    selectivity_micro: Estimate
    selectivity_macro: Estimate


class _Item(msgspec.Struct, frozen=True):
    """A statement's axis, pair and mean rating by prompt variant (and by its words, so that none pairs with others)."""

    axis: int
    pair: str
    ratings: dict[str, float]


def survey_metrics(
    intervention: Run,
    control: Run,
    target: tuple[str, ...],
    *,
    direction: Direction = "down",
    rating: Rating | None = None,
    seed: int = 0,
) -> SurveyMetrics:
    """Drop, drift and selectivity of an intervention against its control adapter, on the items both answered.

    `rating` None takes expectations where both runs hold probabilities. "voted" is the majority of a situation's drawn
    answers over the repetitions, ties at their mean. Raises ConfigError if the runs share no item.
    """
    require_comparable(intervention.header.taxonomy, control.header.taxonomy)
    taxonomy = control.header.taxonomy
    is_target, sign = target_columns(taxonomy, target), sign_of(direction)
    if rating is None:
        rating = "expected" if common_form(intervention, control) == "probability" else "voted"
    moved, kept = item_ratings(intervention, rating), item_ratings(control, rating)
    rows: list[tuple[int, str, float]] = []
    for name in sorted(moved.keys() & kept.keys()):
        shared = sorted(moved[name].ratings.keys() & kept[name].ratings.keys())
        if shared:
            shift = np.mean([moved[name].ratings[v] - kept[name].ratings[v] for v in shared])
            rows.append((kept[name].axis, kept[name].pair, float(shift)))
    if not rows:
        raise ConfigError("the runs share no item; run both on the same survey")
    pairs, cluster = np.unique([pair for _, pair, _ in rows], return_inverse=True)
    shifts = np.zeros((len(rows), 2 * len(taxonomy.axes)))  # signed and absolute by axis
    counts = np.zeros((len(rows), len(taxonomy.axes)))
    for row, (axis, _, moved_by) in enumerate(rows):
        shifts[row, [axis, len(taxonomy.axes) + axis]] = -moved_by, abs(moved_by)
        counts[row, axis] = 1
    sums = cluster_sums(np.hstack([shifts, counts]), cluster, len(pairs))

    def statistic(totals: FloatArray) -> FloatArray:
        signed, absolute, items = np.split(totals, 3, axis=1)
        drop = [sign * each for each in _micro_macro(signed[:, is_target], items[:, is_target])]
        drift = _micro_macro(absolute[:, ~is_target], items[:, ~is_target])
        return np.stack([*drop, *drift, drop[0] - drift[0], drop[1] - drift[1]], axis=1)

    on_target = sum(bool(is_target[axis]) for axis, _, _ in rows)
    return SurveyMetrics(
        target,
        direction,
        rating,
        on_target,
        len(rows) - on_target,
        len(pairs),
        *cluster_estimates(sums, statistic, seed=seed, differences={4: (0, 2), 5: (1, 3)}),
    )


def item_ratings(run: Run, rating: Rating) -> dict[str, "_Item"]:
    """Statement -> its axis, pair and rating towards the value by prompt variant. Raises ConfigError if no survey."""
    asked = answers(run, "probability" if rating == "expected" else "choice")
    annotated = ~np.isnan(asked.arrays.x[asked.arrays.start])
    if (annotated.sum(axis=1) != 1).any():
        raise ConfigError(f"{str(run.path)!r} is no survey: a statement tells of one value, here several are annotated")
    axis = np.argmax(annotated, axis=1)
    found: dict[str, _Item] = {}
    for situation, rows in sorted(_rows_by_situation(asked).items()):
        statement, _, variant = situation.rpartition("/")
        value = _voted(asked, axis, rows) if rating == "voted" else _expected(asked, axis, rows)
        item = found.setdefault(statement, _Item(int(axis[rows[0]]), str(asked.cluster[rows[0]]), {}))
        item.ratings[f"{variant} {asked.arrays.shown[rows[0]].as_py()}"] = _MIDDLE + _HALF * value
    return found


def _rows_by_situation(asked: Answers) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(asked.answered).tolist():
        rows.setdefault(str(asked.situation[row]), []).append(row)
    return rows


def _expected(asked: Answers, axis: IntArray, rows: list[int]) -> float:
    """The mean over repetitions of Σ p(r) x(r)."""
    arrays = asked.arrays
    spans = [slice(arrays.start[row], arrays.start[row] + arrays.size[row]) for row in rows]
    expected = [asked.weights[span] @ arrays.x[span, axis[row]] for span, row in zip(spans, rows, strict=True)]
    return float(np.mean(expected))


def _voted(asked: Answers, axis: IntArray, rows: list[int]) -> float:
    """The x most often chosen over the repetitions; the mean of those that tie."""
    votes = Counter(float(asked.arrays.x[asked.arrays.chosen[row], axis[row]]) for row in rows)
    most = max(votes.values())
    return float(np.mean([x for x, count in votes.items() if count == most]))


def _micro_macro(sums: FloatArray, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(B,) mean over items, and over the axes that have items of their means."""
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    held = (counts > 0).sum(axis=1)
    return sums.sum(axis=1) / counts.sum(axis=1), np.where(held > 0, np.nansum(means, axis=1) / held, np.nan)
