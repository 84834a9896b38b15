"""What a deed does to a value, where it is not an x in [-1, 1]: the amount of an event."""

from collections.abc import Mapping

from valueagents.errors import unknown_name
from valueagents.taxonomy import Taxonomy

MOST = 1_000_000.0
"""Sums of what is larger, times the episodes of a run, would lose the small amounts beside it."""


def amounts_problem(amounts: Mapping[str, float], taxonomy: Taxonomy) -> str | None:
    """What is wrong with amounts by axis, and what to do; None = nothing."""
    for axis, amount in amounts.items():
        if axis not in taxonomy.axis_ids:
            return unknown_name(f"axis of {taxonomy.id}", axis, taxonomy.axis_ids)
        if not -MOST <= amount <= MOST:  # NaN is not, either
            return f"{axis} = {amount:g}; an amount lies between -{MOST:,.0f} and {MOST:,.0f}"
    return None
