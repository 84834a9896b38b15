"""Policies without a model: `random`, `first`, and `known`, the calibration policy with given value
weights.
"""

import os
from typing import Annotated

import msgspec
import numpy as np

from valueagents.arrays import FloatArray
from valueagents.contracts.decision import Annotation, Choice
from valueagents.contracts.policy import InformedPolicy, Policy, View, draw
from valueagents.errors import ConfigError, PolicyError
from valueagents.taxonomy import Taxonomy, load_taxonomy

_SECONDS_PER_DECISION = 0.0003  # recording included, one process
EPISODES_AT_ONCE = os.cpu_count() or 1
"""A policy that answers at once keeps as many slow envs busy as there are cores."""


class RandomPolicy(Policy):
    """Uniform over the menu: the null against which values are measured."""

    live = EPISODES_AT_ONCE
    seconds_per_decision = _SECONDS_PER_DECISION

    def identity(self) -> dict[str, str]:
        """Name and version."""
        return {"policy": "random/1"}

    async def decide(self, view: View) -> Choice:
        """An option drawn uniformly with the decision's seed."""
        p = (1.0 / len(view.menu),) * len(view.menu)
        return Choice(draw(view.menu, p, view.seed), "drawn", probabilities=p)


class FirstPolicy(Policy):
    """Always the first option shown: pure position bias."""

    live = EPISODES_AT_ONCE
    seconds_per_decision = _SECONDS_PER_DECISION

    def identity(self) -> dict[str, str]:
        """Name and version."""
        return {"policy": "first/1"}

    async def decide(self, view: View) -> Choice:
        """The first option, with probability 1."""
        p = tuple(float(k == 0) for k in range(len(view.menu)))
        return Choice(view.menu[0].id, "argmax", probabilities=p)


class KnownPolicy(InformedPolicy):
    """Softmax over known value weights: P(option a) ∝ exp(Σ_v w_v x[a, v]).

    Scores must find the weights again.

    An axis that an option is not annotated for counts as neutral.

    Args:
        target: `AXIS=WEIGHT,…` (`known:BEC=0.6,HED=-0.3`; axes not named weigh 0), or `normal`:
            weights ~ N(0, sd).
        seed: of the weights drawn for `normal`.
        sd: their standard deviation.
        taxonomy: whose axes are weighed, an id or a `.toml` file; the env must be annotated over
            it.
    """

    live = EPISODES_AT_ONCE
    seconds_per_decision = _SECONDS_PER_DECISION

    def __init__(
        self,
        target: str,
        *,
        seed: Annotated[int, msgspec.Meta(ge=0)] = 0,
        sd: Annotated[float, msgspec.Meta(ge=0)] = 0.6,
        taxonomy: str = "schwartz20",
    ) -> None:
        self.taxonomy = load_taxonomy(taxonomy)
        if target == "normal":
            rng = np.random.default_rng(seed)
            self.weights = rng.normal(0.0, sd, len(self.taxonomy.axis_ids))
        else:
            self.weights = _read_weights(target, self.taxonomy)
        if not np.isfinite(self.weights).all():
            raise ConfigError(f"known:{target}: weights must be finite")

    def identity(self) -> dict[str, str]:
        """The weights to the last bit."""
        return {
            "policy": "known/1",
            "taxonomy": self.taxonomy.identity,
            "weights": ",".join(w.hex() for w in self.weights.tolist()),
        }

    async def decide_informed(self, view: View, annotation: Annotation | None) -> Choice:
        """An option drawn from the softmax of its weighted values."""
        if annotation is None or annotation.taxonomy != self.taxonomy.name:
            carried = annotation.taxonomy if annotation else "no annotation"
            raise PolicyError(
                f"the known policy weighs {self.taxonomy.name}, the menu carries {carried}; set"
                " ?taxonomy="
            )
        utility = np.nan_to_num(annotation.array(self.taxonomy)) @ self.weights
        odds = np.exp(utility - utility.max())
        p = tuple((odds / odds.sum()).tolist())
        return Choice(draw(view.menu, p, view.seed), "drawn", probabilities=p)


def _read_weights(target: str, taxonomy: Taxonomy) -> FloatArray:
    """The weights, (V,), that `AXIS=WEIGHT,…` gives.

    Raises ConfigError if it is malformed or names an axis twice.
    """
    weights = np.zeros(len(taxonomy.axis_ids))
    given: set[str] = set()
    for pair in target.split(","):
        name, _, weight = pair.partition("=")
        axis = name.strip()
        column = taxonomy.index(axis)
        if axis in given:
            raise ConfigError(f"known:{target}: {axis} is given twice")
        given.add(axis)
        try:
            weights[column] = float(weight)
        except ValueError:
            raise ConfigError(
                f"known:{target}: write AXIS=WEIGHT,…; {pair!r} has no number after '='"
            ) from None
    return weights
