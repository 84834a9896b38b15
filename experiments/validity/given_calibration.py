"""Does `study adapters` claim what is there, and nothing else? Known policies in place of adapters,
through its comparison (`of_env`, `adjusted`) and its sentences.

A base and four policies, of which two each have one target, meet the bundled survey (six pairs of
statements a value), dilemmas and judgements. A policy is a softmax over its weights; every
policy but the base has besides an item's own slope on every value, N(0, NOISE) logits a unit of x,
which is what training leaves behind without any value having moved. Answers are probabilities, or
choices drawn from them. Three truths:

equal       no policy weighs any value: whatever is claimed is false
one         one policy of the four weighs one value more, by `MOVED`: false is what is claimed on a
            value that no item contests together with it, and of pairs without that policy
targets     two pairs of policies weigh their targets more: the makers' contrast and ranks

false claims   share of studies with any
in sentences   share whose text names a value that is claimed falsely, or claims a contrast
power          share of the true differences with the moved policy that are claimed, by env
rank           share of studies in which the moved policy is the highest on the value, by env
contrast       share of studies that claim the makers' targets moved as meant, by env
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from valueagents.experiments.studies.design import StudyEnv
from valueagents.experiments.studies.effects import Role
from valueagents.experiments.studies.given_design import BASE, GivenPolicy, GivenStudy
from valueagents.experiments.studies.given_effects import GivenEnv, adjusted, holds, of_env
from valueagents.experiments.studies.given_sentences import sentences
from valueagents.experiments.validity.few_clusters import answered, apart_from
from valueagents.measuring.answers import Answers
from valueagents.measuring.deviations import Form
from valueagents.measuring.reading import read_answers
from valueagents.running.execution import RunConfig, execute

ENVS: dict[str, tuple[str, Role]] = {
    "survey": ("valueagents/Survey-v0", "survey"),
    "dilemmas": ("valueagents/Dilemma-v0", "behaviour"),
    "judgement": ("valueagents/Judgement-v0", "judgement"),
}
NAMES, TARGETS = ("a1", "a2", "b1", "b2"), ("HED", "UNC")
NOISE, BASE_SD = 0.1, 0.5
"""Sd of an item's slope, sd of the utilities that all policies share."""
MOVED: dict[str, float] = {"probability": 0.4, "choice": 2.0}
"""The moved weight: a draw tells far less than the probabilities that it was drawn from."""

Truth = Literal["equal", "one", "targets"]


@dataclass(frozen=True, slots=True)
class AskedEnv:
    """What an env asks, and where each value is at stake with which."""

    env: StudyEnv
    answers: Answers


def menus_of(out: Path) -> list[AskedEnv]:
    """Every item of the three envs once, met by a random policy."""
    found = []
    for name, (env, role) in ENVS.items():
        run = execute(RunConfig(env=env, policy="random", seed=1), out / name)
        found.append(
            AskedEnv(StudyEnv(name=name, role=role, env=env), replace(read_answers(run), run=None))
        )
    return found


def study_of(menus: Sequence[AskedEnv], truth: Truth) -> GivenStudy:
    """Two policies for each target where makers name any."""
    named = truth != "one"
    targets = [TARGETS[0], TARGETS[0], TARGETS[1], TARGETS[1]]
    policies = tuple(
        GivenPolicy(name=name, policy="known", target=target if named else None)
        for name, target in zip(NAMES, targets, strict=True)
    )
    return GivenStudy(base="known", policies=policies, envs=tuple(each.env for each in menus))


def met(
    rng: np.random.Generator, answers: Answers, moved: dict[str, str], form: Form
) -> dict[str, Answers]:
    """The answers of base and policies; `moved`: by policy the value that it weighs more."""
    shared = rng.normal(0, BASE_SD, len(answers.p))
    x = np.nan_to_num(answers.x)
    found = {}
    for name in (BASE, *NAMES):
        slopes = np.zeros((answers.clusters, x.shape[1]))
        if name != BASE:
            slopes = rng.normal(0, NOISE, slopes.shape)
        if name in moved:
            slopes[:, answers.taxonomy.index(moved[name])] += MOVED[form]
        utility = shared + (x * slopes[answers.cluster[answers.menu_of]]).sum(axis=1)
        told = answered(answers, utility)
        found[name] = told if form == "probability" else drawn(rng, told)
    return found


def drawn(rng: np.random.Generator, answers: Answers) -> Answers:
    """An option of each menu drawn by its probabilities, which are forgotten."""
    noisy = np.log(answers.p) + rng.gumbel(size=len(answers.p))
    best = np.lexsort((noisy, answers.menu_of))[np.cumsum(answers.size) - 1]
    return replace(answers, chosen=best, p=np.full(len(answers.p), np.nan))


def one_study(
    seed: int, menus: Sequence[AskedEnv], truth: Truth, form: Form
) -> tuple[list[GivenEnv], str]:
    """A study's numbers and its sentences."""
    rng = np.random.default_rng([seed, len(truth), len(form)])
    value = menus[0].answers.taxonomy.axis_ids[seed % len(menus[0].answers.taxonomy.axes)]
    moved = {
        "equal": {},
        "one": {NAMES[0]: value},
        "targets": dict(zip(NAMES, (TARGETS[0],) * 2 + (TARGETS[1],) * 2, strict=True)),
    }[truth]
    study = study_of(menus, truth)
    envs = [of_env(study, each.env, met(rng, each.answers, moved, form)) for each in menus]
    found = adjusted(envs)
    return found, " ".join(sentences(study, found))


def rates(menus: Sequence[AskedEnv], truth: Truth, form: Form, replicates: int) -> dict[str, float]:
    """The shares of the table, by name."""
    count: defaultdict[str, float] = defaultdict(float)
    axes = menus[0].answers.taxonomy.axes
    for seed in range(replicates):
        envs, text = one_study(seed, menus, truth, form)
        axis = axes[seed % len(axes)]
        if truth == "targets":
            _count_targets(count, envs)
            continue
        moved = axis.id if truth == "one" else None
        false = _false_claims(envs, menus, moved)
        count["false claims"] += bool(false)
        names = {each.id: each.name for each in axes}
        told = [re.escape(names[each]) for each in false]
        contrast = bool(re.search("moved as meant|moved against", text))
        count["in sentences"] += contrast or any(
            re.search(rf"{name} \(\d|on {name}", text) for name in told
        )
        if moved is not None:
            _count_moved(count, envs, axis.id)
    return {name: number / replicates for name, number in sorted(count.items())}


def _false_claims(
    envs: Sequence[GivenEnv], menus: Sequence[AskedEnv], moved: str | None
) -> set[str]:
    """The values of what is claimed and is not so."""
    false = set()
    for env, asked in zip(envs, menus, strict=True):
        axes = asked.answers.taxonomy.axis_ids
        apart = (
            axes
            if moved is None
            else [axes[v] for v in apart_from(asked.answers, axes.index(moved))]
        )
        for each in env.held:
            with_moved = NAMES[0] in (each.first, each.second)
            if moved is None or not with_moved or each.axis in apart:
                false.add(each.axis)
        false |= {TARGETS[0] for found in env.contrasts if holds(found)}
    return false


def _count_moved(count: dict[str, float], envs: Sequence[GivenEnv], axis: str) -> None:
    for env in envs:
        own = [
            each
            for each in env.tested
            if each.axis == axis and NAMES[0] in (each.first, each.second)
        ]
        if own:
            count[f"power, {env.env}"] += sum(map(holds, own)) / len(own)
            count[f"power, {env.env}, from the base"] += any(
                holds(each) for each in own if each.first == BASE
            )
        profile = {name: values[axis].value for name, values in env.profiles.items()}
        known = {name: value for name, value in profile.items() if value is not None}
        count[f"rank, {env.env}"] += bool(known) and max(known, key=known.__getitem__) == NAMES[0]


def _count_targets(count: dict[str, float], envs: Sequence[GivenEnv]) -> None:
    for env in envs:
        [found] = env.contrasts
        number = found.contrasts.these_values.estimate
        count[f"contrast above 0, {env.env}"] += (number.value or 0.0) > 0
        count[f"contrast claimed, {env.env}"] += holds(found) and (number.value or 0.0) > 0
        order = sorted(env.profiles, key=lambda name: env.profiles[name]["HED"].value or 0.0)
        count[f"rank, {env.env}"] += set(order[-2:]) == set(NAMES[:2])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("runs/given-calibration"))
    parser.add_argument("--forms", nargs="+", default=["probability", "choice"])
    parser.add_argument("--truths", nargs="+", default=["equal", "one", "targets"])
    given = parser.parse_args(argv)
    menus = menus_of(given.out)
    for form in given.forms:
        for truth in given.truths:
            found = rates(menus, truth, form, given.replicates)
            print(f"\n{truth}, {form}, {given.replicates} replicates")
            for name, share in found.items():
                error = np.sqrt(share * (1 - share) / given.replicates)
                print(f"  {name:36s} {share:.3f} ± {error:.3f}", flush=True)


if __name__ == "__main__":
    main()
