"""What a card asks: a survey, dilemmas, judgements, states of games that all are shown, easy
questions.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from valueagents.contracts.plugins import make_env
from valueagents.contracts.policy import InformedPolicy, Policy
from valueagents.running.execution import RunConfig, execute_async
from valueagents.running.pool import freeze_pool

COMPETENCE = "easy questions"


class CardEnv(msgspec.Struct, frozen=True):
    """An env of the card under the name that pages give it."""

    name: str
    env: str
    env_options: dict[str, Any] = {}

    @property
    def situations(self) -> int:
        """How many situations there are to be met."""
        return len(make_env(self.env, **self.env_options).situations())


class CardGame(msgspec.Struct, frozen=True):
    """A game whose states are frozen: so many are drawn from the first choices of episodes of a
    random policy. What was said before is shown with each, so episodes are short.
    """

    name: str
    env: str
    episodes: int
    states: int
    max_steps: int = 6


ITEMS = (
    CardEnv("survey", "valueagents/Survey-v0", {"split": "all"}),
    CardEnv("dilemmas", "valueagents/Dilemma-v0"),
    CardEnv("judgements", "valueagents/Judgement-v0"),
)
QUESTIONS = CardEnv(COMPETENCE, "valueagents/Sanity-v0")
CHOICE_GAME = CardGame("states of a choice game", "valueagents/ChoiceScript-v0", 60, 300)
PARSER_GAME = CardGame("states of a parser game", "valueagents/Jericho-v0", 20, 100)
"""Its menus take a second or two of processor time a state: asked with --full only."""


async def card_envs(out: Path, *, full: bool, seed: int) -> tuple[list[CardEnv], list[str]]:
    """The envs, the games' states frozen in `out`; and what is not asked, in plain sentences."""
    games, left_out = [CHOICE_GAME], []
    if full and find_spec("jericho") is not None:
        games.append(PARSER_GAME)
    else:
        why = "Jericho is not installed" if full else "it takes minutes to make its menus: --full"
        left_out.append(f"The parser game was not asked ({why}).")
    frozen = [await _frozen(game, out, seed) for game in games]
    return [*ITEMS, *frozen, QUESTIONS], left_out


async def _frozen(game: CardGame, out: Path, seed: int) -> CardEnv:
    """The env of the game's common states; made once, then read."""
    folder = out / "games" / game.env.rpartition("/")[2]
    config = RunConfig(
        env=game.env,
        env_options={"max_steps": game.max_steps},
        policy="random",
        episodes=game.episodes,
        seed=seed,
    )
    met = await execute_async(config, folder / "random")
    pool = freeze_pool(folder / "pool", [met], decisions=game.states, seed=seed)
    return CardEnv(game.name, "valueagents/Replay-v0", {"pool": str(pool)})


def asked(envs: Sequence[CardEnv], policy: Policy) -> list[CardEnv]:
    """The envs that a policy can answer: one that chooses by annotations knows no right answers."""
    if isinstance(policy, InformedPolicy):
        return [each for each in envs if each.name != COMPETENCE]
    return list(envs)
