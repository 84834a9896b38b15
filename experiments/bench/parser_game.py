"""How fast are the parser games? Each way of running one story beside bare Jericho, as ratios of
this one run.

    python -m valueagents.experiments.bench.parser_game [STORY.z5]      # by default our own

Everything is measured in turns of short blocks. A step is measured twice: with three commands that
come again and again, and with commands that were never typed before, because the gate remembers
what it has looked at. (They differ in upper and lower case only, which the interpreter does not
see.) A state's first menu is found by a searcher that has never been in that state; the commands it
tries are counted, and a menu that it knew would have none. Where Jericho supports the story, its
`get_valid_actions` is timed and compared too, along the first commands of its own walkthrough.
"""

import argparse
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import jericho
import numpy as np

from valueagents.contracts.decision import Menu
from valueagents.envs.parser_game.actions import Menus
from valueagents.envs.parser_game.env import JerichoTextEnv
from valueagents.envs.parser_game.play import GameSettings, Play
from valueagents.experiments.bench.timing import (
    Rounds,
    make_parser,
    print_figure,
    read_options,
    require_work,
    take_turns,
)

SIZES = {"block_steps": (300, 30), "blocks": (15, 2), "states": (6, 1), "repeats": (5, 2)}
COMMANDS = ("look", "inventory", "wait")
LONG_COMMANDS = ("look at myself", "take inventory", "examine the letter")
SPELLINGS = 2**12  # the shortest of the long commands has 12 letters
NEW_COMMANDS = SPELLINGS * len(LONG_COMMANDS)
MODES = ("inline", "worker")
MENU_WAYS = ("first", "seen", "bare, candidates")


def bare_env(story: str) -> Any:
    """Jericho's own env, begun."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it does not support the story
        env = jericho.FrotzEnv(story, seed=1000)
    env.reset()
    return env


def our_env(story: str, mode: str, max_steps: int) -> JerichoTextEnv:
    """Our free-text env without menus, begun."""
    env = JerichoTextEnv(
        story=story,
        mode="inline" if mode == "inline" else "worker",
        menus=False,
        max_steps=max_steps,
    )
    env.reset(seed=1)
    return env


def spelled(command: str, number: int) -> str:
    """The command with the letters in upper case that the bits of the number say."""
    letters = list(command)
    places = [k for k, letter in enumerate(letters) if letter.isalpha()]
    for bit, place in enumerate(places):
        if number >> bit & 1:
            letters[place] = letters[place].upper()
    return "".join(letters)


def known_commands() -> Iterator[str]:
    """Three commands without end."""
    while True:
        yield from COMMANDS


def new_commands() -> Iterator[str]:
    """`NEW_COMMANDS` commands of which none comes twice."""
    for number in range(SPELLINGS):
        for command in LONG_COMMANDS:
            yield spelled(command, number)


@dataclass
class EnvAndCommands:
    """An env and the commands that it is to be given."""

    env: Any
    commands: Iterator[str]

    def block(self, steps: int) -> None:
        """The next commands were sent."""
        for _ in range(steps):
            self.env.step(next(self.commands))


def measure_steps(story: str, options: argparse.Namespace) -> None:
    """Print what a step costs beside bare Jericho's."""
    steps = options.block_steps
    limit = (options.blocks + 2) * steps
    for kind, commands in (("known", known_commands), ("new", new_commands)):
        players = {"bare": EnvAndCommands(bare_env(story), commands())}
        players |= {mode: EnvAndCommands(our_env(story, mode, limit), commands()) for mode in MODES}
        ways = {way: _block_of(player, steps) for way, player in players.items()}
        measured = take_turns(ways, options.blocks)
        print_figure(
            f"bare FrotzEnv.step, {kind} commands", measured.rates("bare", steps), "steps/s"
        )
        print_figure(
            f"inline ÷ bare, {kind} commands", measured.ratios("bare", "inline"), least=0.9
        )
        print_figure(f"worker ÷ bare, {kind} commands", measured.ratios("bare", "worker"))


def _block_of(player: EnvAndCommands, steps: int) -> Callable[[], None]:
    return lambda: player.block(steps)


def measure_two_at_once(story: str, options: argparse.Namespace) -> None:
    """Print how much more two envs do at once, each asked by a thread of its own, than one
    alone.
    """
    steps = options.block_steps
    limit = 2 * (options.blocks + 2) * steps
    for mode in MODES:
        players = [EnvAndCommands(our_env(story, mode, limit), known_commands()) for _ in range(2)]
        ways = {"one": _threads_of(players[:1], steps), "two": _threads_of(players, steps)}
        measured = take_turns(ways, options.blocks)
        gains = [2 * ratio for ratio in measured.ratios("one", "two")]
        name = "two workers ÷ one" if mode == "worker" else "two threads in one process ÷ one"
        print_figure(name, gains, least=1.7 if mode == "worker" else None)


def _threads_of(players: Sequence[EnvAndCommands], steps: int) -> Callable[[], None]:
    """A block of every player, side by side."""

    def work() -> None:
        threads = [threading.Thread(target=player.block, args=(steps,)) for player in players]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return work


class MenuBench:
    """Menus of one story, state after state, beside as many bare steps and restores of the same
    commands.
    """

    def __init__(self, story: str) -> None:
        self._play = Play(GameSettings(story))
        self._menus = Menus(self._play, tries=1)
        self._bare = bare_env(story)
        self._rng = np.random.default_rng(1)
        self._tried = 0
        self._seed = 0
        self._menus.told_to(self._count)
        self._begin()

    def _count(self, place: str, command: str) -> None:
        self._tried += 1

    def _begin(self) -> None:
        self._seed += 1
        self._play.start(self._seed)

    def measure_state(self, repeats: int) -> dict[str, float]:
        """The figures of the present state, which is left by a random option.

        Raises NotMeasured if fewer commands were tried for its first menu than there are
        candidates.
        """
        measured, here = Rounds(), self._play.save()
        self._tried = 0
        with measured.timed("first"):
            menu = self._menus.find().menu
        found_by, commands = self._tried, self._menus.candidates()
        self._bare.set_state(as_jericho(here.state))
        for _ in range(repeats):
            with measured.timed("seen"):
                self._menus.find()
            with measured.timed("bare, candidates"):
                self._step_and_restore(commands)
        require_work("commands tried for a first menu", done=found_by, needed=len(commands))
        self._leave(menu)
        median = {way: float(np.median(measured.seconds(way))) for way in MENU_WAYS}
        return {
            "milliseconds": 1000 * median["first"],
            "candidates": float(len(commands)),
            "first ÷ bare": median["first"] / median["bare, candidates"],
            "first ÷ seen": median["first"] / median["seen"],
            "options": float(len(menu)),
        }

    def _step_and_restore(self, commands: Sequence[str]) -> None:
        state = self._bare.get_state()
        for command in commands:
            self._bare.set_state(state)
            self._bare.step(command)
        self._bare.set_state(state)

    def _leave(self, menu: Menu) -> None:
        """Take a random option; begin anew where it ends the game."""
        passed = self._play.send(menu[int(self._rng.integers(len(menu)))].text)
        if passed.status.done or passed.halted:
            self._begin()


def measure_menus(story: str, options: argparse.Namespace) -> None:
    """Print what finding menus costs; their annotations are made of the events of the same
    tries.
    """
    bench = MenuBench(story)
    rows = [bench.measure_state(options.repeats) for _ in range(options.states)]
    figures = {name: [row[name] for row in rows] for name in rows[0]}
    print_figure("a state's first menu", figures["milliseconds"], "ms")
    print_figure("  candidates tried", figures["candidates"])
    print_figure("  ÷ candidates × (step + restore)", figures["first ÷ bare"], most=1.5)
    print_figure("  ÷ the same menu found again", figures["first ÷ seen"], least=1000)
    print_figure("  options found and annotated", figures["options"])


def as_jericho(state: Any) -> tuple[Any, ...]:
    """Our state as `FrotzEnv.set_state` takes it."""
    pc, sp, fp, frames, opcode = state.registers
    stack = np.frombuffer(bytes(2 * sp) + state.stack, dtype=np.uint8).copy()
    ram = np.frombuffer(state.ram, dtype=np.uint8).copy()
    return ram, stack, pc, sp, fp, frames, opcode, state.randomness, state.text


def compare_with_jericho(story: str, states: int) -> None:
    """Print time and recall beside `get_valid_actions`, where Jericho knows the story."""
    env = bare_env(story)
    if not env.is_fully_supported or Path(story).name.startswith("tw-"):
        print("get_valid_actions is not compared: Jericho does not support this story")
        return
    # in place of spaCy, which Jericho would download a model for
    jericho.util.extract_objs = lambda text: {
        (word, "NOUN") for word in re.findall("[a-z]+", text.lower())
    }
    play, measured = Play(GameSettings(story)), Rounds()
    found, hit, outcomes = Menus(play, tries=1), 0, 0
    play.start(1)
    for command in env.get_walkthrough()[:states]:
        env.set_state(as_jericho(play.save().state))
        with measured.timed("theirs"):
            theirs: list[str] = env.get_valid_actions(use_parallel=False)
        with measured.timed("ours"):
            menu = found.find().menu
        led_to = {found.match(action)[1] for action in theirs if play.why_refused(action) is None}
        hit += sum(k < len(menu) for k in led_to)
        outcomes += len(led_to)
        play.send(command)
    print_figure("get_valid_actions ÷ our search", measured.ratios("theirs", "ours"), least=10)
    print_figure("  of its outcomes, found", [hit / outcomes])


def measure(story: str, options: argparse.Namespace) -> None:
    """Print all figures of a story."""
    print(
        f"{Path(story).name}: {options.blocks} blocks of {options.block_steps} steps,"
        f" {options.states} states"
    )
    measure_steps(story, options)
    measure_two_at_once(story, options)
    measure_menus(story, options)
    compare_with_jericho(story, options.states)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the story that the command line names, or our own."""
    parser = make_parser(__doc__)
    parser.add_argument("story", nargs="?", help="a Z-machine story; by default the bundled one")
    options = read_options(parser, SIZES, argv)
    wanted = (options.blocks + 1) * options.block_steps
    if wanted > NEW_COMMANDS:
        parser.error(
            f"{wanted:,} new commands are wanted and there are {NEW_COMMANDS:,}; give fewer or"
            " shorter blocks"
        )
    if options.story is not None:
        measure(options.story, options)
        return
    with as_file(files("valueagents.envs").joinpath("data", "story")) as folder:
        measure(str(folder / "merrow.z5"), options)


if __name__ == "__main__":
    main()
