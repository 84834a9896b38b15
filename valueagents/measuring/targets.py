"""What an intervention is meant to move, and which way."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from valueagents.arrays import BoolArray
from valueagents.errors import ConfigError, unknown_name
from valueagents.taxonomy import Taxonomy

Direction = Literal["down", "up"]


def sign_of(direction: str) -> float:
    """1 for "down", the direction of a drop, -1 for "up". Raises ConfigError for another word."""
    signs = {"down": 1.0, "up": -1.0}
    if direction not in signs:
        raise ConfigError(unknown_name("direction", direction, signs))
    return signs[direction]


def target_columns(taxonomy: Taxonomy, target: Sequence[str]) -> BoolArray:
    """(V,) true for the target's axes. Raises ConfigError for an unknown axis or none."""
    if not target:
        raise ConfigError(
            "a target has at least one axis; name the values that the adapter was meant to move"
        )
    mask = np.zeros(len(taxonomy.axes), dtype=np.bool_)
    mask[[taxonomy.index(axis) for axis in target]] = True
    return mask
