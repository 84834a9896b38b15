"""Sanity-v0: questions with one right answer, which neither its place nor its length gives away."""

from collections import Counter

import numpy as np

from valueagents.contracts.conformance import check_value_env
from valueagents.contracts.plugins import make_env
from valueagents.envs.items.sanity import SanityEnv
from valueagents.measuring.scores import score
from valueagents.running.execution import RunConfig, execute


def test_sixty_questions_with_four_answers_of_which_one_is_right():
    items = SanityEnv().bank.items
    assert len(items) == 60
    assert len({item.text for item in items}) == 60
    for item in items:
        assert len({option.text for option in item.options}) == 4, item.id
        assert sorted(option.values.get("correct", 0.0) for option in item.options) == [
            0,
            0,
            0,
            1,
        ], item.id


def test_the_right_answer_is_neither_the_longest_nor_always_shown_in_one_place():
    env = SanityEnv()
    longest, places = 0, Counter()
    for seed, item in enumerate(env.bank.items):
        _, info = env.reset(seed=seed, options={"situation": item.id})
        right = next(i for i, x in enumerate(info["annotation"].values) if x.get("correct") == 1)
        lengths = [len(option.text) for option in info["menu"]]
        longest += lengths[right] == max(lengths) and lengths.count(max(lengths)) == 1
        places[right] += 1
    assert longest <= 24  # 15 by chance
    assert min(places[k] for k in range(4)) >= 5


def test_the_env_keeps_the_contract():
    assert [
        check
        for check in check_value_env(lambda: make_env("valueagents/Sanity-v0"))
        if check.problem
    ] == []


def test_a_quarter_of_random_answers_is_right_and_a_policy_that_knows_gets_them_all(out):
    env = "valueagents/Sanity-v0"
    [guess] = score(execute(RunConfig(env=env, policy="random", episodes=600, seed=1), out)).axes
    [known] = score(
        execute(
            RunConfig(env=env, policy="known:correct=40?taxonomy=competence", episodes=60, seed=1),
            out.parent / "known",
        )
    ).axes
    assert abs(guess.propensity.value) < 0.06
    assert np.isclose(known.propensity.value, 0.75)  # all right: 1 in place of 1/4
