"""All pairs of policies on all values: what separates them is found, and nothing else."""

import numpy as np
import pytest

from valueagents.errors import ConfigError
from valueagents.measuring.comparison import compare
from valueagents.measuring.many.separation import separate
from valueagents.measuring.reading import read_answers
from valueagents.running.execution import RunConfig, execute

DILEMMAS = "valueagents/Dilemma-v0"


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    specs = {"low": "known:HED=-1", "none": "known:HED=0", "high": "known:HED=1"}
    return {
        name: [read_answers(execute(RunConfig(env=DILEMMAS, policy=spec, seed=1), folder / name))]
        for name, spec in specs.items()
    }


def test_policies_that_were_set_apart_are_told_apart_and_ranked(three):
    found = separate(three)
    assert [each.axis for each in found.held[:3]] == ["HED"] * 3
    assert found.ranks["HED"] == {"low": (3, 3), "none": (2, 2), "high": (1, 1)}
    assert found.ranks["BEC"] == dict.fromkeys(three, (1, 3))
    assert "Holm over all pairs and values" in found.test


def test_of_two_policies_the_differences_are_those_of_compare(three):
    two = {name: three[name] for name in ("low", "none")}
    found = {each.axis: each for each in separate(two).differences}
    headline = compare(*(seeds[0] for seeds in two.values()))["E3p"]
    for axis in headline.axes:
        assert found[axis.axis].difference.value == pytest.approx(axis.difference.value)


def test_several_envs_are_one_family(three):
    alone, among = separate(three), separate(three, envs=4)
    for one, other in zip(alone.held, among.differences, strict=False):
        assert other.p_adjusted == pytest.approx(min(1, 4 * one.p_adjusted))
    assert among.test.endswith("times 4 envs")


def test_the_primary_value_is_a_family_of_its_own(three):
    found = separate(three, primary="HED")
    assert "the primary value apart" in found.test
    assert "HED" in {each.axis for each in found.held}
    with pytest.raises(ConfigError, match="HAD"):
        separate(three, primary="HAD")


def test_seeds_of_a_policy_are_averaged_situation_by_situation(three, tmp_path):
    again = {
        name: read_answers(
            execute(RunConfig(env=DILEMMAS, policy=f"known:HED={w}", seed=2), tmp_path / name)
        )
        for name, w in (("low", -1), ("high", 1))
    }
    seeds = {name: [*three[name], each] for name, each in again.items()}
    found = separate(seeds)
    assert found.situations == 192
    assert "HED" in {each.axis for each in found.held}


def test_policies_without_a_common_situation_are_an_error(tmp_path):
    runs = {
        setting: [
            read_answers(
                execute(
                    RunConfig(env=DILEMMAS, policy="random", env_options={"setting": setting}),
                    tmp_path / setting,
                )
            )
        ]
        for setting in ("home", "office")
    }
    with pytest.raises(ConfigError, match="share no situation"):
        separate(runs)


@pytest.mark.slow
def test_games_are_compared_episode_by_episode(tmp_path):
    runs = {
        policy: [
            read_answers(
                execute(
                    RunConfig(
                        env="valueagents/ChoiceScript-v0", policy=policy, episodes=12, seed=1
                    ),
                    tmp_path / policy[:5],
                )
            )
        ]
        for policy in ("random", "known:BEC=3,POR=-2")
    }
    found = separate(runs)
    assert found.situations is None
    assert found.test.startswith("t on 12 pairs of episodes")
    known = [each for each in found.differences if each.p is not None]
    assert known
    assert np.isfinite([each.difference.value for each in known]).all()
