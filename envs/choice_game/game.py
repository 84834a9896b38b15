"""A game: its scenes in order, checked as a whole; read from a folder of ChoiceScript files."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from valueagents.envs.choice_game.lines import Line, lines_of_text, place
from valueagents.envs.choice_game.parser import parse_scene
from valueagents.envs.choice_game.scene import Achievement, Scene
from valueagents.envs.choice_game.statements import AskInput
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.text import once_per_file, read_text

STARTUP = "startup"
STATS_SCREEN = "choicescript_stats"  # opened by a button of the app, never by the story


@dataclass(frozen=True, slots=True)
class Game:
    """Scenes by name, the order in which *finish walks them, the achievements, and the hash of all
    its lines.
    """

    scenes: Mapping[str, Scene]
    order: tuple[str, ...]
    achievements: Mapping[str, Achievement] = field(default_factory=dict)
    content: str = ""

    @property
    def widest_menu(self) -> int:
        """The most options that any menu can have."""
        asks = any(
            isinstance(statement, AskInput)
            for scene in self.scenes.values()
            for statement in scene.statements
        )
        return max([scene.widest_menu for scene in self.scenes.values()] + [3 if asks else 1])


def assemble(sources: Mapping[str, list[Line]], *, order: tuple[str, ...] | None = None) -> Game:
    """The game of these scenes, `startup` among them; `order` None = as its *scene_list says.

    Raises DataError with scene and line for whatever is malformed, a scene or label that does not
    exist included.
    """
    if STARTUP not in sources:
        raise DataError(
            unknown_name("scene", STARTUP, sources, remedy="A game begins in the scene 'startup'.")
        )
    scenes = {name: parse_scene(name, sources[name]) for name in sorted(sources)}
    listed = scenes[STARTUP].scene_list
    for line, name in listed:
        if name not in scenes:
            raise DataError(f"{place(STARTUP, line)}: " + unknown_name("scene", name, scenes))
    names = order if order is not None else tuple(name for _, name in listed)
    _check_targets(scenes)
    return Game(
        scenes=scenes,
        order=names if STARTUP in names else (STARTUP, *names),
        achievements={
            key: value for scene in scenes.values() for key, value in scene.achievements.items()
        },
        content=_content(sources, names),
    )


def _check_targets(scenes: Mapping[str, Scene]) -> None:
    """Every jump whose names are written out leads somewhere."""
    for scene in scenes.values():
        for line, to_scene, to_label in scene.targets:
            where = place(scene.name, line)
            if to_scene is not None and to_scene not in scenes:
                raise DataError(f"{where}: " + unknown_name("scene", to_scene, scenes))
            labels = scenes[to_scene or scene.name].labels
            if to_label is not None and to_label not in labels:
                raise DataError(
                    f"{where}: "
                    + unknown_name(f"label of {to_scene or scene.name!r}", to_label, labels)
                )


def _content(sources: Mapping[str, list[Line]], order: tuple[str, ...]) -> str:
    digest = hashlib.blake2b("\n".join(order).encode(), digest_size=16)
    for name in sorted(sources):
        digest.update(f"\0{name}\0".encode())
        for line in sources[name]:
            digest.update(f"{line.indent} {line.text}\n".encode())
    return digest.hexdigest()


def read_folder(folder: Path) -> Game:
    """The game in a folder with `startup.txt` and one `.txt` a scene.

    Raises ConfigError if there is no such folder, DataError with scene and line if a scene is
    malformed.
    """
    if not (folder / "startup.txt").is_file():
        raise ConfigError(
            f"{str(folder)!r} is not a ChoiceScript game: it has no startup.txt. Give a game's"
            " folder."
        )
    files = tuple(
        sorted(file for file in folder.glob("*.txt") if file.stem.lower() != STATS_SCREEN)
    )
    return _read_scenes(files)


@once_per_file
def _read_scenes(files: tuple[Path, ...]) -> Game:
    sources = {}
    for file in files:
        name = file.stem.lower()
        if name in sources:
            raise DataError(
                f"two files hold the scene {name!r}; names differ by more than their capitals"
            )
        if not name.isprintable():  # a name that is not UTF-8 is not, either
            raise DataError(
                f"{file.name!r} has characters that do not print and cannot name a scene; rename it"
            )
        text = read_text(file)
        if not text.strip():
            raise DataError(f"{file.name} is empty; write the scene, or remove the file")
        sources[name] = lines_of_text(name, text)
    return assemble(sources)
