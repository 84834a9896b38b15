"""How fast are the parser worlds? Each way of running one story beside bare Jericho, as ratios of this one run.

python -m valueagents.experiments.bench.parser_game [STORY.z5]      # by default our own, The Light on Merrow

Where Jericho supports the story, its `get_valid_actions` is timed and compared too; it walks the first commands of
Jericho's own walkthrough. Everything is measured in turns of short blocks, so that a busy machine slows both sides.
"""

import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import jericho
import numpy as np

from valueagents.contracts.counterfactual import annotate_by_trying
from valueagents.envs.parser_game.actions import Menus, TryableGame
from valueagents.envs.parser_game.env import JerichoTextEnv
from valueagents.envs.parser_game.play import Play, Settings

OUR_STORY = files("valueagents.envs").joinpath("data", "story", "merrow.z5")
COMMANDS = ("look", "inventory", "wait")
BLOCK_STEPS = 300
BLOCKS = 15
STATES = 6


def bare_env(story: str) -> Any:
    """Jericho's own env, begun."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = jericho.FrotzEnv(story, seed=1000)
    env.reset()
    return env


def our_env(story: str, mode: str) -> JerichoTextEnv:
    """Our free-text env without menus, begun."""
    steps = (BLOCKS + 1) * BLOCK_STEPS * 2
    env = JerichoTextEnv(story=story, mode="inline" if mode == "inline" else "worker", menus=False, max_steps=steps)
    env.reset(seed=1)
    return env


def block(env: Any) -> None:
    """A block of steps: the same commands for every kind of env."""
    for i in range(BLOCK_STEPS):
        env.step(COMMANDS[i % len(COMMANDS)])


def side_by_side(envs: Sequence[Any]) -> None:
    """A block in each env, each in a thread of its own."""
    threads = [threading.Thread(target=block, args=(env,)) for env in envs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(*works: Callable[[], object]) -> np.ndarray:
    """Seconds of each work in each round, taken in turn after a warm-up; shape (BLOCKS, works)."""
    for work in works:
        work()
    return np.array([[seconds(work) for work in works] for _ in range(BLOCKS)])


def steps(story: str) -> None:
    """Print what a step costs, alone and two at a time."""
    bare, inline, worker = bare_env(story), our_env(story, "inline"), our_env(story, "worker")
    taken = in_turns(lambda: block(bare), lambda: block(inline), lambda: block(worker))
    rates = BLOCK_STEPS / np.median(taken, axis=0)
    print(f"bare FrotzEnv.step               {rates[0]:9,.0f} steps/s")
    of_bare = np.median(taken[:, :1] / taken, axis=0)
    print(f"free text, inline                {rates[1]:9,.0f} steps/s  {of_bare[1]:.2f} of bare (bar 0.9)")
    print(f"free text, worker                {rates[2]:9,.0f} steps/s  {of_bare[2]:.2f} of bare")
    for mode in ("inline", "worker"):
        pair = [our_env(story, mode), our_env(story, mode)]
        taken = in_turns(partial(side_by_side, pair[:1]), partial(side_by_side, pair))
        kind = "threads, inline" if mode == "inline" else "workers"
        print(f"two {kind:29}{median(2 * taken[:, 0] / taken[:, 1]):9.2f} x one (bar 1.7)")


def menus(story: str) -> None:
    """Print what finding and annotating menus costs, against as many bare steps and restores of the same commands."""
    play, rng, bare = Play(Settings(story)), np.random.default_rng(1), bare_env(story)
    found = Menus(play, tries=1)
    play.start(1)
    ratios: list[tuple[float, ...]] = []
    for _ in range(STATES):
        here = play.save()
        bare.set_state(_as_jericho(here.state))
        commands, state = found.candidates(), bare.get_state()

        def step_and_restore(commands: Sequence[str], state: Any = state) -> None:
            for command in commands:
                bare.set_state(state)
                bare.step(command)

        raw = seconds(lambda commands=commands: step_and_restore(commands))  # type: ignore[misc]
        first = seconds(found.find)
        raw = (raw + seconds(lambda commands=commands: step_and_restore(commands))) / 2  # type: ignore[misc]
        seen = min(seconds(found.find) for _ in range(5))
        menu = found.find().menu
        texts = [option.text for option in menu]
        bare_menu, tried = np.median([
            (seconds(lambda texts=texts: step_and_restore(texts)), seconds(lambda menu=menu: _annotate(play, menu)))  # type: ignore[misc]
            for _ in range(5)
        ], axis=0)  # fmt: skip
        ratios.append((len(commands), first, first / raw, first / seen, len(menu), tried / bare_menu))
        play.load(here)
        play.send(texts[int(rng.integers(len(texts)))])
    candidates, first, of_bare, faster, options, of_bare_menu = np.median(np.array(ratios), axis=0)
    print(f"first menu of a state            {first * 1000:9,.0f} ms for {candidates:,.0f} candidates")
    print(f"  ÷ candidates × (step+restore)  {of_bare:9.2f} (bar 1.5)")
    print(f"a seen state                     {faster:9,.0f} x faster (bar 1,000)")
    print(f"annotating {options:3.0f} options ÷ bare    {of_bare_menu:9.2f} (bar 1.5)")


def _annotate(play: Play, menu: Any) -> None:
    scaling, world = Menus(play, tries=1).scaling, TryableGame(play, lambda command: None)
    annotate_by_trying(world, menu, play.taxonomy, provenance="", scaling=scaling)


def _as_jericho(state: Any) -> tuple[Any, ...]:
    """Our state as `FrotzEnv.set_state` takes it."""
    pc, sp, fp, frames, opcode = state.registers
    stack = np.frombuffer(bytes(2 * sp) + state.stack, dtype=np.uint8).copy()
    ram = np.frombuffer(state.ram, dtype=np.uint8).copy()
    return ram, stack, pc, sp, fp, frames, opcode, state.randomness, state.text


def against_jericho(story: str) -> None:
    """Print time and recall beside `get_valid_actions`, where Jericho knows the story."""
    env = bare_env(story)
    if not env.is_fully_supported or Path(story).name.startswith("tw-"):
        print("get_valid_actions                not compared: Jericho does not support this story")
        return
    jericho.util.extract_objs = lambda text: {(word, "NOUN") for word in re.findall("[a-z]+", text.lower())}
    play, rows = Play(Settings(story)), []
    found = Menus(play, tries=1)
    play.start(1)
    for command in env.get_walkthrough()[:STATES]:
        here = play.save()
        env.set_state(_as_jericho(here.state))
        theirs: list[str] = []
        slow = seconds(lambda theirs=theirs: theirs.extend(env.get_valid_actions(use_parallel=False)))  # type: ignore[misc]
        quick = seconds(found.find)
        worlds = {found.match(action)[1] for action in theirs if play.why_refused(action) is None}
        rows.append((slow, quick, sum(k < len(found.find().menu) for k in worlds), len(worlds)))
        play.load(here)
        play.send(command)
    slow, quick, hit, outcomes = np.sum(np.array(rows), axis=0)
    print(f"get_valid_actions                {slow / quick:9.1f} x our time (goal 10)")
    print(f"  of its {outcomes:.0f} outcomes, found      {hit:9.0f}")


def main() -> None:
    """Print the figures."""
    story = (
        sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parents[1] / "envs" / "data" / "story" / "merrow.z5")
    )
    steps(story)
    menus(story)
    against_jericho(story)


if __name__ == "__main__":
    main()
