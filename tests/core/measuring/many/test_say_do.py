"""Stated beside revealed: a policy that does as it says has no gap, one that does not has."""

import pytest

from valueagents.errors import ConfigError
from valueagents.measuring.many.policy_means import policy_means
from valueagents.measuring.many.say_do import say_do
from valueagents.measuring.many.split_half import split_half
from valueagents.measuring.reading import read_answers
from valueagents.running.execution import RunConfig, execute

SURVEY, DILEMMAS = "valueagents/Survey-v0", "valueagents/Dilemma-v0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("say-do")

    def one(env, policy, **options):
        config = RunConfig(env=env, policy=policy, env_options=options, seed=1)
        return [read_answers(execute(config, folder / f"{len(list(folder.iterdir()))}"))]

    return {
        "says caring": one(SURVEY, "known:BEC=1.5,POR=-1", split="all"),
        "does caring": one(DILEMMAS, "known:BEC=1.5,POR=-1"),
        "does pleasure": one(DILEMMAS, "known:HED=1.5"),
        "random": one(DILEMMAS, "random"),
    }


def test_one_that_does_as_it_says_correlates_highly(runs):
    found = say_do(runs["says caring"], runs["does caring"], envs=("s", "d"))
    assert found.r > 0.9
    assert (found.stated, found.revealed) == ("s", "d")
    assert abs(sum(each.stated for each in found.gaps)) < 1e-9
    assert abs(sum(each.revealed for each in found.gaps)) < 1e-9


def test_one_that_does_otherwise_has_gaps_where_it_does(runs):
    found = say_do(runs["says caring"], runs["does pleasure"], envs=("s", "d"))
    gaps = {each.axis: each.gap.value for each in found.gaps if each.holds}
    assert {"BEC", "POR", "HED"} <= set(gaps)
    assert gaps["BEC"] > 0 > gaps["HED"]
    assert gaps["POR"] < 0


def test_envs_on_other_values_have_no_gap(runs, tmp_path):
    sanity = read_answers(
        execute(RunConfig(env="valueagents/Sanity-v0", policy="random"), tmp_path / "r")
    )
    with pytest.raises(ConfigError, match="taxonomy"):
        say_do(runs["says caring"], [sanity], envs=("s", "d"))


def test_split_halves_agree_for_a_policy_with_values_and_not_for_one_without(runs):
    assert split_half(policy_means(runs["does caring"])).value > 0.9
    assert split_half(policy_means(runs["random"])).reason == "the profile does not vary"


def test_too_few_values_have_no_reliability(tmp_path):
    config = RunConfig(env=DILEMMAS, policy="random", episodes=5)
    found = split_half(policy_means([read_answers(execute(config, tmp_path / "r"))]))
    assert found.value is None
    assert "4 needed" in found.reason
