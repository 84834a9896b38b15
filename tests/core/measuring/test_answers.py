"""A run's answers as arrays, against the stored episodes read one by one."""

import math
import subprocess
import sys

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from valueagents.contracts.decision import Annotation, Choice, Decision, Episode, Factor, Option
from valueagents.errors import ConfigError, StoreError
from valueagents.measuring import answers as answers_module
from valueagents.measuring.answers import joint_clustering
from valueagents.measuring.deviations import propensity_terms
from valueagents.measuring.reading import arrays_of, read_answers
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import Axis, Taxonomy

TWO = Taxonomy(
    id="two", version=1, source="tests", axes=(Axis("A", "Alpha", "a"), Axis("B", "Beta", "b"))
)


def decision(values, chosen, p=None, *, texts=None, annotated=True, invalid=None, taxonomy="two/1"):
    """A decision over options o0, o1, …; `values` holds an {axis: x} for each."""
    texts = texts or [f"option {k}" for k in range(len(values))]
    annotation = Annotation(taxonomy, tuple(values), "tests", "tests") if annotated else None
    choice = Choice(
        None if chosen is None else f"o{chosen}", "failed" if chosen is None else "drawn", p
    )
    menu = tuple(Option(f"o{k}", text) for k, text in enumerate(texts))
    return Decision("What now?", menu, choice, annotation, invalid)


def episode(identity, *decisions, cluster=None):
    return Episode(identity, None, 0, 0, cluster or identity, decisions, "terminated")


def answers_of(path, *episodes, independent=True, factors=()):
    header = RunHeader(
        "test/T-v0", {}, "test", 0, "Choose.", {}, {}, TWO, independent, False, factors=factors
    )
    store = RunStore.create(path, header)
    with store.writing() as writer:
        for each in episodes:
            writer.episode(each)
    return read_answers(path)


def random_decision(rng):
    """Menus of 1 to 4 options; some axes not annotated, some replies unread, some probabilities
    unknown.
    """
    size = int(rng.integers(1, 5))
    amounts = [-1.0, -0.3, 0.0, 0.1, 1.0]
    values = [
        {a: None if rng.random() < 0.05 else float(rng.choice(amounts)) for a in "AB"}
        for _ in range(size)
    ]
    chosen = None if rng.random() < 0.2 else int(rng.integers(size))
    return decision(
        values, chosen, None if rng.random() < 0.3 else tuple(rng.dirichlet(np.ones(size)).tolist())
    )


def test_rows_follow_identity_and_step_whatever_the_order_of_writing(out):
    up, down = decision([{"A": 1.0}], 0), decision([{"A": -1.0}], 0)
    answers = answers_of(out, episode("c", up), episode("a", down, up), episode("b", down))
    assert answers.x[:, 0].tolist() == [-1, 1, -1, 1]
    assert answers.cluster.tolist() == [0, 0, 1, 2]
    assert answers.clusters == 3


def test_an_absent_axis_is_neutral_and_a_null_one_not_annotated(out):
    answers = answers_of(out, episode("a", decision([{"A": 0.5}, {"B": None}], 1)))
    np.testing.assert_array_equal(answers.x, [[0.5, 0.0], [0.0, np.nan]])


def test_decisions_without_annotation_are_left_out(out):
    menu = [{"A": 1.0}, {}]
    answers = answers_of(out, episode("a", decision(menu, 0, annotated=False), decision(menu, 1)))
    assert answers.size.tolist() == [2]
    assert answers.chosen.tolist() == [1]


def test_chosen_is_a_row_of_the_whole_or_minus_one(out):
    pair = [{"A": 1.0}, {}]
    answers = answers_of(
        out,
        episode("a", decision(pair, 1)),
        episode("b", decision(pair, None)),
        episode("c", decision(pair, 1, invalid="refused")),
        episode("d", decision(pair, 7)),
        episode("e", decision([*pair, {}], 2)),
    )
    assert answers.start.tolist() == [0, 2, 4, 6, 8]
    assert answers.chosen.tolist() == [1, -1, -1, -1, 10]
    assert answers.menu_of.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4]


def test_places_and_lengths_are_those_of_the_shown_options(out):
    texts = ["", "naïve – 漢字\n", "🦜"]
    answers = answers_of(
        out, episode("a", decision([{}, {}, {}], 0, texts=texts)), episode("b", decision([{}], 0))
    )
    assert answers.position.tolist() == [0, 1, 2, 0]
    assert answers.characters.tolist() == [0, 11, 1, 8]


def test_decisions_without_probabilities_are_nan_and_keep_their_place(out):
    pair = [{"A": 1.0}, {}]
    answers = answers_of(
        out, episode("a", decision(pair, 0)), episode("b", decision(pair, 0, (0.25, 0.75)))
    )
    np.testing.assert_array_equal(answers.p, [np.nan, np.nan, 0.25, 0.75])


def test_episodes_of_one_cluster_share_its_code(out):
    menu = decision([{"A": 1.0}, {}], 0)
    answers = answers_of(
        out,
        episode("a", menu, cluster="ü"),
        episode("b", menu, cluster="post 1"),
        episode("c", menu, cluster="ü"),
    )
    assert answers.cluster.tolist() == [1, 0, 1]
    assert answers.clusters == 2


def test_sums_over_menus_of_all_sizes_are_those_of_a_loop(out):
    answers = answers_of(out, *(episode(str(k), decision([{}] * k, 0)) for k in (3, 1, 4, 2)))
    rows = np.arange(10.0)
    assert answers.per_menu(rows).tolist() == [0, 1 + 2, 3 + 4 + 5, 6 + 7 + 8 + 9]


def test_deviations_are_those_of_a_loop_over_the_decisions(out):
    rng = np.random.default_rng(0)
    decisions = [random_decision(rng) for _ in range(150)]
    found = answers_of(out, *(episode(f"{i:04d}", d) for i, d in enumerate(decisions))).deviations()
    for t, each in enumerate(decisions):
        p, chosen = each.choice.probabilities, each.chosen
        assert found.read[t] == (chosen is not None)
        assert found.knows_p[t] == (p is not None)
        for v, axis in enumerate("AB"):
            x = [option[axis] for option in each.annotation.values]
            whole = None not in x
            mean = sum(x) / len(x) if whole else 0.0
            contested = whole and len(set(x)) > 1
            assert found.annotated[t, v] == whole
            assert found.contested[t, v] == contested
            for name, value in {
                "taken": x[chosen] if whole and chosen is not None else 0.0,
                "chosen": x[chosen] - mean if contested and chosen is not None else 0.0,
                "expected": (
                    sum(q * y for q, y in zip(p, x, strict=True)) - mean if contested and p else 0.0
                ),
                "lowest": min(x) - mean if contested else 0.0,
                "highest": max(x) - mean if contested else 0.0,
            }.items():
                assert math.isclose(getattr(found, name)[t, v], value, abs_tol=1e-12), (
                    t,
                    axis,
                    name,
                )


def test_one_option_without_an_axis_takes_that_axis_out_of_that_decision_only(out):
    found = answers_of(
        out,
        episode("a", decision([{"A": None, "B": 1.0}, {"A": 1.0}], 1)),
        episode("b", decision([{"A": 1.0, "B": 1.0}, {}], 0)),
    ).deviations()
    assert found.annotated.tolist() == [[False, True], [True, True]]
    assert found.contested.tolist() == [[False, True], [True, True]]
    assert found.chosen.tolist() == [[0, -0.5], [0.5, 0.5]]


def test_an_amount_that_all_options_share_is_not_contested(out):
    found = answers_of(
        out, episode("a", decision([{"A": 0.1}] * 3, 1, (0.2, 0.3, 0.5)))
    ).deviations()
    assert not found.contested.any()
    assert found.taken[0, 0] == 0.1
    assert (found.chosen[0, 0], found.expected[0, 0], found.centred.any()) == (0, 0, False)


@pytest.mark.parametrize("unannotated", [False, True], ids=["no episode", "no annotation"])
def test_nothing_annotated_makes_empty_answers(out, unannotated):
    answers = answers_of(out, *[episode("a", decision([{}, {}], 0, annotated=False))] * unannotated)
    found = answers.deviations()
    assert answers.x.shape == (0, 2)
    assert answers.clusters == 0
    assert found.chosen.shape == found.contested.shape == (0, 2)
    assert found.read.shape == (0,)


def test_an_annotation_of_fewer_options_than_the_menu_is_a_store_error(out):
    with pytest.raises(StoreError, match=r"2 numbers in x, its menu needs 4"):
        answers_of(out, episode("a", decision([{}], 0, texts=["one", "two"])))


def test_annotations_that_are_wrong_in_two_decisions_do_not_make_up_for_each_other(out):
    few, many = decision([{}], 0, texts=["one", "two"]), decision([{}, {}], 0, texts=["one"])
    with pytest.raises(StoreError):
        answers_of(out, episode("a", few), episode("b", many))


@pytest.mark.parametrize(
    "sizes", [(3,), (1, 3)], ids=["one wrong", "two that make up for each other"]
)
def test_probabilities_that_do_not_fit_their_menu_are_a_store_error(out, sizes):
    wrong = [decision([{}, {}], 0, (1 / size,) * size) for size in sizes]
    with pytest.raises(StoreError, match="probabilities"):
        answers_of(out, *(episode(str(i), each) for i, each in enumerate(wrong)))


def test_an_annotation_on_another_taxonomy_is_a_store_error_that_names_both(out):
    with pytest.raises(StoreError, match=r"'three/1', not on 'two/1'"):
        answers_of(out, episode("a", decision([{}], 0, taxonomy="three/1")))


def test_a_file_of_many_groups_of_rows_reads_as_its_table(out):
    rng = np.random.default_rng(8)
    answers_of(
        out, *(episode(f"{i:02d}", *(random_decision(rng) for _ in range(3))) for i in range(40))
    )
    run = Run(out)
    file = run.decisions_file()
    pq.write_table(table := run.decisions(), file, row_group_size=7)
    whole, parts = arrays_of(table, TWO, run), arrays_of(file, TWO, run)
    for name in ("x", "p", "start", "size", "chosen", "characters", "cluster"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), err_msg=name)
    assert parts.menu.equals(whole.menu)


@pytest.mark.slow
def test_a_run_is_read_without_any_import_but_that_of_the_reader(out):
    answers_of(out, episode("a", decision([{"A": 1.0}, {}], 0)))
    program = (
        "import sys; from valueagents.measuring.reading import read_answers; "
        "print(read_answers(sys.argv[1]).x.tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(out)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[[1.0, 0.0], [0.0, 0.0]]\n", done.stderr


def test_answers_that_were_read_come_back_as_they_are(out):
    answers = answers_of(out, episode("a", decision([{"A": 1.0}, {}], 0)))
    assert read_answers(answers) is answers
    again = read_answers(Run(out))
    assert again.run.path == out
    np.testing.assert_array_equal(again.x, answers.x)


def test_parts_hold_the_decisions_in_order_each_at_its_place(out, monkeypatch):
    rng = np.random.default_rng(4)
    answers = answers_of(out, *(episode(f"{i:02d}", random_decision(rng)) for i in range(23)))
    whole = answers.deviations()
    monkeypatch.setattr(answers_module, "_DECISIONS_A_PART", 5)
    places = []
    for place, part in answers.parts():
        places.append((place.start, place.stop))
        found = part.deviations()
        for name in (
            "annotated",
            "contested",
            "read",
            "knows_p",
            "taken",
            "chosen",
            "expected",
            "lowest",
            "highest",
        ):
            np.testing.assert_allclose(
                getattr(found, name), getattr(whole, name)[place], atol=1e-15, err_msg=name
            )
        assert part.shown.equals(answers.shown[place.start : place.stop])
        assert (
            part.columns.texts("reading").tolist()
            == answers.columns.texts("reading")[place].tolist()
        )
    assert places == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)]


@pytest.mark.parametrize("form", ["choice", "probability"])
def test_what_a_decision_says_is_known_only_where_it_counts(out, form):
    rng = np.random.default_rng(5)
    answers = answers_of(out, *(episode(f"{i:02d}", random_decision(rng)) for i in range(60)))
    found = answers.per_decision(lambda each: propensity_terms(each, form))
    deviations = answers.deviations()
    counted = deviations.contested & answers.answered(form)[:, None]
    values = deviations.expected if form == "probability" else deviations.chosen
    np.testing.assert_array_equal(np.isnan(found), ~counted)
    np.testing.assert_array_equal(found[counted], values[counted])
    assert counted.any()


def test_selected_decisions_are_those_in_the_order_that_was_asked_for(out):
    rng = np.random.default_rng(6)
    answers = answers_of(out, *(episode(f"{i:02d}", random_decision(rng)) for i in range(12)))
    some = answers.select(np.array([7, 2, 9]))
    for place, decision_of in enumerate((7, 2, 9)):
        rows = slice(
            answers.start[decision_of], answers.start[decision_of] + answers.size[decision_of]
        )
        mine = slice(some.start[place], some.start[place] + some.size[place])
        np.testing.assert_array_equal(some.x[mine], answers.x[rows])
        np.testing.assert_array_equal(some.p[mine], answers.p[rows])
        there, here = answers.chosen[decision_of], some.chosen[place]
        assert here == -1 if there < 0 else here - mine.start == there - rows.start
    assert some.shown.to_pylist() == [answers.shown[k].as_py() for k in (7, 2, 9)]


def test_a_declared_factor_is_read_by_its_name_and_another_is_answered_with_what_there_is(out):
    declared = (Factor("item", "The item."), Factor("pole", "Its wording."))
    first, second = decision([{"A": 1.0}, {}], 0), decision([{}, {"A": 1.0}], 1)
    levels = [msgspec.structs.replace(first, factors={"item": "ü", "pole": "for"}), second]
    answers = answers_of(
        out, *(episode(str(k), each) for k, each in enumerate(levels)), factors=declared
    )
    assert answers.factor("item").tolist() == ["ü", ""]
    assert answers.select(np.array([1, 0])).factor("pole").tolist() == ["", "for"]
    with pytest.raises(
        ConfigError, match=r"unknown factor 'itme'\. Did you mean 'item'\?.*declared: item, pole"
    ) as said:
        answers.factor("itme")
    assert str(out) in str(said.value)
    assert "ValueEnv.factors" in str(said.value)


def test_runs_share_the_codes_of_the_clusters_and_menus_that_both_met(tmp_path):
    def game(name, *kinds):
        """An episode for each menu that is met, under words that are met once."""
        made = []
        for i, kind in enumerate(kinds):
            met = decision([{"A": 1.0}, {}], 0, texts=[f"this {kind}", f"that {kind}"])
            made.append(
                episode(f"{name}{i}", msgspec.structs.replace(met, observation=f"{name}, {i}"))
            )
        return answers_of(tmp_path / name, *made, independent=False)

    one, other = joint_clustering([game("a", 1, 2, 1), game("b", 2, 3)])
    assert one.unit == other.unit == "episode and menu, two-way"
    assert [way.count for way in one.ways] == [5, 3, 5]
    episodes, menus, _ = zip(one.ways, other.ways, strict=True)
    assert len({*episodes[0].codes.tolist(), *episodes[1].codes.tolist()}) == 5
    assert menus[0].codes[0] == menus[0].codes[2]
    assert menus[0].codes[1] == menus[1].codes[0]
    assert len({*menus[0].codes.tolist(), *menus[1].codes.tolist()}) == 3
