"""The survey metric against a straight-line computation from the stored decisions, on random
data.
"""

import itertools
import math

import msgspec
import numpy as np
import pytest

from valueagents.contracts.decision import Factor
from valueagents.errors import ConfigError
from valueagents.measuring.estimators.intervention import intervention_metrics
from valueagents.measuring.many.multimethod import multimethod
from valueagents.measuring.reading import read_answers
from valueagents.measuring.studies.judgement import judgement_metrics
from valueagents.measuring.studies.survey import item_ratings, survey_metrics
from valueagents.running.runs import Run
from valueagents.taxonomy import load_taxonomy

AXES = load_taxonomy("schwartz20").axis_ids
ITEM, POLE = (
    Factor("item", "The pair of statements."),
    Factor("pole", "Its wording.", ("affirm", "oppose")),
)
VARIANT = Factor("variant", "The way of asking.")
SURVEY = (ITEM, POLE, VARIANT)


def exactly(value):
    return pytest.approx(value, abs=1e-12, rel=1e-12)


def only(axis, x):
    return {name: x if name == axis else None for name in AXES}


def drawn(rng, size):
    return tuple(rng.dirichlet(np.ones(size)).tolist())


def survey_rows(rng, *, pairs=60, variants=2, chosen=False, repetitions=1):
    """Statements on seven values in both wordings; what a statement is stands in its factors, and
    in its id.
    """
    rows = []
    for n, pole, variant, _ in itertools.product(
        range(pairs), ("affirm", "oppose"), range(variants), range(repetitions)
    ):
        axis = AXES[n % 7]
        turn = 1 if pole == "affirm" else -1
        options = {str(r): only(axis, turn * (r - 3.5) / 2.5) for r in range(1, 7)}
        answer = str(rng.integers(1, 7)) if chosen else drawn(rng, 6)
        factors = {"item": f"{axis}-{n:02d}", "pole": pole, "variant": f"v{variant:02d}"}
        rows.append(
            ("/".join(factors.values()), factors["item"], options, answer, {"factors": factors})
        )
    return rows


def facts(row):
    """Item, pole and variant."""
    return tuple(row[4]["factors"][name] for name in ("item", "pole", "variant"))


def towards_the_value(row):
    """The expected rating, an opposing wording turned round."""
    expected = math.fsum((k + 1) * each for k, each in enumerate(row[3]))
    return 7 - expected if facts(row)[1] == "oppose" else expected


def straight_survey(moved, kept, target):
    """Micro and macro drop and drift, by the protocol's words."""
    shifts = {}
    for mine, theirs in zip(moved, kept, strict=True):
        shifts.setdefault(facts(mine)[:2], []).append(
            towards_the_value(mine) - towards_the_value(theirs)
        )
    items = {}
    for (item, _), values in shifts.items():
        items.setdefault(item[:3], []).append(sum(values) / len(values))
    drop = {axis: [-x for x in xs] for axis, xs in items.items() if axis in target}
    drift = {axis: [abs(x) for x in xs] for axis, xs in items.items() if axis not in target}

    def micro(groups):
        every = [x for xs in groups.values() for x in xs]
        return math.fsum(every) / len(every)

    def macro(groups):
        return math.fsum(math.fsum(xs) / len(xs) for xs in groups.values()) / len(groups)

    return micro(drop), macro(drop), micro(drift), macro(drift)


@pytest.fixture
def surveyed(tmp_path, run_of):
    """Writes survey rows as a run: `surveyed(name, rows)`."""

    def made(name, rows, factors=SURVEY, **settings):
        return run_of(tmp_path / name, rows, factors=factors, **settings)

    return made


def test_survey_metrics_are_those_of_the_protocols_words(tmp_path, surveyed):
    moved, kept = survey_rows(np.random.default_rng(1)), survey_rows(np.random.default_rng(2))
    target = (AXES[0], AXES[3])
    found = survey_metrics(surveyed("i", moved), surveyed("c", kept), target)
    drop, drop_macro, drift, drift_macro = straight_survey(moved, kept, target)
    assert found.rating == "expected"
    assert found.drop_micro.value == exactly(drop)
    assert found.drop_macro.value == exactly(drop_macro)
    assert found.drift_micro.value == exactly(drift)
    assert found.drift_macro.value == exactly(drift_macro)
    assert found.selectivity_micro.value == exactly(drop - drift)
    assert found.selectivity_macro.value == exactly(drop_macro - drift_macro)
    assert (found.target_items, found.other_items, found.clusters) == (36, 84, 60)
    assert found.notes == ()
    up = survey_metrics(Run(tmp_path / "i"), str(tmp_path / "c"), target, direction="up")
    assert up.drop_micro.value == exactly(-drop)
    assert up.drift_micro == found.drift_micro


def opaque(rows):
    """The same rows under ids and clusters that say nothing, in another order of writing."""
    statements = {
        name: f"g{k}" for k, name in enumerate(sorted({row[1] for row in rows}, reverse=True))
    }
    order = np.random.default_rng(9).permutation(len(rows))
    names = {row[0]: f"q{k}" for k, row in zip(order, rows, strict=True)}
    return [
        (names[s], statements[c], o, a, {"text": s, **e})
        for s, c, o, a, e in (rows[k] for k in order)
    ]


@pytest.mark.parametrize("chosen", [False, True], ids=["expected", "voted"])
def test_the_same_survey_under_ids_that_say_nothing_gives_the_same_numbers(surveyed, chosen):
    sides = [survey_rows(np.random.default_rng(seed), chosen=chosen) for seed in (1, 2)]
    plain = [surveyed(f"plain{k}", rows) for k, rows in enumerate(sides)]
    hidden = [surveyed(f"hidden{k}", opaque(rows)) for k, rows in enumerate(sides)]
    assert {episode.situation[0] for episode in hidden[0].episodes()} == {"q"}
    target = (AXES[2],)
    one, other = survey_metrics(*plain, target), survey_metrics(*hidden, target)
    assert one.rating == ("voted" if chosen else "expected")
    for name in (
        "drop_micro",
        "drop_macro",
        "drift_micro",
        "drift_macro",
        "selectivity_micro",
        "selectivity_macro",
    ):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.value == exactly(theirs.value), name
        assert mine.reason == theirs.reason
    # 9 pairs of the target: a t interval, which no order of clusters moves
    assert (one.drop_micro.low, one.drop_micro.high) == exactly(
        (other.drop_micro.low, other.drop_micro.high)
    )
    counts = [
        (each.target_items, each.other_items, each.clusters, each.notes) for each in (one, other)
    ]
    assert counts[0] == counts[1]


def retest_by_hand(policies, axes):
    """Axis -> r over policies of the profiles under the first and the second prompt, each centred
    on its own mean.
    """
    profiles = {"v00": [], "v01": []}
    for rows in policies:
        for variant, made in profiles.items():
            towards = {axis: [] for axis in axes}
            for row in rows:
                item, _, asked = facts(row)
                if asked == variant:
                    towards[item[:3]].append((towards_the_value(row) - 3.5) / 2.5)
            means = [sum(xs) / len(xs) for xs in towards.values()]
            made.append([x - sum(means) / len(means) for x in means])
    first, second = np.array(profiles["v00"]), np.array(profiles["v01"])
    return {axis: np.corrcoef(first[:, k], second[:, k])[0, 1] for k, axis in enumerate(axes)}


def test_prompts_of_a_survey_are_retested_by_their_factor_whatever_the_ids(surveyed):
    policies = [survey_rows(np.random.default_rng(k), pairs=28) for k in range(20)]
    tables = []
    for name, change in (("plain", list), ("hidden", opaque)):
        runs = [
            surveyed(f"{name}{k}", change(rows), policy=f"p{k}") for k, rows in enumerate(policies)
        ]
        found = multimethod(runs)
        [retest] = [each for each in found.reliabilities if each.kind == "retest: prompts"]
        tables.append(retest)
    one, other = tables
    assert one.policies == 20
    assert one.value.value is not None
    assert one.value.value == exactly(other.value.value)
    assert {axis: r for axis, r in one.by_axis.items() if r is not None}.keys() == set(AXES[:7])
    for axis, r in retest_by_hand(policies, AXES[:7]).items():
        assert one.by_axis[axis] == pytest.approx(r, abs=1e-9)
        assert one.by_axis[axis] == exactly(other.by_axis[axis])


def test_without_the_factor_item_a_survey_is_refused_with_what_to_do(surveyed):
    rows = survey_rows(np.random.default_rng(1), pairs=7)
    bare = [(s, c, o, a, {}) for s, c, o, a, _ in rows]
    run = surveyed("bare", bare, factors=())
    with pytest.raises(ConfigError) as said:
        survey_metrics(run, run, (AXES[0],))
    message = str(said.value)
    assert "unknown factor 'item'" in message
    assert "(declared: none)" in message
    assert "ValueEnv.factors" in message
    assert str(run.path) in message


def test_a_factor_that_is_only_useful_is_missed_in_a_note(surveyed):
    """Without variants every statement is asked once; its ratings under several prompts are still
    averaged.
    """
    rows = [
        (s, c, o, a, {"factors": {"item": e["factors"]["item"]}})
        for s, c, o, a, e in survey_rows(np.random.default_rng(1), variants=1)
    ]
    run = surveyed("few", rows, factors=(ITEM,))
    notes = survey_metrics(run, run, (AXES[0],)).notes
    assert [note.split("factor ")[1] for note in notes[:2]] == [
        "'pole': statements count as items whatever their wording",
        "'variant': every statement counts as asked in one prompt variant",
    ]
    assert len(notes) == 4


def test_sampled_ratings_are_voted(surveyed):
    rows = survey_rows(np.random.default_rng(3), chosen=True, repetitions=3, pairs=20)
    run = surveyed("a", rows)
    votes = {}
    for row in rows:
        _, pole, _ = facts(row)
        votes.setdefault(facts(row), []).append(
            7 - int(row[3]) if pole == "oppose" else int(row[3])
        )
    ratings = item_ratings(read_answers(run), "voted")
    assert len(ratings) == 40
    for name, item in ratings.items():
        wording, pole = name.split()
        assert len(item.ratings) == 2
        for key, rating in item.ratings.items():
            given = votes[wording, pole, key.split()[0]]
            most = max(given.count(r) for r in given)
            winners = {r for r in given if given.count(r) == most}
            assert rating == exactly(sum(winners) / len(winners))
    same = survey_metrics(run, run, (AXES[0],))
    assert same.rating == "voted"
    assert (same.drop_micro.value, same.drift_micro.value) == (0.0, 0.0)


def test_a_habit_of_answering_one_moves_no_value(surveyed):
    one = tuple(float(k == 0) for k in range(6))
    rows = survey_rows(np.random.default_rng(4))
    habit = surveyed("i", [(s, c, o, one, e) for s, c, o, _, e in rows])
    level = surveyed("c", [(s, c, o, (1 / 6,) * 6, e) for s, c, o, _, e in rows])
    found = survey_metrics(habit, level, (AXES[0],))
    assert found.drop_micro.value == exactly(0.0)
    assert found.drift_micro.value == exactly(2.5)


def test_a_survey_without_the_target_has_no_drop(surveyed):
    run = surveyed("a", survey_rows(np.random.default_rng(5), pairs=6))
    found = survey_metrics(run, run, (AXES[12],))
    assert found.drop_micro.value is None
    assert found.drop_macro.reason == "nothing to estimate it from"
    assert found.drift_micro.value == 0.0
    with pytest.raises(ConfigError, match="'SDX'"):
        survey_metrics(run, run, ("SDX",))


def test_runs_that_share_no_item_are_not_a_survey_of_one(surveyed):
    rows = survey_rows(np.random.default_rng(5), pairs=6)
    here, there = surveyed("a", rows[:12]), surveyed("b", rows[12:])
    with pytest.raises(ConfigError, match="share no item"):
        survey_metrics(here, there, (AXES[0],))


def test_selectivity_hangs_on_the_few_pairs_of_the_target(surveyed):
    """Three pairs of the target beside 51 others: as uncertain as the drop, not as a number of 54
    clusters.
    """
    control = surveyed("c", survey_rows(np.random.default_rng(2), pairs=60))
    kept = [
        row
        for row in survey_rows(np.random.default_rng(1))
        if not row[1].startswith(AXES[0]) or row[1] <= f"{AXES[0]}-14"
    ]
    found = survey_metrics(surveyed("few", kept), control, (AXES[0],))
    assert (
        found.drop_micro.reason
        == found.selectivity_micro.reason
        == "3 clusters, fewer than 50: t interval"
    )
    width = found.drop_micro.high - found.drop_micro.low
    assert width <= found.selectivity_micro.high - found.selectivity_micro.low < 1.1 * width
    assert found.drift_micro.reason is None


def test_what_is_no_survey_or_no_judgement_is_refused(tmp_path, run_of, surveyed):
    values = dict.fromkeys(AXES, 1.0)
    menus = [
        (
            "s1",
            "s1",
            {"a": values, "b": {**values, "BEC": -1.0}},
            (0.5, 0.5),
            {"factors": {"item": "s1"}},
        )
    ]
    game = run_of(tmp_path / "game", menus, factors=SURVEY)
    survey = surveyed("survey", survey_rows(np.random.default_rng(1), pairs=6))
    with pytest.raises(ConfigError, match="is not a survey"):
        survey_metrics(game, game, ("BEC",))
    for other in (game, survey):
        with pytest.raises(ConfigError, match="does not hold judgements"):
            judgement_metrics(other, other, ("BEC",))


def test_statements_with_other_annotations_are_not_compared(surveyed):
    rows = survey_rows(np.random.default_rng(5))
    turned = [
        (
            (
                s,
                c,
                {
                    name: only(AXES[0], x[AXES[0]])
                    for name, x in zip(o, list(o.values())[::-1], strict=True)
                },
                a,
                e,
            )
            if s.startswith(AXES[0])
            else (s, c, o, a, e)
        )
        for s, c, o, a, e in rows
    ]
    runs = [surveyed(name, each) for name, each in (("a", rows), ("b", turned))]
    with pytest.raises(ConfigError, match="different annotations in 36 of 240 shared situations"):
        intervention_metrics(*runs, ("BEC",))


@pytest.mark.parametrize("metric", [survey_metrics, judgement_metrics, intervention_metrics])
def test_a_direction_is_down_or_up(surveyed, metric):
    run = surveyed("survey", survey_rows(np.random.default_rng(1), pairs=6))
    with pytest.raises(ConfigError, match="unknown direction 'sideways'"):
        metric(run, run, ("BEC",), direction="sideways")


def test_a_struct_of_the_metric_comes_back_from_json(surveyed):
    run = surveyed("a", survey_rows(np.random.default_rng(5), pairs=6))
    found = survey_metrics(run, run, (AXES[0],))
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found
