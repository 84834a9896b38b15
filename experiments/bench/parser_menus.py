"""How good are the menus of stories that a user brings, and how long does a first one take?

    python -m valueagents.experiments.bench.parser_menus FOLDER

Every story in the folder that has a walkthrough is followed along it: STORY.walkthrough (a command
a line), TextWorld's STORY.json, walkthroughs.json as ours, or Jericho's own for stories it knows.
The stories are copied, so that no memory map lies beside them; where the folder holds one it
judges what options do, exactly, but does not help to find them (with --with-maps it does both).

An option has an effect if under the same seed it leaves another world than waiting does and than
there was before. The world is what the map says; without one, where things are, their attributes
and their properties. Jericho's own test of each option stands beside it, and its
`get_valid_actions` is timed in the same states: it is given the story's grammar as it has for the
stories that it knows, which it calls by their names: a copy is named tw-….
"""

import argparse
import json
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jericho
import numpy as np
from jericho.template_action_generator import TemplateActionGenerator

from valueagents.envs.parser_game.actions import Menus
from valueagents.envs.parser_game.env import kept_options
from valueagents.envs.parser_game.grammar import SLOTS, templates
from valueagents.envs.parser_game.memory import Mask, map_path, read_map, world_mask
from valueagents.envs.parser_game.play import GameSettings, Play, Saved
from valueagents.envs.parser_game.story import Story
from valueagents.experiments.bench.parser_game import as_jericho, bare_env
from valueagents.experiments.bench.timing import make_parser, print_figure, read_options

SIZES = {"states": (12, 2), "seeds": (2, 1)}
MAX_MENU = 26
TRIES = 4


def walkthrough_of(path: Path) -> list[str]:
    """The commands of a story's walkthrough; empty if there is none."""
    lines, textworld = path.with_suffix(".walkthrough"), path.with_suffix(".json")
    ours = path.with_name("walkthroughs.json")
    if lines.is_file():
        return lines.read_text(encoding="utf-8").splitlines()
    if textworld.is_file():
        found: list[str] = json.loads(textworld.read_text())["metadata"]["walkthrough"]
        return found
    if ours.is_file():
        told = json.loads(ours.read_text(encoding="utf-8"))
        if told["story"] == path.name:
            first: list[str] = told["walkthroughs"][0]["commands"]
            return first
    env = bare_env(str(path))
    return list(env.get_walkthrough()) if env.is_fully_supported else []


class Judge:
    """Tells what a command did from what waiting does under the same seed."""

    def __init__(self, play: Play, original: Path, seeds: int) -> None:
        self._play, self._seeds = play, range(seeds)
        beside = map_path(original)
        known = read_map(beside, play.story) if beside.is_file() else None
        self._mask = world_mask(play.story, known) if known is not None else _things(play.story)
        if known is not None:
            self._mask[play.story.globals_address : play.story.globals_address + 480] &= 0xFF
            turns = known.globals.get("turns")
            if turns is not None:
                self._mask[turns : turns + 2] = 0
        _without_order(play.story, self._mask)

    def has_effect(self, here: Saved, command: str, waiting: str) -> bool:
        """True if under some seed a command leads to another world than waiting and doing
        nothing.
        """
        before = self._world(here, None, 0)
        for seed in self._seeds:
            after, waited = self._world(here, command, seed), self._world(here, waiting, seed)
            if after not in (before, waited):
                return True
        return False

    def _world(self, here: Saved, command: str | None, seed: int) -> tuple[bytes, bool | None]:
        self._play.load(here)
        self._play.machine.reseed(seed)
        done = None
        if command is not None:
            done = self._play.send(command).status.done
        ram = np.frombuffer(self._play.machine.memory, dtype=np.uint8)
        return (ram & self._mask).tobytes(), done


def _things(story: Story) -> Mask:
    """Places, attributes and properties of all things: what is world in every story."""
    mask = world_mask(story, None)
    mask[story.globals_address : story.globals_address + 480] = 0
    return mask


def _without_order(story: Story, mask: Mask) -> None:
    """Siblings and children follow from parents, but for the order, which is none of the world."""
    start, end, size_bytes = story.object_table
    first, past = (5, 7) if story.version <= 3 else (8, 12)
    for entry in range(start, end, size_bytes):
        mask[entry + first : entry + past] = 0


class JerichosWay:
    """Jericho's own menu of a state and its own test of a command."""

    def __init__(self, path: Path, story: Story) -> None:
        # in place of spaCy, which Jericho would download a model for
        jericho.util.extract_objs = lambda text: {
            (word, "NOUN") for word in re.findall("[a-z]+", text.lower())
        }
        self._env = bare_env(str(path))
        if self._env.act_gen is None:
            grammar = (
                " ".join("OBJ" if w in SLOTS else w for w in t.words) for t in templates(story)
            )
            letters = story.significant_letters
            bindings = {"grammar": ";".join(grammar), "max_word_length": letters, "name": ""}
            self._env.act_gen = TemplateActionGenerator(bindings)

    def valid_actions(self, here: Saved) -> list[str]:
        """What `get_valid_actions` finds."""
        self._env.set_state(as_jericho(here.state))
        tree = self._env.get_player_object() is not None
        found: list[str] = self._env.get_valid_actions(use_object_tree=tree, use_parallel=False)
        return found

    def world_changed(self, here: Saved, command: str) -> bool:
        """What Jericho says of a command."""
        self._env.set_state(as_jericho(here.state))
        self._env.step(command)
        return bool(self._env._world_changed())


@dataclass
class MenuFigures:
    """What the states of one or more stories gave; a list has an entry a state."""

    with_effect: list[float] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)
    options: list[float] = field(default_factory=list)
    their_options: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    their_seconds: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    idle_moves: int = 0

    def add(self, other: "MenuFigures") -> None:
        """Take in what another story gave."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def print(self, name: str) -> None:
        """Print the figures."""
        print(f"{name}: {len(self.options)} states, {self.idle_moves} moves without an effect")
        if not self.options:
            return
        _print_share("  options with an effect", self.with_effect, self.options, least=0.9)
        _print_share("  options that change the world, by Jericho", self.changed, self.options)
        print_figure("  options shown", self.options)
        print_figure("  Jericho's options", self.their_options)
        if self.found:
            ones = [1.0] * len(self.found)
            _print_share("  the walkthrough's next move, found", self.found, ones)
            _print_share("  the walkthrough's next move, shown", self.shown, ones, least=0.9)
        print_figure("  a first menu", [1000 * s for s in self.seconds], "ms")
        ratios = [a / b for a, b in zip(self.seconds, self.their_seconds, strict=True)]
        print_figure("  first menu ÷ get_valid_actions", ratios, most=0.5)
        total = sum(self.seconds) / sum(self.their_seconds)
        print_figure("  the same, all states together", [total], most=0.5)


def _print_share(
    name: str, part: Sequence[float], whole: Sequence[float], least: float | None = None
) -> None:
    if sum(whole):
        print_figure(name, [sum(part) / sum(whole)], least=least)


def measure_story(path: Path, original: Path, options: argparse.Namespace) -> MenuFigures:
    """Follow the walkthrough of the original and measure states along it."""
    walkthrough, measured = walkthrough_of(original), MenuFigures()
    play = Play(GameSettings(str(path), tries=TRIES))
    menus = Menus(play, tries=TRIES)
    judge = Judge(play, original, options.seeds)
    theirs = JerichosWay(path, play.story)
    step = max(1, len(walkthrough) // options.states)
    play.start(1)
    menus.find()  # what is learned once for a story is not part of a state's menu
    play.start(1)
    for number, command in enumerate(walkthrough):
        here = play.save()
        if number % step == 0 and not play.machine.waits_for_key:
            _measure_state(here, command, menus, judge, theirs, measured)
        play.load(here)
        if play.send(command).status.done:
            break
    return measured


def _measure_state(
    here: Saved,
    command: str,
    menus: Menus,
    judge: Judge,
    theirs: JerichosWay,
    measured: MenuFigures,
) -> None:
    menus.forget()
    started = time.process_time()
    found = menus.find()
    measured.seconds.append(time.process_time() - started)
    started = time.process_time()
    valid = theirs.valid_actions(here)
    measured.their_seconds.append(time.process_time() - started)
    kept = kept_options(found.menu, menus.play.machine.last_text, MAX_MENU)
    shown = [found.menu[k].text for k in kept]
    waiting = found.menu[-1].text
    offered = [text for text in shown if text != waiting]
    measured.with_effect.append(sum(judge.has_effect(here, t, waiting) for t in offered))
    measured.changed.append(sum(theirs.world_changed(here, t) for t in offered))
    measured.options.append(len(offered))
    measured.their_options.append(len(valid))
    if not judge.has_effect(here, command, waiting):
        measured.idle_moves += 1
        return
    menus.play.load(here)
    matched, index = menus.match(command)
    is_found = not matched.menu[index].id.startswith("said:")
    measured.found.append(is_found)
    measured.shown.append(is_found and matched.menu[index].text in shown)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every story with a walkthrough in a folder."""
    parser = make_parser(__doc__)
    parser.add_argument("folder", type=Path, help="stories and their walkthroughs")
    parser.add_argument("--with-maps", action="store_true", help="menus may use memory maps")
    options = read_options(parser, SIZES, argv)
    everything, names = MenuFigures(), sorted(options.folder.glob("*.z[1-8]"))
    with tempfile.TemporaryDirectory() as folder:
        for original in names:
            if not walkthrough_of(original):
                print(f"{original.name}: no walkthrough")
                continue
            path = Path(folder) / f"tw-{original.name.removeprefix('tw-')}"
            shutil.copyfile(original, path)
            if options.with_maps and map_path(original).is_file():
                shutil.copyfile(map_path(original), map_path(path))
            measured = measure_story(path, original, options)
            measured.print(original.name)
            everything.add(measured)
    everything.print("all stories")


if __name__ == "__main__":
    main()
