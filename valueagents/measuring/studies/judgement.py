"""What an adapter does to moral judgements (AITA gain, arXiv 2508.11414).

Every post has a value, the verdict h of a reader who holds it high, the verdict l of one who does not, and the
remaining one r. With Δp = p(intervention) − p(control): primary = −Δp(h) + Δp(l) + Δp(r)/2, strict without the last
term. The Δp add up to 0, so primary = Δp(l)/2 − 3 Δp(h)/2, in [−2, 2]; it is minus the difference of two E3p. Most
posts have h = NTA, so a drift to YTA alone scores as success: read the gain beside that on posts of *other* values.
"""

from typing import Literal

import msgspec
import numpy as np

from valueagents.errors import ConfigError
from valueagents.measuring.answers import BoolArray
from valueagents.measuring.inference import Estimate, FloatArray, cluster_sums
from valueagents.measuring.resampling import cluster_estimates
from valueagents.measuring.shifts import Answers, Form, answers, common_form, paired, sign_of, target_columns
from valueagents.running.runs import Run

_VERDICTS = 3


class JudgementMetrics(msgspec.Struct, frozen=True):
    """Gains and the Δp that they are made of; clusters are posts. Verdicts h, l, r: high, low, remaining reader."""

    target: tuple[str, ...]
    direction: Literal["down", "up"]
    form: Form
    target_posts: int
    other_posts: int
    clusters: int
    primary: Estimate
    strict: Estimate
    delta_high: Estimate
    delta_low: Estimate
    delta_remaining: Estimate
    off_target_primary: Estimate
    off_target_strict: Estimate


def judgement_metrics(
    intervention: Run,
    control: Run,
    target: tuple[str, ...],
    *,
    direction: Literal["down", "up"] = "down",
    seed: int = 0,
) -> JudgementMetrics:
    """The gains of an intervention against its control adapter, paired on the posts that both judged.

    Direction "up" turns the sign of the gains, not of the Δp. Raises ConfigError if the runs share no post.
    """
    is_target, sign = target_columns(control.header.taxonomy, target), sign_of(direction)
    form = common_form(intervention, control)
    moved, kept = answers(intervention, form), answers(control, form)
    pair = paired(moved, kept, verdicts(moved), verdicts(kept))
    delta = (pair.first - pair.second).reshape(len(pair.shown), 3, -1)  # (S, 3, V)
    known: BoolArray = np.asarray(
        ~np.isnan(delta).any(axis=1)
    )  # (S, V): a text that stands under two values is two posts of one cluster
    columns: list[FloatArray] = []
    for axes in (is_target, ~is_target):
        posts = known & axes
        columns += [np.where(posts[:, None], delta, 0.0).sum(axis=2), posts.sum(axis=1, keepdims=True).astype(float)]
    sums = cluster_sums(np.hstack(columns), pair.cluster, pair.clusters)

    def statistic(totals: FloatArray) -> FloatArray:
        high, low, rest = (totals[:, :3] / totals[:, 3:4]).T
        off_high, off_low, off_rest = (totals[:, 4:7] / totals[:, 7:8]).T
        gain, off = sign * (low - high), sign * (off_low - off_high)
        numbers = [gain + sign * rest / 2, gain, high, low, rest, off + sign * off_rest / 2, off]
        return np.stack(numbers, axis=1)

    count, others = (int(known[:, axes].sum()) for axes in (is_target, ~is_target))
    estimates = cluster_estimates(sums, statistic, seed=seed)
    return JudgementMetrics(target, direction, form, count, others, pair.clusters, *estimates)


def verdicts(asked: Answers) -> FloatArray:
    """(T, 3V) weights of the high, the low and the remaining verdict of each value; NaN where the post has another.

    Raises ConfigError for a world without such verdicts.
    """
    x = asked.arrays.x
    ones = [asked.arrays.per_menu((x == each).astype(float)) for each in (1.0, -1.0)]
    annotated = ~np.isnan(x[asked.arrays.start])
    if (asked.arrays.size != _VERDICTS).any() or any((each != annotated).any() for each in ones):
        raise ConfigError(
            f"{str(asked.run.path)!r} is no run of judgements: a post has a high, a low and another verdict"
        )
    roles = np.stack([x == 1.0, x == -1.0, np.abs(x) < 1.0], axis=1) * asked.weights[:, None, None]  # (N, 3, V)
    weights = asked.arrays.per_menu(np.where(np.isnan(x)[:, None], np.nan, roles))
    return weights.reshape(len(weights), 3 * x.shape[1])
