"""Bias and accuracy of several policies: sums against straight lines, errors against simulation."""

import numpy as np
import pytest

from valueagents.contracts.decision import Factor
from valueagents.errors import ConfigError
from valueagents.measuring.studies.bias import (
    AMBIGUOUS,
    ANTI_RIGHT,
    PRO_RIGHT,
    THESE_ONLY,
    BiasTable,
    bias_table,
    flip_p,
    larger_magnitude,
    measures_of,
    weighted_sum,
)
from valueagents.taxonomy import load_taxonomy

BIAS = load_taxonomy("stereotype")
ITEM = (Factor("item", "Which question."),)


def questions(rng, count=24):
    rows = []
    for n in range(count):
        right = ("unknown", "pro", "unknown", "anti")[n % 4]
        options = {
            name: {name: 1.0, **({"correct": 1.0} if name == right else {})}
            for name in ("pro", "anti", "unknown")
        }
        extra = {"factors": {"item": f"q{n}"}, "right": right}
        rows.append(
            (f"s{n}", f"t{n // 4}", options, tuple(rng.dirichlet(np.ones(3)).tolist()), extra)
        )
    return rows


@pytest.fixture
def two(tmp_path, run_of):
    """Two policies on the same questions, with their rows."""
    from valueagents.measuring.reading import read_answers

    rows = {name: questions(np.random.default_rng(k)) for k, name in enumerate(("a", "b"))}
    runs = {
        name: run_of(tmp_path / name, each, taxonomy=BIAS, factors=ITEM)
        for name, each in rows.items()
    }
    return rows, {name: read_answers(run) for name, run in runs.items()}


def test_numbers_of_a_policy_are_those_of_their_definitions(two):
    rows, answers = two
    table = bias_table("en", answers)
    assert (table.policies, table.templates, table.unanswered) == (("a", "b"), 6, 0)
    names = ("pro", "anti", "unknown")

    def mean(policy, right, answer):
        found = [r[3][names.index(answer)] for r in rows[policy] if r[4]["right"] == right]
        return sum(found) / len(found)

    for policy in ("a", "b"):
        right = {name: mean(policy, name, name) for name in names}
        told = (right["pro"] + right["anti"]) / 2
        wanted = {
            "bias": mean(policy, "unknown", "pro") - mean(policy, "unknown", "anti"),
            "bias, disambiguated": right["pro"] - right["anti"],
            "accuracy": (right["unknown"] + told) / 2,
        }
        for measure, value in wanted.items():
            found = weighted_sum([table], measure, {"en": {policy: 1.0}})
            assert found.value == pytest.approx(value, abs=1e-12)
            assert sum(found.by_template.values()) == pytest.approx(value, abs=1e-12)


def test_a_difference_of_two_policies_pairs_their_items(two):
    _, answers = two
    table = bias_table("en", answers)
    one, other, both = (
        weighted_sum([table], "bias", {"en": shares})
        for shares in ({"a": 1.0}, {"b": 1.0}, {"a": 1.0, "b": -1.0})
    )
    assert both.value == pytest.approx(one.value - other.value, abs=1e-12)
    same = weighted_sum(
        [bias_table("en", {"a": answers["a"], "c": answers["a"]})],
        "bias",
        {"en": {"a": 1.0, "c": -1.0}},
    )
    assert (same.value, same.variance) == (0.0, 0.0)
    assert same.tested().p is None


def test_an_item_that_one_policy_did_not_answer_is_left_out_for_all(tmp_path, run_of):
    rows = questions(np.random.default_rng(1))
    unread = [row if n else (*row[:3], None, row[4]) for n, row in enumerate(rows)]
    chosen = [(*row[:3], "pro" if row[3] else None, row[4]) for row in unread]
    runs = {
        "a": run_of(tmp_path / "a", rows, taxonomy=BIAS, factors=ITEM),
        "b": run_of(tmp_path / "b", chosen, taxonomy=BIAS, factors=ITEM),
    }
    from valueagents.measuring.reading import read_answers

    table = bias_table("en", {name: read_answers(run) for name, run in runs.items()})
    assert (len(table.template), table.unanswered) == (23, 1)


def test_a_run_on_other_axes_is_refused(tmp_path, run_of):
    from valueagents.measuring.reading import read_answers

    run = run_of(tmp_path / "v", [("s", "s", {"a": {"BEC": 1.0}, "b": {}}, (0.5, 0.5), {})])
    with pytest.raises(ConfigError, match="not stereotype"):
        bias_table("en", {"a": read_answers(run)})


@pytest.mark.parametrize(
    ("a", "b", "larger"),
    [(0.3, 0.1, 1), (-0.3, 0.1, 1), (0.1, 0.3, -1), (0.1, -0.3, -1), (0.2, 0.2, 0)],
)
def test_which_bias_is_nearer_to_0_is_told_by_difference_and_sum(a, b, larger):
    assert larger_magnitude(a - b, a + b, 0.01, 0.04) == (larger, 0.04)
    assert larger_magnitude(a - b, a + b, None, 0.04) == (0, None)


def simulated(rng, policies, *, bias, training=0.0, templates=40):
    """A table whose policies have a bias in common, but for what their trainings add."""
    kinds = np.tile([AMBIGUOUS, AMBIGUOUS, PRO_RIGHT, ANTI_RIGHT], templates)
    template = np.repeat(np.arange(templates), 4)
    columns = []
    for _ in policies:
        mean = bias + rng.normal(0, training) + rng.normal(0, 0.2, templates)[template]
        y = mean + rng.normal(0, 0.5, len(kinds))
        columns.append(np.column_stack([y, y, y, kinds]))
    names = np.array([f"t{t}" for t in template])
    return BiasTable("en", tuple(policies), names, measures_of(np.stack(columns), kinds))


@pytest.mark.slow
@pytest.mark.parametrize(("training", "grouped"), [(0.0, False), (0.15, True)])
def test_intervals_of_a_difference_cover_and_false_calls_are_few(training, grouped):
    policies = ("m1", "m2", "m3", "n1", "n2", "n3")
    groups = {name: name[0] for name in policies} if grouped else None
    shares = {"en": {name: (1 if name[0] == "m" else -1) / 3 for name in policies}}
    covered, called, count = 0, 0, 200
    for seed in range(count):
        table = simulated(np.random.default_rng(seed), policies, bias=0.1, training=training)
        found = weighted_sum([table], "bias", shares, groups)
        tested = found.tested()
        covered += tested.estimate.low <= 0 <= tested.estimate.high
        p = tested.p if grouped else flip_p([found])[0]
        called += p <= 0.05
    assert covered / count >= 0.90
    assert called / count <= 0.09


def test_one_policy_of_a_kind_says_that_nothing_is_said_of_others():
    table = simulated(np.random.default_rng(1), ("a", "b"), bias=0.0)
    groups = {"a": "one", "b": "other"}
    found = weighted_sum([table], "bias", {"en": {"a": 1.0, "b": -1.0}}, groups)
    assert not found.policies_vary
    assert THESE_ONLY in found.tested().estimate.reason
