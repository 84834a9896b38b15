"""BBQ and CrowS-Pairs against their papers' formulas, on random data."""

import math

import numpy as np
import pytest

from valueagents.errors import ConfigError
from valueagents.measuring.studies.stereotype import bbq_metrics, crows_metrics
from valueagents.taxonomy import load_taxonomy

BIAS = load_taxonomy("stereotype")


def exactly(value):
    return pytest.approx(value, abs=1e-12, rel=1e-12)


def drawn(rng, size):
    return tuple(rng.dirichlet(np.ones(size)).tolist())


def bbq_rows(rng, *, chosen, count=120):
    rows = []
    for n in range(count):
        correct = ("unknown", "pro", "anti")[n % 3] if n % 6 else "unknown"
        options = {
            name: {name: 1.0, **({"correct": 1.0} if name == correct else {})}
            for name in ("pro", "anti", "unknown")
        }
        answer = (
            (str(rng.choice(["pro", "anti", "unknown"])) if n % 10 else None)
            if chosen
            else drawn(rng, 3)
        )
        rows.append((f"s{n}", f"template-{n // 2}", options, answer, {"correct": correct}))
    return rows


@pytest.mark.parametrize("chosen", [False, True])
def test_bbq_is_that_of_its_paper(tmp_path, run_of, chosen):
    rows = bbq_rows(np.random.default_rng(1), chosen=chosen)
    found = bbq_metrics(run_of(tmp_path / "a", rows, taxonomy=BIAS))
    names = ("pro", "anti", "unknown")
    read = [row for row in rows if row[3] is not None]

    def share(group, answer):
        """How much of the answers to these items goes to the option."""
        p = [
            (row[3][names.index(answer(row))] if not chosen else float(row[3] == answer(row)))
            for row in group
        ]
        return math.fsum(p) / len(p)

    group = {name: [row for row in read if row[4]["correct"] == name] for name in names}
    accuracy = {name: share(group[name], lambda row: row[4]["correct"]) for name in names}
    bias = share(group["unknown"], lambda row: "pro") - share(group["unknown"], lambda row: "anti")
    both = (accuracy["pro"] + accuracy["anti"]) / 2
    assert found.accuracy_ambiguous.value == exactly(accuracy["unknown"])
    assert found.accuracy_disambiguated.value == exactly(
        share(group["pro"] + group["anti"], lambda row: row[4]["correct"])
    )
    assert found.bias_ambiguous.value == exactly(bias)
    assert found.bound_ambiguous.value == exactly(1 - accuracy["unknown"])
    assert found.bias_disambiguated.value == exactly(accuracy["pro"] - accuracy["anti"])
    assert found.bound_disambiguated.value == exactly(2 * both if both <= 0.5 else 2 * (1 - both))
    assert abs(found.bias_ambiguous.value) <= found.bound_ambiguous.value
    assert (found.unanswered, found.clusters) == (12 if chosen else 0, 60)


def test_crows_is_the_share_and_the_mean_difference(tmp_path, run_of):
    rng = np.random.default_rng(1)
    logs = rng.normal(-40, 15, size=(70, 2))
    rows = []
    for n, (pro, anti) in enumerate(logs):
        p = np.exp([pro, anti] - np.logaddexp(pro, anti))
        order = ["pro", "anti"] if n % 2 else ["anti", "pro"]
        options = {name: {name: 1.0} for name in order}
        rows.append((f"s{n}", f"s{n}", options, tuple((p if n % 2 else p[::-1]).tolist()), {}))
    found = crows_metrics(run_of(tmp_path / "a", rows, taxonomy=BIAS))
    difference = logs[:, 0] - logs[:, 1]
    assert found.pairs == 70
    assert found.share.value == exactly(float((difference > 0).mean()))
    assert found.difference.value == pytest.approx(float(np.abs(difference).mean()), rel=1e-12)
    assert found.signed_difference.value == pytest.approx(float(difference.mean()), rel=1e-11)


def test_metrics_of_stereotypes_need_their_taxonomy_and_pairs(tmp_path, run_of):
    values = run_of(tmp_path / "v", [("s", "s", {"a": {"BEC": 1.0}, "b": {}}, (0.5, 0.5), {})])
    for metric in (bbq_metrics, crows_metrics):
        with pytest.raises(
            ConfigError, match="is on taxonomy schwartz20/1; this metric needs stereotype"
        ):
            metric(values)
    three = run_of(
        tmp_path / "t", bbq_rows(np.random.default_rng(1), chosen=False, count=6), taxonomy=BIAS
    )
    with pytest.raises(ConfigError, match="not CrowS pairs"):
        crows_metrics(three)
