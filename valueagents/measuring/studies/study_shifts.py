"""From the runs of a study in one env to its shifts: every adapter against the control of its seed,
on the situations that all of them met.

Arrays: T targets, S seeds, I items, V values.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.errors import ConfigError
from valueagents.measuring.answers import Answers, common_form, require_comparable
from valueagents.measuring.columns import codes_of
from valueagents.measuring.deviations import Form, propensity_terms
from valueagents.measuring.pairing import by_situation, last_meetings
from valueagents.measuring.reading import Source, read_answers
from valueagents.measuring.studies.crossed import complete
from valueagents.measuring.sums import cluster_means, known_mean
from valueagents.measuring.targets import Direction, sign_of
from valueagents.taxonomy import Taxonomy

ITEM, POLE = "item", "pole"
"""Factors of a survey with both wordings of its statements."""
_AFFIRM, _OPPOSE = "affirm", "oppose"
POLES = frozenset((_AFFIRM, _OPPOSE))


@dataclass(frozen=True, slots=True)
class StudyShifts:
    """What the adapters of a study did in an env, in the direction trained.

    cells: (T, S, I, V) shifts of the propensity, NaN where a value is not at stake or not answered.
    controls: (S, I, V) propensities of the controls.
    cluster: (I,) codes of the units that items belong to: `unit`.
    span: (V,) mean range of x over the menus that contest a value: what a shift could be at most.
    needed: contested items under which the env gives a value no number.
    unanswered: (I, V) true where a value is at stake and an adapter or control has no answer.
    acquiescence: of a survey with both wordings the same half-differences of their shifts, on
        statement pairs; None elsewhere. `cells` are then the half-sums: the values' own shifts.
    """

    taxonomy: Taxonomy
    form: Form
    cells: FloatArray
    controls: FloatArray
    cluster: IntArray
    unit: str
    span: FloatArray
    needed: int
    unanswered: BoolArray
    acquiescence: FloatArray | None = None

    @property
    def contested(self) -> IntArray:
        """(V,) items that put a value at stake and that all answered."""
        counted: IntArray = complete(self.cells).sum(axis=0)
        return counted

    @property
    def seeds(self) -> int:
        """How many training seeds."""
        return int(self.cells.shape[1])


def study_shifts(
    adapters: Sequence[Sequence[Source]],
    controls: Sequence[Source],
    *,
    direction: Direction,
    only: Collection[str] | None = None,
) -> StudyShifts:
    """The shifts of T × S runs of adapters against S runs of controls, one for each seed; `only`:
    on these situations (hashes of what is shown), such as those held out from training.

    A survey with both wordings of its statements is balanced: an item is then a pair. Raises
    ConfigError if a seed lacks its run, or the runs have no situation in common.
    """
    if not controls or any(len(row) != len(controls) for row in adapters):
        counts = [len(row) for row in adapters]
        raise ConfigError(
            f"{counts} runs of adapters, {len(controls)} of controls: give one control for each"
            " seed, and a run of every target and seed"
        )
    read = [read_answers(each) for row in (*adapters, controls) for each in row]
    form = common_form(*read)
    shown, levels = _levels(read, form)
    if only is not None:
        kept = np.isin(shown, sorted(only))
        if not kept.any():
            raise ConfigError("none of the situations that were held out was met by all adapters")
        shown, levels = shown[kept], levels[:, kept]
    first = read[0].select(last_meetings(read[0], shown))
    seeds = len(controls)
    by_adapter = levels.reshape(len(adapters) + 1, seeds, len(shown), -1)
    cells = -sign_of(direction) * (by_adapter[:-1] - by_adapter[-1])
    contested = first.deviations().contested
    independent = first.independent_menus
    units = first.cluster if independent else codes_of(first.menu)[0]
    shifts = StudyShifts(
        taxonomy=first.taxonomy,
        form=form,
        cells=np.where(complete(cells), cells, np.nan),
        controls=np.where(complete(cells), by_adapter[-1], np.nan),
        cluster=_codes(units),
        unit="item" if independent else "menu",
        span=_span(first),
        needed=first.min_contested,
        unanswered=contested & np.isnan(levels).any(axis=0),
    )
    return _balanced(shifts, first)


def _levels(read: Sequence[Answers], form: Form) -> tuple[npt.NDArray[np.str_], FloatArray]:
    """The common situations (I,) and the (U, I, V) propensities of the runs there."""
    met = []
    for answers in read:
        require_comparable(read[0], answers)
        values = answers.per_decision(lambda each: propensity_terms(each, form))
        met.append(by_situation(answers, values))
    common = met[0][0]
    for names, _ in met[1:]:
        common = np.intersect1d(common, names, assume_unique=True)
    if not len(common):
        raise ConfigError(
            "the runs have no situation in common; run all adapters on the same env with the same"
            " --seed (a game: on the same replay pool)"
        )
    return common, np.stack([means[np.searchsorted(names, common)] for names, means in met])


def _span(met: Answers) -> FloatArray:
    """(V,) mean of highest − lowest x over the menus that contest a value; NaN where none does."""
    deviations = met.deviations()
    ranges = np.where(deviations.contested, deviations.highest - deviations.lowest, np.nan)
    return known_mean(ranges, axis=0)


def _codes(units: npt.NDArray[np.int64]) -> IntArray:
    return np.unique(units, return_inverse=True)[1].astype(np.int64)


def _balanced(shifts: StudyShifts, met: Answers) -> StudyShifts:
    """The same on statement pairs, where the env has both wordings; else unchanged."""
    if not {ITEM, POLE} <= set(met.columns.factors()):
        return shifts
    pole, item = met.factor(POLE), met.factor(ITEM)
    if not POLES.issubset(pole):
        return shifts
    names, code = np.unique(item, return_inverse=True)
    count = len(names)

    def by_pair(cells: FloatArray, wording: str) -> FloatArray:
        """(…, pairs, V) means over a pair's rows of one wording."""
        rows = np.flatnonzero(pole == wording)
        flat = cells.reshape(-1, *cells.shape[-2:])[:, rows]
        means = [cluster_means(each, code[rows], count) for each in flat]
        return np.stack(means).reshape(*cells.shape[:-2], count, cells.shape[-1])

    affirm, oppose = (by_pair(shifts.cells, wording) for wording in (_AFFIRM, _OPPOSE))
    levels = [by_pair(shifts.controls, wording) for wording in (_AFFIRM, _OPPOSE)]
    first_row = np.unique(code, return_index=True)[1]
    lacking = np.stack([shifts.unanswered[code == pair].any(axis=0) for pair in range(count)])
    return replace(
        shifts,
        cells=(affirm + oppose) / 2,
        controls=(levels[0] + levels[1]) / 2,
        cluster=_codes(shifts.cluster[first_row]),
        unit="statement pair",
        unanswered=lacking,
        acquiescence=(affirm - oppose) / 2,
    )
