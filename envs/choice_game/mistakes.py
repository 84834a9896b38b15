"""All that is wrong with a game's scripts, found without playing: lines that cannot be read, jumps
that lead nowhere, names that nobody declared.

In play a mistake counts when it is reached; most of these would be met by nobody for a long time.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from valueagents.envs.choice_game.expressions import tokens
from valueagents.envs.choice_game.game import Game
from valueagents.envs.choice_game.lines import Line, place, split_condition
from valueagents.envs.choice_game.parser import STARTUP, instruction
from valueagents.envs.choice_game.rows import listed_scenes
from valueagents.envs.choice_game.scene import Scene
from valueagents.envs.choice_game.templates import substitutions
from valueagents.envs.choice_game.values import FUNCTIONS, ScriptError
from valueagents.errors import unknown_name

_DECLARING = ("create", "temp", "create_array", "temp_array")
_COMPUTING = (
    "if", "elseif", "elsif", "selectable_if", "set", "setref", "print", "rand", "input_text",
    "input_number", "config", "gotoref",
)  # fmt: skip
_WORDS = {*FUNCTIONS, "auto", "and", "or", "modulo", "true", "false", "long", "allow_blank"}
_PROVIDED = re.compile(r"choice_.*|param_.*|auto_.*|implicit_control_flow|\d.*")


def find_mistakes(game: Game) -> list[tuple[str, str]]:
    """Place and problem of every mistake, by scene and line."""
    declared = _declared(game)
    found: list[tuple[str, int, str]] = []
    for scene in game.scenes.values():
        if scene.problem is not None:
            found.append((scene.name, *scene.problem))
        found += [(scene.name, *each) for each in _of_scene(game, scene, declared)]
    return [(place(scene, line), problem) for scene, line, problem in sorted(set(found))]


def _of_scene(game: Game, scene: Scene, declared: set[str]) -> Iterator[tuple[int, str]]:
    for at in range(len(scene.lines)):
        if at not in scene.data:
            instruction(scene, at)
    yield from scene.mistakes.items()
    for number, target in scene.targets.items():
        problem = _target_problem(game, scene, *target)
        if problem:
            yield number, problem
    for row, name in listed_scenes(scene) if scene.name == STARTUP else ():
        if name not in game.scenes:
            yield row, unknown_name("scene", name, game.scenes)
    for at, line in enumerate(scene.lines):
        if at in scene.data:
            continue
        command, words = line.command if line.text.startswith("*") else ("", "")
        if command == "achieve" and words.lower() not in game.achievements:
            yield line.number, unknown_name("achievement", words, game.achievements)
        if line.number not in scene.mistakes:
            for name in sorted(_names(line) - declared):
                yield (
                    line.number,
                    unknown_name("variable", name, declared, remedy="*create or *temp it."),
                )


def _target_problem(
    game: Game, scene: Scene, to_scene: str | None, to_label: str | None
) -> str | None:
    """Why a jump leads nowhere; None if it leads somewhere."""
    if to_scene is not None and to_scene not in game.scenes:
        return unknown_name("scene", to_scene, game.scenes)
    there = game.scenes[to_scene or scene.name]
    if to_label is None or to_label in there.labels:
        return None
    return unknown_name(f"label of {there.name!r}", to_label, there.labels)


def _declared(game: Game) -> set[str]:
    """The names of all variables that some line of the game declares."""
    found: set[str] = set()
    for scene in game.scenes.values():
        for line in scene.lines:
            command, words = line.command if line.text.startswith("*") else ("", "")
            if command == "params":
                found.update(words.lower().split())
            elif command in _DECLARING and words:
                name = words.split()[0].lower()
                found.add(name)
                if command.endswith("_array"):
                    size = words.split()[1:2]
                    count = int(size[0]) if size and size[0].isdecimal() and len(size[0]) < 5 else 0
                    found.update({f"{name}_{k}" for k in (*range(1, count + 1), "count")})
    return found


def _names(line: Line) -> set[str]:
    """The variables whose names are written out in a line."""
    command, words = line.command if line.text.startswith("*") else ("", "")
    if command == "comment":
        return set()
    texts = substitutions(line.text)
    if command in _COMPUTING:
        texts.append(split_condition(words)[0])
    elif command == "temp":
        texts.append(words.partition(" ")[2])
    return {name for text in texts for name in _names_in(text)}


def _names_in(expression: str) -> Iterator[str]:
    try:
        read = tokens(expression)
    except ScriptError:
        return
    for token, following in pairwise(read):
        name = token.spelling.lower()
        known = token.kind != "name" or name in _WORDS or _PROVIDED.fullmatch(name)
        if not known and following.spelling != "[":
            yield name
