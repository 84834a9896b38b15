"""What a scene is once it is parsed."""

from dataclasses import dataclass, field

from valueagents.envs.choice_game.commands import JumpTarget
from valueagents.envs.choice_game.statements import Instruction


@dataclass(frozen=True, slots=True)
class Achievement:
    """What *achievement declares."""

    points: int
    title: str
    visible: bool


@dataclass(slots=True)
class Scene:
    """A parsed scene. `labels` gives places in `statements`, `values` the texts of value comments
    by line.
    """

    name: str
    statements: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    label_lines: dict[str, int] = field(default_factory=dict)
    values: dict[int, str] = field(default_factory=dict)
    option_lines: set[int] = field(default_factory=set)
    targets: list[JumpTarget] = field(default_factory=list)
    scene_list: list[tuple[int, str]] = field(default_factory=list)
    achievements: dict[str, Achievement] = field(default_factory=dict)
    widest_menu: int = 1
