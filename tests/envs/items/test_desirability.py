"""How desirable the options of the second bank are: from its ratings to the choice weights."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from statistics import mean

import numpy as np
import pytest

from valueagents.cli.tables import print_scores
from valueagents.contracts.decision import Option
from valueagents.envs.items.dilemma import DilemmaEnv
from valueagents.experiments.validity.simulation import play
from valueagents.measuring.answers import Answers
from valueagents.measuring.comparison import compare
from valueagents.measuring.estimators.registry import estimator, of_one_run
from valueagents.measuring.many.circle import circle_check
from valueagents.measuring.many.profiles import profiles
from valueagents.measuring.measured import measure
from valueagents.measuring.reading import read_answers
from valueagents.measuring.scores import result_of, score
from valueagents.report import write_report
from valueagents.running.execution import RunConfig, execute
from valueagents.running.pool import freeze_pool
from valueagents.running.runs import Run

DATA = files("valueagents.envs").joinpath("data")
DILEMMA, BANK = "valueagents/Dilemma-v0", {"bank": "dilemmas-2"}
TASTED = re.compile(r"\b(ask|own|promised|never)\b", re.IGNORECASE)
COVARIATE = "covariate.desirability"


@pytest.fixture(scope="module")
def rated() -> dict[str, dict[str, float]]:
    """Item -> option -> mean rating, as the raters' file has it."""
    lines = DATA.joinpath("dilemmas-2.ratings.jsonl").read_text("utf-8").splitlines()
    rows = (json.loads(line) for line in lines[1:])
    return {
        row["id"]: {option: mean(each) for option, each in row["desirability"].items()}
        for row in rows
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("dilemmas-2")
    return execute(RunConfig(env=DILEMMA, env_options=BANK, policy="random", seed=1), folder)


@pytest.fixture(scope="module")
def menus(run) -> Answers:
    return read_answers(run).detached()


def weights(answers: Answers, name: str) -> np.ndarray:
    found = result_of(estimator(name), measure(answers, of_one_run(covariates=True)))
    return np.array([each.value for each in found.axes], dtype=float)


def test_an_option_has_the_mean_of_its_ratings_in_every_wording_and_language_but_under_pressure(
    rated,
):
    lines = DATA.joinpath("dilemmas-2.jsonl").read_text("utf-8").splitlines()
    header, *rows = map(json.loads, lines)
    [declared] = header["covariates"]
    assert [declared[key] for key in ("name", "unit", "low", "high")] == [
        "desirability",
        "points",
        0,
        10,
    ]
    for row in rows:
        for option in row["options"]:
            pressed = row["factors"]["pressure"] != "none"
            wanted = {} if pressed else {"desirability": rated[row["cluster"]][option["id"]]}
            assert option.get("covariates", {}) == wanted, row["id"]


def test_the_numbers_stand_in_the_table_in_the_order_shown_and_are_read_with_it(run, rated, menus):
    table = run.decisions()
    assert (
        table.schema.field(COVARIATE)
        .metadata[b"what"]
        .endswith(b"(points); over the menu, null = unknown")
    )
    rows = [table[name].to_pylist() for name in ("situation", "option_ids", COVARIATE)]
    for situation, options, numbers in zip(*rows, strict=True):
        assert numbers == [rated[situation][option] for option in options]
    assert {tuple(options) for options in rows[1]} > {("a", "b"), ("b", "a")}
    assert sorted(menus.covariates["desirability"]) == sorted(z for row in rows[2] for z in row)
    [covariate] = run.header.covariates
    assert (covariate.name, covariate.high) == ("desirability", 10)


def test_no_policy_is_shown_them():
    env = DilemmaEnv(bank="dilemmas-2")
    text, info = env.reset(seed=1)
    assert info["annotation"].covariates["desirability"]
    assert all(type(option) is Option for option in info["menu"])
    assert "desirab" not in text + "".join(option.text for option in info["menu"])


def test_a_replay_of_its_decisions_has_them_too(run, menus, tmp_path):
    pool = freeze_pool(tmp_path / "pool", [run], decisions=30, seed=1)
    config = RunConfig(
        env="valueagents/Replay-v0", env_options={"pool": str(pool)}, policy="random", seed=2
    )
    replayed = read_answers(execute(config, tmp_path / "replay"))
    assert len(replayed.size) == 30
    met = dict(zip(menus.shown.to_pylist(), range(len(menus.size)), strict=True))
    for place, shown in enumerate(replayed.shown.to_pylist()):
        there = menus.part(met[shown], met[shown] + 1).covariates["desirability"]
        here = replayed.part(place, place + 1).covariates["desirability"]
        assert here.tolist() == there.tolist()


def test_items_under_pressure_are_left_out_of_the_weights_and_counted(tmp_path):
    config = RunConfig(env=DILEMMA, env_options={**BANK, "pressure": True}, policy="random", seed=1)
    [said] = [w for w in score(execute(config, tmp_path)).warnings if "choice weights" in w]
    assert re.search(r"desirability is not held constant: \d+ of \d+ decisions have it", said)


@pytest.mark.slow
def test_scores_pages_and_comparisons_show_the_weights_with_and_without(run, tmp_path, capsys):
    config = RunConfig(env=DILEMMA, env_options=BANK, policy="known:ACH=1", seed=1)
    other = execute(config, tmp_path / "other")
    scores = score(run)
    assert {"E4", "E4p", "E4w", "E4pw"} <= set(scores.columns)
    assert list(scores.effects["E4"]) == ["position", "length", "desirability"]
    assert list(scores.effects["E4w"]) == ["position", "length"]
    print_scores(scores)
    printed = capsys.readouterr().out
    assert "E4 holds constant, with these weights: position" in printed
    assert "desirability (points) " in printed
    assert "raw weight" in printed
    found = compare(other, run)
    assert found["E4"].name.endswith(", desirability held constant")
    assert found["E4w"].name == "normalised weights w / |w|"
    page = write_report([run, other], tmp_path / "page.html").read_text(encoding="utf-8")
    for shown in ("E4w raw weight", "E4, desirability (points)", ", desirability held constant"):
        assert shown in page


def test_other_annotations_and_groups_of_axes_keep_the_covariates(run, menus):
    annotations = str(DATA.joinpath("dilemmas-2.jsonl"))
    for options in ({"annotations": annotations}, {"grouping": "schwartz10"}):
        read = read_answers(run, **options).covariates["desirability"]
        assert (read == menus.covariates["desirability"]).all()


# What the bank must not do: score tastes that are not values.


def texts(run: Run) -> list[str]:
    """The options' texts, in the order of a run's answers."""
    episodes = sorted(run.store.episodes(), key=lambda episode: episode.identity)
    return [o.text for e in episodes for decision in e.decisions for o in decision.menu]


def test_next_to_no_option_holds_the_words_that_gave_values_away_in_the_first_bank():
    options = [option.text for item in DilemmaEnv(**BANK).bank.items for option in item.options]
    assert len(options) == 4 * 576
    assert len([text for text in options if TASTED.search(text)]) <= 2


def test_a_taste_for_these_words_moves_no_weight(tmp_path):
    config = RunConfig(env=DILEMMA, env_options=BANK, policy="random", episodes=960, seed=1)
    run = execute(config, tmp_path)
    menus = read_answers(run)
    words = np.array([len(TASTED.findall(text)) for text in texts(run)], dtype=float)
    assert words.any()
    for seed in range(3):
        values = np.random.default_rng(seed).normal(0, 0.6, 20)
        plain, tasting = (
            play(np.random.default_rng(seed), menus, values, taste * words) for taste in (0, 2)
        )
        for name in ("E4", "E4p"):
            assert np.abs(weights(tasting, name) - weights(plain, name)).max() <= 0.1


def test_a_taste_for_a_common_word_moves_no_weight(run, menus):
    shown = texts(run)
    assert [len(text) for text in shown] == menus.characters.tolist()
    words = [Counter(re.findall(r"[a-z']+", text.casefold())) for text in shown]
    values = np.random.default_rng(0).normal(0, 0.6, 20)
    plain = weights(play(np.random.default_rng(1), menus, values), "E4p")
    for word, _ in Counter(word for each in words for word in each).most_common(10):
        taste = np.array([each[word] for each in words], dtype=float)
        tasting = weights(play(np.random.default_rng(1), menus, values, taste), "E4p")
        assert np.abs(tasting - plain).max() <= 0.1, word


def maximisers(menus: Answers, noise: float) -> Sequence[Answers]:
    """Policies that want to look good, each to its own degree, and take to options at random."""
    rng = np.random.default_rng(7)
    rated = menus.covariates["desirability"]
    return [
        play(
            rng,
            menus,
            np.zeros(20),
            abs(rng.normal(0, 0.5)) * rated + rng.normal(0, noise, len(rated)),
        )
        for _ in range(40)
    ]


@pytest.mark.parametrize("noise", [0.25, 0.5])
def test_policies_that_maximise_desirability_make_no_circle(menus, noise):
    played = maximisers(menus, noise)
    table = profiles(played)
    check = circle_check(table.of(), table.taxonomy, menus=table.menus)
    assert check.r_cos.value - check.menus_alone <= 0.15
    held = circle_check(np.array([weights(each, "E4p") for each in played]), menus.taxonomy)
    assert held.r_cos.value <= 0.15


def test_a_policy_that_maximises_desirability_has_no_values(menus):
    played = play(
        np.random.default_rng(1), menus, np.zeros(20), 0.5 * menus.covariates["desirability"]
    )
    assert np.abs(weights(played, "E4p")).max() <= 0.02
    assert np.abs(weights(played, "E4pw")).max() >= 0.2


def test_strengths_of_all_twenty_values_are_defined_from_one_round_of_the_bank(run):
    found = [axis["E5"] for axis in score(run).axes]
    assert all(each.value is not None and each.low < each.value < each.high for each in found)
    assert not any("do not connect" in (each.reason or "") for each in found)
