"""Do survey, dilemmas, judgements and games say the same of the same policies? The
multitrait-multimethod table.

Runs are sorted into policies (identity, the prompt aside) × methods (an env with its content).
Correlations are over policies, of profiles that are centred on each policy's own mean: so a liking
for high ratings does not count as a value.

convergent    mean over values of r(value by one method, same value by the other): the validity
              diagonal of the multitrait-multimethod matrix (Campbell & Fiske 1959).
discriminant  mean r of different values by different methods, which must lie below it; `wins` is
              the share of values whose diagonal exceeds every other correlation of its row and
              column there.
profile       mean over policies of the correlation of its two profiles, over values.
split half    r of profiles from two halves of a value's clusters, mean of 20 random halvings,
              stepped up by Spearman–Brown 2r/(1 + r), a negative r left as it is; mean over values.
retest        r of two runs that differ in seed, or in the prompt (a survey's own prompt variants
              count as prompts).
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from valueagents.arrays import FloatArray
from valueagents.errors import ConfigError
from valueagents.identity import content_hash
from valueagents.measuring.inference import MIN_POLICIES, Estimate, over_policies
from valueagents.measuring.many.grouping import env_names
from valueagents.measuring.many.profiles import Profiles, centred, profiles
from valueagents.measuring.sums import varying
from valueagents.running.runs import Run

_HALVINGS = 20
_VARIANT = "variant"
"""The factor whose levels are prompt variants of one item."""
ReliabilityKind = Literal["split half", "retest: seeds", "retest: prompts"]


class MethodPair(msgspec.Struct, frozen=True):
    """How far two methods agree about the same policies."""

    first: str
    second: str
    convergent: Estimate
    discriminant: Estimate
    wins: float | None
    profile: Estimate


class Reliability(msgspec.Struct, frozen=True):
    """How far a method agrees with itself, over `policies`; `by_axis` None where a value has too
    little for it.
    """

    method: str
    kind: ReliabilityKind
    policies: int
    value: Estimate
    by_axis: dict[str, float | None]


class MultiMethod(msgspec.Struct, frozen=True):
    """The multitrait-multimethod table.

    `matrix` runs over methods and, in each, `axes`; None = too few policies.
    """

    taxonomy: str
    policies: list[str]
    methods: list[str]
    axes: list[str]
    pairs: list[MethodPair]
    reliabilities: list[Reliability]
    matrix: list[list[float]] | None


def multimethod(runs: Sequence[Run], *, seed: int = 0) -> MultiMethod:
    """The table of runs: one or more of each policy by each method, all on one taxonomy.

    Only policies that every method has are counted. Raises ConfigError if there are none.
    """
    names = env_names(runs)
    by_method: dict[str, dict[str, list[Run]]] = {}
    for run in sorted(
        runs,
        key=lambda run: (
            run.header.seed,
            run.header.policy_identity.get("prompt", ""),
            run.name,
        ),
    ):
        by_method.setdefault(names[content_hash(run.header.env_identity)], {}).setdefault(
            _who(run), []
        ).append(run)
    methods = sorted(by_method)
    common = (
        sorted(set.intersection(*(set(each) for each in by_method.values()))) if methods else []
    )
    if not common:
        raise ConfigError(
            "no policy was run by all methods: give runs of the same policies in each env"
        )
    tables = {method: profiles([by_method[method][who][0] for who in common]) for method in methods}
    taxonomy = tables[methods[0]].taxonomy
    for method, table in tables.items():
        if table.taxonomy.identity != taxonomy.identity:
            raise ConfigError(
                f"{method} is on {table.taxonomy.identity}, {methods[0]} on"
                f" {taxonomy.identity}: not comparable"
            )
    x = np.stack([tables[method].of() for method in methods])  # (M, U, V)
    kept = np.flatnonzero(varying(x).all(axis=0))
    x = centred(x[:, :, kept])
    varies = varying(x).all(axis=0)  # what was only a policy's level is gone
    x, kept = x[:, :, varies], kept[varies]
    axes = [taxonomy.axis_ids[v] for v in kept]
    enough = len(common) >= MIN_POLICIES
    reliabilities = []
    for method in methods:
        every = [by_method[method][who] for who in common]
        found = {"split half": _split_half(tables[method], seed), **_retests(tables[method], every)}
        reliabilities += [
            _reliability(method, kind, r, taxonomy.axis_ids, len(common))
            for kind, r in found.items()
        ]
    return MultiMethod(
        taxonomy=taxonomy.name,
        policies=tables[methods[0]].labels,
        methods=methods,
        axes=axes,
        pairs=[_pair(methods, x, pair, seed) for pair in combinations(range(len(methods)), 2)],
        reliabilities=reliabilities,
        matrix=_correlations(np.hstack(list(x))).tolist() if enough and axes else None,
    )


def _who(run: Run) -> str:
    return content_hash(
        {name: part for name, part in run.header.policy_identity.items() if name != "prompt"}
    )


def _pair(methods: list[str], x: FloatArray, pair: tuple[int, int], seed: int) -> MethodPair:
    first, second = x[pair[0]], x[pair[1]]  # (U, V)
    count = first.shape[1]
    few = _too_few(len(first))
    within = [_r(a, b) for a, b in zip(first, second, strict=True)] if count > 2 else []
    known = [r for r in within if not np.isnan(r)]
    if few is not None or not count:
        unknown = Estimate(reason=few or "no value has a number by both methods")
        profile = Estimate(float(np.mean(known)), reason=few) if known else unknown
        return MethodPair(methods[pair[0]], methods[pair[1]], unknown, unknown, None, profile)

    def block(sample: FloatArray) -> FloatArray:
        return _correlations(sample)[:count, count:]

    def statistics(sample: FloatArray) -> dict[str, float]:
        r = block(sample)
        off = r[~np.eye(count, dtype=bool)]
        profile = [_r(row[:count], row[count:]) for row in sample]
        return {
            "convergent": _mean(np.diag(r)),
            "discriminant": _mean(off),
            "profile": _mean(np.array(profile)),
        }

    both = np.hstack([first, second])
    found = over_policies(both, statistics, seed=seed)
    r = block(both)
    others = np.where(np.eye(count, dtype=bool), -np.inf, np.nan_to_num(r, nan=-np.inf))
    wins = np.diag(r) > np.maximum(others.max(axis=0), others.max(axis=1))
    return MethodPair(methods[pair[0]], methods[pair[1]], wins=float(wins.mean()), **found)


def _split_half(table: Profiles, seed: int) -> FloatArray:
    """(V,) Spearman–Brown reliabilities; NaN for a value of one cluster."""
    rng, (units, _, width) = np.random.default_rng(seed), table.cells.shape
    halvings = []
    for _ in range(_HALVINGS):
        halves = np.full((2, units, width), np.nan)
        for v in range(width):
            clusters = np.unique(table.cluster[~np.isnan(table.cells[:, :, v]).all(axis=0)])
            if len(clusters) > 1:
                side = np.isin(table.cluster, rng.permutation(clusters)[::2])
                halves[:, :, v] = table.axis(v, side), table.axis(v, ~side)
        halvings.append(_by_axis(*halves))
    r = np.array([_mean(column) for column in np.array(halvings).T])
    return np.where(r > 0, 2 * r / (1 + r), r)


def _retests(table: Profiles, every: list[list[Run]]) -> "dict[ReliabilityKind, FloatArray]":
    """By kind, (V,) correlations, where every policy has been run again, or asked in variants."""
    found: dict[ReliabilityKind, FloatArray] = {}
    kinds: list[tuple[ReliabilityKind, Callable[[Run, Run], bool]]] = [
        ("retest: seeds", lambda a, b: a.header.seed != b.header.seed and _prompt(a) == _prompt(b)),
        ("retest: prompts", lambda a, b: _prompt(a) != _prompt(b)),
    ]
    for kind, differs in kinds:
        again = [next((run for run in runs if differs(runs[0], run)), None) for runs in every]
        seconds = [run for run in again if run is not None]
        if len(seconds) == len(every):
            found[kind] = _by_axis(table.of(), profiles(seconds).of())
    variants = table.factors.get(_VARIANT, np.zeros(0, dtype=np.str_))
    levels = np.unique(variants)
    if len(levels) > 1 and "" not in levels and "retest: prompts" not in found:
        every_other = np.isin(variants, levels[::2])
        found["retest: prompts"] = _by_axis(table.of(every_other), table.of(~every_other))
    return found


def _prompt(run: Run) -> str | None:
    return run.header.policy_identity.get("prompt")


def _reliability(
    method: str, kind: ReliabilityKind, r: FloatArray, axes: Sequence[str], policies: int
) -> Reliability:
    few = _too_few(policies)
    known = r[~np.isnan(r)]
    by_axis = {
        axis: None if few or np.isnan(each) else float(each)
        for axis, each in zip(axes, r, strict=True)
    }
    if few is not None:
        return Reliability(method, kind, policies, Estimate(reason=few), by_axis)
    if not len(known):
        return Reliability(
            method,
            kind,
            policies,
            Estimate(reason="no value with two clusters that varies"),
            by_axis,
        )
    return Reliability(method, kind, policies, Estimate(float(known.mean())), by_axis)


def _too_few(policies: int) -> str | None:
    return (
        f"too few policies: {policies}, {MIN_POLICIES} needed" if policies < MIN_POLICIES else None
    )


def _by_axis(first: FloatArray, second: FloatArray) -> FloatArray:
    """(V,) correlations over policies of two (U, V) sets of profiles, each centred."""
    return np.array([_r(a, b) for a, b in zip(centred(first).T, centred(second).T, strict=True)])


def _correlations(x: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.corrcoef(x, rowvar=False))


def _r(x: FloatArray, y: FloatArray) -> float:
    """Pearson's r; NaN where one does not vary or is not known."""
    x, y = x - x.mean(), y - y.mean()
    scale = float((x @ x) * (y @ y))
    return float(x @ y) / scale**0.5 if scale > 0 else float("nan")


def _mean(values: npt.NDArray[np.float64]) -> float:
    """The mean of those that are known; NaN if none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
