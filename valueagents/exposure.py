"""E6: is a difference of rates one of what was met or of what was chosen?

Over states s (what was shown) with visit shares d_i(s) and mean choices u_i(s) of the policies i = 1, 2:

R_1 - R_2 = Σ (d_1 - d_2)(u_1 + u_2)/2 + Σ (d_1 + d_2)/2 · (u_1 - u_2) = exposure + choice

(Kitagawa 1955; Oaxaca 1973; Blinder 1973). What a policy would choose in a state that it never met is not known: it
comes from a replay, or there is no split.
"""

from collections.abc import Mapping

import msgspec
import numpy as np

from valueagents.arrays import DecisionArrays, codes_of
from valueagents.statistics import FloatArray, add_cluster_sums
from valueagents.taxonomy import Axis

MeanChoices = Mapping[str, FloatArray]
"""State (its `shown` hash) -> (V,) mean x of a policy's choices there."""


class ExposureSplit(msgspec.Struct, frozen=True):
    """One axis, in the units of E2. `difference` = `exposure` + `choice`; None with a reason where not known."""

    axis: str
    name: str
    difference: float | None
    exposure: float | None
    choice: float | None
    reason: str | None = None


def exposure_split(
    first: DecisionArrays,
    second: DecisionArrays,
    *,
    replayed: tuple[MeanChoices, MeanChoices] = ({}, {}),
) -> list[ExposureSplit]:
    """The split of R_1 - R_2 by axis; `replayed` has each policy's mean choices in states that it did not meet."""
    visits, choices = zip(*(_by_state(arrays) for arrays in (first, second)), strict=True)
    states = sorted(visits[0].keys() | visits[1].keys())
    width = len(first.taxonomy.axes)
    nothing: FloatArray = np.zeros(width)
    n = np.array([[visits[i].get(s, nothing) for s in states] for i in (0, 1)]).reshape(2, -1, width)
    unknown: FloatArray = np.full(width, np.nan)
    u = np.array(
        [
            [
                np.where(visits[i].get(s, nothing) > 0, choices[i].get(s, nothing), replayed[i].get(s, unknown))
                for s in states
            ]
            for i in (0, 1)
        ]
    ).reshape(2, -1, width)
    return [_split(axis, n[:, :, v], u[:, :, v]) for v, axis in enumerate(first.taxonomy.axes)]


def _split(axis: Axis, visits: FloatArray, choices: FloatArray) -> ExposureSplit:
    """From (2, S) visits and mean choices, NaN where nobody knows them."""
    met = visits.sum(axis=0) > 0
    (n1, n2), (u1, u2) = visits[:, met], choices[:, met]
    if not n1.any() or not n2.any():
        return ExposureSplit(axis.id, axis.name, None, None, None, "no decision to estimate it from")
    d1, d2 = n1 / n1.sum(), n2 / n2.sum()
    difference = 100 * float((d1 * np.nan_to_num(u1)).sum() - (d2 * np.nan_to_num(u2)).sum())
    unknown = int((np.isnan(u1) | np.isnan(u2)).sum())
    if unknown:
        reason = f"{unknown} of {len(d1)} states were met by one policy only: ask both there (a replay)"
        return ExposureSplit(axis.id, axis.name, difference, None, None, reason)
    exposure = 100 * float(((d1 - d2) * (u1 + u2) / 2).sum())
    choice = 100 * float(((d1 + d2) / 2 * (u1 - u2)).sum())
    return ExposureSplit(axis.id, axis.name, difference, exposure, choice)


def _by_state(arrays: DecisionArrays) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """For every state (V,) numbers of choices with the axis annotated, and their mean x."""
    code, names = codes_of(arrays.shown)
    sums, sizes = (np.zeros((len(names), len(arrays.taxonomy.axes))) for _ in range(2))
    for begin, end in arrays.parts():
        deviations = arrays.part(begin, end).deviations()
        counted = deviations.annotated & deviations.read[:, None]
        add_cluster_sums(sums, np.where(counted, deviations.taken, 0.0), code[begin:end])
        add_cluster_sums(sizes, counted.astype(np.float64), code[begin:end])
    states = names.to_pylist()
    means = sums / np.maximum(1.0, sizes)
    return dict(zip(states, sizes, strict=True)), dict(zip(states, means, strict=True))
