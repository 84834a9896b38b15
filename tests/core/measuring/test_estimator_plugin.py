"""An estimator that is one file of somebody else's package is scored, compared, printed and
calibrated like ours.
"""

import json
import math
import re
import sys

import numpy as np
import pytest
from scipy import stats

from valueagents.cli import main
from valueagents.contracts.entry_points import warn_once
from valueagents.errors import ConfigError
from valueagents.experiments.validity import calibration
from valueagents.experiments.validity.simulation import AXES, SPREAD, play, simulate
from valueagents.measuring.comparison import compare
from valueagents.measuring.estimators.registry import estimator, estimators
from valueagents.measuring.scores import score

ABOVE = '''"""How often the option chosen promotes a value more than the menu's mean."""

import numpy as np

from valueagents.measuring.deviations import Deviations, Terms
from valueagents.measuring.estimators.declaration import Estimator


def _terms(deviations: Deviations) -> Terms:
    counted = deviations.contested & deviations.read[:, None]
    above = (deviations.chosen > 0).astype(np.float64)
    return Terms(np.where(counted, above, 0.0), counted)


ESTIMATOR = Estimator(
    id="above",
    name="share above",
    formula="decisions with x[c, v] > m[v] / contested decisions",
    source="tests",
    needs="choices",
    unit="share of contested decisions",
    meaning="how often, not how far",
    digits=4,
    terms=_terms,
)
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a package with one estimator where Python finds installed ones; gone after the test."""

    def write(module, text, name="above"):
        (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
        info = tmp_path / "estimators_of_a_test-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: estimators-of-a-test\nVersion: 0.1\n"
        )
        (info / "entry_points.txt").write_text(
            f"[valueagents.estimators]\n{name} = {module}:ESTIMATOR\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, module, raising=False)
        estimators.cache_clear()
        warn_once.cache_clear()

    yield write
    estimators.cache_clear()


@pytest.fixture
def above(install):
    install("above_of_a_test", ABOVE)


@pytest.fixture
def valueagents(monkeypatch, capsys):
    """Runs a command; gives its exit code, output and errors."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["valueagents", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def met(episodes, axis):
    """Cluster, situation and 1 or 0 (above the mean or not) of every contested decision of stored
    episodes.
    """
    for episode in episodes:
        for decision in episode.decisions:
            x = [option.get(axis, 0.0) for option in decision.annotation.values]
            if len(set(x)) > 1:
                yield episode.cluster, episode.situation, int(x[decision.chosen] > sum(x) / len(x))


def share_by_hand(episodes, axis):
    """The share with the ends of its t interval over clusters (linearised), in plain Python."""
    rows = list(met(episodes, axis))
    share = sum(hit for *_, hit in rows) / len(rows)
    residuals = {}
    for cluster, _, hit in rows:
        residuals[cluster] = residuals.get(cluster, 0.0) + hit - share
    clusters = len(residuals)
    error = math.sqrt(clusters / (clusters - 1) * sum(r * r for r in residuals.values())) / len(
        rows
    )
    half = float(stats.t.ppf(0.975, clusters - 1)) * error
    return share, share - half, share + half, clusters


def difference_by_hand(first, second, axis):
    """Mean over the situations that both met of the difference of the shares there."""
    shares = []
    for episodes in (first, second):
        by_situation = {}
        for _, situation, hit in met(episodes, axis):
            by_situation.setdefault(situation, []).append(hit)
        shares.append(
            {situation: sum(hits) / len(hits) for situation, hits in by_situation.items()}
        )
    shared = shares[0].keys() & shares[1].keys()
    return sum(shares[0][s] - shares[1][s] for s in sorted(shared)) / len(shared)


def printed(value):
    return f"{value:+.4f}".replace("-", "−")


@pytest.mark.usefixtures("above")
def test_its_numbers_and_intervals_are_those_of_a_loop(known_run):
    scores, episodes = score(known_run), known_run.episodes()
    assert list(scores.columns)[-1] == "above"
    assert scores.columns["above"].unit == "share of contested decisions"
    few = 0
    for axis in scores.axes:
        share, low, high, clusters = share_by_hand(episodes, axis.axis)
        assert axis["above"].value == pytest.approx(share, abs=1e-12)
        if clusters < 50:
            few += 1
            assert (axis["above"].low, axis["above"].high) == pytest.approx((low, high), abs=1e-12)
        else:
            assert axis["above"].low < share < axis["above"].high
    assert 0 < few < 20


@pytest.mark.usefixtures("above")
def test_score_prints_it_as_json_and_in_the_table(valueagents, known_run):
    _, text, _ = valueagents("score", known_run.path, "--json")
    found = json.loads(text)
    assert (
        found["columns"]["above"]["formula"]
        == "decisions with x[c, v] > m[v] / contested decisions"
    )
    share, *_ = share_by_hand(known_run.episodes(), "HED")
    [hedonism] = [axis for axis in found["axes"] if axis["axis"] == "HED"]
    assert hedonism["estimates"]["above"]["value"] == pytest.approx(share, abs=1e-12)
    _, table, _ = valueagents("score", known_run.path)
    assert "share above above" in table.splitlines()[0]
    [row] = [line for line in table.splitlines() if line.startswith("Hedonism")]
    assert printed(share) in row


@pytest.mark.usefixtures("above")
def test_compare_pairs_it_on_the_situations_that_both_met(valueagents, known_run, random_run):
    found = compare(known_run, random_run)
    assert found.headline == "E3p"  # a plug-in's estimator takes no verdict over
    assert list(found.differences) == ["E3p", "E4p", "E4", "E6", "above"]
    sides = known_run.episodes(), random_run.episodes()
    for axis in found["above"].axes:
        assert axis.difference.value == pytest.approx(
            difference_by_hand(*sides, axis.axis), abs=1e-12
        )
        assert axis.p is not None
    assert found["above"].test == "sign-flip over 192 clusters, 10000 drawn flips"
    _, text, _ = valueagents("compare", known_run.path, random_run.path)
    [section] = [
        part for part in text.split("\n\n") if part.lstrip().startswith("above share above")
    ]
    hedonism = found["above"].axes[3]
    [row] = [line for line in section.splitlines() if line.startswith(hedonism.name)]
    assert f"{hedonism.difference.value:+.3f}".replace("-", "−") in row


@pytest.mark.usefixtures("above")
def test_the_report_shows_it_in_scores_and_comparison(valueagents, known_run, random_run, tmp_path):
    code, _, errors = valueagents(
        "report", known_run.path, random_run.path, "--out", tmp_path / "r.html"
    )
    assert (code, errors) == (0, "")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert ">above share above</th>" in page
    assert "<h3>above: share above</h3>" in page
    assert (
        "<dt>above share above</dt><dd>decisions with x[c, v] &gt; m[v] / contested decisions"
        in page
    )
    every = re.findall(r'<table class="scores">.*?</table>', page, flags=re.DOTALL)
    tables = [table for table in every if ">above share above</th>" in table]
    for run, table in zip((known_run, random_run), tables, strict=True):
        episodes = run.episodes()
        for axis in run.header.taxonomy.axis_ids:
            assert printed(share_by_hand(episodes, axis)[0]) in table


@pytest.mark.parametrize("id_", ["my.share", "7", "a-b c"])
def test_the_report_shows_it_whatever_characters_its_id_has(
    install, valueagents, random_run, tmp_path, id_
):
    install("named_of_a_test", ABOVE.replace('id="above"', f'id="{id_}"'))
    code, _, errors = valueagents("report", random_run.path, "--out", tmp_path / "r.html")
    assert (code, errors) == (0, "")
    assert f">{id_} share above</th>" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("above")
def test_estimators_lists_it_after_ours(valueagents):
    _, text, _ = valueagents("estimators", "--json")
    rows = json.loads(text)
    assert [row["id"] for row in rows] == [
        "E1",
        "E2",
        "E3",
        "E3p",
        "E4",
        "E4p",
        "E4w",
        "E4pw",
        "E5",
        "E6",
        "E7",
        "E8",
        "Q",
        "above",
    ]
    assert (rows[-1]["command"], rows[-1]["needs"]) == ("valueagents score", "choices")
    assert estimator("above").meaning == "how often, not how far"


@pytest.mark.slow
@pytest.mark.usefixtures("above")
def test_the_calibration_has_its_rows():
    row = calibration.simulated(3)
    rng = np.random.default_rng([3, 0])  # the first draws of that replicate
    weights = rng.normal(0, SPREAD, AXES)
    answers = play(rng, simulate(rng), weights)
    shares = []
    for v in range(AXES):
        hits = []
        for start, size, chosen in zip(answers.start, answers.size, answers.chosen, strict=True):
            x = answers.x[start : start + size, v].tolist()
            if len(set(x)) > 1:
                hits.append(answers.x[chosen, v] > sum(x) / len(x))
        shares.append(sum(hits) / len(hits))
    wanted = float(np.corrcoef(shares, weights)[0, 1])
    assert row["correlation with the truth, above"] == pytest.approx(wanted, abs=1e-12)
    assert wanted > 0.7
    assert row["coverage, above"] >= 0.7  # 20 intervals of 95 %
    assert row["two regions, above"] <= 1
    assert row["other weights seen (power), above"] > row["two regions, above"]


@pytest.mark.parametrize(
    ("module", "change", "said"),
    [
        (
            "taken_of_a_test",
            ('id="above"', 'id="E3"'),
            "has the id 'E3', which another has; give it one of its own",
        ),
        (
            "no_estimator_of_a_test",
            ("ESTIMATOR = Estimator(", "ESTIMATOR = dict("),
            "is a dict; its entry point must name an instance of Estimator",
        ),
        (
            "broken_of_a_test",
            ("import numpy as np", "import no_such_module_of_a_test"),
            "cannot be imported",
        ),
    ],
)
def test_what_is_unfit_is_one_warning_that_names_it_and_ours_go_on(
    install, valueagents, caplog, random_run, module, change, said
):
    install(module, ABOVE.replace(*change))
    assert [each.id for each in estimators()] == [
        "E1",
        "E2",
        "E3",
        "E3p",
        "E4",
        "E4p",
        "E4w",
        "E4pw",
        "E5",
        "E6",
        "E7",
        "E8",
        "Q",
    ]
    [warning] = caplog.records
    assert warning.getMessage().startswith("left out: estimator 'above' ")
    assert said in warning.getMessage()
    with pytest.raises(ConfigError, match="unknown estimator 'above'"):
        estimator("above")
    code, text, _ = valueagents("score", random_run.path, "--json")
    assert code == 0
    assert list(json.loads(text)["columns"]) == ["E1", "E2", "E3", "E3p", "E4", "E4p", "E5"]
