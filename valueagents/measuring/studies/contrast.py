"""The weights of a study's contrasts, and what they say: a primary number, one for each target, and
two claims.

D[t, v] is the mean shift of value v by the adapters of target t, in the direction trained, against
the control of their seed. Values are in the order of the targets.

- primary: C = mean D[t, t] − mean over t ≠ v of D[t, v], "these values". Its weights add to 0 in
  every row and every column: a habit that an adapter has on all values, and whatever the shared
  control of a seed has, cancel exactly.
- one target, T ≥ 3: C_t = D[t, t] − mean_{v≠t} D[t, v] − mean_{u≠t} D[u, t] + mean_{u≠v; u,v≠t}
  D[u, v]. Their mean over the targets is C. No diagonal of another target is in it: a target that
  does not move is not called for the others' movement.
- "values in general": t over the T numbers C_t, T − 1 degrees of freedom.
- one target has no contrast; with a placebo adapter P and the other values v: (D[t, t] − D[P, t]) −
  mean_v (D[t, v] − D[P, v]).
"""

from collections.abc import Sequence

import numpy as np

from valueagents.arrays import FloatArray
from valueagents.measuring.inference import Estimate, over_units, t_test
from valueagents.measuring.studies.crossed import ONE_SEED, Tested

NEEDS_PLACEBO = (
    "one target has no contrast: name a second target, or train a placebo adapter beside it"
)
NEEDS_THREE = "two targets have one contrast together; one for each target needs three"


def primary_weights(targets: int) -> FloatArray:
    """(T, T) weights of C. Needs T ≥ 2."""
    off = -np.ones((targets, targets)) / (targets * (targets - 1))
    np.fill_diagonal(off, 1 / targets)
    return off


def target_weights(targets: int, which: int) -> FloatArray:
    """(T, T) weights of C_t for the target at the place `which`. Needs T ≥ 3."""
    others = targets - 1
    weights = np.full((targets, targets), 1 / (others * (others - 1)))
    weights[which, :] = weights[:, which] = -1 / others
    np.fill_diagonal(weights, 0.0)
    weights[which, which] = 1.0
    return weights


def own_weights(targets: int, which: int) -> FloatArray:
    """(T, T) weights of D[t, t] alone: the target's shift against its control."""
    weights = np.zeros((targets, targets))
    weights[which, which] = 1.0
    return weights


def placebo_weights(values: int, target: int) -> FloatArray:
    """(2, V) weights of a target's adapter and of its placebo over all V values. Needs V ≥ 2."""
    row = np.full(values, -1 / (values - 1))
    row[target] = 1.0
    return np.stack([row, -row])


def in_general(by_target: Sequence[Tested], *, seeds: int) -> Tested:
    """The mean of the targets' contrasts with the targets as a sample of values; no test with one
    seed.
    """
    values = [each.estimate.value for each in by_target]
    if len(values) < 3:
        return Tested(Estimate(reason="values in general need three targets or more"))
    estimate = over_units(values, "target")
    if seeds < 2:
        return Tested(Estimate(estimate.value, reason=ONE_SEED), seeds=seeds)
    known = np.array([value for value in values if value is not None])
    if len(known) < 2:
        return Tested(estimate, seeds=seeds)
    error = float(known.std(ddof=1) / np.sqrt(len(known)))
    return Tested(
        estimate,
        p=t_test(float(known.mean()), error, len(known)),
        error=error,
        df=float(len(known) - 1),
        seeds=seeds,
        clusters=0,
    )


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p (1979) of those that are defined: the chance of any false call is held at
    the level, also for a target that does not move among others that do.
    """
    defined = [k for k, each in enumerate(p) if each is not None]
    adjusted: list[float | None] = [None] * len(p)
    worst = 0.0
    for rank, k in enumerate(sorted(defined, key=lambda k: float(p[k] or 0.0))):
        worst = max(worst, min(1.0, (len(defined) - rank) * float(p[k] or 0.0)))
        adjusted[k] = worst
    return adjusted
