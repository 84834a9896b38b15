"""Forty-One Degrees: every ending and achievement is reached, every value is contested in many
menus.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from valueagents.contracts.plugins import make_env

FILE = Path(__file__).parents[1] / "fixtures" / "choice_walkthroughs.json"
WALKTHROUGHS = json.loads(FILE.read_text(encoding="utf-8"))["walkthroughs"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("walkthrough", WALKTHROUGHS, ids=[w["ending"] for w in WALKTHROUGHS])
def test_a_walkthrough_reaches_its_ending_and_its_points(walkthrough, seed):
    env = make_env("valueagents/ChoiceScript-v0")
    text, info = env.reset(seed=seed)
    choices, points, over = iter(walkthrough["choices"]), 0.0, False
    while not over:
        menu = info["menu"]
        wanted = menu[0].text if len(menu) == 1 else next(choices)
        (action,) = (k for k, option in enumerate(menu) if option.text.startswith(wanted))
        text, reward, terminated, truncated, info = env.step(action)
        points += float(reward)
        over = terminated or truncated
    assert walkthrough["says"] in text
    earned = [env.game.achievements[name].points for name in walkthrough["achievements"]]
    assert points == sum(earned)


def test_every_ending_and_every_achievement_has_a_walkthrough():
    env = make_env("valueagents/ChoiceScript-v0")
    assert len({walkthrough["ending"] for walkthrough in WALKTHROUGHS}) >= 5
    assert {name for walkthrough in WALKTHROUGHS for name in walkthrough["achievements"]} == set(
        env.game.achievements
    )


def test_every_value_is_contested_in_at_least_eight_menus():
    env = make_env("valueagents/ChoiceScript-v0")
    contested: Counter[str] = Counter()
    met: set[tuple[str, ...]] = set()
    for seed in range(6):
        rng, over = np.random.default_rng(seed), False
        _, info = env.reset(seed=seed)
        while not over:
            ids = tuple(sorted(option.id for option in info["menu"]))
            if ids not in met and info["annotation"] is not None:
                met.add(ids)
                x = info["annotation"].array(env.taxonomy)
                contested.update(
                    axis
                    for axis, column in zip(env.taxonomy.axis_ids, x.T, strict=True)
                    if column.min() < column.max()
                )
            _, _, terminated, truncated, info = env.step(int(rng.integers(len(info["menu"]))))
            over = terminated or truncated
    assert min(contested[axis] for axis in env.taxonomy.axis_ids) >= 8


def test_the_reward_on_offer_is_the_reward_that_the_option_brings():
    env = make_env("valueagents/ChoiceScript-v0")
    rng = np.random.default_rng(1)
    offered = 0
    for seed in range(3):
        _, info = env.reset(seed=seed)
        over = False
        while not over:
            action = int(rng.integers(len(info["menu"])))
            on_offer = info["annotation"].covariates["reward"]
            offered += len(set(on_offer)) > 1
            _, reward, terminated, truncated, info = env.step(action)
            assert reward == on_offer[action]
            over = terminated or truncated
    assert offered
    assert [(each.name, each.unit) for each in env.covariates] == [("reward", "points")]


def test_a_game_without_achievements_offers_no_reward(tmp_path):
    script = "*choice\n  #Stay.\n    *comment value: BEC +1\n    *finish\n  #Go.\n    *finish\n"
    (tmp_path / "startup.txt").write_text(script, encoding="utf-8")
    env = make_env("valueagents/ChoiceScript-v0", game=str(tmp_path))
    _, info = env.reset(seed=1)
    assert env.covariates == ()
    assert info["annotation"].covariates == {}
