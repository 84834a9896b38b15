"""Compare two policies on the same env, paired by the situation that they were shown.

For each situation that both met, the difference of their opportunity-adjusted scores (E3p where all runs hold
probabilities, else E3) is taken. The units of the sign-flip test and of the interval are items; in games, where a
situation belongs to no one episode, menus; and where several training seeds are given, the seeds. Beside it stand the
choice weights of the two (`weight_comparison`) and the split of the difference of rates (`exposure`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from valueagents.errors import ConfigError
from valueagents.measuring.answers import DecisionArrays, codes_of, decision_arrays, joint_clustering
from valueagents.measuring.estimators.exposure import ExposureSplit, exposure_split
from valueagents.measuring.estimators.weight_comparison import WeightComparison, compare_weights
from valueagents.measuring.inference import (
    Estimate,
    FloatArray,
    IntArray,
    add_cluster_sums,
    benjamini_hochberg,
    cluster_sums,
    ratio_estimates,
    sign_flip_test,
)
from valueagents.measuring.pairing import annotated_otherwise
from valueagents.running.runs import Run, require_distinct

FALSE_DISCOVERY_RATE = 0.05
ENOUGH_SEEDS = 6
"""With 5 training seeds the smallest two-sided p of a sign-flip test is 2/32 = 0.06."""


class AxisDifference(msgspec.Struct, frozen=True):
    """First minus second policy on one axis.

    `p` is unadjusted; `p_family` Benjamini–Hochberg adjusted over the axes that are not primary (None for the primary
    one); `p_max_t` controls the error over all axes at once.
    """

    axis: str
    name: str
    situations: int
    clusters: int
    difference: Estimate
    p: float | None
    p_family: float | None
    p_max_t: float | None
    differs: bool


class Comparison(msgspec.Struct, frozen=True):
    """Two runs compared. `estimator` is E3p or E3; `test` names the test with its number of flips; `unit` its units.

    `weights` compares E4, `exposure` is E6 by axis (both None where several seeds are compared).
    """

    first: str
    second: str
    first_policy: str
    second_policy: str
    taxonomy: str
    estimator: str
    unit: str
    test: str
    family: str
    paired_situations: int
    only_first: int
    only_second: int
    primary: str | None
    axes: list[AxisDifference]
    weights: WeightComparison | None = None
    exposure: ExposureSplit | None = None
    warnings: list[str] = []


AnyRun = TypeVar("AnyRun", bound=Run | Path | str)
OneOrMore = Run | Path | str | Sequence[Run | Path | str]


def two_sides(runs: Sequence[AnyRun]) -> tuple[list[AnyRun], list[AnyRun]]:
    """The runs of the first policy and as many of the second. Raises ConfigError for an odd number."""
    if not runs or len(runs) % 2:
        raise ConfigError(
            f"{len(runs)} runs: give two, or the seeds of the first policy and then as many of the second"
        )
    half = len(runs) // 2
    return list(runs[:half]), list(runs[half:])


def compare(first: OneOrMore, second: OneOrMore, *, primary: str | None = None, seed: int = 0) -> Comparison:
    """The paired differences, first minus second. `primary` is the one axis named before looking.

    Lists of runs are training seeds, the k-th of one paired with the k-th of the other; the seed is then the unit.
    Raises ConfigError if the taxonomies differ, the primary axis is unknown, no situation was met by both, or what was
    on offer there is annotated otherwise in one of them (in a game, where hidden state may explain it: a warning).
    """
    sides = [_opened(side) for side in (first, second)]
    if len(sides[0]) != len(sides[1]):
        raise ConfigError(f"{len(sides[0])} runs against {len(sides[1])}: give as many first as second, seed by seed")
    for side in sides:
        require_distinct(side, "training seed", lambda header: [header.policy_identity, header.seed])
    header = sides[0][0].header
    taxonomy, needed = header.taxonomy, header.min_contested
    for run in (*sides[0], *sides[1]):
        if run.header.taxonomy.name != taxonomy.name:
            there = f"{str(sides[0][0].path)!r} is on {taxonomy.name}"
            raise ConfigError(f"{there}, {str(run.path)!r} on {run.header.taxonomy.name}: not comparable")
    if primary is not None:
        taxonomy.index(primary)
    probabilities = all(_has_probabilities(run) for side in sides for run in side)
    pairs = [_paired(a, b, probabilities=probabilities) for a, b in zip(*sides, strict=True)]
    sums, sizes = _by_unit(pairs)
    situations = sum(pair.known.sum(axis=0) for pair in pairs)
    fewest = np.stack([pair.known.sum(axis=0) for pair in pairs]).min(axis=0)
    enough, in_a_seed = fewest >= needed, " in one of the seeds" if len(pairs) > 1 else ""
    test = sign_flip_test(np.where(enough, sums, 0.0), seed=seed)
    tested = test.method if enough.any() else f"nothing tested: no value has {needed} shared contested situations"
    adjusted = benjamini_hochberg(
        [
            p if enough[v] and axis.id != primary else None
            for v, (p, axis) in enumerate(zip(test.p, taxonomy.axes, strict=True))
        ]
    )
    axes = []
    for v, estimate in enumerate(ratio_estimates(sums, sizes, seed=seed)):
        axis, n = taxonomy.axes[v], int(situations[v])
        decisive = test.p[v] if axis.id == primary else adjusted[v]
        axes.append(
            AxisDifference(
                axis=axis.id,
                name=axis.name,
                situations=n,
                clusters=int((sizes[:, v] > 0).sum()),
                difference=estimate
                if enough[v]
                else Estimate(
                    reason=f"not enough: {fewest[v]} shared contested situations{in_a_seed}, {needed} needed"
                ),
                p=test.p[v],
                p_family=adjusted[v],
                p_max_t=test.p_max_t[v],
                differs=decisive is not None and decisive <= FALSE_DISCOVERY_RATE,
            )
        )
    return Comparison(
        first=", ".join(str(run.path) for run in sides[0]),
        second=", ".join(str(run.path) for run in sides[1]),
        first_policy=", ".join(dict.fromkeys(run.header.policy for run in sides[0])),
        second_policy=", ".join(dict.fromkeys(run.header.policy for run in sides[1])),
        taxonomy=taxonomy.name,
        estimator="E3p" if probabilities else "E3",
        unit="training seed" if len(pairs) > 1 else pairs[0].unit,
        test=tested,
        family=f"Benjamini–Hochberg at {FALSE_DISCOVERY_RATE:g} over the axes"
        + (f" except {primary}, tested alone" if primary else ""),
        paired_situations=sum(len(pair.known) for pair in pairs),
        only_first=sum(pair.only_first for pair in pairs),
        only_second=sum(pair.only_second for pair in pairs),
        primary=primary,
        axes=axes,
        weights=pairs[0].weights if len(pairs) == 1 else None,
        exposure=pairs[0].exposure if len(pairs) == 1 else None,
        warnings=_warnings(pairs),
    )


def _warnings(pairs: "list[_Pair]") -> list[str]:
    warnings = []
    if 1 < len(pairs) < ENOUGH_SEEDS:
        warnings.append(f"exploratory: {len(pairs)} seeds cannot reach p < 0.05, plan at least {ENOUGH_SEEDS}")
    if otherwise := sum(pair.annotated_otherwise for pair in pairs):
        warnings.append(f"{otherwise} shared situations are annotated otherwise in the second run: other hidden state?")
    return warnings


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two runs over the S situations that both met: (S, V) differences, 0 where not known; (S,) clusters."""

    differences: FloatArray
    known: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]"
    cluster: IntArray
    unit: str
    only_first: int
    only_second: int
    annotated_otherwise: int
    weights: WeightComparison
    exposure: ExposureSplit


def _opened(runs: OneOrMore) -> list[Run]:
    several = [runs] if isinstance(runs, Run | Path | str) else runs
    return [run if isinstance(run, Run) else Run(run) for run in several]


def _has_probabilities(run: Run) -> bool:
    """True if every annotated decision has them."""
    table = run.decisions(["annotated", "probabilities"])
    return bool(table.filter(table["annotated"])["probabilities"].null_count == 0)


def _paired(a: Run, b: Run, *, probabilities: bool) -> _Pair:
    arrays = tuple(decision_arrays(run.decisions_file(), run.header.taxonomy) for run in (a, b))
    mine, theirs = (_Situations(each, probabilities=probabilities) for each in arrays)
    shared, left, right = np.intersect1d(mine.names, theirs.names, assume_unique=True, return_indices=True)
    if not len(shared):
        raise ConfigError(
            f"{str(a.path)!r} and {str(b.path)!r} share no situation; run both on the same env with the same --seed "
            "(a replay: on the same pool)"
        )
    otherwise = annotated_otherwise(a, b, shared.tolist())
    known = (mine.sizes[left] > 0) & (theirs.sizes[right] > 0)
    differences = np.where(known, mine.means()[left] - theirs.means()[right], 0.0)
    independent = a.header.independent_menus and b.header.independent_menus
    clusterings = joint_clustering(arrays, independent_menus=independent)
    units = arrays[0].cluster if independent else codes_of(arrays[0].menu)[0]
    weights = compare_weights(
        (arrays[0], arrays[1]),
        clusterings,
        (mine.contested, theirs.contested),
        needed=a.header.min_contested,
        level=FALSE_DISCOVERY_RATE,
    )
    return _Pair(
        differences=differences,
        known=known,
        cluster=np.unique(units[mine.last[left]], return_inverse=True)[1],
        unit="item" if independent else "menu",
        only_first=len(mine.names) - len(shared),
        only_second=len(theirs.names) - len(shared),
        annotated_otherwise=otherwise,
        weights=weights,
        exposure=exposure_split((arrays[0], arrays[1]), clusterings),
    )


def _by_unit(pairs: list[_Pair]) -> tuple[FloatArray, FloatArray]:
    """(C, V) sums of differences and numbers of situations; of several seeds the mean of each, and ones."""
    if len(pairs) == 1:
        [pair] = pairs
        count = int(pair.cluster.max()) + 1
        known = pair.known.astype(np.float64)
        return cluster_sums(pair.differences, pair.cluster, count), cluster_sums(known, pair.cluster, count)
    sums = np.stack([pair.differences.sum(axis=0) for pair in pairs])
    sizes = np.stack([pair.known.sum(axis=0) for pair in pairs])
    return sums / np.maximum(1, sizes), (sizes > 0).astype(np.float64)


class _Situations:
    """A run by situation: sorted `names` (S,), `sums` and `sizes` (S, V) over contested decisions, a `last` meeting.

    `contested` (V,) counts the decisions with a choice on each axis.
    """

    def __init__(self, arrays: DecisionArrays, *, probabilities: bool) -> None:
        code, names = codes_of(arrays.shown)
        self.names = np.asarray(names.to_pylist(), dtype=np.str_)
        shape = (len(names), len(arrays.taxonomy.axes))
        self.sums, self.sizes, self.contested = np.zeros(shape), np.zeros(shape), np.zeros(shape[1], dtype=np.int64)
        self.last = np.zeros(len(names), dtype=np.int64)
        self.last[code] = np.arange(len(code))
        for first, last in arrays.parts():
            deviations = arrays.part(first, last).deviations()
            counts = deviations.contested & (deviations.knows_p if probabilities else deviations.read)[:, None]
            values = np.where(counts, deviations.expected if probabilities else deviations.chosen, 0.0)
            add_cluster_sums(self.sums, values, code[first:last])
            add_cluster_sums(self.sizes, counts.astype(np.float64), code[first:last])
            self.contested += (deviations.contested & deviations.read[:, None]).sum(axis=0)

    def means(self) -> FloatArray:
        """(S, V) mean deviations, 0 where there is none."""
        return self.sums / np.maximum(1.0, self.sizes)
