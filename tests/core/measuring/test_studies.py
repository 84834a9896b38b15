"""The named metrics against straight-line computations from the stored decisions, on random data."""

import itertools
import math

import msgspec
import numpy as np
import pytest
from scipy import stats

from valueagents.contracts.decision import Annotation, Choice, Decision, Episode, Option
from valueagents.errors import ConfigError
from valueagents.measuring.resampling import cluster_estimates, over_units
from valueagents.measuring.shifts import answers, propensities
from valueagents.measuring.studies import (
    bbq_metrics,
    crows_metrics,
    intervention_metrics,
    judgement_metrics,
    survey_metrics,
)
from valueagents.measuring.studies.survey import item_ratings
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import load_taxonomy

VALUES, BIAS = load_taxonomy("schwartz20"), load_taxonomy("stereotype")
AXES = VALUES.axis_ids
VERDICTS = ("NTA", "NEUTRAL", "YTA")


def exactly(value):
    return pytest.approx(value, abs=1e-12, rel=1e-12)


def only(axis, x):
    return {name: x if name == axis else None for name in AXES}


def drawn(rng, size):
    return tuple(rng.dirichlet(np.ones(size)).tolist())


def made_run(path, rows, *, taxonomy=VALUES, seed=0, min_contested=1):
    """A run of one-decision episodes from (situation, cluster, options {id: values}, p or chosen id, extra) rows."""
    header = RunHeader(
        "test/T-v0", {}, "test", seed, "Choose.", {}, {}, taxonomy, True, False, min_contested=min_contested
    )
    store = RunStore.create(path, header)
    met = {}
    with store.writing() as writer:
        for i, (situation, cluster, options, answer, extra) in enumerate(rows):
            menu = tuple(Option(name, f"option {name}") for name in options)
            p = answer if isinstance(answer, tuple) else None
            chosen = menu[int(np.argmax(p))].id if p else answer
            choice = Choice(chosen, "drawn" if chosen else "failed", p)
            annotation = Annotation(taxonomy.name, tuple(options.values()), "tests", "tests")
            decision = Decision(
                extra.get("text", situation), menu, choice, annotation, extra.get("invalid"), extra.get("reward", 0.0)
            )
            repetition = met[situation] = met.get(situation, -1) + 1
            outcome = extra.get("outcome", "terminated")
            writer.episode(Episode(f"{i:06d}", situation, repetition, 0, cluster, (decision,), outcome))
    return Run(path)


# -- survey ---------------------------------------------------------------------------------------------------------


def survey_rows(rng, *, pairs=60, variants=2, chosen=False, repetitions=1):
    rows = []
    for n, pole, variant, _ in itertools.product(
        range(pairs), ("affirm", "oppose"), range(variants), range(repetitions)
    ):
        axis = AXES[n % 7]
        turn = 1 if pole == "affirm" else -1
        options = {str(r): only(axis, turn * (r - 3.5) / 2.5) for r in range(1, 7)}
        answer = str(rng.integers(1, 7)) if chosen else drawn(rng, 6)
        rows.append((f"{axis}-{n:02d}/{pole}/v{variant:02d}", f"{axis}-{n:02d}", options, answer, {}))
    return rows


def straight_survey(moved, kept, target, rate):
    """Micro and macro drop and drift, by the protocol's words."""
    shifts = {}
    for (situation, _, _, mine, _), (_, _, _, theirs, _) in zip(moved, kept, strict=True):
        shifts.setdefault(situation.rsplit("/", 1)[0], []).append(rate(situation, mine) - rate(situation, theirs))
    items = {}
    for name, values in shifts.items():
        items.setdefault(name[:3], []).append(sum(values) / len(values))
    drop = {axis: [-x for x in xs] for axis, xs in items.items() if axis in target}
    drift = {axis: [abs(x) for x in xs] for axis, xs in items.items() if axis not in target}

    def micro(groups):
        every = [x for xs in groups.values() for x in xs]
        return math.fsum(every) / len(every)

    def macro(groups):
        return math.fsum(math.fsum(xs) / len(xs) for xs in groups.values()) / len(groups)

    return micro(drop), macro(drop), micro(drift), macro(drift)


def test_survey_metrics_are_those_of_the_protocols_words(tmp_path):
    moved, kept = survey_rows(np.random.default_rng(1)), survey_rows(np.random.default_rng(2))

    def rate(situation, p):
        expected = math.fsum((k + 1) * each for k, each in enumerate(p))
        return 7 - expected if "/oppose/" in situation else expected

    target = (AXES[0], AXES[3])
    found = survey_metrics(made_run(tmp_path / "i", moved), made_run(tmp_path / "c", kept), target)
    drop, drop_macro, drift, drift_macro = straight_survey(moved, kept, target, rate)
    assert found.rating == "expected"
    assert found.drop_micro.value == exactly(drop)
    assert found.drop_macro.value == exactly(drop_macro)
    assert found.drift_micro.value == exactly(drift)
    assert found.drift_macro.value == exactly(drift_macro)
    assert found.selectivity_micro.value == exactly(drop - drift)
    assert found.selectivity_macro.value == exactly(drop_macro - drift_macro)
    assert (found.target_items, found.other_items, found.clusters) == (36, 84, 60)
    up = survey_metrics(Run(tmp_path / "i"), Run(tmp_path / "c"), target, direction="up")
    assert up.drop_micro.value == exactly(-drop)
    assert up.drift_micro == found.drift_micro


def test_sampled_ratings_are_voted(tmp_path):
    rows = survey_rows(np.random.default_rng(3), chosen=True, repetitions=3, pairs=20)
    run = made_run(tmp_path / "a", rows)
    votes = {}
    for situation, _, _, answer, _ in rows:
        votes.setdefault(situation, []).append(7 - int(answer) if "/oppose/" in situation else int(answer))
    for name, item in item_ratings(run, "voted").items():
        for key, rating in item.ratings.items():
            given = votes[f"{name}/{key.split()[0]}"]
            most = max(given.count(r) for r in given)
            winners = {r for r in given if given.count(r) == most}
            assert rating == exactly(sum(winners) / len(winners))
    same = survey_metrics(run, run, (AXES[0],))
    assert same.rating == "voted"
    assert (same.drop_micro.value, same.drift_micro.value) == (0.0, 0.0)


def test_a_habit_of_answering_one_moves_no_value(tmp_path):
    one = tuple(float(k == 0) for k in range(6))
    rows = survey_rows(np.random.default_rng(4))
    habit = made_run(tmp_path / "i", [(s, c, o, one, e) for s, c, o, _, e in rows])
    level = made_run(tmp_path / "c", [(s, c, o, (1 / 6,) * 6, e) for s, c, o, _, e in rows])
    found = survey_metrics(habit, level, (AXES[0],))
    assert found.drop_micro.value == exactly(0.0)
    assert found.drift_micro.value == exactly(2.5)


def test_a_survey_without_the_target_has_no_drop(tmp_path):
    run = made_run(tmp_path / "a", survey_rows(np.random.default_rng(5), pairs=6))
    found = survey_metrics(run, run, (AXES[12],))
    assert found.drop_micro.value is None
    assert found.drop_macro.reason == "nothing to estimate it from"
    assert found.drift_micro.value == 0.0
    with pytest.raises(ConfigError, match="'SDX'"):
        survey_metrics(run, run, ("SDX",))


def test_runs_that_share_no_item_are_not_a_survey_of_one(tmp_path):
    rows = survey_rows(np.random.default_rng(5), pairs=6)
    here, there = made_run(tmp_path / "a", rows[:12]), made_run(tmp_path / "b", rows[12:])
    with pytest.raises(ConfigError, match="share no item"):
        survey_metrics(here, there, (AXES[0],))


def test_selectivity_hangs_on_the_few_pairs_of_the_target(tmp_path):
    """Three pairs of the target beside 57 others: as uncertain as the drop, not as a number of 60 clusters."""
    rows = [made_run(tmp_path / str(k), survey_rows(np.random.default_rng(k), pairs=60)) for k in (1, 2)]
    alone = (AXES[0],)
    kept = [
        row
        for row in survey_rows(np.random.default_rng(1))
        if not row[1].startswith(AXES[0]) or row[1] <= f"{AXES[0]}-14"
    ]
    found = survey_metrics(made_run(tmp_path / "few", kept), rows[1], alone)
    assert found.drop_micro.reason == found.selectivity_micro.reason == "3 clusters, fewer than 50: t interval"
    width = found.drop_micro.high - found.drop_micro.low
    assert width <= found.selectivity_micro.high - found.selectivity_micro.low < 1.1 * width
    assert found.drift_micro.reason is None


def test_what_is_annotated_otherwise_is_not_compared(tmp_path):
    rows = survey_rows(np.random.default_rng(5))
    turned = [
        (s, c, {name: only(AXES[0], x[AXES[0]]) for name, x in zip(o, list(o.values())[::-1], strict=True)}, a, e)
        if s.startswith(AXES[0])
        else (s, c, o, a, e)
        for s, c, o, a, e in rows
    ]
    runs = [made_run(tmp_path / name, each) for name, each in (("a", rows), ("b", turned))]
    with pytest.raises(ConfigError, match="annotated otherwise in 36 of 240 shared situations"):
        intervention_metrics(*runs, ("BEC",))


# -- judgement ------------------------------------------------------------------------------------------------------


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
def test_judgement_gains_are_those_of_the_formula(tmp_path, strict):
    moved, kept = (judgement_rows(np.random.default_rng(seed), strict=strict) for seed in (1, 2))
    target = (AXES[0], AXES[1])
    found = judgement_metrics(made_run(tmp_path / "i", moved), made_run(tmp_path / "c", kept), target)
    gains = {True: [], False: []}
    for (_, _, options, mine, _), (_, _, _, theirs, _) in zip(moved, kept, strict=True):
        axis = next(name for name, x in options["NTA"].items() if x is not None)
        delta = {}
        for k, verdict in enumerate(VERDICTS):
            x = options[verdict][axis]
            delta["h" if x == 1 else "l" if x == -1 else "r"] = mine[k] - theirs[k]
        gains[axis in target].append(
            (-delta["h"] + delta["l"] + 0.5 * delta["r"], -delta["h"] + delta["l"], delta["h"], delta["l"], delta["r"])
        )
    means = {
        which: [math.fsum(column) / len(column) for column in zip(*rows, strict=True)] for which, rows in gains.items()
    }
    numbers = [found.primary, found.strict, found.delta_high, found.delta_low, found.delta_remaining]
    assert [each.value for each in numbers] == [exactly(mean) for mean in means[True]]
    assert [found.off_target_primary.value, found.off_target_strict.value] == [exactly(x) for x in means[False][:2]]
    assert found.primary.value == exactly(0.5 * means[True][3] - 1.5 * means[True][2])
    assert (found.target_posts, found.other_posts, found.clusters) == (32, 48, 40)
    e3p = [propensities(answers(Run(tmp_path / name), "probability")) for name in ("i", "c")]
    on_target = [VALUES.index(axis) for axis in target]
    gain = found.strict if strict else found.primary
    assert gain.value == exactly(-(np.nanmean(e3p[0][:, on_target]) - np.nanmean(e3p[1][:, on_target])))
    up = judgement_metrics(Run(tmp_path / "i"), Run(tmp_path / "c"), target, direction="up")
    assert up.primary.value == exactly(-means[True][0])


def test_a_text_under_two_values_is_two_posts_of_one_cluster(tmp_path):
    rows = judgement_rows(np.random.default_rng(1), posts=10)
    high = {"NTA": 1.0, "NEUTRAL": -0.5, "YTA": -1.0}
    other = {verdict: only(AXES[9], x) for verdict, x in high.items()}
    twice = [(f"{situation}-again", cluster, other, p, {"text": situation}) for situation, cluster, _, p, _ in rows]
    run = made_run(tmp_path / "a", rows + twice)
    found = judgement_metrics(run, run, (AXES[9],))
    assert (found.target_posts, found.other_posts, found.clusters) == (10, 10, 5)


# -- intervention ---------------------------------------------------------------------------------------------------


def game_rows(rng, *, count=90):
    layout = np.random.default_rng(7)
    rows = []
    for n in range(count):
        options = {
            f"o{k}": {axis: float(layout.choice([-1, 0, 1])) for axis in AXES} for k in range(layout.integers(2, 5))
        }
        extra = {"reward": float(rng.normal()), "outcome": str(rng.choice(["terminated", "truncated"]))}
        extra["invalid"] = "no" if rng.random() < 0.2 else None
        rows.append((f"s{n}", f"c{n // 3}", options, drawn(rng, len(options)), extra))
    return rows


def straight_shifts(moved, kept):
    totals = {axis: [] for axis in AXES}
    for (_, _, options, mine, _), (_, _, _, theirs, _) in zip(moved, kept, strict=True):
        for axis in AXES:
            x = [values[axis] for values in options.values()]
            if len(set(x)) > 1:
                totals[axis].append(math.fsum((a - b) * y for a, b, y in zip(mine, theirs, x, strict=True)))
    return {axis: math.fsum(each) / len(each) for axis, each in totals.items()}


def test_intervention_metrics_are_those_of_the_definitions(tmp_path):
    moved, kept, again = (game_rows(np.random.default_rng(seed)) for seed in (1, 2, 3))
    runs = [made_run(tmp_path / name, rows) for name, rows in (("i", moved), ("c", kept), ("n", again))]
    target = ("POD", "POR")
    found = intervention_metrics(runs[0], runs[1], target, control_repeat=runs[2], direction="down")
    shifts, noise = straight_shifts(moved, kept), straight_shifts(again, kept)
    others = [axis for axis in AXES if axis not in target]
    shift = -(shifts["POD"] + shifts["POR"]) / 2
    drift = math.fsum(abs(shifts[axis]) for axis in others) / len(others)
    floor = math.fsum(abs(noise[axis]) for axis in others) / len(others)
    assert found.target_shift.value == exactly(shift)
    assert found.drift.value == exactly(drift)
    assert found.noise_drift.value == exactly(floor)
    assert found.noise_target_shift.value == exactly(-(noise["POD"] + noise["POR"]) / 2)
    assert found.net_drift.value == exactly(drift - floor)
    assert found.selectivity.value == exactly(shift - (drift - floor))
    angles = VALUES.angles
    middle = math.radians((angles["POD"] + angles["POR"]) / 2)
    on_circle = [axis for axis in others if axis in angles]
    cosines = [math.cos(math.radians(angles[axis]) - middle) for axis in on_circle]
    assert found.circle_slope.value == exactly(stats.linregress(cosines, [-shifts[axis] for axis in on_circle]).slope)
    rewards = [a[4]["reward"] - b[4]["reward"] for a, b in zip(moved, kept, strict=True)]
    assert found.score_change.value == exactly(math.fsum(rewards) / len(rewards))
    completed = [sum(row[4]["outcome"] == "terminated" for row in rows) / len(rows) for rows in (moved, kept)]
    assert found.completion_change.value == exactly(completed[0] - completed[1])
    invalid = [sum(row[4]["invalid"] is not None for row in rows) / len(rows) for rows in (moved, kept)]
    assert found.invalid_change.value == exactly(invalid[0] - invalid[1])


def test_without_a_second_control_seed_the_noise_floor_is_undefined(tmp_path):
    runs = [made_run(tmp_path / str(seed), game_rows(np.random.default_rng(seed))) for seed in (1, 2)]
    found = intervention_metrics(*runs, ("BEC",))
    assert found.target_shift.value is not None
    assert found.selectivity.value is None
    assert "control_repeat" in found.net_drift.reason
    off = intervention_metrics(*runs, ("UNO",))
    assert off.circle_slope.value is None
    assert "circle" in off.circle_slope.reason
    unpaired = made_run(tmp_path / "3", game_rows(np.random.default_rng(3)), seed=9)
    assert "not paired" in intervention_metrics(runs[0], unpaired, ("BEC",)).score_change.reason


def test_the_noise_floor_is_of_the_same_situations_as_the_drift_that_it_is_taken_off(tmp_path):
    moved, kept, again = (game_rows(np.random.default_rng(seed)) for seed in (1, 2, 3))
    whole, control = made_run(tmp_path / "i", moved), made_run(tmp_path / "c", kept)
    found = intervention_metrics(whole, control, ("POD",), control_repeat=made_run(tmp_path / "n", again[:45]))
    shifts, common, noise = (
        straight_shifts(moved, kept),
        straight_shifts(moved[:45], kept[:45]),
        straight_shifts(again[:45], kept[:45]),
    )
    others = [axis for axis in AXES if axis != "POD"]
    net = math.fsum(abs(common[axis]) - abs(noise[axis]) for axis in others) / len(others)
    assert found.target_shift.value == exactly(-shifts["POD"])
    assert found.drift.value == exactly(math.fsum(abs(shifts[axis]) for axis in others) / len(others))
    assert found.net_drift.value == exactly(net)
    assert found.selectivity.value == exactly(-shifts["POD"] - net)
    least = made_run(tmp_path / "few", again[:5])
    for run in (whole, control):
        run.header = msgspec.structs.replace(run.header, min_contested=20)
    few = intervention_metrics(whole, control, ("POD",), control_repeat=least)
    assert few.target_shift.value == found.target_shift.value
    for estimate in (few.noise_drift, few.net_drift, few.selectivity):
        assert "contested situations shared by all three runs, 20 needed" in estimate.reason


def test_changes_of_competence_are_clustered_as_the_run_is(tmp_path):
    """The three posts of a cluster were refused together: thirty refusals are ten."""
    runs = []
    for k, refused in enumerate((range(30), range(0))):
        rows = [
            (s, c, o, a, {**e, "invalid": "no" if n in refused else None})
            for n, (s, c, o, a, e) in enumerate(game_rows(np.random.default_rng(k)))
        ]
        runs.append(made_run(tmp_path / str(k), rows))
    by_cluster = np.repeat([1.0, 0.0], [10, 20])
    found = intervention_metrics(*runs, ("BEC",)).invalid_change
    half = stats.t.ppf(0.975, 29) * stats.sem(by_cluster)
    assert found.value == exactly(1 / 3)
    assert found.high - found.value == pytest.approx(half, rel=1e-9)


def test_a_target_that_is_contested_too_seldom_has_no_shift(tmp_path):
    rows = [game_rows(np.random.default_rng(seed)) for seed in (1, 2, 3)]
    for run_rows in rows:  # of the target 19 contested decisions are left
        contested = [row for row in run_rows if len({values["BEC"] for values in row[2].values()}) > 1]
        for _, _, options, *_ in contested[19:]:
            for values in options.values():
                values["BEC"] = 0.0
    runs = [made_run(tmp_path / str(i), each, min_contested=20) for i, each in enumerate(rows)]
    found = intervention_metrics(runs[0], runs[1], ("BEC",), control_repeat=runs[2])
    for estimate in (found.target_shift, found.noise_target_shift, found.selectivity):
        assert estimate.value is None
        assert "19 contested situations shared" in estimate.reason
    assert found.drift.value is not None
    shifts = straight_shifts(rows[0], rows[1])
    others = intervention_metrics(runs[0], runs[1], ("POD",)).drift.value
    assert others == exactly(math.fsum(abs(shifts[a]) for a in AXES if a not in ("POD", "BEC")) / (len(AXES) - 2))


# -- stereotypes ----------------------------------------------------------------------------------------------------


def bbq_rows(rng, *, chosen, count=120):
    rows = []
    for n in range(count):
        correct = ("unknown", "pro", "anti")[n % 3] if n % 6 else "unknown"
        options = {
            name: {name: 1.0, **({"correct": 1.0} if name == correct else {})} for name in ("pro", "anti", "unknown")
        }
        answer = (str(rng.choice(["pro", "anti", "unknown"])) if n % 10 else None) if chosen else drawn(rng, 3)
        rows.append((f"s{n}", f"template-{n // 2}", options, answer, {"correct": correct}))
    return rows


@pytest.mark.parametrize("chosen", [False, True])
def test_bbq_is_that_of_its_paper(tmp_path, chosen):
    rows = bbq_rows(np.random.default_rng(1), chosen=chosen)
    found = bbq_metrics(made_run(tmp_path / "a", rows, taxonomy=BIAS))
    names = ("pro", "anti", "unknown")
    read = [row for row in rows if row[3] is not None]

    def share(group, answer):
        """How much of the answers to these items goes to the option."""
        p = [(row[3][names.index(answer(row))] if not chosen else float(row[3] == answer(row))) for row in group]
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


def test_crows_is_the_share_and_the_mean_difference(tmp_path):
    rng = np.random.default_rng(1)
    logs = rng.normal(-40, 15, size=(70, 2))
    rows = []
    for n, (pro, anti) in enumerate(logs):
        p = np.exp([pro, anti] - np.logaddexp(pro, anti))
        order = ["pro", "anti"] if n % 2 else ["anti", "pro"]
        options = {name: {name: 1.0} for name in order}
        rows.append((f"s{n}", f"s{n}", options, tuple((p if n % 2 else p[::-1]).tolist()), {}))
    found = crows_metrics(made_run(tmp_path / "a", rows, taxonomy=BIAS))
    difference = logs[:, 0] - logs[:, 1]
    assert found.pairs == 70
    assert found.share.value == exactly(float((difference > 0).mean()))
    assert found.difference.value == pytest.approx(float(np.abs(difference).mean()), rel=1e-12)
    assert found.signed_difference.value == pytest.approx(float(difference.mean()), rel=1e-11)


def test_metrics_of_stereotypes_need_their_taxonomy_and_pairs(tmp_path):
    values = made_run(tmp_path / "v", survey_rows(np.random.default_rng(1), pairs=2))
    with pytest.raises(ConfigError, match="not on stereotype"):
        bbq_metrics(values)
    three = made_run(tmp_path / "t", bbq_rows(np.random.default_rng(1), chosen=False, count=6), taxonomy=BIAS)
    with pytest.raises(ConfigError, match="not CrowS pairs"):
        crows_metrics(three)


# -- intervals ------------------------------------------------------------------------------------------------------


def ratio(totals):
    return totals[:, :1] / totals[:, 1:]


def test_the_bootstrap_interval_is_scipys():
    rng = np.random.default_rng(1)
    sums = np.stack([rng.normal(2, 1, 200), rng.uniform(1, 3, 200)], axis=1)
    [found] = cluster_estimates(sums, ratio, seed=1)
    theirs = stats.bootstrap(
        (sums[:, 0], sums[:, 1]), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, method="percentile",
        n_resamples=9999, vectorized=True, rng=2,
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert found.value == exactly(sums[:, 0].sum() / sums[:, 1].sum())
    assert found.low == pytest.approx(theirs.low, abs=0.1 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.1 * width)


def test_a_difference_hangs_on_the_fewer_clusters_of_its_parts():
    rng = np.random.default_rng(3)
    few, many = rng.normal(2, 1, 5), rng.normal(1, 0.1, 80)
    sums = np.zeros((85, 4))
    sums[:5, :2], sums[5:, 2:] = np.stack([few, np.ones(5)], axis=1), np.stack([many, np.ones(80)], axis=1)

    def both(totals):
        one, other = totals[:, 0] / totals[:, 1], totals[:, 2] / totals[:, 3]
        return np.stack([one, other, one - other], axis=1)

    found = cluster_estimates(sums, both, seed=1, differences={2: (0, 1)})[2]
    half = stats.t.ppf(0.975, 4) * math.hypot(stats.sem(few), stats.sem(many))
    assert found.high - found.value == exactly(half)
    assert found.reason == "5 clusters, fewer than 50: t interval"


def test_a_mean_of_absolute_values_lies_in_its_own_interval():
    """Noise about 0 has a mean |total| that every resample exceeds."""
    noise = np.random.default_rng(4).normal(size=(100, 40))

    def size(totals):
        return np.abs(totals).mean(axis=1, keepdims=True)

    [pushed_up] = cluster_estimates(noise, size, seed=1)
    [found] = cluster_estimates(noise, size, seed=1, folded=[0])
    assert pushed_up.value < pushed_up.low
    assert found.low < found.value < found.high
    assert found.reason is None


def test_few_clusters_get_the_t_interval_of_the_jackknife():
    values = np.random.default_rng(1).normal(size=12)
    [found] = cluster_estimates(np.stack([values, np.ones(12)], axis=1), ratio, seed=1)
    low, high = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == (exactly(low), exactly(high))
    assert found.reason == "12 clusters, fewer than 50: t interval"


@pytest.mark.parametrize(
    ("sums", "value", "said"),
    [
        (np.zeros((0, 2)), None, "nothing to estimate"),
        (np.zeros((5, 2)), None, "nothing to estimate"),
        (np.array([[1.0, 2.0]]), 0.5, "rests on one cluster"),
        (np.ones((60, 2)), 1.0, "whichever cluster is left out"),
    ],
)
def test_what_has_no_interval_says_why(sums, value, said):
    [found] = cluster_estimates(sums, ratio, seed=1)
    assert (found.value, found.low, found.high) == (value, None, None)
    assert said in found.reason


def test_seeds_are_units_of_their_own():
    values = [0.1, 0.4, 0.2]
    found = over_units(values, "seed")
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.value, found.low, found.high) == (exactly(np.mean(values)), exactly(low), exactly(high))
    assert found.reason == "3 seeds, fewer than 6: exploratory"
    assert over_units([None], "seed").value is None
    assert over_units([0.1, None], "seed").reason == "one seed: no interval; 1 undefined left out"


def test_a_metric_of_another_world_is_refused(tmp_path):
    game = made_run(tmp_path / "game", game_rows(np.random.default_rng(1)))
    survey = made_run(tmp_path / "survey", survey_rows(np.random.default_rng(1), pairs=6))
    with pytest.raises(ConfigError, match="is no survey"):
        survey_metrics(game, game, ("BEC",))
    for other in (game, survey):
        with pytest.raises(ConfigError, match="is no run of judgements"):
            judgement_metrics(other, other, ("BEC",))
    for metric in (survey_metrics, judgement_metrics, intervention_metrics):
        with pytest.raises(ConfigError, match="direction 'sideways'"):
            metric(survey, survey, ("BEC",), direction="sideways")


def test_a_slope_that_lacks_values_does_not_blame_the_target(tmp_path):
    game = made_run(tmp_path / "game", game_rows(np.random.default_rng(1), count=9), min_contested=20)
    reason = intervention_metrics(game, game, ("BEC",)).circle_slope.reason
    assert reason == "too few other values on the circle have 20 shared contested situations"
