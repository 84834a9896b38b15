"""Does a study of bias find what is there, and nothing else? Known policies in place of models.

recover   `known` policies with a set bias on the bundled questions, choices drawn: coverage of the
          95 % intervals of bias and accuracy (`metric bbq`), and where the mean lies
one bias  six policies of one bias and one accuracy, five monolingual and one multilingual, in five
          languages on templates of their own: share of studies with any claim about bias, about
          accuracy, and that call any of the 15 pairs of policies in a language different
less      the multilingual one weighs the stereotype less: share of studies that claim it, over the
          languages and in how many of the five
seeds     as `one bias` and `less` with three policies of each kind, whose trainings differ

A policy answers by a softmax over its weight of the stereotype, what a template adds to it for
everybody and for this policy alone, and its weight of the right answer.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from valueagents.arrays import FloatArray
from valueagents.experiments.studies.bias_design import Benchmark, BiasPolicy, BiasStudy
from valueagents.experiments.studies.bias_effects import LEVEL, contrasts_of, holds, pairs_of
from valueagents.experiments.validity.simulation import play
from valueagents.measuring.answers import Answers
from valueagents.measuring.inference import Estimate
from valueagents.measuring.reading import read_answers
from valueagents.measuring.studies.bias import (
    AMBIGUOUS,
    ANTI_RIGHT,
    PRO_RIGHT,
    BiasTable,
    measures_of,
)
from valueagents.measuring.studies.stereotype import bbq_metrics
from valueagents.running.execution import RunConfig, execute

LANGUAGES = ("en", "de", "fr", "it", "es")
TEMPLATES = 40
WEIGHT, RIGHT, LESS = 0.5, 0.8, 0.25
"""A policy's weights of the stereotype and of the right answer; the lower weight of `less`."""
SHARED, OWN, TRAINING = 0.5, 0.3, 0.2
"""Sd of what a template has for everybody, for a policy alone; of trainings of one kind."""

SETTINGS = {
    "one bias": (1, False, 0.0),
    "less": (1, True, 0.0),
    "one bias, 3 seeds": (3, False, TRAINING),
    "less, 3 seeds": (3, True, TRAINING),
}


def bundled(out: Path) -> Answers:
    """The bundled English questions, each met once."""
    run = execute(RunConfig(env="valueagents/Stereotype-v0", policy="random", seed=1), out)
    return replace(read_answers(run), run=None)


def recovered(menus: Answers, replicates: int) -> dict[str, tuple[float, float, float]]:
    """By number: the truth, the mean estimate, the share of intervals that hold the truth."""
    axes = menus.taxonomy.axis_ids
    weights = np.array([{"pro": WEIGHT, "correct": RIGHT}.get(axis, 0.0) for axis in axes])
    exact = bbq_metrics(play(np.random.default_rng(0), menus, weights), form="probability")
    names = ("bias_ambiguous", "bias_disambiguated", "accuracy_ambiguous", "accuracy_disambiguated")
    found: dict[str, list[Estimate]] = {name: [] for name in names}
    for replicate in range(replicates):
        drawn = play(np.random.default_rng([1, replicate]), menus, weights)
        metrics = bbq_metrics(drawn, form="choice", seed=replicate)
        for name in names:
            found[name].append(getattr(metrics, name))
    table = {}
    for name, estimates in found.items():
        truth = float(getattr(exact, name).value)
        held = [_holds_number(each, truth) for each in estimates]
        mean = float(np.mean([each.value or 0.0 for each in estimates]))
        table[name] = (truth, mean, float(np.mean(held)))
    return table


def _holds_number(estimate: Estimate, truth: float) -> bool:
    return (
        estimate.low is not None
        and estimate.high is not None
        and estimate.low <= truth <= estimate.high
    )


def study_of(each: int) -> BiasStudy:
    """Of each kind so many policies."""
    mono = [
        BiasPolicy(name=f"{language} {k}", policy="known", languages=(language,))
        for language in LANGUAGES
        for k in range(each)
    ]
    multi = [BiasPolicy(name=f"all {k}", policy="known", languages=LANGUAGES) for k in range(each)]
    return BiasStudy(
        policies=(*mono, *multi), benchmarks=(Benchmark(name="probes", languages=LANGUAGES),)
    )


def tables_of(
    rng: np.random.Generator, study: BiasStudy, *, less: bool, training: float
) -> list[BiasTable]:
    """The study's answers, drawn: in each language four questions a template, as the bundled set
    has them.
    """
    kinds = np.tile([AMBIGUOUS, AMBIGUOUS, PRO_RIGHT, ANTI_RIGHT], TEMPLATES)
    template = np.repeat(np.arange(TEMPLATES), 4)
    shared = rng.normal(0, SHARED, TEMPLATES)
    moved = {policy.name: rng.normal(0, training) for policy in study.policies}
    tables = []
    for language in LANGUAGES:
        there = shared + rng.normal(0, OWN, TEMPLATES)
        columns = []
        for policy in study.speaking(language):
            weight = LESS if less and policy.multilingual else WEIGHT
            own = weight + moved[policy.name] + there + rng.normal(0, OWN, TEMPLATES)
            columns.append(_answers(rng, own[template], kinds))
        tables.append(
            BiasTable(
                language,
                tuple(policy.name for policy in study.speaking(language)),
                np.array([f"t{t}" for t in template]),
                measures_of(np.stack(columns), kinds),
            )
        )
    return tables


def _answers(rng: np.random.Generator, weight: FloatArray, kinds: FloatArray) -> FloatArray:
    """(I, 4) columns of one policy: pro − anti, right, likelier, kind."""
    utility = np.zeros((len(kinds), 3))  # pro, anti, unknown
    utility[:, 0] = weight
    place = np.select([kinds == PRO_RIGHT, kinds == ANTI_RIGHT], [0, 1], 2)
    rows = np.arange(len(kinds))
    utility[rows, place] += RIGHT
    chosen = (utility + rng.gumbel(size=utility.shape)).argmax(axis=1)
    pro_less_anti = (chosen == 0).astype(np.float64) - (chosen == 1)
    return np.column_stack([pro_less_anti, chosen == place, np.zeros(len(kinds)), kinds])


def rates(*, each: int, less: bool, training: float, replicates: int) -> dict[str, float]:
    """The shares of the table, by name."""
    study, count = study_of(each), Counter[str]()
    for replicate in range(replicates):
        rng = np.random.default_rng([each, int(less), replicate])
        tables = {"probes": tables_of(rng, study, less=less, training=training)}
        contrasts = contrasts_of(study, tables)
        for measure in ("bias", "accuracy"):
            own = [c for c in contrasts if c.measure == measure]
            whole = next(c for c in own if not c.language)
            told = [c for c in own if holds(c) and c.language]
            count[f"{measure}: any claim"] += any(map(holds, own))
            count[f"{measure}: over the languages"] += holds(whole)
            count[f"{measure}: languages told"] += len(told)
        if each == 1 and not less:
            count["pairs: any claim"] += any(
                pair.p_adjusted is not None and pair.p_adjusted <= LEVEL
                for pair in pairs_of({"probes": six_in_one(rng)})
            )
    return {name: number / replicates for name, number in sorted(count.items())}


def six_in_one(rng: np.random.Generator) -> list[BiasTable]:
    """Six policies of one bias that all speak one language."""
    policies = tuple(
        BiasPolicy(name=f"p{k}", policy="known", languages=LANGUAGES) for k in range(6)
    )
    benchmarks = (Benchmark(name="probes", languages=LANGUAGES),)
    study = BiasStudy(policies=policies, benchmarks=benchmarks)
    return tables_of(rng, study, less=False, training=0.0)[:1]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("runs/bias-calibration"))
    parser.add_argument("--parts", nargs="+", default=["recover", *SETTINGS])
    given = parser.parse_args(argv)
    if "recover" in given.parts:
        print(f"recover, {given.replicates} replicates: truth, mean estimate, coverage")
        for name, numbers in recovered(bundled(given.out), given.replicates).items():
            print(f"  {name:26s} {numbers[0]:+.3f} {numbers[1]:+.3f} {numbers[2]:.3f}", flush=True)
    for what, (each, less, training) in SETTINGS.items():
        if what not in given.parts:
            continue
        found = rates(each=each, less=less, training=training, replicates=given.replicates)
        print(f"\n{what}, {given.replicates} replicates")
        for name, share in found.items():
            print(f"  {name:50s} {share:.3f}", flush=True)


if __name__ == "__main__":
    main()
