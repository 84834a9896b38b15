"""A study's effects, sentences and page, with `known` policies in place of adapters: the truth is
set.
"""

import msgspec
import numpy as np
import pytest

from valueagents.experiments.studies.design import PositiveControl, Study, StudyEnv
from valueagents.experiments.studies.page import StudyResults, write_study
from valueagents.experiments.studies.sentences import answer
from valueagents.experiments.studies.subjects import adapter_name, choices_name, control_name
from valueagents.experiments.studies.survey_to_behavior import (
    env_runs,
    measured,
    noise_of,
    ratios,
)
from valueagents.measuring.inference import Estimate
from valueagents.running.execution import RunConfig, execute

TARGETS, SEEDS = ("HED", "TRA", "POD"), (1, 2, 3)
ENVS = (
    StudyEnv(name="survey", role="survey", env="valueagents/Survey-v0"),
    StudyEnv(name="dilemmas", role="behaviour", env="valueagents/Dilemma-v0"),
    StudyEnv(name="judgement", role="judgement", env="valueagents/Judgement-v0", episodes=80),
)
STUDY = Study(
    base="known",
    preset="quick",
    overrides={"poles": "affirm"},
    targets=TARGETS,
    seeds=SEEDS,
    envs=ENVS,
    primary="dilemmas",
    choices=PositiveControl(env="dilemmas", shares=(0.2, 0.1)),
)
pytestmark = pytest.mark.slow


def known(rng, **moved):
    """A policy of small weights on every value, its targets moved."""
    axes = ("HED", "TRA", "POD", "BEC", "UNC", "SDT", "ACH")
    weights = {axis: rng.normal(0, 0.05) + moved.get(axis, 0.0) for axis in axes}
    return "known:" + ",".join(f"{axis}={weight:.4f}" for axis, weight in weights.items())


def met(out, weights):
    """The runs of adapters that moved their target by `weights` (by role), and of controls."""
    runs = {}
    for env in ENVS:
        rng = np.random.default_rng(5)
        moved = {
            adapter_name(target, "down", seed): known(rng, **{target: weights[env.role]})
            for target in TARGETS
            for seed in SEEDS
        }
        shown = {
            choices_name(target, "down", seed): known(rng, **{target: -1.0})
            for target in TARGETS
            for seed in SEEDS
        }
        controls = {control_name(seed): known(rng) for seed in SEEDS}
        runs[env] = {
            name: execute(
                RunConfig(env=env.env, policy=policy, episodes=env.episodes, seed=0),
                out / env.name / name,
            )
            for name, policy in (controls | moved | shown).items()
        }
    return runs


def report(runs):
    envs = measured(STUDY, runs)
    return StudyResults(
        study=STUDY,
        effects=[each.effect for each in envs],
        ratios=ratios(STUDY, envs),
        noise=noise_of(STUDY, runs),
        envs=[env_runs(env, met_by) for env, met_by in runs.items()],
        manifests={},
        wall_s=0.0,
    )


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    weights = {"survey": -1.0, "behaviour": -0.8, "judgement": 0.0}
    return report(met(tmp_path_factory.mktemp("followed"), weights))


@pytest.fixture(scope="module")
def ignored(tmp_path_factory):
    weights = {"survey": -1.0, "behaviour": 0.0, "judgement": 0.0}
    return report(met(tmp_path_factory.mktemp("ignored"), weights))


def told(results):
    return answer(results.effects, survey="survey", behaviour="dilemmas", ratios=results.ratios)


def of(results, env):
    return next(
        each.contrasts for each in results.effects if (each.env, each.trained) == (env, "survey")
    )


def test_values_that_moved_in_survey_and_behaviour_are_said_to_have_moved(followed):
    said = told(followed)
    assert "the training moved the values" in said
    assert "the behaviour of these values (HED, TRA, POD) moved as trained, by" in said
    assert followed.ratios["down"].low < followed.ratios["down"].value
    found = of(followed, "dilemmas")
    assert found.these_values.p < 0.05
    assert all(each.contrast.estimate.value > 0 for each in found.by_target)
    assert abs(of(followed, "survey").acquiescence.estimate.value) < 0.01


def test_behaviour_that_did_not_move_is_not_said_to_have_moved(ignored):
    said = told(ignored)
    assert "the training moved the values" in said
    assert "no movement is seen; one above" in said
    assert of(ignored, "dilemmas").these_values.p > 0.05


def test_the_page_shows_every_number_and_the_noise(followed, tmp_path):
    written = write_study(followed, tmp_path)
    page = written.page.read_text()
    for words in ("These values", "Values in general", "Acquiescence", "As published"):
        assert words in page
    record = msgspec.json.decode((tmp_path / "study.json").read_bytes())
    assert record["answer"] == written.answer
    assert 0 < record["noise"]["training"] < 0.2
    assert {each["env"] for each in record["effects"]} == {"survey", "dilemmas", "judgement"}
    [survey] = [
        each for each in record["effects"] if (each["env"], each["trained"]) == ("survey", "survey")
    ]
    published = survey["published"][0]["numbers"]
    assert set(published) == {"drop", "drift", "selectivity"}


def test_both_wordings_trained_forfeit_the_check_of_acquiescence(followed):
    given = {"survey": "survey", "behaviour": "dilemmas", "ratios": {}}
    assert "is no check" in answer(followed.effects, **given, both_wordings=True)
    assert "is no check" not in answer(followed.effects, **given)


def test_a_study_of_the_survey_alone_says_nothing_of_behaviour(followed):
    said = answer(followed.effects, survey="survey", behaviour="survey", ratios=followed.ratios)
    assert said.endswith("No answer: behaviour was not measured.")
    assert ratios(msgspec.structs.replace(STUDY, primary="survey"), []) == {}


def test_one_seed_makes_no_claim(followed):
    one = [
        msgspec.structs.replace(
            each,
            contrasts=msgspec.structs.replace(
                each.contrasts,
                these_values=msgspec.structs.replace(each.contrasts.these_values, p=None),
                mean_shift=msgspec.structs.replace(each.contrasts.mean_shift, p=None),
            ),
        )
        for each in followed.effects
    ]
    said = answer(one, survey="survey", behaviour="dilemmas", ratios={})
    assert "These adapters only" in said
    assert "moved as trained" not in said
    assert "the training moved" not in said


def test_the_positive_control_is_told_first_and_on_what_was_held_out(ignored):
    said = told(ignored)
    assert said.startswith("Trained on choices, the targets moved by")
    assert "this measurement sees such a change" in said
    both = {
        each.trained: each.contrasts.items for each in ignored.effects if each.env == "dilemmas"
    }
    assert 120 < both["choices"] < 150  # 70 % of 192
    assert both["survey"] == 192


def test_a_positive_control_that_does_not_move_silences_the_rest(followed):
    def still(each):
        flat = msgspec.structs.replace(each.contrasts.these_values, p=0.5)
        contrasts = msgspec.structs.replace(each.contrasts, these_values=flat)
        return msgspec.structs.replace(each, contrasts=contrasts)

    blind = [still(each) if each.trained == "choices" else each for each in followed.effects]
    said = answer(blind, survey="survey", behaviour="dilemmas", ratios={})
    assert "says nothing of behaviour" in said


def test_what_is_not_known_is_said_to_be_not_known(followed):
    undefined = [
        msgspec.structs.replace(
            each,
            contrasts=msgspec.structs.replace(
                each.contrasts,
                these_values=msgspec.structs.replace(
                    each.contrasts.these_values, estimate=Estimate(reason="one target"), p=None
                ),
            ),
        )
        for each in followed.effects
    ]
    said = answer(undefined, survey="survey", behaviour="dilemmas", ratios={})
    assert "there is no answer: one target" in said
