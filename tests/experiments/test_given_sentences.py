"""The sentences of `study adapters`: short with many pairs, and nothing that the numbers do not
carry.
"""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from valueagents.experiments.studies.design import StudyEnv
from valueagents.experiments.studies.given_design import GivenPolicy, GivenStudy
from valueagents.experiments.studies.given_effects import GivenRun, adjusted, of_env
from valueagents.experiments.studies.given_picture import given_picture
from valueagents.experiments.studies.given_sentences import sentences
from valueagents.experiments.validity.simulation import TAXONOMY, play, simulate
from valueagents.measuring.counts import Counts
from valueagents.measuring.mass import Mass

ENV = StudyEnv(name="dilemmas", role="behaviour", env="valueagents/Dilemma-v0")
SURVEY = StudyEnv(name="survey", role="survey", env="valueagents/Survey-v0")
AXES = TAXONOMY.axis_ids


def study_of(*names, **targets):
    policies = tuple(GivenPolicy(name=name, policy=name, **targets.get(name, {})) for name in names)
    return GivenStudy(base="known", policies=policies, envs=(ENV,))


def answers(seed, menus, **weights):
    """A policy's answers to simulated menus, the weights by value."""
    values = np.array([weights.get(axis, 0.0) for axis in AXES])
    rng = np.random.default_rng(seed)
    return play(rng, menus, values, rng.normal(0, 0.1, len(menus.p)))


@pytest.fixture(scope="module")
def menus():
    return simulate(np.random.default_rng(0), episodes=5)


def told(study, *envs):
    return " ".join(sentences(study, adjusted(envs)))


def silent(answers, share, seed=0):
    """The same with a share of the answers not read."""
    lost = np.random.default_rng(seed).random(len(answers.size)) < share
    p = np.where(lost[answers.menu_of], np.nan, answers.p)
    return replace(answers, p=p, chosen=np.where(lost, -1, answers.chosen))


def test_a_policy_that_answered_nothing_does_not_silence_the_others(menus):
    met = {
        "base": answers(1, menus),
        "hedonist": answers(2, menus, HED=2.0),
        "mute": silent(answers(3, menus), 1.0),
    }
    env = of_env(study_of("hedonist", "mute"), ENV, met)
    assert env.policies == ["base", "hedonist"]
    said = told(study_of("hedonist", "mute"), env)
    assert "Left out: mute (none of its answers could be read)" in said
    assert "hedonist above base on Hedonism" in said


def test_where_only_the_base_answers_nothing_is_compared(menus):
    met = {"base": answers(1, menus), "mute": silent(answers(3, menus), 1.0)}
    env = of_env(study_of("mute"), ENV, met)
    said = told(study_of("mute"), env)
    assert "In 'dilemmas' nothing could be compared" in said
    assert "fewer than two policies" in said
    assert env.profiles == {}


def test_equal_policies_are_not_called_alike(menus):
    met = {name: answers(k, menus) for k, name in enumerate(("base", "a", "b"))}
    said = told(study_of("a", "b"), of_env(study_of("a", "b"), ENV, met))
    assert "In 'dilemmas' none of 60 differences" in said
    assert "smaller ones are not ruled out" in said
    assert "From the base differ" not in said


def test_one_adapter_a_target_makes_no_claim_and_two_do(menus):
    up = {"direction": "up"}
    one = study_of("h", "t", h={"target": "HED", **up}, t={"target": "TRA", **up})
    met = {
        "base": answers(1, menus),
        "h": answers(2, menus, HED=1.0),
        "t": answers(3, menus, TRA=1.0),
        "h2": answers(4, menus, HED=1.0),
        "t2": answers(5, menus, TRA=1.0),
    }
    first = {name: met[name] for name in ("base", "h", "t")}
    said = told(one, of_env(one, ENV, first))
    assert "these adapters only" in said
    assert "no claim is made about such adapters" in said
    assert "as meant:" not in said.replace("+ as meant)", "")
    named = {
        "h": {"target": "HED"},
        "h2": {"target": "HED"},
        "t": {"target": "TRA"},
        "t2": {"target": "TRA"},
    }
    two = study_of(*named, **named)
    said = told(two, of_env(two, ENV, met))
    assert "they moved as meant" in said
    assert "These policies only" not in said


def test_targets_with_unlike_numbers_of_adapters_are_said_to_have_no_contrast(menus):
    named = {"h": {"target": "HED"}, "h2": {"target": "HED"}, "t": {"target": "TRA"}}
    study = study_of(*named, **named)
    met = {name: answers(k, menus) for k, name in enumerate(("base", *named))}
    said = told(study, of_env(study, ENV, met))
    assert "as many adapters are needed for each target (HED 2, TRA 1)" in said


def test_where_survey_and_behaviour_disagree_neither_follows_the_other(menus):
    study = study_of("hedonist", "still")
    names = ("base", "hedonist", "still")
    rated, acted = (
        {name: answers(k, menus, HED=weight * (k == 1)) for k, name in enumerate(names)}
        for weight in (2.0, -2.0)
    )
    said = told(study, of_env(study, SURVEY, rated), of_env(study, ENV, acted))
    assert "in the opposite one (HED of base and hedonist, HED of hedonist and still)" in said
    assert "none of this says that one follows the other" in said
    assert not [word for word in ("followed", "confirm", "agree") if word in said]


def test_with_many_policies_the_answer_stays_short(menus):
    names = [f"policy {k}" for k in range(10)]
    rng = np.random.default_rng(7)
    met = {"base": answers(0, menus)}
    for k, name in enumerate(names):
        weights = dict(zip(AXES, rng.normal(0, 1.0, len(AXES)), strict=True))
        met[name] = answers(k + 1, menus, **weights)
    env = of_env(study_of(*names), ENV, met)
    [found] = adjusted([env])
    assert len(found.held) > 150
    said = sentences(study_of(*names), [found])
    assert len(said[0]) < 900
    assert "and 6 others" in said[0]


def test_unread_answers_and_values_with_few_items_are_told(menus):
    study = study_of("a")
    rare = replace(menus, min_contested=10_000)
    met = {"base": answers(1, rare), "a": answers(2, rare)}
    assert "not enough" in told(study, of_env(study, ENV, met))
    met = {"base": answers(1, menus), "a": silent(answers(2, menus), 0.3)}
    env = of_env(study, ENV, met)
    assert env.form == "choice"
    assert max(each.situations for each in env.tested) < len(menus.size) * 0.8


def test_low_mass_and_unread_answers_are_told_with_who_gave_them(menus):
    study = study_of("a")
    met = {"base": answers(1, menus), "a": answers(2, menus, HED=1.0)}
    counts = Counts(**dict.fromkeys(Counts.__struct_fields__, 0) | {"readings": {}})
    run = GivenRun(
        policy="base",
        spec="known",
        path="",
        command="",
        informed=True,
        counts=msgspec.structs.replace(counts, decisions=200),
        mass=Mass(200, 0.9, 0),
        unread={},
        competence=None,
    )
    unread = msgspec.structs.replace(counts, decisions=200, unread=30)
    weak = msgspec.structs.replace(run, policy="a", counts=unread, mass=Mass(200, 0.3, 180))
    env = msgspec.structs.replace(of_env(study, ENV, met), runs=[run, weak])
    said = told(study, env)
    assert "The offered answers had under 50 % of the probability of a:" in said
    assert "Unread: a 15 % of the answers; these are not missing at random." in said
    assert "base 0 %" not in said


def test_every_claim_of_all_envs_is_one_family(menus):
    study = study_of("a", "b")
    met = {name: answers(k, menus, HED=0.2 * k) for k, name in enumerate(("base", "a", "b"))}
    env = of_env(study, ENV, met)
    [alone] = adjusted([env])
    twice = adjusted([env, msgspec.structs.replace(env, env="again")])
    smallest = min(each.p for each in env.tested)
    assert min(each.p_adjusted for each in alone.tested) == pytest.approx(min(1, 60 * smallest))
    assert min(e.p_adjusted for e in twice[0].tested) == pytest.approx(min(1, 120 * smallest))
    assert twice[0].detectable > alone.detectable


def test_contrasts_and_pairs_share_the_level(menus):
    named = {
        name: {"target": target}
        for name, target in zip("abcd", ["HED"] * 2 + ["TRA"] * 2, strict=True)
    }
    study = study_of(*named, **named)
    met = {name: answers(k, menus) for k, name in enumerate(("base", *named))}
    [env] = adjusted([of_env(study, ENV, met)])
    [contrast] = env.contrasts
    p = contrast.contrasts.these_values.p
    assert contrast.p_adjusted == pytest.approx(min(1.0, 2 * p))
    smallest = min(each.p for each in env.tested)
    count = len(env.tested)
    assert min(each.p_adjusted for each in env.tested) == pytest.approx(
        min(1.0, 2 * count * smallest)
    )


def test_names_in_a_picture_are_text(menus):
    names = ("_a", "$x$", "long name with many words in it")
    met = {name: answers(k, menus) for k, name in enumerate(("base", *names))}
    [env] = adjusted([of_env(study_of("p"), ENV, met)])
    svg = given_picture(env)
    assert "$x$" in svg
    assert "long name with many words in it" in svg
