"""What the lines of a scene are made of: instructions, and the options of a menu.

A line is read when it is first reached. What is wrong with it is then an instruction that says so,
so that a mistake in a place where nobody comes harms nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from valueagents.envs.choice_game.expressions import Expression
from valueagents.envs.choice_game.state import Offer, ScriptState
from valueagents.envs.choice_game.values import ScriptError, Value

Reuse = Literal["allow", "hide", "disable"]


class GameInPlay(Protocol):
    """What an instruction can do to a game in play (`interpreter.Interpreter`)."""

    state: ScriptState
    executed: list[tuple[str, int]]

    def read(self, name: str) -> Value:
        """The value of a variable."""

    def write(self, name: str, value: Value) -> None:
        """Give a variable that exists another value."""

    def require(self, name: str) -> None:
        """Raise ScriptError unless there is such a variable, with or without a value."""

    def say(self, text: str) -> None:
        """Add to the text of the step."""

    def go(self, label: str) -> None:
        """Go on at a label of this scene."""

    def enter(self, scene: str, label: str | None, arguments: list[Value]) -> None:
        """Go on in a scene, at its start or at a label, with no *temp variables."""

    def call(self) -> None:
        """A *return comes back to the next line of this visit."""

    def call_scene(self) -> None:
        """A *return out of another scene comes back to the next line, with this visit's
        variables.
        """

    def come_back(self) -> None:
        """Go back to the last call."""

    def turn_page(self, words: str, line: int) -> None:
        """The end of a page."""

    def finish(self, words: str, line: int) -> None:
        """The end of the scene."""

    def end(self) -> None:
        """The end of the game."""

    def wait(self, offers: list[Offer]) -> None:
        """Ask the player."""

    def achieve(self, name: str) -> None:
        """Earn an achievement."""

    def check_achievements(self) -> None:
        """Set `choice_achieved_NAME` for each."""

    def reset(self) -> None:
        """All variables are as the game created them."""


Act = Callable[[GameInPlay], None]


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a line does; `place` (scene and line number) is None for one that no annotation can
    name: a blank line, a comment, the end of the scene.
    """

    place: tuple[str, int] | None
    act: Act


class JumpTarget(NamedTuple):
    """Where a jump leads whose names are written out, so that it can be checked unplayed."""

    scene: str | None
    label: str | None


Made = tuple[Act, JumpTarget | None]
CommandMaker = Callable[[int, str], Made]
"""From the line number and the words of a command to its act, and where a jump leads."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An option of a *choice: offered if all `guards` are true, and can be taken if `selectable`
    is.

    `text` is what is shown, computed where something is substituted in it. `at` is the place of the
    first line under it. `children` are the options of the next group of a
    choice of several groups (`*choice weapon stance`).
    """

    line: int
    text: str | Expression
    guards: tuple[Expression, ...]
    selectable: Expression | None
    reuse: Reuse | None
    at: int
    children: tuple["Entry", ...] = ()


@dataclass(frozen=True, slots=True)
class Choose:
    """A *choice, or a *fake_choice, out of whose options one may walk.

    `end_line` is the line after it, where the reference interpreter says what its menu lacks;
    `bodiless` is the line of its last option if nothing stands under that.
    """

    entries: tuple[Entry, ...]
    end_line: int
    fake: bool
    bodiless: int | None


def nothing(machine: GameInPlay) -> None:
    """Do nothing: a label, a picture."""


def raising(message: str, line: int | None = None) -> Act:
    """The act of a line that is wrong."""

    def act(machine: GameInPlay) -> None:
        raise ScriptError(message, line)

    return act


def located(expression: Expression, line: int) -> Expression:
    """The expression of another line than the one that is run: its errors name that line."""

    def value(lookup: Callable[[str], Value]) -> Value:
        try:
            return expression(lookup)
        except ScriptError as error:
            raise ScriptError(str(error), error.line or line) from error

    return value
