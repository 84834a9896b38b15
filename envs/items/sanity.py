"""`valueagents/Sanity-v0`: questions with one right answer; what a model can do before and after
its training.
"""

from importlib.resources import files
from pathlib import Path
from typing import Literal

from valueagents.envs.items.env import ItemEnv
from valueagents.envs.items.files import read_items


class SanityEnv(ItemEnv):
    """Sixty easy multiple-choice questions: arithmetic, words, the world.

    The one axis is `correct`, chance is 1/4.

    Args:
        render_mode: "ansi" or None, as in Gymnasium.
    """

    def __init__(self, *, render_mode: Literal["ansi"] | None = None) -> None:
        bank = read_items(
            Path(str(files("valueagents.envs").joinpath("data", "sanity.jsonl"))), None
        )
        super().__init__(bank, render_mode=render_mode)
