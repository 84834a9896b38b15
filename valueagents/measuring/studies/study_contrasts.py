"""What a study says of an env: its contrasts, each target's shift, drift, and the controls'
distance.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from valueagents.arrays import FloatArray, IntArray
from valueagents.measuring.estimators.mean import not_enough
from valueagents.measuring.inference import Estimate
from valueagents.measuring.studies.contrast import (
    NEEDS_PLACEBO,
    NEEDS_THREE,
    holm,
    in_general,
    own_weights,
    placebo_weights,
    primary_weights,
    target_weights,
)
from valueagents.measuring.studies.crossed import Linear, Tested, fieller, linear
from valueagents.measuring.studies.study_shifts import StudyShifts
from valueagents.measuring.studies.systematic import control_floor, systematic_drift
from valueagents.measuring.sums import known_mean
from valueagents.measuring.targets import Direction


class AxisShift(msgspec.Struct, frozen=True):
    """Adapter minus control on one value in the direction trained, in units of x."""

    axis: str
    name: str
    shift: Estimate


class TargetResult(msgspec.Struct, frozen=True):
    """One target over its seeds.

    `shift` is against its control, habits included; `contrast` is C_t, `p_adjusted` Holm's over the
    targets. `against_placebo`: its contrast with a placebo adapter. `drift`: systematic, of the
    other values. `axes`: every value's shift.
    """

    target: str
    contested: int
    shift: Tested
    contrast: Tested
    p_adjusted: float | None
    against_placebo: Tested
    drift: Estimate
    axes: tuple[AxisShift, ...]


class StudyContrasts(msgspec.Struct, frozen=True):
    """A study in one env and direction; all numbers in units of x, + in the direction trained.

    `these_values` is the primary number; `in_general` takes the targets as a sample of values.
    `mean_shift`: of the targets, against the controls. `floor`: root mean square distance of two
    control seeds. `left_out`: targets with too few contested items, and the reason. `unanswered`:
    items left out because some adapter or control gave no answer.
    """

    direction: Direction
    targets: tuple[str, ...]
    seeds: int
    items: int
    unit: str
    unanswered: int
    left_out: dict[str, str]
    these_values: Tested
    in_general: Tested
    mean_shift: Tested
    acquiescence: Tested | None
    floor: Estimate
    by_target: tuple[TargetResult, ...]


def study_contrasts(
    shifts: StudyShifts, targets: Sequence[str], *, direction: Direction, placebos: bool = False
) -> StudyContrasts:
    """All of it. The rows of the shifts are the targets' adapters in order, then, with `placebos`,
    as many placebo adapters.

    A target with fewer contested items than the env asks for is left out, and said to be.
    """
    columns = {target: shifts.taxonomy.index(target) for target in targets}
    left_out = {
        target: str(not_enough(int(shifts.contested[v]), shifts.needed, "contested items").reason)
        for target, v in columns.items()
        if shifts.contested[v] < shifts.needed
    }
    kept = [target for target in targets if target not in left_out]
    matrix = _Matrix(shifts, targets, kept)
    contrasts = [matrix.contrast(target) for target in kept]
    adjusted = holm([each.p for each in contrasts])
    by_target = tuple(
        TargetResult(
            target=target,
            contested=int(shifts.contested[columns[target]]),
            shift=matrix.own(target).tested(),
            contrast=contrast,
            p_adjusted=p,
            against_placebo=_against_placebo(shifts, targets, target, placebos=placebos),
            drift=_drift(shifts, list(targets).index(target), columns[target]),
            axes=_axes(shifts, list(targets).index(target)),
        )
        for target, contrast, p in zip(kept, contrasts, adjusted, strict=True)
    )
    return StudyContrasts(
        direction=direction,
        targets=tuple(kept),
        seeds=shifts.seeds,
        items=shifts.cells.shape[2],
        unit=shifts.unit,
        unanswered=int(shifts.unanswered[:, list(columns.values())].any(axis=1).sum()),
        left_out=left_out,
        these_values=_primary(matrix, by_target),
        in_general=in_general(contrasts, seeds=shifts.seeds),
        mean_shift=mean_shift(shifts, targets, kept).tested(),
        acquiescence=_acquiescence(shifts, targets, kept),
        floor=control_floor(_levels(shifts)),
        by_target=by_target,
    )


class _Matrix:
    """The shifts of the kept targets on the kept targets' values."""

    def __init__(self, shifts: StudyShifts, targets: Sequence[str], kept: Sequence[str]) -> None:
        rows = [list(targets).index(target) for target in kept]
        columns = [shifts.taxonomy.index(target) for target in kept]
        self.kept, self.cluster = list(kept), shifts.cluster
        self.cells: FloatArray = shifts.cells[rows][..., columns]

    def weighed(self, weights: FloatArray) -> Linear:
        return linear(self.cells, self.cluster, weights)

    def own(self, target: str) -> Linear:
        return self.weighed(own_weights(len(self.kept), self.kept.index(target)))

    def contrast(self, target: str) -> Tested:
        """C_t; undefined with the reason for fewer than three targets."""
        if len(self.kept) < 3:
            why = NEEDS_THREE if len(self.kept) == 2 else NEEDS_PLACEBO
            return Tested(Estimate(reason=why))
        return self.weighed(target_weights(len(self.kept), self.kept.index(target))).tested()


def primary(shifts: StudyShifts, targets: Sequence[str], *, shares: bool = False) -> Linear | None:
    """The primary contrast of these targets, None for fewer than two; in `shares` of the range that
    is attainable on each value.
    """
    if len(targets) < 2:
        return None
    columns = [shifts.taxonomy.index(target) for target in targets]
    cells = shifts.cells[: len(targets)][..., columns]
    if shares:
        cells = cells / shifts.span[columns]
    return linear(cells, shifts.cluster, primary_weights(len(targets)))


def mean_shift(shifts: StudyShifts, targets: Sequence[str], kept: Sequence[str]) -> Linear:
    """The mean of the kept targets' shifts against the controls of their seeds."""
    return _diagonal(shifts.cells, shifts, targets, kept)


def followed(
    behaviour: StudyShifts, survey: StudyShifts, targets: Sequence[str], drop: Tested
) -> Estimate:
    """The primary contrast in behaviour over that in the survey, each in shares of the range that
    is attainable there, with Fieller's interval.

    None, with the reason, unless the survey's drop and its contrast are clear of 0, or where a
    target is not measured enough in both.
    """
    low = drop.estimate.low
    if low is None or low <= 0 or drop.p is None:
        return Estimate(reason="no ratio: the survey's drop is not clear of 0")
    for shifts in (behaviour, survey):
        columns = [shifts.taxonomy.index(target) for target in targets]
        if (shifts.contested[columns] < shifts.needed).any():
            return Estimate(reason="no ratio: not all targets are measured in both envs")
    above, below = (primary(each, targets, shares=True) for each in (behaviour, survey))
    if above is None or below is None:
        return Estimate(reason=f"no ratio: {NEEDS_PLACEBO}")
    return fieller(above, below)


def _diagonal(
    cells: FloatArray, shifts: StudyShifts, targets: Sequence[str], kept: Sequence[str]
) -> Linear:
    weights = np.zeros((cells.shape[0], cells.shape[3]))
    for target in kept:
        weights[list(targets).index(target), shifts.taxonomy.index(target)] = 1 / len(kept)
    return linear(cells, shifts.cluster, weights)


def _primary(matrix: _Matrix, by_target: Sequence[TargetResult]) -> Tested:
    if len(matrix.kept) > 1:
        return matrix.weighed(primary_weights(len(matrix.kept))).tested()
    if not matrix.kept:
        return Tested(Estimate(reason="no target has enough contested items"))
    return by_target[0].against_placebo


def _acquiescence(
    shifts: StudyShifts, targets: Sequence[str], kept: Sequence[str]
) -> Tested | None:
    if shifts.acquiescence is None or not kept:
        return None
    return _diagonal(shifts.acquiescence, shifts, targets, kept).tested()


def _measured(shifts: StudyShifts, v: int | None = None) -> IntArray:
    """The values with enough contested items, without the value v."""
    enough = shifts.contested >= max(1, shifts.needed)
    if v is not None:
        enough[v] = False
    return np.flatnonzero(enough)


def _against_placebo(
    shifts: StudyShifts, targets: Sequence[str], target: str, *, placebos: bool
) -> Tested:
    if not placebos:
        return Tested(Estimate(reason=NEEDS_PLACEBO))
    row, column = list(targets).index(target), shifts.taxonomy.index(target)
    others = _measured(shifts, column)
    if not len(others):
        return Tested(Estimate(reason="no other value has enough contested items"))
    columns = np.append(column, others)
    cells = shifts.cells[[row, len(targets) + row]][..., columns]
    return linear(cells, shifts.cluster, placebo_weights(len(columns), 0)).tested()


def _drift(shifts: StudyShifts, row: int, v: int) -> Estimate:
    by_item = shifts.cells[row][..., _measured(shifts, v)]  # (S, I, V - 1)
    return systematic_drift(known_mean(by_item, axis=1))


def _levels(shifts: StudyShifts) -> FloatArray:
    """(S, V) the controls' propensities on the values that are measured."""
    return known_mean(shifts.controls[..., _measured(shifts)], axis=1)


def _axes(shifts: StudyShifts, row: int) -> tuple[AxisShift, ...]:
    found = []
    for v, axis in enumerate(shifts.taxonomy.axes):
        estimate = not_enough(int(shifts.contested[v]), shifts.needed, "contested items")
        if shifts.contested[v] >= max(1, shifts.needed):
            only = shifts.cells[[row]][..., [v]]
            estimate = linear(only, shifts.cluster, np.ones((1, 1))).tested().estimate
        found.append(AxisShift(axis.id, axis.name, estimate))
    return tuple(found)
