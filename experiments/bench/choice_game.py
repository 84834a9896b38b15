"""How many choices a second does the ChoiceScript interpreter make in our own game, and what do annotated menus cost?

Forty-One Degrees is played at random: by the interpreter alone, and by the env, which tries every option of every menu
to say what it would do to values.
"""

import time
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from valueagents.envs.choice_game.env import ChoiceScriptEnv
from valueagents.envs.choice_game.game import read_folder
from valueagents.envs.choice_game.interpreter import Interpreter

CHOICES = 10_000
TRIED_CHOICES = 500
ROUNDS = 3


def interpreter_alone(folder: Path) -> float:
    """Seconds that the interpreter takes."""
    interpreter = Interpreter(read_folder(folder))
    picks = np.random.default_rng(1).random(CHOICES).tolist()
    interpreter.start(1)
    started = time.perf_counter()
    for i, pick in enumerate(picks):
        menu = interpreter.state.menu
        if menu:
            interpreter.take(menu[int(pick * len(menu))].id)
        else:
            interpreter.start(i)  # the game has ended; its next beginning counts as a choice
    return time.perf_counter() - started


def whole_env() -> float:
    """Seconds that the env takes, starting with empty caches as every process does."""
    env = ChoiceScriptEnv()
    picks = np.random.default_rng(1).random(TRIED_CHOICES).tolist()
    _, info = env.reset(seed=1)
    started = time.perf_counter()
    for pick in picks:
        _, _, terminated, truncated, info = env.step(int(pick * len(info["menu"])))
        if terminated or truncated:
            _, info = env.reset()
    return time.perf_counter() - started


def main() -> None:
    """Print the two rates, median of the rounds, taken in turn."""
    with as_file(files("valueagents.envs").joinpath("data", "choice_game")) as folder:
        rounds = [(interpreter_alone(folder), whole_env()) for _ in range(ROUNDS)]
    alone, tried = (sorted(times)[ROUNDS // 2] for times in zip(*rounds, strict=True))
    print(f"interpreter alone        {CHOICES / alone:9,.0f} choices/s  (bar: 5,000)")
    print(f"env, every option tried  {TRIED_CHOICES / tried:9,.0f} choices/s")


if __name__ == "__main__":
    main()
