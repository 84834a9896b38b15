"""All that a report shows, of any number of runs: policies × envs × seeds, grouped by what their
headers say. Each run is read once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from valueagents.errors import ConfigError, unknown_name
from valueagents.measuring.answers import Answers
from valueagents.measuring.comparison import Comparison, compare
from valueagents.measuring.estimators.declaration import Compared, Difference
from valueagents.measuring.estimators.exposure import EXPOSURE
from valueagents.measuring.inference import Estimate
from valueagents.measuring.many.grouping import group_runs
from valueagents.measuring.many.policy_means import policy_means
from valueagents.measuring.many.ranks import Leaning, leanings
from valueagents.measuring.many.say_do import SayDo, say_do
from valueagents.measuring.many.separation import Separation, separate
from valueagents.measuring.many.split_half import split_half
from valueagents.measuring.pairing import pair
from valueagents.measuring.reading import Source, read_answers
from valueagents.measuring.sheet import SAMPLE, Sheet, sheet
from valueagents.taxonomy import Taxonomy

_FEW_RUNS, _SHORT_SAMPLE = 2, 3
"""Of more runs a page shows this many decisions each."""
COMPETENCE = "competence"
"""The taxonomy of questions with a right answer: no value, so no leaning and no comparison."""


@dataclass(frozen=True, slots=True)
class Competence:
    """Share of right answers, and that of guessing; `holds`: it surely gets more than guessing."""

    right: float
    guessing: float
    holds: bool


@dataclass(frozen=True, slots=True)
class PolicyResults:
    """A policy in an env: a sheet for each seed, what all of them say of every value, and how far
    other items would rank the values alike. `refusal`: why there are no numbers (None: there are).
    """

    policy: str
    sheets: list[Sheet]
    leanings: list[Leaning]
    reliability: Estimate
    refusal: str | None

    @property
    def dependability(self) -> float | None:
        """The median over the values of Φ(0), as far as the first run varied what it was asked."""
        axes = self.sheets[0].scores.elicited.spread.axes.values()
        known = [each.coefficient for each in axes if each.coefficient is not None]
        return float(np.median(known)) if known else None

    @property
    def competence(self) -> Competence | None:
        """How it answers questions with a right answer, over its seeds; None for other envs, and
        for too few questions.
        """
        if self.sheets[0].header.taxonomy.id != COMPETENCE:
            return None
        axes = [sheet.scores.axes[0] for sheet in self.sheets]
        rates = [axis["E2"].value for axis in axes]
        above = [axis["E3"].value for axis in axes]  # right answers less those of guessing
        if None in rates or None in above:
            return None
        right = float(np.mean([float(rate or 0.0) for rate in rates])) / 100
        leaning = self.leanings[0]
        holds = leaning.holds and (leaning.estimate.value or 0.0) > 0
        guessing = right - float(np.mean([float(each or 0.0) for each in above]))
        return Competence(right, guessing, holds)


@dataclass(frozen=True, slots=True)
class EnvResults:
    """Policies in an env.

    `separation`: all pairs (None: fewer than two policies, or nothing in common, then `apart` says
    why). `comparison`: every estimator's difference where two policies have a run each.
    `exposures`: else, E6 of the first policy against each that has as many seeds.
    """

    env: str
    asks: str
    taxonomy: Taxonomy
    policies: list[PolicyResults]
    separation: Separation | None
    apart: str | None
    comparison: Comparison | None
    exposures: dict[str, Difference]

    @property
    def of_values(self) -> bool:
        """False for questions with a right answer."""
        return self.taxonomy.id != COMPETENCE


@dataclass(frozen=True, slots=True)
class Results:
    """Everything on a page. `gaps`: policy -> its survey beside each other env."""

    policies: list[str]
    envs: list[EnvResults]
    gaps: dict[str, list[SayDo]]
    primary: str | None

    @property
    def value_envs(self) -> list[EnvResults]:
        """Those that say something of values."""
        return [env for env in self.envs if env.of_values]

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return sum(len(each.sheets) for env in self.envs for each in env.policies)

    def of(self, policy: str) -> "Results":
        """The results of one policy; what compares it with others is left out."""
        envs = [
            EnvResults(env.env, env.asks, env.taxonomy, mine, None, None, None, {})
            for env in self.envs
            if (mine := [each for each in env.policies if each.policy == policy])
        ]
        gaps = {policy: self.gaps[policy]} if policy in self.gaps else {}
        return Results([policy], envs, gaps, self.primary)


def summarise(
    runs: Sequence[Source],
    *,
    primary: str | None = None,
    low_mass: bool = False,
    names: Sequence[tuple[str, str]] | None = None,
    seed: int = 0,
) -> Results:
    """The results of runs of any policies in any envs with any seeds.

    `primary`: the one axis named before looking; `low_mass` as in `score` and `compare`; `names`:
    env and policy of each run, by default what its header says; `seed` of what is drawn. Raises
    ConfigError for a primary axis that no env has, no run at all, and one policy's run of one seed
    given twice.
    """
    if not runs:
        raise ConfigError("no run: give at least one run directory")
    read = [read_answers(run) for run in runs]
    by_path = {str(answers.run.path): answers for answers in read if answers.run is not None}
    if len(by_path) < len(read):
        raise ConfigError("a run is given twice: give each once")
    grouped = group_runs([answers.run for answers in read if answers.run is not None], names)
    envs: dict[str, dict[str, list[Answers]]] = {
        env: {name: [by_path[str(run.path)] for run in seeds] for name, seeds in policies.items()}
        for env, policies in grouped.items()
    }
    _require_primary(primary, read)
    sample = SAMPLE if len(read) <= _FEW_RUNS else _SHORT_SAMPLE
    compared = sum(len(policies) > 1 and not _of_competence(policies) for policies in envs.values())
    found = [
        _of_env(env, policies, primary, compared, sample, low_mass=low_mass, seed=seed)
        for env, policies in envs.items()
    ]
    numbered = {
        each.env: {p.policy: envs[each.env][p.policy] for p in each.policies if p.refusal is None}
        for each in found
    }
    return Results(
        policies=list(dict.fromkeys(name for policies in envs.values() for name in policies)),
        envs=found,
        gaps=_gaps(numbered),
        primary=primary,
    )


def _of_env(
    env: str,
    policies: Mapping[str, Sequence[Answers]],
    primary: str | None,
    envs: int,
    sample: int,
    *,
    low_mass: bool,
    seed: int,
) -> EnvResults:
    first = next(iter(policies.values()))[0]
    assert first.run is not None  # noqa: S101 – answers of runs
    here = primary if primary in first.taxonomy.axis_ids else None
    found = [
        _of_policy(name, seeds, sample, low_mass=low_mass, seed=seed)
        for name, seeds in policies.items()
    ]
    usable = {each.policy: policies[each.policy] for each in found if each.refusal is None}
    separation, apart, comparison = None, None, None
    exposures: dict[str, Difference] = {}
    if len(policies) > 1 and not _of_competence(policies):
        if len(usable) < 2:
            apart = _too_few(found)
        else:
            separation, apart = _separated(usable, here, envs, seed)
        comparison, exposures = _details(usable, here, seed, low_mass=low_mass)
    return EnvResults(
        env=env,
        asks=first.run.header.asks,
        taxonomy=first.taxonomy,
        policies=found,
        separation=separation,
        apart=apart,
        comparison=comparison,
        exposures=exposures,
    )


def _of_policy(
    name: str, seeds: Sequence[Answers], sample: int, *, low_mass: bool, seed: int
) -> PolicyResults:
    sheets = [
        sheet(answers, low_mass=low_mass, sample=0 if k else sample)
        for k, answers in enumerate(seeds)
    ]
    masses = [each.scores.mass for each in sheets if each.scores.mass is not None]
    refusals = [mass.refusal for mass in masses if mass.refusal is not None and not low_mass]
    refusal = refusals[0] if refusals else None
    if refusal is None:
        means = policy_means(seeds)
        found, halves = leanings(means, seed=seed), split_half(means, seed=seed)
        return PolicyResults(name, sheets, found, halves, None)
    nothing = Estimate(reason=refusal)
    refused = [
        Leaning(axis.axis, axis.name, axis.contested, nothing, None, None)
        for axis in sheets[0].scores.axes
    ]
    return PolicyResults(name, sheets, refused, nothing, refusal)


def _too_few(policies: Sequence[PolicyResults]) -> str:
    """Why no two policies can be compared: what each of the others lacks."""
    refused = [f"{each.policy}: {each.refusal}" for each in policies if each.refusal is not None]
    return "; ".join(["fewer than two policies have numbers here", *refused])


def _separated(
    policies: Mapping[str, Sequence[Answers]], primary: str | None, envs: int, seed: int
) -> tuple[Separation | None, str | None]:
    try:
        return separate(policies, primary=primary, envs=envs, seed=seed), None
    except ConfigError as error:
        return None, str(error)


def _details(
    policies: Mapping[str, Sequence[Answers]], primary: str | None, seed: int, *, low_mass: bool
) -> tuple[Comparison | None, dict[str, Difference]]:
    """Every estimator's difference of two policies with a run each; of more policies or seeds the
    first's exposure and choice against each. Nothing where none have a situation in common.
    """
    if len(policies) < 2:
        return None, {}
    first, *others = policies.values()
    try:
        if len(first) == 1 and [len(seeds) for seeds in others] == [1]:
            [second] = others[0]
            found = compare(first[0], second, primary=primary, seed=seed, low_mass=low_mass)
            return found, {}
        splits = {
            name: _split(first, seeds) for name, seeds in zip([*policies][1:], others, strict=True)
        }
    except ConfigError:
        return None, {}  # the separation says why
    return None, {name: split for name, split in splits.items() if split is not None}


def _split(first: Sequence[Answers], second: Sequence[Answers]) -> Difference | None:
    assert EXPOSURE.difference is not None  # noqa: S101 – E6 compares
    if len(first) != len(second):
        return None
    return EXPOSURE.difference(Compared(list(map(pair, first, second))))


def _gaps(envs: Mapping[str, Mapping[str, Sequence[Answers]]]) -> dict[str, list[SayDo]]:
    """Each policy's surveys beside its other envs on the same values."""
    surveys = [env for env, policies in envs.items() if _asks(policies) == "rate"]
    found: dict[str, list[SayDo]] = {}
    for survey in surveys:
        for env, policies in envs.items():
            for name, revealed in policies.items():
                stated = envs[survey].get(name)
                if env in surveys or stated is None:
                    continue
                if stated[0].taxonomy.name == revealed[0].taxonomy.name:
                    found.setdefault(name, []).append(say_do(stated, revealed, envs=(survey, env)))
    return found


def _of_competence(policies: Mapping[str, Sequence[Answers]]) -> bool:
    return next(iter(policies.values()))[0].taxonomy.id == COMPETENCE


def _asks(policies: Mapping[str, Sequence[Answers]]) -> str | None:
    run = next(iter(policies.values()))[0].run if policies else None
    return None if run is None else run.header.asks


def _require_primary(primary: str | None, read: Sequence[Answers]) -> None:
    known = dict.fromkeys(axis for answers in read for axis in answers.taxonomy.axis_ids)
    if primary is not None and primary not in known:
        raise ConfigError(unknown_name("axis", primary, known))
