"""Split-half reliability of one policy's profile: would other items rank its values alike?"""

import numpy as np

from valueagents.measuring.inference import Estimate
from valueagents.measuring.many.policy_means import PolicyMeans
from valueagents.measuring.many.say_do import FEWEST_VALUES, correlation

HALVINGS = 50


def split_half(means: PolicyMeans, *, seed: int = 0) -> Estimate:
    """The correlation over values of the profiles from two random halves of the clusters, mean of
    50 halvings, stepped up by Spearman–Brown 2r/(1 + r) (a negative r is left as it is).

    Halves are drawn within each value's own clusters. Undefined, with a reason, where fewer than
    four values have a number and two clusters, or a half's profile does not vary.
    """
    above, below = means.above[0], means.below[0]
    usable = np.flatnonzero(means.enough & ((below > 0).sum(axis=0) > 1))
    if len(usable) < FEWEST_VALUES:
        return Estimate(reason=f"{len(usable)} values with enough items, {FEWEST_VALUES} needed")
    rng, found = np.random.default_rng(seed), []
    for _ in range(HALVINGS):
        halves = np.empty((2, len(usable)))
        for k, v in enumerate(usable):
            mine = rng.permutation(np.flatnonzero(below[:, v] > 0))
            for side in (0, 1):
                part = mine[side::2]
                halves[side, k] = above[part, v].sum() / below[part, v].sum()
        r = correlation(*halves)
        if r is not None:
            found.append(r)
    if not found:
        return Estimate(reason="the profile does not vary")
    r = float(np.mean(found))
    return Estimate(2 * r / (1 + r) if r > 0 else r)
