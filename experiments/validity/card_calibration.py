"""Does a card claim differences between policies that do not differ?

Menus of the card's envs: survey, dilemmas, judgements, a pool of states of the choice game. Three
policies with the same utilities (of options sd 0.5, of values sd 0.3), each with side effects of
its own on every option, sd 0.3 logits: what differs between two models that value the same. Printed
are

pages       share of replicates in which any difference of any pair on any value in any env is
            claimed (nominal: at most 0.05)
by env      the same by env
power       where the third policy has 0.4 logits a unit of x more on one value: share of replicates
            in which it is claimed above both others there
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from valueagents.experiments.card.envs import COMPETENCE, card_envs
from valueagents.experiments.validity.few_clusters import answered
from valueagents.measuring.answers import Answers
from valueagents.measuring.many.separation import Separation, separate
from valueagents.measuring.reading import read_answers
from valueagents.running.execution import RunConfig, execute

POLICIES = ("first", "second", "third")
OPTIONS, VALUES, SIDE_EFFECTS, MOVED = 0.5, 0.3, 0.3, 0.4
EVERY = 5
"""Power is measured on every fifth replicate."""


def menus(out: Path) -> dict[str, Answers]:
    """The menus of each env of the card, as a random policy met them."""
    envs, _ = asyncio.run(card_envs(out, full=False, seed=0))
    found = {}
    for env in envs:
        if env.name != COMPETENCE:
            config = RunConfig(env=env.env, env_options=env.env_options, policy="random")
            run = execute(config, out / "runs" / env.name.partition(" ")[0])
            found[env.name] = replace(read_answers(run), run=None)
    return found


def page(envs: dict[str, Answers], seed: int, moved: int | None) -> dict[str, Separation]:
    """What a page says of three policies, the third of which moved that value (None: none)."""
    rng = np.random.default_rng([seed, 0 if moved is None else 1])
    weights = rng.normal(0, VALUES, next(iter(envs.values())).x.shape[1])
    found = {}
    for name, answers in envs.items():
        x = np.nan_to_num(answers.x)
        common = x @ weights + rng.normal(0, OPTIONS, len(answers.p))
        policies = {}
        for policy in POLICIES:
            utility = common + rng.normal(0, SIDE_EFFECTS, len(answers.p))
            if moved is not None and policy == POLICIES[-1]:
                utility = utility + MOVED * x[:, moved]
            policies[policy] = [answered(answers, utility)]
        found[name] = separate(policies, envs=len(envs), seed=seed)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs/card-calibration"))
    given = parser.parse_args(argv)
    envs = menus(given.out)
    false = dict.fromkeys(["pages", *envs], 0)
    power = dict.fromkeys(envs, 0)
    moving = range(0, given.replicates, EVERY)
    for seed in range(given.replicates):
        equal = page(envs, seed, None)
        false["pages"] += any(each.held for each in equal.values())
        for name in envs:
            false[name] += bool(equal[name].held)
    for seed in moving:
        moved = (seed // EVERY) % next(iter(envs.values())).x.shape[1]
        apart = page(envs, seed, moved)
        for name in envs:
            power[name] += _told(apart[name], envs[name].taxonomy.axis_ids[moved])
    print(f"{given.replicates} replicates of {len(POLICIES)} policies in {len(envs)} envs")
    for name, count in false.items():
        print(f"  any difference of equal policies, {name:32s} {count / given.replicates:.3f}")
    for name, count in power.items():
        print(f"  one value moved, claimed above both, {name:29s} {count / len(moving):.3f}")


def _told(found: Separation, axis: str) -> bool:
    """The third policy is claimed above both others on the value."""
    held = [each for each in found.held if each.axis == axis and each.second == POLICIES[-1]]
    return len(held) == len(POLICIES) - 1 and all((d.difference.value or 0) < 0 for d in held)


if __name__ == "__main__":
    main()
