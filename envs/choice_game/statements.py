"""The instructions that a scene is made of: one flat list, with places in it to jump to.

`line` is the line of the script that the instruction stands for, numbered as the script's source
does; `GLUE` marks those that stand for none (the jump at the end of a branch), which no annotation
can name.
"""

from dataclasses import dataclass
from typing import Literal

from valueagents.envs.choice_game.expressions import Expression
from valueagents.envs.choice_game.templates import TextTemplate

GLUE = -1

Reuse = Literal["allow", "hide", "disable"]


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction; by itself it does nothing (a label, `*else`, a comment that carries values, a
    picture).
    """

    line: int


@dataclass(frozen=True, slots=True)
class Say(Instruction):
    """A line of text, or what *print gives."""

    text: TextTemplate


@dataclass(frozen=True, slots=True)
class Break(Instruction):
    """The end of a line, or of a paragraph (an empty line of the script)."""

    mark: Literal["\n", "\n\n"]


@dataclass(frozen=True, slots=True)
class Assign(Instruction):
    """*set, *temp, *create: a variable gets a value; `value` None declares it without one."""

    kind: Literal["set", "temp", "create"]
    name: Expression
    value: Expression | None


@dataclass(frozen=True, slots=True)
class Jump(Instruction):
    """Go on elsewhere in the scene."""

    target: int


@dataclass(frozen=True, slots=True)
class JumpUnless(Instruction):
    """*if, *elseif: go on elsewhere if the condition is false."""

    condition: Expression
    target: int


@dataclass(frozen=True, slots=True)
class Fall(Instruction):
    """The end of an option's lines: the way out of a *fake_choice, a mistake in a *choice.

    A game whose variable `implicit_control_flow` is true walks out of a *choice too.
    """

    target: int
    option_line: int
    fake: bool


@dataclass(frozen=True, slots=True)
class Go(Instruction):
    """*goto, *gosub, *goto_scene, *gosub_scene.

    `scene` None = this one, `label` None = its start.
    """

    scene: Expression | None
    label: Expression | None
    arguments: tuple[Expression, ...]
    returns: bool


@dataclass(frozen=True, slots=True)
class Return(Instruction):
    """*return."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An option of a *choice: offered if all `guards` are true, and can be taken if `selectable`
    is.

    `children` are the options of the next group of a choice of several groups (`*choice weapon
    stance`).
    """

    line: int
    text: TextTemplate
    guards: tuple[Expression, ...]
    selectable: Expression | None
    reuse: Reuse | None
    target: int
    children: tuple["Entry", ...] = ()


@dataclass(frozen=True, slots=True)
class Choose(Instruction):
    """*choice, *fake_choice."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Finish(Instruction):
    """*finish, or the end of a scene's lines: a menu of one, then the next scene of the list."""

    text: TextTemplate


@dataclass(frozen=True, slots=True)
class Ending(Instruction):
    """*ending: the game is over."""


@dataclass(frozen=True, slots=True)
class PageBreak(Instruction):
    """*page_break: a menu of one."""

    text: TextTemplate


@dataclass(frozen=True, slots=True)
class AskInput(Instruction):
    """*input_text (`low` None), *input_number: a menu of fixed answers."""

    name: Expression
    low: Expression | None
    high: Expression | None


@dataclass(frozen=True, slots=True)
class Roll(Instruction):
    """*rand: whole numbers if both ends are whole, both included."""

    name: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class Achieve(Instruction):
    """*achieve."""

    name: str


@dataclass(frozen=True, slots=True)
class CheckAchievements(Instruction):
    """*check_achievements: sets `choice_achieved_NAME` for each."""


@dataclass(frozen=True, slots=True)
class Params(Instruction):
    """*params: names for the arguments of a *gosub."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetReuse(Instruction):
    """*hide_reuse, *disable_reuse, *allow_reuse on a line of their own: what holds from here on in
    this scene.
    """

    reuse: Reuse


@dataclass(frozen=True, slots=True)
class Bug(Instruction):
    """*bug: the script itself says that this place must never be reached."""

    text: TextTemplate
