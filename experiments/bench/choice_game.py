"""How many choices a second does the ChoiceScript interpreter make in our own game, and what do
annotated menus cost?

Forty-One Degrees is played at random: by the interpreter alone, and by the env, which tries every
option of every menu to say what it would do to values. The two take turns, each round on a new
interpreter or env with the same choices. The options that the interpreter takes are counted: a menu
that was remembered would be annotated without any.
"""

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from valueagents.envs.choice_game.env import ChoiceScriptEnv
from valueagents.envs.choice_game.game import read_folder
from valueagents.envs.choice_game.interpreter import Interpreter
from valueagents.experiments.bench.timing import (
    counted_calls,
    make_parser,
    print_figure,
    read_options,
    require_work,
    take_turns,
)

SIZES = {"choices": (10_000, 500), "tried_choices": (500, 30), "rounds": (5, 2)}
SEED = 1


def interpreter_alone(folder: Path, choices: int) -> None:
    """So many choices were made; the beginning after an ending counts as one."""
    interpreter = Interpreter(read_folder(folder))
    interpreter.start(SEED)
    for i, pick in enumerate(_picks(choices)):
        menu = interpreter.state.menu
        if menu:
            interpreter.take(menu[int(pick * len(menu))].id)
        else:
            interpreter.start(i)


def whole_env(choices: int) -> None:
    """So many choices were made in the env.

    Raises NotMeasured if an option of an annotated menu was not tried.
    """
    env = ChoiceScriptEnv()
    needed = choices
    with counted_calls(Interpreter, "follow") as taken:
        _, info = env.reset(seed=SEED)
        needed += _to_try(info)
        for pick in _picks(choices):
            _, _, terminated, truncated, info = env.step(int(pick * len(info["menu"])))
            if terminated or truncated:
                _, info = env.reset()
            needed += _to_try(info)
    require_work("options taken or tried", done=taken[0], needed=needed)


def _picks(choices: int) -> list[float]:
    picks: list[float] = np.random.default_rng(SEED).random(choices).tolist()
    return picks


def _to_try(info: dict[str, object]) -> int:
    """The options that had to be tried to annotate this menu."""
    menu = info["menu"]
    if not isinstance(menu, tuple) or info["annotation"] is None:
        return 0
    return len(menu)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the two rates."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    choices, tried = options.choices, options.tried_choices
    with as_file(files("valueagents.envs").joinpath("data", "choice_game")) as folder:
        ways = {
            "alone": lambda: interpreter_alone(folder, choices),
            "tried": lambda: whole_env(tried),
        }
        measured = take_turns(ways, options.rounds)
    print(
        f"{choices:,} choices a round by the interpreter, {tried:,} by the env, {options.rounds}"
        " rounds"
    )
    print_figure("interpreter alone", measured.rates("alone", choices), "choices/s", least=5000)
    print_figure("env, every option tried", measured.rates("tried", tried), "choices/s")


if __name__ == "__main__":
    main()
