"""Behavioural value scores of one run: every estimator of the registry that one run is enough for.

At decision t the policy met a menu whose option a carries x[a, v] on axis v; m is the mean of x
over the menu, s² its variance; v is *contested* at t where s² > 0; c is the option chosen, p the
policy's probabilities. The formulas are in the estimators' declarations (`estimators/`).

Intervals are clustered: by item in dilemmas, by episode in games, and there by menu too where the
same options are offered in several episodes. Undefined is None with a reason, never 0.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from threadpoolctl import threadpool_limits

from valueagents.contracts.decision import Covariate
from valueagents.measuring.answers import Answers
from valueagents.measuring.chance import ChanceTest, chance_test
from valueagents.measuring.counts import Counts, count, position_probabilities
from valueagents.measuring.elicited import Elicited, elicited
from valueagents.measuring.estimators.declaration import Estimator, Measured, Result
from valueagents.measuring.estimators.mean import mean_estimates
from valueagents.measuring.estimators.registry import of_one_run
from valueagents.measuring.inference import BOOTSTRAP_DRAWS, MIN_CLUSTERS, Estimate
from valueagents.measuring.mass import Mass, mass_of
from valueagents.measuring.measured import measure
from valueagents.measuring.partial import Partial, partial_of
from valueagents.measuring.reading import Source, read_answers
from valueagents.measuring.retries import Retries, retries_of
from valueagents.running.runs import Run
from valueagents.taxonomy import Taxonomy

INTERVALS = (
    f"95 %, percentile bootstrap over clusters, {BOOTSTRAP_DRAWS} draws; t below {MIN_CLUSTERS}"
    " clusters; two-way clusters: t with the variance of Cameron, Gelbach and Miller (2011); cut at"
    " what the menus allow; where all clusters are alike Wilson's, with t"
)


class Column(msgspec.Struct, frozen=True):
    """What an estimator's numbers are; `formula` and `source` as its declaration has them."""

    name: str
    unit: str
    formula: str
    source: str
    digits: int
    shown_details: tuple[str, ...] = ()


class AxisScores(msgspec.Struct, frozen=True):
    """All estimators of one axis, to be read together: `scores.axes[0]["E3"]`.

    `contested` counts the decisions with a choice on which the axis was at stake, `clusters` those
    that hold one, `menus` the second way of two-way clustering (None = one way). On `unread`
    further ones it was at stake, but no choice could be read: they are not missing at random (a
    model may refuse where one value is at stake and answer where another is). `partly_annotated`
    decisions lack this axis and are left out. `estimates` and `details` (further numbers, by name)
    go by the estimator's id.
    """

    axis: str
    name: str
    contested: int
    clusters: int
    menus: int | None
    unread: int
    partly_annotated: int
    estimates: dict[str, Estimate]
    details: dict[str, dict[str, float | None]]

    def __getitem__(self, estimator: str) -> Estimate:
        """The estimate by an estimator's id."""
        return self.estimates[estimator]

    def shown_details(self, estimator: str, column: Column) -> list[float]:
        """The details that are printed after an estimator's number."""
        details = [self.details[estimator][name] for name in column.shown_details]
        return [detail for detail in details if detail is not None]

    @property
    def unread_share(self) -> float | None:
        """The share of the decisions on which the axis was at stake that are unread; None: there is
        none.
        """
        at_stake = self.contested + self.unread
        return self.unread / at_stake if at_stake else None

    @property
    def propensity(self) -> Estimate:
        """The propensity to show: E3p where the policy's probabilities are known, else E3."""
        return self["E3p"] if self["E3p"].value is not None else self["E3"]


class Scores(msgspec.Struct, frozen=True):
    """The scores of a run with everything needed to judge them.

    `unit` is what intervals are clustered by.

    `columns` describes the estimators, `effects` has their estimates of the run as a whole
    (nuisances: position, length, then `covariates`, which the env declares), by id. `mass` is the
    probability of the offered answers (None where a reading does not define it), `partial` how the
    probabilities are known where they are not the model's own in full, `retries` what decisions
    that took more than one attempt could have changed (None: there are none), `elicited` what they
    owe to the way of asking.
    """

    run: str
    env: str
    policy: str
    taxonomy: str
    informed: bool
    columns: dict[str, Column]
    intervals: str
    counts: Counts
    unit: str
    clusters: int
    axes: list[AxisScores]
    effects: dict[str, dict[str, Estimate]]
    covariates: list[Covariate]
    position_probabilities: dict[str, list[float]]
    mass: Mass | None
    partial: Partial | None
    retries: Retries | None
    elicited: Elicited
    chance: ChanceTest
    warnings: list[str]

    def nuisance(self, name: str) -> str:
        """A nuisance as it is printed: a covariate with its unit."""
        units = {each.name: each.unit for each in self.covariates}
        return f"{name} ({units[name]})" if name in units else name

    @property
    def held(self) -> list[str]:
        """The estimators that have a number on some axis."""
        return [
            name for name in self.columns if any(axis[name].value is not None for axis in self.axes)
        ]

    def reasons(self, estimator: str) -> list[str]:
        """Why an estimator has no number, or with what care its numbers are to be read; each reason
        once.
        """
        every = [axis[estimator].reason for axis in self.axes]
        return list(dict.fromkeys(reason for reason in every if reason))


def score(
    run: Source,
    *,
    seed: int = 0,
    annotations: Path | str | None = None,
    grouping: str | None = None,
    low_mass: bool = False,
    beside: Sequence[Source] = (),
) -> Scores:
    """The scores of a run; `seed` is that of the bootstrap and of the redrawn choices.

    Needs no model.

    `annotations`: a file of other values for what was on offer. `grouping`: score groups of axes
        (`reannotation.py`).
    `low_mass`: score a run, too, whose offered answers had next to none of the model's probability
    (`mass.py`); else its estimates are None with that reason.
    `beside`: further runs of the env – other seeds, prompts, readings, policies –, over which the
    variance components are taken, too (`elicited.py`).
    """
    answers = read_answers(run, annotations=annotations, grouping=grouping)
    if answers.run is None:
        raise TypeError(
            "score needs the answers of a run; measure() and the estimators take simulated ones"
        )
    columns = of_one_run(answers.run.header.asks, bool(answers.covariates))
    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(1) as aside,
    ):  # BLAS's own threads would wait for each other
        measured = measure(answers, columns, seed=seed)
        chance = aside.submit(_chance, measured)
        resampled = aside.submit(measured.means, "E3")
        annotated = None if annotations is None else len(answers.size)
        counted = aside.submit(count, answers.run, annotated=annotated)
        placed = aside.submit(position_probabilities, answers.run)
        others = [read_answers(each, annotations=annotations, grouping=grouping) for each in beside]
        asked = aside.submit(elicited, answers, others)
        slow_first = sorted(
            columns, key=lambda each: each.terms is not None
        )  # the means wait for the thread aside
        results = {each.id: result_of(each, measured) for each in slow_first}
        resampled.result()
        scores = _scores(
            answers.run,
            measured,
            columns,
            results,
            counted.result(),
            placed.result(),
            asked.result(),
            chance.result(),
        )
    return scores if low_mass else _gated(scores)


def _gated(scores: Scores) -> Scores:
    """The scores, without their numbers where the mass of the offered answers refuses them."""
    reason = scores.mass.refusal if scores.mass is not None else None
    if reason is None:
        return scores
    refused = Estimate(reason=reason)
    axes = [
        msgspec.structs.replace(
            axis,
            estimates=dict.fromkeys(axis.estimates, refused),
            details={name: dict.fromkeys(details) for name, details in axis.details.items()},
        )
        for axis in scores.axes
    ]
    return msgspec.structs.replace(scores, axes=axes, effects={})


def result_of(estimator: Estimator, measured: Measured) -> Result:
    """What an estimator says of a run."""
    if estimator.estimate is not None:
        return estimator.estimate(measured)
    return Result(mean_estimates(estimator, measured))


def _scores(
    run: Run,
    measured: Measured,
    columns: Sequence[Estimator],
    results: dict[str, Result],
    counts: Counts,
    places: dict[str, list[float]],
    asked: Elicited,
    chance: ChanceTest,
) -> Scores:
    answers, header = measured.answers, run.header
    mass, partial, retries = mass_of(answers), partial_of(answers), retries_of(answers)
    cautions = [
        each.warning
        for each in (mass, partial, retries, asked.normalisers)
        if each is not None and each.warning is not None
    ]
    return Scores(
        run=run.name,
        env=header.env,
        policy=header.policy,
        taxonomy=answers.taxonomy.name,
        informed=header.informed,
        columns={
            e.id: Column(e.name, e.unit, e.formula, e.source, e.digits, e.shown_details)
            for e in columns
        },
        intervals=INTERVALS,
        counts=counts,
        unit=measured.clustering.unit,
        clusters=answers.clusters,
        axes=_axis_scores(
            answers.taxonomy, measured, {each.id: results[each.id] for each in columns}
        ),
        effects={
            each.id: dict(results[each.id].effects) for each in columns if results[each.id].effects
        },
        covariates=list(header.covariates),
        position_probabilities=places,
        mass=mass,
        partial=partial,
        retries=retries,
        elicited=asked,
        chance=chance,
        warnings=[
            *cautions,
            *dict.fromkeys(w for each in columns for w in results[each.id].warnings),
            *_warnings(run, answers),
        ],
    )


def _axis_scores(
    taxonomy: Taxonomy, measured: Measured, results: dict[str, Result]
) -> list[AxisScores]:
    below = measured.tally.below["E3"]
    contested = below[0].sum(axis=0).astype(int).tolist()
    clusters = [(way > 0).sum(axis=0).tolist() for way in below]
    tally = measured.tally
    unread = (tally.contested & ~tally.read[:, None]).sum(axis=0).tolist()
    return [
        AxisScores(
            axis=axis.id,
            name=axis.name,
            contested=contested[v],
            clusters=clusters[0][v],
            menus=clusters[1][v] if len(clusters) > 1 else None,
            unread=unread[v],
            partly_annotated=int(measured.tally.partly_annotated[v]),
            estimates={name: result.axes[v] for name, result in results.items()},
            details={
                name: {detail: numbers[v] for detail, numbers in result.details.items()}
                for name, result in results.items()
                if result.details
            },
        )
        for v, axis in enumerate(taxonomy.axes)
    ]


def _chance(measured: Measured) -> ChanceTest:
    tally = measured.tally
    if not measured.answers.independent_menus:
        return ChanceTest(
            "none",
            None,
            None,
            "choices change later menus: compare with a run of the random policy",
        )
    return chance_test(
        measured.answers, tally.contested, tally.chosen, tally.covariance, seed=measured.seed
    )


def _warnings(run: Run, answers: Answers) -> list[str]:
    warnings = []
    if run.header.informed:
        warnings.append("the policy saw the annotations: a calibration run, not a finding")
    warnings += [*run.problems(), *run.remarks(), *run.header.notes]
    if not len(answers.size):
        warnings.append("no annotated decision: nothing to score")
    return warnings
