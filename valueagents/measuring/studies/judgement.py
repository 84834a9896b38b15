"""What an adapter does to moral judgements (AITA gain, arXiv 2508.11414).

Every post has a value, the verdict h of a reader who holds it high, the verdict l of one who does
not, and the remaining one r. With Δp = p(intervention) − p(control): primary = −Δp(h) + Δp(l) +
Δp(r)/2, strict without the last term. The Δp add up to 0, so primary = Δp(l)/2 − 3 Δp(h)/2, in [−2,
2]; it is minus the difference of two E3p. Most posts have h = NTA, so a drift to YTA alone scores
as success: read the gain beside that on posts of *other* values.
"""

import msgspec
import numpy as np

from valueagents.arrays import BoolArray, FloatArray
from valueagents.errors import ConfigError
from valueagents.measuring.answers import Answers
from valueagents.measuring.deviations import Form
from valueagents.measuring.inference import Estimate, Totals, cluster_estimates
from valueagents.measuring.pairing import pair
from valueagents.measuring.reading import Source, read_answers
from valueagents.measuring.studies.declaration import Metric
from valueagents.measuring.sums import cluster_sums
from valueagents.measuring.targets import Direction, sign_of, target_columns

_VERDICTS = 3


class JudgementMetrics(msgspec.Struct, frozen=True):
    """Gains and the Δp that they are made of; clusters are posts.

    Verdicts h, l, r: high, low, remaining reader.
    """

    target: tuple[str, ...]
    direction: Direction
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
    intervention: Source,
    control: Source,
    target: tuple[str, ...],
    *,
    direction: Direction = "down",
    seed: int = 0,
) -> JudgementMetrics:
    """The gains of an intervention against its control adapter, paired on the posts that both
    judged.

    Direction "up" turns the sign of the gains, not of the Δp. Raises ConfigError if the runs share
    no post.
    """
    both = pair(read_answers(intervention), read_answers(control))
    is_target, sign = target_columns(both.second.taxonomy, target), sign_of(direction)
    delta = both.differences(lambda answers: verdicts(answers, both.form))
    delta = delta.reshape(len(both.shown), _VERDICTS, -1)  # (S, 3, V)
    known: BoolArray = np.asarray(
        ~np.isnan(delta).any(axis=1)
    )  # (S, V): two values of a text: two posts, one cluster
    sums: dict[str, FloatArray] = {}
    for name, axes in (("target", is_target), ("others", ~is_target)):
        posts = known & axes
        moved = np.where(posts[:, None], delta, 0.0).sum(axis=2)  # (S, 3)
        count = posts.sum(axis=1, keepdims=True).astype(np.float64)
        sums[name] = cluster_sums(moved, both.cluster, both.clusters)
        sums[f"{name} posts"] = cluster_sums(count, both.cluster, both.clusters)

    def statistics(totals: Totals) -> dict[str, FloatArray]:
        high, low, rest = (totals["target"] / totals["target posts"]).T
        off_high, off_low, off_rest = (totals["others"] / totals["others posts"]).T
        gain, off = sign * (low - high), sign * (off_low - off_high)
        return {
            "primary": gain + sign * rest / 2,
            "strict": gain,
            "delta_high": high,
            "delta_low": low,
            "delta_remaining": rest,
            "off_target_primary": off + sign * off_rest / 2,
            "off_target_strict": off,
        }

    return JudgementMetrics(
        target=target,
        direction=direction,
        form=both.form,
        target_posts=int(known[:, is_target].sum()),
        other_posts=int(known[:, ~is_target].sum()),
        clusters=both.clusters,
        **cluster_estimates(sums, statistics, seed=seed),
    )


def verdicts(answers: Answers, form: Form) -> FloatArray:
    """(T, 3V) weights of the high, the low and the remaining verdict of each value; NaN where the
    post has another.

    The annotation says which is which: x = 1, x = -1, |x| < 1. Raises ConfigError for a run without
    such verdicts.
    """
    x = answers.x
    ones = [answers.per_menu((x == each).astype(np.float64)) for each in (1.0, -1.0)]
    annotated = ~np.isnan(x[answers.start])
    if (answers.size != _VERDICTS).any() or any((each != annotated).any() for each in ones):
        raise ConfigError(
            f"{answers.name} does not hold judgements: each menu needs three verdicts, annotated 1,"
            " -1 and between, on every annotated value; give a run of an env like"
            " valueagents.envs.items.judgement"
        )
    roles = np.stack([x == 1.0, x == -1.0, np.abs(x) < 1.0], axis=1)  # (N, 3, V)
    weighed = roles * answers.weights(form)[:, None, None]
    weights = answers.per_menu(np.where(np.isnan(x)[:, None], np.nan, weighed))
    return weights.reshape(len(weights), _VERDICTS * x.shape[1])


JUDGEMENT = Metric(
    id="judgement",
    formula=(
        "gain = −Δp(h) + Δp(l) + Δp(r)/2, strict without the last term; Δp = p(adapter) −"
        " p(control)"
    ),
    source="Nie et al. 2025 (arXiv 2508.11414)",
    needs="an adapter and its control",
    compute=judgement_metrics,
)
