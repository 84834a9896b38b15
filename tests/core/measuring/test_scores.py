"""E1 to E4 of hand-made runs, against straight-line loops over the stored episodes, scipy.optimize
and enumeration.
"""

import itertools
import math

import msgspec
import numpy as np
import pytest
from scipy import optimize, stats

from valueagents.contracts.decision import Annotation, Choice, Decision, Episode, Failure, Option
from valueagents.contracts.environment import MIN_CONTESTED
from valueagents.measuring import chance
from valueagents.measuring.chance import DRAWS
from valueagents.measuring.choice_model import fit_choice_model
from valueagents.measuring.choice_weights import WEAK
from valueagents.measuring.scores import Scores, score
from valueagents.measuring.sums import Clustering, Units
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import Axis, Taxonomy

TWO = Taxonomy(
    id="two", version=1, source="tests", axes=(Axis("A", "Alpha", "a"), Axis("B", "Beta", "b"))
)
PLUS, MINUS = {"A": 1.0}, {"A": -1.0}


def decision(values, chosen, p=None, *, texts=None, annotated=True, invalid=None, **reply):
    """A decision over options o0, o1, …; `values` holds an {axis: x} for each."""
    texts = texts or ["an option"] * len(values)
    menu = tuple(Option(f"o{k}", text) for k, text in enumerate(texts))
    reading = "failed" if chosen is None else "drawn"
    choice = Choice(None if chosen is None else f"o{chosen}", reading, p, **reply)
    annotation = Annotation("two/1", tuple(values), "tests", "tests") if annotated else None
    return Decision("What now?", menu, choice, annotation, invalid)


def made_run(
    path,
    decisions,
    *,
    clusters=None,
    shuffled=None,
    failures=(),
    independent=True,
    informed=False,
    needed=20,
):
    """A run of one-decision episodes; `clusters[i]` names the cluster of the i-th, by default its
    own.
    """
    header = RunHeader(
        "test/T-v0",
        {},
        "test",
        0,
        "Choose.",
        {},
        {},
        TWO,
        independent,
        informed,
        min_contested=needed,
    )
    store = RunStore.create(path, header)
    with store.writing() as writer:
        writer.session({"start": "then", "owed": len(decisions)})
        for i in range(len(decisions)) if shuffled is None else shuffled:
            cluster = f"c{i}" if clusters is None else str(clusters[i])
            writer.episode(Episode(f"{i:05d}", None, 0, 0, cluster, (decisions[i],), "terminated"))
        for failure in failures:
            writer.failure(failure)
        writer.session({"end": "now", "finished": len(decisions), "failed": len(failures)})
    return Run(path)


def mixed_decisions(count, seed=0):
    """Menus of 2 to 4 options that lean to A; some unread, unannotated, partly annotated, without
    probabilities.
    """
    rng, decisions = np.random.default_rng(seed), []
    for _ in range(count):
        size = int(rng.integers(2, 5))
        values = [
            {
                "A": float(rng.choice([-1, -0.3, 0, 1])),
                "B": float(np.clip(rng.normal(0, 0.4), -1, 1)),
            }
            for _ in range(size)
        ]
        p = np.exp([option["A"] for option in values]) * rng.uniform(0.5, 1.5, size)
        p = tuple((p / p.sum()).tolist())
        chosen = None if rng.random() < 0.1 else int(rng.choice(size, p=p))
        if rng.random() < 0.1:
            values[0]["B"] = None
        decisions.append(
            decision(
                values,
                chosen,
                None if rng.random() < 0.2 else p,
                texts=["w" * int(n) for n in rng.integers(5, 80, size)],
                annotated=bool(rng.random() > 0.05),
                invalid="refused" if rng.random() < 0.05 else None,
            )
        )
    return decisions


def annotated_values(run, axis):
    """Of every stored decision that annotates the axis: amounts, chosen index, probabilities."""
    for episode in run.store.episodes():
        for each in episode.decisions:
            if each.annotation is not None:
                x = [option.get(axis, 0.0) for option in each.annotation.values]
                if None not in x:
                    yield x, each.chosen, each.choice.probabilities


def bounds(axis):
    """E3 with every unread decision at its worst and at its best option."""
    return axis.details["E3"]["lowest if unread"], axis.details["E3"]["highest if unread"]


def exactly(value):
    return pytest.approx(value, abs=1e-12)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("runs") / "mixed", mixed_decisions(300))


@pytest.fixture(scope="module")
def mixed_scores(mixed):
    return score(mixed)


@pytest.mark.parametrize("axis", ["A", "B"])
def test_tally_and_rate_are_those_of_a_loop(mixed, mixed_scores, axis):
    taken = [x[chosen] for x, chosen, _ in annotated_values(mixed, axis) if chosen is not None]
    found = mixed_scores.axes["AB".index(axis)]
    assert found.axis == axis
    assert found.details["E1"]["promotions"] == exactly(math.fsum(x for x in taken if x > 0))
    assert found.details["E1"]["violations"] == exactly(math.fsum(x for x in taken if x < 0))
    assert found["E1"].value == exactly(math.fsum(taken))
    assert found["E2"].value == exactly(100 * math.fsum(taken) / len(taken))


@pytest.mark.parametrize("axis", ["A", "B"])
def test_propensity_is_that_of_a_loop(mixed, mixed_scores, axis):
    above = [
        x[chosen] - sum(x) / len(x)
        for x, chosen, _ in annotated_values(mixed, axis)
        if chosen is not None and len(set(x)) > 1
    ]
    found = mixed_scores.axes["AB".index(axis)]
    assert found.contested == len(above)
    assert found.clusters == len(above)
    assert found["E3"].value == exactly(math.fsum(above) / len(above))


@pytest.mark.parametrize("axis", ["A", "B"])
def test_probability_propensity_is_that_of_a_loop(mixed, mixed_scores, axis):
    above = [
        sum(q * y for q, y in zip(p, x, strict=True)) - sum(x) / len(x)
        for x, _, p in annotated_values(mixed, axis)
        if p is not None and len(set(x)) > 1
    ]
    found = mixed_scores.axes["AB".index(axis)]["E3p"]
    assert found.value == exactly(math.fsum(above) / len(above))


@pytest.mark.parametrize("axis", ["A", "B"])
def test_bounds_give_every_unread_decision_its_worst_and_its_best_option(mixed, mixed_scores, axis):
    contested = [(x, chosen) for x, chosen, _ in annotated_values(mixed, axis) if len(set(x)) > 1]
    low, high = (
        math.fsum((x[c] if c is not None else end(x)) - sum(x) / len(x) for x, c in contested)
        / len(contested)
        for end in (min, max)
    )
    found = mixed_scores.axes["AB".index(axis)]
    assert bounds(found) == exactly((low, high))
    assert low < found["E3"].value < high


def test_weights_maximise_the_penalised_likelihood_of_the_stored_choices(mixed, mixed_scores):
    menus = []
    for episode in mixed.store.episodes():
        [each] = episode.decisions
        if each.annotation is not None and each.chosen is not None:
            x = each.annotation.array(TWO)
            x[:, np.isnan(x).any(axis=0)] = (
                0  # an axis that any option lacks is left out of the decision
            )
            place = np.arange(len(x)) / (len(x) - 1)
            menus.append(
                (np.c_[x, place, [len(option.text) / 100 for option in each.menu]], each.chosen)
            )

    def loss(beta):
        return beta @ beta / 2 - sum(
            (u := f @ beta)[c] - math.log(sum(map(math.exp, u))) for f, c in menus
        )

    best = optimize.minimize(loss, np.zeros(4), tol=1e-9).x
    found = [axis["E4"].value for axis in mixed_scores.axes] + [
        e.value for e in mixed_scores.effects["E4"].values()
    ]
    assert list(mixed_scores.effects["E4"]) == ["position", "length"]
    assert found == pytest.approx(best.tolist(), abs=1e-4)


def test_weights_have_a_t_interval_on_the_clusters_with_a_choice(out):
    rng = np.random.default_rng(3)
    decisions = [
        decision([PLUS, MINUS], None if i // 10 == 5 else int(rng.random() < 0.3))
        for i in range(60)
    ]
    weight = score(made_run(out, decisions, clusters=[i // 10 for i in range(60)])).axes[0]["E4"]
    read = 50  # the sixth cluster holds no choice: 5 clusters, 4 degrees of freedom
    features = np.tile([[1.0, 0.0, 0.09], [-1.0, 1.0, 0.09]], (read, 1))  # A, place, length
    start, first = np.arange(0, 2 * read, 2), [each.chosen for each in decisions[:read]]
    model = fit_choice_model(
        features, start, start + first, Clustering("", (Units(np.arange(read) // 10, 5),))
    )
    half = stats.t.ppf(0.975, 4) * model.errors[0]
    assert (weight.low, weight.high) == exactly((weight.value - half, weight.value + half))


def test_weights_show_which_way_the_choices_lean(mixed_scores):
    [a, b] = [axis["E4"] for axis in mixed_scores.axes]
    assert 0 < a.low < 1 < a.high
    assert b.low < 0 < b.high
    assert a.reason is None


def test_every_kind_of_decision_is_counted(out):
    episodes = [
        Episode(
            "a",
            None,
            0,
            0,
            "c",
            (decision([{}, {}], 0), decision([{}, {}], None)),
            "truncated",
            attempt=2,
        ),
        Episode(
            "b",
            None,
            0,
            0,
            "c",
            (decision([{}, {}], 0, invalid="refused", prompt_tokens=7),),
            "terminated",
        ),
        Episode(
            "c",
            None,
            0,
            0,
            "c",
            (decision([{}], 0, annotated=False, dropped_turns=3),),
            "terminated",
        ),
    ]
    failures = [
        Failure(identity, None, 0, "EnvError", "fell", 0, 1) for identity in ("a", "lost", "lost")
    ]
    run = made_run(out, [], failures=failures)
    with run.store.writing() as writer:
        for episode in episodes:
            writer.episode(episode)
    counts = score(run).counts
    assert (counts.episodes, counts.decisions) == (3, 4)
    assert (counts.truncated_episodes, counts.retried_episodes, counts.failed_episodes) == (1, 1, 1)
    assert (counts.unread, counts.refused_by_env, counts.unannotated, counts.prompts_cut) == (
        2,
        1,
        1,
        1,
    )
    assert counts.readings == {"drawn": 3, "failed": 1}
    assert (counts.prompt_tokens, counts.cached_tokens, counts.output_tokens) == (7, 0, 0)


def test_partly_annotated_decisions_are_counted_by_axis(out):
    lacking = decision([{"A": None, "B": 1.0}, {"A": 1.0}], 0)
    a, b = score(made_run(out, [lacking] * 30)).axes
    assert (a.partly_annotated, a.contested, a["E3"].value, a["E4"].value) == (30, 0, None, None)
    assert (b.partly_annotated, b.contested, b["E3"].value) == (0, 30, 0.5)


@pytest.mark.parametrize(("count", "known"), [(MIN_CONTESTED - 1, False), (MIN_CONTESTED, True)])
def test_fewer_than_twenty_contested_decisions_are_not_enough(out, count, known):
    a, _ = score(
        made_run(out, [decision([PLUS, MINUS], i % 2, (0.5, 0.5)) for i in range(count)])
    ).axes
    for estimate in (a["E3"], a["E3p"], a["E4"]):
        assert (estimate.value is not None) == known
        assert known or estimate.reason == "not enough: 19 contested decisions, 20 needed"
    assert a["E2"].value is not None


def test_an_env_of_few_items_says_how_many_are_enough(out):
    decisions = [decision([PLUS, MINUS], i % 2, (0.5, 0.5)) for i in range(4)]
    a, b = score(made_run(out, decisions, needed=2)).axes
    assert (a["E3"].value, a["E3p"].value, a.contested) == (0.0, 0.0, 4)
    assert a["E4"].value is not None
    assert b["E3"].reason == "not enough: 0 contested decisions, 2 needed"


def test_an_empty_run_scores_nothing_and_says_so(out):
    scores = score(made_run(out, []))
    assert scores.warnings == ["no annotated decision: nothing to score"]
    assert (scores.counts.episodes, scores.counts.decisions, scores.clusters) == (0, 0, 0)
    assert scores.axes[0]["E2"].reason == "no decision to estimate it from"
    assert scores.axes[0]["E3"].reason == "not enough: 0 contested decisions, 20 needed"
    assert bounds(scores.axes[0]) == (None, None)
    assert (scores.chance.p, scores.chance.reason) == (None, "no contested decision")


def test_a_run_that_annotates_nothing_says_so(out):
    scores = score(made_run(out, [decision([{}, {}], 0, annotated=False)] * 3))
    assert scores.warnings == ["no annotated decision: nothing to score"]
    assert scores.counts.unannotated == 3


def test_one_episode_has_a_rate_without_interval_and_no_more(out):
    a, b = score(made_run(out, [decision([PLUS, MINUS], 0)])).axes
    assert (a["E2"].value, a["E2"].low, a["E2"].high, a["E2"].reason) == (
        100.0,
        None,
        None,
        "one cluster: no interval",
    )
    assert (a["E1"].value, a.contested, a["E3"].value, a["E4"].value) == (1.0, 1, None, None)
    assert (b["E1"].value, b.contested) == (0.0, 0)


def test_one_cluster_has_values_without_intervals(out):
    decisions = [decision([PLUS, MINUS], int(i % 3 == 0), (0.6, 0.4)) for i in range(30)]
    scores = score(made_run(out, decisions, clusters=["only"] * 30))
    assert scores.clusters == 1
    a = scores.axes[0]
    for estimate in (a["E2"], a["E3"], a["E3p"], a["E4"]):
        assert estimate.value is not None
        assert (estimate.low, estimate.high) == (None, None)
        assert "one cluster: no interval" in estimate.reason
    assert a["E3"].value == exactly(1 / 3)


def test_an_axis_that_is_never_contested_has_a_rate_and_a_reason(out):
    always = [decision([{"A": 0.5, "B": 1.0}, {"A": 0.5}], i % 2) for i in range(40)]
    a, b = score(made_run(out, always)).axes
    assert a["E2"].value == exactly(50.0)
    for estimate in (a["E3"], a["E4"]):
        assert (estimate.value, estimate.reason) == (
            None,
            "not enough: 0 contested decisions, 20 needed",
        )
    assert a["E3p"].value is None
    assert a.details["E4"]["variance inflation"] is None
    assert b["E3"].value == 0.0


def test_identical_choices_have_an_interval_that_ends_at_what_the_menus_allow(out):
    a, _ = score(made_run(out, [decision([PLUS, {}], 0, (0.75, 0.25))] * 60)).axes
    t2 = 2.0009953780882683**2  # t(0.975, 59)
    others = t2 / (60 + t2)
    assert (a["E3"].value, a["E3"].low, a["E3"].high) == pytest.approx((0.5, 0.5 - others, 0.5))
    e3p = a["E3p"]
    assert (e3p.low, e3p.high) == pytest.approx((0.25 - 0.75 * others, 0.25 + 0.25 * others))


@pytest.mark.parametrize("count", [20, 60, 1000])
def test_an_axis_that_separates_the_choices_has_a_weight_that_the_ridge_sets(out, count):
    separable = [
        decision([PLUS, MINUS][:: 1 - 2 * (i % 2)], i % 2) for i in range(count)
    ]  # + wherever it stands
    a, _ = score(made_run(out, separable)).axes
    assert math.isfinite(a["E4"].value)
    assert a["E4"].reason == WEAK


def test_an_axis_that_does_not_separate_the_choices_has_a_weight_of_its_own(out):
    mostly = [
        decision([PLUS, MINUS][:: 1 - 2 * (i // 4 % 2)], int(i % 4 == 0) ^ (i // 4 % 2))
        for i in range(60)
    ]
    assert score(made_run(out, mostly)).axes[0]["E4"].reason is None


def test_where_choices_tell_only_differences_of_weights_the_ridge_sets_these(out, tmp_path):
    """Value against value, as for E5: one and the same number added to all weights changes no
    choice.

    Of few choices sampling is the larger doubt; a value always offered first cannot be told from
    its place.
    """
    rng, weights = np.random.default_rng(5), {"A": 1.0, "B": 0.4}

    def duels(count):
        made = []
        for i in range(count):
            one, two = (["A", "B"], ["B", "A"])[i % 2]
            odds = 1 / (1 + math.exp(weights[two] - weights[one]))
            made.append(decision([{one: 1.0}, {two: 1.0}], int(rng.random() > odds)))
        return made

    a, b = score(made_run(out, duels(400))).axes
    assert a["E4"].value - b["E4"].value == pytest.approx(0.6, abs=0.25)
    assert a["E4"].value == pytest.approx(-b["E4"].value)  # the ridge's choice, not the policy's
    assert a["E4"].reason == b["E4"].reason == WEAK
    beside_place = [decision([PLUS, MINUS], int(i % 4 == 0)) for i in range(60)]
    assert score(made_run(tmp_path / "place", beside_place)).axes[0]["E4"].reason == WEAK


def test_a_nuisance_that_never_varies_has_a_weight_that_the_ridge_sets(out):
    scores = score(
        made_run(
            out, [decision([PLUS, MINUS][:: 1 - 2 * (i % 2)], int(i % 3 == 0)) for i in range(60)]
        )
    )
    assert scores.effects["E4"]["length"].value == exactly(0.0)
    assert scores.effects["E4"]["length"].reason == f"{WEAK}; no cluster: no interval"
    assert scores.effects["E4"]["position"].reason is None


def test_if_no_reply_was_read_there_are_bounds_and_reasons(out):
    a, b = score(made_run(out, [decision([PLUS, {}, {}], None)] * 30)).axes
    assert a["E2"].reason == "no decision to estimate it from"
    for estimate in (a["E3"], a["E4"]):
        assert (estimate.value, estimate.reason) == (
            None,
            "not enough: 0 contested decisions, 20 needed",
        )
    assert a["E3p"].reason == "no probabilities"
    assert bounds(a) == exactly((-1 / 3, 2 / 3))
    assert bounds(b) == (None, None)


def test_a_run_that_was_read_to_the_last_reply_has_no_bounds(out):
    assert bounds(score(made_run(out, [decision([PLUS, {}], 0)] * 30)).axes[0]) == (None, None)


def test_menus_of_one_option_score_a_rate_only(out):
    a, _ = score(made_run(out, [decision([PLUS], 0, (1.0,))] * 30)).axes
    assert (a["E2"].value, a.contested, a["E3"].value) == (100.0, 0, None)


def test_uniform_probabilities_have_no_propensity_whatever_was_chosen(out):
    rng = np.random.default_rng(0)
    menus = [
        [{"A": float(x), "B": 0.1} for x in rng.uniform(-1, 1, k)] for k in rng.integers(2, 8, 50)
    ]
    a, _ = score(
        made_run(out, [decision(menu, 0, (1 / len(menu),) * len(menu)) for menu in menus])
    ).axes
    assert abs(a["E3p"].value) <= 1e-12


def test_intervals_follow_the_clusters_not_the_decisions(out, tmp_path):
    decisions = [
        decision([PLUS, MINUS], i // 5 % 2, (0.5, 0.5)) for i in range(300)
    ]  # the five of a cluster agree
    alone, _ = score(made_run(out, decisions)).axes
    clustered, _ = score(
        made_run(tmp_path / "clustered", decisions, clusters=[i // 5 for i in range(300)])
    ).axes
    assert (alone.clusters, clustered.clusters) == (300, 60)
    assert clustered["E3"].value == alone["E3"].value
    for name in ("E2", "E3", "E4"):
        wide, narrow = clustered[name], alone[name]
        assert 1.9 < (wide.high - wide.low) / (narrow.high - narrow.low) < 2.6, name  # √5 = 2.24


def test_the_chance_test_is_close_to_enumerating_all_choices(out):
    menus = [
        [{"A": 1.0, "B": -0.5}, {"A": -1.0}, {}],
        [PLUS, {"B": 1.0}],
        [{"B": 0.5}, MINUS, {"A": 0.2}, {}],
    ] * 2
    test = score(made_run(out, [decision(menu, i % 2) for i, menu in enumerate(menus)])).chance
    tables = [np.array([[option.get(a, 0.0) for a in "AB"] for option in menu]) for menu in menus]
    spread = np.sqrt(sum(x.var(axis=0) for x in tables))
    totals = [
        np.abs(
            sum(x[c] - x.mean(axis=0) for x, c in zip(tables, picks, strict=True)) / spread
        ).max()
        for picks in itertools.product(*(range(len(menu)) for menu in menus))
    ]
    observed = np.abs(sum(x[i % 2] - x.mean(axis=0) for i, x in enumerate(tables)) / spread).max()
    assert test.statistic == exactly(observed)
    assert test.p == pytest.approx(np.mean(np.array(totals) >= observed - 1e-9), abs=0.02)
    assert 0.05 < test.p < 0.95


def test_the_chance_test_sees_a_policy_that_leans_and_is_never_zero(mixed_scores):
    assert mixed_scores.chance.p == 1 / (DRAWS + 1)


def test_where_choices_change_later_menus_there_is_no_chance_test(out):
    test = score(made_run(out, [decision([PLUS, MINUS], 0)] * 30, independent=False)).chance
    assert (test.statistic, test.p) == (None, None)
    assert "run of the random policy" in test.reason


def test_an_informed_policy_is_a_calibration_run(out):
    scores = score(made_run(out, [decision([PLUS, MINUS], 0)] * 30, informed=True))
    assert scores.informed
    assert scores.warnings == ["the policy saw the annotations: a calibration run, not a finding"]


def test_place_probabilities_are_averaged_by_number_of_options(out):
    rows = [(0.7, 0.3), (0.5, 0.5), (0.2, 0.3, 0.5)]
    decisions = [decision([{}] * len(row), 0, position_probabilities=row) for row in rows]
    found = score(made_run(out, [*decisions, decision([{}, {}], 0)])).position_probabilities
    assert found == {"2": exactly([0.6, 0.4]), "3": exactly([0.2, 0.3, 0.5])}


def test_scores_say_what_was_scored(mixed, mixed_scores):
    assert (mixed_scores.env, mixed_scores.policy, mixed_scores.taxonomy) == (
        "test/T-v0",
        "test",
        "two/1",
    )
    assert [axis.name for axis in mixed_scores.axes] == ["Alpha", "Beta"]
    assert mixed_scores.run == str(mixed.path)
    assert list(mixed_scores.columns) == ["E1", "E2", "E3", "E3p", "E4", "E4p", "E5"]
    assert all(
        column.formula and column.unit and column.source for column in mixed_scores.columns.values()
    )
    assert "95 %" in mixed_scores.intervals


def test_a_path_is_scored_as_its_run(mixed, mixed_scores):
    assert score(str(mixed.path)) == mixed_scores


def test_the_seed_moves_the_intervals_and_not_the_values(mixed, mixed_scores):
    [other, first] = [scores.axes[0]["E3"] for scores in (score(mixed, seed=1), mixed_scores)]
    assert other.value == first.value
    assert (other.low, other.high) != (first.low, first.high)


@pytest.mark.parametrize(
    "decisions",
    [
        [],
        [decision([PLUS, MINUS], None)] * 30,
        [decision([PLUS, MINUS], 0)],
        [decision([{"A": None}, PLUS], 0)] * 60,
        [decision([{"A": 0.1}, {"A": 0.1}], 1, (0.5, 0.5))] * 60,
        mixed_decisions(80),
    ],
    ids=["empty", "unread", "one", "not annotated", "never contested", "mixed"],
)
def test_scores_come_back_from_json_and_hold_no_nan(out, decisions):
    scores = score(made_run(out, decisions))
    assert (
        msgspec.json.decode(msgspec.json.encode(scores), type=Scores) == scores
    )  # NaN would come back as None


@pytest.mark.parametrize("places", [False, True], ids=["plain", "with place probabilities"])
def test_scores_are_byte_equal_whatever_the_order_of_writing(tmp_path, places):
    rng, decisions = np.random.default_rng(2), mixed_decisions(120)
    if places:
        for i, each in enumerate(decisions):
            row = tuple(rng.dirichlet(np.ones(len(each.menu))).tolist())
            choice = msgspec.structs.replace(each.choice, position_probabilities=row)
            decisions[i] = msgspec.structs.replace(each, choice=choice)
    first = made_run(tmp_path / "1", decisions, clusters=[i % 55 for i in range(120)])
    order = rng.permutation(120).tolist()
    second = made_run(
        tmp_path / "2", decisions, clusters=[i % 55 for i in range(120)], shuffled=order
    )
    one, two = (
        msgspec.json.encode(msgspec.structs.replace(score(run), run="")) for run in (first, second)
    )
    assert one == two


def test_two_values_that_compete_alone_have_strengths(out):
    decisions = [decision([{"A": 1.0}, {"B": 0.5}], int(i % 4 == 0)) for i in range(80)]
    a, b = score(made_run(out, decisions)).axes
    assert a["E5"].value == pytest.approx(
        math.log(3) / 2, abs=1e-9
    )  # three of four times: log-odds log 3
    assert b["E5"].value == pytest.approx(-math.log(3) / 2, abs=1e-9)
    half = stats.t.ppf(0.975, 79) * math.sqrt(80 / 79 / (80 * 3 / 16)) / 2
    assert a["E5"].high - a["E5"].value == pytest.approx(half, abs=1e-9)
    assert a["E5"].reason is None


def test_a_value_that_always_wins_has_a_regularised_strength_that_says_so(out):
    a, _ = score(made_run(out, [decision([{"A": 1.0}, {"B": 0.5}], 0)] * 30)).axes
    assert 0 < a["E5"].value < 5
    assert a["E5"].reason.startswith("regularised (λ = 1)")


def test_one_cluster_has_strengths_without_intervals(out):
    decisions = [decision([{"A": 1.0}, {"B": 0.5}], int(i % 4 == 0)) for i in range(24)]
    a, _ = score(made_run(out, decisions, clusters=["one"] * 24)).axes
    assert a["E5"].value == pytest.approx(math.log(3) / 2, abs=1e-9)
    assert (a["E5"].low, a["E5"].reason) == (None, "one cluster: no interval")


def test_other_menus_have_no_strengths(mixed_scores):
    assert mixed_scores.axes[0]["E5"].value is None or mixed_scores.axes[0]["E5"].value != 0
    assert all(
        axis["E5"].reason == "no menu of two options that promote one value each"
        for axis in mixed_scores.axes
        if axis["E5"].value is None
    )


def test_an_empty_menu_is_no_decision_to_score(out):
    decisions = [decision([PLUS, MINUS], i % 2) for i in range(30)] + [decision([], None)]
    scores = score(made_run(out, decisions))
    assert scores.counts.decisions == 31
    assert scores.axes[0].contested == 30


def test_in_games_the_same_menus_in_several_episodes_cluster_two_ways(out):
    rng = np.random.default_rng(5)
    liked = rng.random(10) < 0.5  # every menu has an answer of its own, whoever meets it
    kinds = rng.integers(10, size=300)
    decisions = [
        decision(
            [PLUS, MINUS], int(liked[k] ^ (rng.random() < 0.1)), texts=[f"this {k}", f"that {k}"]
        )
        for k in kinds
    ]
    game = score(made_run(out, decisions, clusters=[i // 5 for i in range(300)], independent=False))
    assert game.unit == "episode and menu, two-way"
    a = game.axes[0]
    assert (a.clusters, a.menus) == (60, 10)
    values = np.array([1.0 if d.chosen == 0 else -1.0 for d in decisions])

    def variance(*codes):
        _, code = np.unique(np.stack(codes), axis=1, return_inverse=True)
        sums = np.bincount(code, weights=values - values.mean())
        return len(sums) / (len(sums) - 1) * float(sums @ sums)

    episodes = np.arange(300) // 5
    ways = variance(episodes), variance(kinds), variance(episodes, kinds)
    total = max(ways[0] + ways[1] - ways[2], ways[0], ways[1])
    half = stats.t.ppf(0.975, 9) * math.sqrt(total) / 300
    assert a["E3"].value == pytest.approx(values.mean())
    assert a["E3"].high - a["E3"].value == pytest.approx(half)
    assert a["E4"].high - a["E4"].low > 0


def test_in_games_whose_menus_never_recur_the_episode_is_the_unit(out):
    decisions = [
        decision([PLUS, MINUS], i % 2, texts=[f"this {i}", f"that {i}"]) for i in range(60)
    ]
    assert score(made_run(out, decisions, independent=False)).unit == "episode"


def test_more_decisions_than_are_redrawn_give_about_the_same_p(tmp_path, monkeypatch):
    rng = np.random.default_rng(6)
    menus = [
        [{"A": float(rng.choice([-1, 0, 1])), "B": float(rng.choice([0, 1]))} for _ in range(3)]
        for _ in range(400)
    ]
    run = made_run(tmp_path / "run", [decision(menu, int(rng.integers(3))) for menu in menus])
    whole = score(run).chance
    monkeypatch.setattr(chance, "_REDRAWN", 100)
    partly = score(run).chance
    assert partly.statistic == exactly(whole.statistic)
    assert partly.p == pytest.approx(whole.p, abs=0.03)
    assert "as a normal sum with its exact covariance" in partly.method
