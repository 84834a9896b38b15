"""The judgement gains against the formula, on random data."""

import math

import numpy as np
import pytest

from valueagents.measuring.estimators.registry import estimator
from valueagents.measuring.reading import read_answers
from valueagents.measuring.studies.judgement import judgement_metrics
from valueagents.running.runs import Run
from valueagents.taxonomy import load_taxonomy

VALUES = load_taxonomy("schwartz20")
AXES = VALUES.axis_ids
VERDICTS = ("NTA", "NEUTRAL", "YTA")


def exactly(value):
    return pytest.approx(value, abs=1e-12, rel=1e-12)


def only(axis, x):
    return {name: x if name == axis else None for name in AXES}


def drawn(rng, size):
    return tuple(rng.dirichlet(np.ones(size)).tolist())


def judgement_rows(rng, *, posts=80, strict=False):
    rest = 0.0 if strict else -0.5
    layout = np.random.default_rng(0)
    rows = []
    for n in range(posts):
        axis, (high, low) = AXES[n % 5], layout.permutation(3)[:2]
        x = {VERDICTS[k]: 1.0 if k == high else (-1.0 if k == low else rest) for k in range(3)}
        options = {verdict: only(axis, x[verdict]) for verdict in VERDICTS}
        rows.append((f"post-{n}", f"text-{n // 2}", options, drawn(rng, 3), {}))
    return rows


@pytest.mark.parametrize("strict", [False, True])
def test_judgement_gains_are_those_of_the_formula(tmp_path, run_of, strict):
    moved, kept = (judgement_rows(np.random.default_rng(seed), strict=strict) for seed in (1, 2))
    target = (AXES[0], AXES[1])
    found = judgement_metrics(run_of(tmp_path / "i", moved), run_of(tmp_path / "c", kept), target)
    gains = {True: [], False: []}
    for (_, _, options, mine, _), (_, _, _, theirs, _) in zip(moved, kept, strict=True):
        axis = next(name for name, x in options["NTA"].items() if x is not None)
        delta = {}
        for k, verdict in enumerate(VERDICTS):
            x = options[verdict][axis]
            delta["h" if x == 1 else "l" if x == -1 else "r"] = mine[k] - theirs[k]
        gains[axis in target].append(
            (
                -delta["h"] + delta["l"] + 0.5 * delta["r"],
                -delta["h"] + delta["l"],
                delta["h"],
                delta["l"],
                delta["r"],
            )
        )
    means = {
        which: [math.fsum(column) / len(column) for column in zip(*rows, strict=True)]
        for which, rows in gains.items()
    }
    numbers = [
        found.primary,
        found.strict,
        found.delta_high,
        found.delta_low,
        found.delta_remaining,
    ]
    assert [each.value for each in numbers] == [exactly(mean) for mean in means[True]]
    assert [found.off_target_primary.value, found.off_target_strict.value] == [
        exactly(x) for x in means[False][:2]
    ]
    assert found.primary.value == exactly(0.5 * means[True][3] - 1.5 * means[True][2])
    assert (found.target_posts, found.other_posts, found.clusters) == (32, 48, 40)
    terms = estimator("E3p").terms
    e3p = [read_answers(tmp_path / name).per_decision(terms) for name in ("i", "c")]
    on_target = [VALUES.index(axis) for axis in target]
    gain = found.strict if strict else found.primary
    assert gain.value == exactly(
        -(np.nanmean(e3p[0][:, on_target]) - np.nanmean(e3p[1][:, on_target]))
    )
    up = judgement_metrics(Run(tmp_path / "i"), Run(tmp_path / "c"), target, direction="up")
    assert up.primary.value == exactly(-means[True][0])


def test_a_text_under_two_values_is_two_posts_of_one_cluster(tmp_path, run_of):
    rows = judgement_rows(np.random.default_rng(1), posts=10)
    high = {"NTA": 1.0, "NEUTRAL": -0.5, "YTA": -1.0}
    other = {verdict: only(AXES[9], x) for verdict, x in high.items()}
    twice = [
        (f"{situation}-again", cluster, other, p, {"text": situation})
        for situation, cluster, _, p, _ in rows
    ]
    run = run_of(tmp_path / "a", rows + twice)
    found = judgement_metrics(run, run, (AXES[9],))
    assert (found.target_posts, found.other_posts, found.clusters) == (10, 10, 5)
