"""How often each variable of a game changes, and where: to write rules on variables from."""

from collections import Counter
from collections.abc import Callable

import msgspec
import numpy as np

from valueagents.envs.choice_game.game import Game
from valueagents.envs.choice_game.interpreter import Interpreter, created_variables
from valueagents.envs.choice_game.values import ScriptError, Value, number, printed
from valueagents.errors import DataError


class VariableChanges(msgspec.Struct, frozen=True):
    """A variable over all episodes: what it began with, how often it was given another value, was
    raised and lowered, its lowest and highest number (None = it never held one), in how many
    episodes it changed, and how often on each line, `scene:line`, most often first.
    """

    variable: str
    first: str
    changes: int
    rises: int
    falls: int
    lowest: float | None
    highest: float | None
    episodes: int
    places: dict[str, int]


class GameVariables(msgspec.Struct, frozen=True):
    """The variables of a game in so many random episodes; `stopped` counts those that came to a
    mistake in the script, by its message.
    """

    episodes: int
    variables: list[VariableChanges]
    stopped: dict[str, int]


class _Watched(Interpreter):
    """An interpreter that tells every change of a variable of the whole game, and its place."""

    def __init__(self, game: Game, note: Callable[[str, Value, Value, str], None]) -> None:
        super().__init__(game)
        self._note = note

    def write(self, name: str, value: Value) -> None:
        """Give a variable that exists another value."""
        variables = self.state.variables
        old = None if name in self.state.frame.temps else variables.get(name)
        super().write(name, value)
        if old is not None and printed(old) != printed(value):
            scene, line = self.executed[-1] if self.executed else self.left or ("", 0)
            self._note(name, old, value, f"{scene}:{line}")


class _Seen:
    """What was seen of one variable."""

    def __init__(self) -> None:
        self.rises = self.falls = 0
        self.numbers: list[float] = []
        self.places: Counter[str] = Counter()
        self.episodes: set[int] = set()

    def add(self, old: Value, new: Value) -> None:
        try:
            low, high = number(old), number(new)
        except ScriptError:
            return
        self.rises += high > low
        self.falls += high < low
        self.numbers = [min(low, high, *self.numbers), max(low, high, *self.numbers)]


def variable_changes(game: Game, *, episodes: int, seed: int, max_steps: int) -> GameVariables:
    """The variables of a game in so many episodes of random choices, the most often changed first.

    An episode that comes to a mistake in the script ends there, and is counted.
    """
    first = created_variables(game)
    seen: dict[str, _Seen] = {name: _Seen() for name in first}
    stopped: Counter[str] = Counter()
    episode = 0

    def note(name: str, old: Value, new: Value, place: str) -> None:
        each = seen.setdefault(name, _Seen())
        each.places[place] += 1
        each.episodes.add(episode)
        each.add(old, new)

    interpreter = _Watched(game, note)
    for episode in range(episodes):
        rng = np.random.default_rng([seed, episode])
        try:
            interpreter.start(int(rng.integers(1 << 63)))
            for _ in range(max_steps):
                if interpreter.state.over:
                    break
                menu = interpreter.state.menu
                interpreter.follow(menu[int(rng.integers(len(menu)))].id)
        except DataError as error:
            stopped[str(error)] += 1
    found = [_changes(name, each, first.get(name)) for name, each in seen.items()]
    found.sort(key=lambda each: (-each.changes, each.variable))
    return GameVariables(episodes, found, dict(stopped.most_common()))


def _changes(name: str, seen: _Seen, first: Value | None) -> VariableChanges:
    numbers = seen.numbers or _number(first)
    return VariableChanges(
        name,
        "" if first is None else printed(first),
        seen.places.total(),
        seen.rises,
        seen.falls,
        min(numbers, default=None),
        max(numbers, default=None),
        len(seen.episodes),
        dict(sorted(seen.places.items(), key=lambda place: (-place[1], place[0]))),
    )


def _number(value: Value | None) -> list[float]:
    try:
        return [] if value is None else [number(value)]
    except ScriptError:
        return []
