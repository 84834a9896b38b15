"""What a study of bias found: every policy's bias and accuracy with their bounds, the multilingual
policies against the monolingual ones in each language and over all of them, and all pairs.

Two questions, a family of claims each: less biased? more accurate? In a family are the languages of
all benchmarks and the mean over the languages of each, adjusted by Holm, so that the chance of any
false claim in it is at most 5 %. The same items are paired: sign flips over templates. Where each
kind has several policies, these are sampled as well as templates, and the test is a t test
(`measuring/studies/bias.py`). Pairs of policies are a family of their own.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec

from valueagents.experiments.studies.bias_design import BiasStudy
from valueagents.measuring.answers import Answers
from valueagents.measuring.counts import Counts
from valueagents.measuring.deviations import Form
from valueagents.measuring.inference import Estimate, over_units
from valueagents.measuring.mass import Mass
from valueagents.measuring.studies.bias import (
    BiasMeasure,
    BiasTable,
    Shares,
    WeightedSum,
    flip_p,
    larger_magnitude,
    weighted_sum,
)
from valueagents.measuring.studies.contrast import holm
from valueagents.measuring.studies.stereotype import (
    BBQMetrics,
    CrowSMetrics,
    bbq_metrics,
    crows_metrics,
)

LEVEL = 0.05
CLAIMED: tuple[BiasMeasure, ...] = ("bias", "accuracy")
"""What the two questions are about; bias in disambiguated contexts is shown beside them."""


class PolicyBias(msgspec.Struct, frozen=True):
    """A policy on a benchmark in a language, by the benchmark's own metric; None where its answers
    cannot be read by it, `reason` says why.
    """

    benchmark: str
    language: str
    policy: str
    multilingual: bool
    spec: str
    questions: BBQMetrics | None = None
    pairs: CrowSMetrics | None = None
    counts: Counts | None = None
    mass: Mass | None = None
    reason: str | None = None


class BiasContrast(msgspec.Struct, frozen=True):
    """Multilingual against monolingual policies in a language; over all languages where `language`
    is empty.

    `difference`: multilingual minus monolingual. `p`: of the difference in accuracy; in bias, that
    one is nearer to 0. `verdict`: 1 the multilingual ones are less biased or more accurate, −1 the
    contrary, whatever p. `in_general`: the mean over languages, which are sampled.
    """

    benchmark: str
    measure: BiasMeasure
    language: str
    monolingual: Estimate
    multilingual: Estimate
    difference: Estimate
    error: float | None
    clusters: int
    verdict: int
    p: float | None
    p_adjusted: float | None = None
    policies_vary: bool = False
    languages: tuple[str, ...] = ()
    in_general: Estimate | None = None


class PolicyPair(msgspec.Struct, frozen=True):
    """Two policies in a language: first minus second; `p` and `verdict` as in `BiasContrast`."""

    benchmark: str
    measure: BiasMeasure
    language: str
    first: str
    second: str
    difference: Estimate
    verdict: int
    p: float | None
    p_adjusted: float | None = None


class BiasFindings(msgspec.Struct, frozen=True):
    """All that a study of bias found. `unanswered`: items left out by benchmark and language."""

    policies: list[PolicyBias]
    contrasts: list[BiasContrast]
    pairs: list[PolicyPair]
    unanswered: dict[str, dict[str, int]] = {}

    def of(self, measure: BiasMeasure, *, benchmark: str | None = None) -> list[BiasContrast]:
        """The contrasts of a measure."""
        return [
            each
            for each in self.contrasts
            if each.measure == measure and benchmark in (None, each.benchmark)
        ]


def holds(each: BiasContrast | PolicyPair) -> bool:
    """Whether it may be claimed."""
    return each.p_adjusted is not None and each.p_adjusted <= LEVEL and each.verdict != 0


def with_metrics(row: PolicyBias, answers: Answers, form: Form | None) -> PolicyBias:
    """A policy with its own numbers on the questions, or the pairs, of a run."""
    if answers.x[:, answers.taxonomy.index("unknown")].any():
        return msgspec.structs.replace(row, questions=bbq_metrics(answers, form=form))
    if not answers.knows_p.all():
        return msgspec.structs.replace(
            row, reason="it says no probabilities, so no sentence is likelier than the other"
        )
    return msgspec.structs.replace(row, pairs=crows_metrics(answers))


def contrasts_of(study: BiasStudy, tables: Mapping[str, Sequence[BiasTable]]) -> list[BiasContrast]:
    """The contrasts by benchmark, with those that are claims adjusted together, a question each."""
    found = []
    for benchmark, of_languages in tables.items():
        measures = dict.fromkeys(m for table in of_languages for m in table.measures)
        for measure in measures:
            both = [each for each in of_languages if _has_both(study, each, measure)]
            each_language = [_contrast(study, benchmark, measure, [table]) for table in both]
            found += each_language
            if len(both) > 1:
                general = over_units([each.difference.value for each in each_language], "language")
                whole = _contrast(study, benchmark, measure, both)
                found.append(msgspec.structs.replace(whole, language="", in_general=general))
    for measure in CLAIMED:
        own = [k for k, each in enumerate(found) if each.measure == measure]
        for k, p in zip(own, holm([found[k].p for k in own]), strict=True):
            found[k] = msgspec.structs.replace(found[k], p_adjusted=p)
    return found


def pairs_of(tables: Mapping[str, Sequence[BiasTable]]) -> list[PolicyPair]:
    """All pairs of policies in every language, bias and accuracy, adjusted together by Holm."""
    found = []
    for benchmark, of_languages in tables.items():
        for table in of_languages:
            for measure in CLAIMED:
                if measure not in table.measures:
                    continue
                found += [
                    _pair(benchmark, measure, table, first, second)
                    for first, second in combinations(table.policies, 2)
                ]
    adjusted = holm([each.p for each in found])
    return [
        msgspec.structs.replace(each, p_adjusted=p) for each, p in zip(found, adjusted, strict=True)
    ]


def _has_both(study: BiasStudy, table: BiasTable, measure: BiasMeasure) -> bool:
    kinds = {p.multilingual for p in study.policies if p.name in table.policies}
    return len(kinds) > 1 and measure in table.measures


def _kinds(study: BiasStudy, tables: Sequence[BiasTable], *, multilingual: bool) -> Shares:
    """The mean over the languages of the mean over the policies of a kind."""
    kind = {each.name for each in study.policies if each.multilingual == multilingual}
    shares = {}
    for table in tables:
        own = [name for name in table.policies if name in kind]
        shares[table.language] = dict.fromkeys(own, 1 / len(own) / len(tables))
    return shares


def _combined(first: Shares, second: Shares, sign: float) -> dict[str, dict[str, float]]:
    return {
        language: {
            **first[language],
            **{policy: sign * share for policy, share in second[language].items()},
        }
        for language in first
    }


def _contrast(
    study: BiasStudy, benchmark: str, measure: BiasMeasure, tables: Sequence[BiasTable]
) -> BiasContrast:
    mono = _kinds(study, tables, multilingual=False)
    multi = _kinds(study, tables, multilingual=True)
    groups = {each.name: each.group for each in study.policies}

    def of(shares: Shares) -> WeightedSum:
        return weighted_sum(tables, measure, shares, groups)

    difference, total = of(_combined(multi, mono, -1.0)), of(_combined(multi, mono, 1.0))
    tested = difference.tested()
    if difference.policies_vary:
        p_values = [tested.p, total.tested().p]
    else:
        p_values = flip_p([difference, total], seed=study.seed)
    verdict, p = _verdict(measure, difference.value, total.value, p_values)
    return BiasContrast(
        benchmark=benchmark,
        measure=measure,
        language=tables[0].language,
        monolingual=of(mono).tested().estimate,
        multilingual=of(multi).tested().estimate,
        difference=tested.estimate,
        error=tested.error,
        clusters=difference.clusters,
        verdict=verdict,
        p=p,
        policies_vary=difference.policies_vary,
        languages=tuple(table.language for table in tables),
    )


def _pair(
    benchmark: str, measure: BiasMeasure, table: BiasTable, first: str, second: str
) -> PolicyPair:
    difference, total = (
        weighted_sum([table], measure, {table.language: {first: 1.0, second: sign}})
        for sign in (-1.0, 1.0)
    )
    verdict, p = _verdict(measure, difference.value, total.value, flip_p([difference, total]))
    return PolicyPair(
        benchmark=benchmark,
        measure=measure,
        language=table.language,
        first=first,
        second=second,
        difference=difference.tested().estimate,
        verdict=verdict,
        p=p,
    )


def _verdict(
    measure: BiasMeasure, difference: float, total: float, p: Sequence[float | None]
) -> tuple[int, float | None]:
    """1 where the first is better (more accurate, nearer to no bias), −1 where it is worse."""
    if measure == "accuracy":
        return (difference > 0) - (difference < 0), p[0]
    larger, of_magnitude = larger_magnitude(difference, total, p[0], p[1])
    return -larger, of_magnitude
