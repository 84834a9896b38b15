"""A game: its scenes and their order; read from a folder of ChoiceScript files."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from valueagents.envs.choice_game.lines import Line, lines_of_text
from valueagents.envs.choice_game.parser import STARTUP
from valueagents.envs.choice_game.rows import achievements, scene_list
from valueagents.envs.choice_game.scene import Achievement, Scene
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.text import once_per_file, read_text

_QUESTIONS = ("input_text", "input_number")
_ANSWERS = 3


@dataclass(frozen=True, slots=True)
class Game:
    """Scenes by name, the scene that follows each of the scene list, the achievements, and the hash
    of all its lines.
    """

    scenes: Mapping[str, Scene]
    following: Mapping[str, str]
    achievements: Mapping[str, Achievement] = field(default_factory=dict)
    content: str = ""

    @property
    def widest_menu(self) -> int:
        """The most options that any menu can have."""
        asks = any(line.command[0] in _QUESTIONS for line in self._commands())
        return max([scene.widest_menu for scene in self.scenes.values()] + [_ANSWERS * asks])

    def _commands(self) -> Iterator[Line]:
        for scene in self.scenes.values():
            for line in scene.lines:
                if line.text.startswith("*"):
                    yield line


def assemble(
    sources: Mapping[str, list[Line]],
    *,
    order: tuple[str, ...] | None = None,
    unreadable: Mapping[str, str] | None = None,
) -> Game:
    """The game of these scenes, `startup` among them; `order` None = as its *scene_list says.

    `unreadable` says of scenes without lines why they have none. Whatever is wrong with a script is
    left for when it is reached (`mistakes.py` lists it). Raises DataError without a startup scene.
    """
    sources = {name.lower(): lines for name, lines in sources.items()}
    if STARTUP not in sources:
        raise DataError(
            unknown_name("scene", STARTUP, sources, remedy="A game begins in the scene 'startup'.")
        )
    reasons = unreadable or {}
    scenes = {
        name: Scene(name, sources[name], unreadable=reasons.get(name)) for name in sorted(sources)
    }
    names = list(order) if order is not None else scene_list(scenes[STARTUP])
    return Game(
        scenes=scenes,
        following=dict(pairwise(names)),
        achievements=achievements(scenes[STARTUP]),
        content=_content(sources, names),
    )


def _content(sources: Mapping[str, list[Line]], order: list[str]) -> str:
    digest = hashlib.blake2b("\n".join(order).encode(), digest_size=16)
    for name in sorted(sources):
        digest.update(f"\0{name}\0".encode(errors="surrogateescape"))
        for line in sources[name]:
            digest.update(f"{line.indent} {line.text}\n".encode())
    return digest.hexdigest()


def read_folder(folder: Path) -> Game:
    """The game in a folder with `startup.txt` and one `.txt` a scene.

    Raises ConfigError if there is no such folder, DataError if two files hold one scene. A file
    that cannot be read is a scene that cannot be entered.
    """
    if not (folder / "startup.txt").is_file():
        raise ConfigError(
            f"{str(folder)!r} is not a ChoiceScript game: it has no startup.txt. Give a game's"
            " folder."
        )
    return _read_scenes(tuple(sorted(folder.glob("*.txt"))))


@once_per_file
def _read_scenes(files: tuple[Path, ...]) -> Game:
    sources: dict[str, list[Line]] = {}
    unreadable: dict[str, str] = {}
    for file in files:
        name = file.stem.lower()
        if name in sources:
            raise DataError(
                f"two files hold the scene {name!r}; names differ by more than their capitals"
            )
        try:
            text = read_text(file)
        except DataError as error:
            if name == STARTUP:
                raise
            text, unreadable[name] = "", str(error)
        if not text and name not in unreadable:
            unreadable[name] = f"{file.name} is empty; write the scene, or take the file out"
        if not name.isprintable():  # a name that is not UTF-8 is not, either
            unreadable[name] = f"{file.name!r} has characters that do not print; rename it"
        sources[name] = lines_of_text(name, text)
    return assemble(sources, unreadable=unreadable)
