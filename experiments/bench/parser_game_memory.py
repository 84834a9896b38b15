"""How much memory does a process of the parser games take for what it remembers of menus?

    python -m valueagents.experiments.bench.parser_game_memory [STORY.z5]      # by default our own

Episodes of random choices are played by the game of a worker, in this process. What it remembers is
bounded in bytes (`menu_cache.py`), so the figure that decides how many states find room is the
memory a menu. The menus are counted: one that was found before takes nothing.
"""

import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from valueagents.envs.parser_game.env import JerichoEnv
from valueagents.envs.parser_game.menu_cache import CACHE_BYTES, MenuCache
from valueagents.experiments.bench.timing import (
    counted_calls,
    make_parser,
    print_figure,
    read_options,
    require_work,
)

SIZES = {"first_episodes": (10, 1), "episodes": (60, 3), "steps": (8, 2)}
MOST_KB = 4.0
_MB = 1 << 20


def play(env: JerichoEnv, seeds: range, steps: int) -> None:
    """An episode of random choices of each seed was played."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        _, info = env.reset(seed=seed)
        for _ in range(steps):
            *_, terminated, truncated, info = env.step(int(rng.integers(len(info["menu"]))))
            if terminated or truncated:
                break


def memory_bytes() -> int:
    """What this process has in memory now; where no /proc says so, the most that it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the memory before and after, and what a menu takes of it."""
    parser = make_parser(__doc__)
    parser.add_argument("story", nargs="?", help="a story file; by default our own")
    options = read_options(parser, SIZES, argv)
    env = JerichoEnv(story=options.story, mode="inline", tries=1, max_steps=options.steps)
    first = options.first_episodes
    play(env, range(first), options.steps)  # what is loaded and kept once
    before = memory_bytes()
    with counted_calls(MenuCache, "put") as put:
        play(env, range(first, first + options.episodes), options.steps)
    require_work("menus found", done=put[0], needed=1)
    grown = max(0, memory_bytes() - before)
    print(f"{options.episodes} episodes of up to {options.steps} steps: {put[0]} menus found")
    print_figure("process with its story, before", [before / _MB], "MB")
    print_figure("process, grown by", [grown / _MB], "MB", most=CACHE_BYTES / _MB)
    print_figure("memory a menu", [grown / put[0] / 1024], "kB", most=MOST_KB)


if __name__ == "__main__":
    main()
