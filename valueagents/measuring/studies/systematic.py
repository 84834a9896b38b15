"""What is systematic in the values that nobody meant to move, and how far controls lie apart.

|shift| is positive under pure noise, and the distance of two control seeds is no floor for an
adapter's drift (it shares initialisation and row order with its own control, two controls do not).
The product of the shifts of two *different* seeds has the squared true shift as its expectation.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np

from valueagents.arrays import FloatArray
from valueagents.measuring.inference import MIN_UNITS, Estimate, joined, t_estimate


def mean_square(shifts: FloatArray) -> float:
    """The mean over values and over pairs of different seeds of D_s · D_s', from (S, V) shifts.

    Unbiased for the mean squared true shift: it may be negative.
    """
    seeds = len(shifts)
    together = shifts.sum(axis=0) ** 2 - (shifts**2).sum(axis=0)
    return float((together / (seeds * (seeds - 1))).mean())


def systematic_drift(shifts: FloatArray) -> Estimate:
    """The root of the mean squared true shift of (S, V) shifts of the values that were not the
    target.

    None where there are not two seeds, or where the mean square is not positive: then there is no
    sign of a systematic drift. The interval is a jackknife over seeds of the mean square, its ends
    rooted.
    """
    seeds = len(shifts)
    if seeds < 2:
        return Estimate(reason="a drift without noise needs two seeds")
    if not shifts.shape[1]:
        return Estimate(reason="no other value")
    square = mean_square(shifts)
    if square <= 0:
        return Estimate(reason=f"none seen: its mean square is {square:.2g}, not above 0")
    if seeds < 3:
        return Estimate(float(np.sqrt(square)), reason="two seeds: no interval")
    left_out = [mean_square(np.delete(shifts, s, axis=0)) for s in range(seeds)]
    found = _jackknife(square, np.array(left_out))
    if found.low is None or found.high is None:
        return Estimate(float(np.sqrt(square)), reason=found.reason)
    low, high = float(np.sqrt(max(0.0, found.low))), float(np.sqrt(max(0.0, found.high)))
    return Estimate(float(np.sqrt(square)), low, high, found.reason)


def control_floor(levels: FloatArray) -> Estimate:
    """The root mean square difference of two control seeds, over all unordered pairs and all
    values, from the (S, V) levels of the controls; the interval is a jackknife over seeds.

    Never over a cycle of seeds: the signed differences around a cycle add to 0.
    """
    seeds = len(levels)
    if seeds < 2:
        return Estimate(reason="one control: no distance between controls")
    if not levels.shape[1]:
        return Estimate(reason="no value has enough contested items")
    value = _root_mean_square(levels)
    if seeds < 3:
        return Estimate(value, reason="two controls: no interval")
    return _left_out(levels, _root_mean_square)


def _root_mean_square(levels: FloatArray) -> float:
    pairs = [levels[a] - levels[b] for a, b in combinations(range(len(levels)), 2)]
    return float(np.sqrt(np.mean(np.square(pairs))))


def _left_out(levels: FloatArray, statistic: Callable[[FloatArray], float]) -> Estimate:
    """A positive number with its jackknife interval over the rows, which never goes below 0."""
    left_out = [statistic(np.delete(levels, s, axis=0)) for s in range(len(levels))]
    found = _jackknife(statistic(levels), np.array(left_out))
    low = None if found.low is None else max(0.0, found.low)
    return Estimate(found.value, low, found.high, found.reason)


def _jackknife(value: float, left_out: FloatArray) -> Estimate:
    """A value with its delete-one jackknife t interval (Efron & Tibshirani 1993, eq. 11.5)."""
    units = len(left_out)
    spread = float(((left_out - left_out.mean()) ** 2).sum())
    error = float(np.sqrt((units - 1) / units * spread))
    few = f"{units} seeds, fewer than {MIN_UNITS}: exploratory" if units < MIN_UNITS else None
    return t_estimate(value, error, units, joined(few), unit="seed")
