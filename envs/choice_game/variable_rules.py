"""Values for a game as it is: rules on what a step does to the game's variables, from a file.

    format = "valueagents-variables"
    version = 1
    taxonomy = "schwartz20"
    provenance = "rules by …"

    [[rule]]
    variable = "ruthless"
    rises = true                # or a number: by at least so much
    values = {POD = 1}

    [[rule]]
    variable = "trust_.*"       # a regular expression (RE2) on the whole name: every such variable
    falls = 10
    scene = "court|market"      # only in steps from a menu of these scenes
    values = {BED = -1}

    [[rule]]
    variable = "guard_dead"
    becomes = true              # another value before the step, this one after it
    values = {UNC = -1}

    [[rule]]
    variable = "health"
    below = 20                  # 20 or more before the step, less after it; `above` likewise
    values = {SEP = -1}

A step is a choice and all that comes before the next menu; what counts is a variable's value before
it and after it, not what it was in between. Every condition that a rule names must hold, and it
must name one at least. A rule that fits several variables counts once for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from valueagents.contracts.decision import Event
from valueagents.envs.choice_game.game import Game
from valueagents.envs.choice_game.interpreter import created_variables
from valueagents.envs.choice_game.values import ScriptError, Value, number, printed
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.files.amounts import amounts_problem
from valueagents.files.header import taxonomy_of
from valueagents.files.patterns import fits_whole, pattern_problem
from valueagents.files.text import decode_toml, read_text
from valueagents.identity import content_hash
from valueagents.taxonomy import Taxonomy

FILE_NAME = "variables.toml"
_FORMAT = ("valueagents-variables", 1)
Variables = Mapping[str, Value | None]


class VariableRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions on one variable, all to be met, and the values that the step then serves or goes
    against.
    """

    variable: str
    values: dict[str, float]
    rises: bool | float | None = None
    falls: bool | float | None = None
    becomes: bool | float | str | None = None
    above: float | None = None
    below: float | None = None
    scene: str | None = None

    def holds(self, before: Value, after: Value) -> bool:
        """True if a change from one value to the other is as the rule says."""
        if self.becomes is not None and printed(after) != _plain(self.becomes):
            return False
        if self.rises is None and self.falls is None and self.above is None and self.below is None:
            return True
        try:
            low, high = number(before), number(after)
        except ScriptError:
            return False  # a text or a truth value neither rises nor falls
        return (
            (self.rises is None or high - low >= _least(self.rises, high - low))
            and (self.falls is None or low - high >= _least(self.falls, low - high))
            and (self.above is None or low <= self.above < high)
            and (self.below is None or high < self.below <= low)
        )

    def problem(self, taxonomy: Taxonomy) -> str | None:
        """What is wrong with the rule; None: nothing."""
        conditions = (self.rises, self.falls, self.becomes, self.above, self.below)
        if all(each is None for each in conditions):
            return "it names no condition; give rises, falls, becomes, above or below"
        for name in ("rises", "falls"):
            least = getattr(self, name)
            if least is False or (not isinstance(least, bool) and least is not None and least <= 0):
                return f"{name} = {printed(least)}; give true, or the least change, above 0"
        for pattern in filter(None, (self.variable, self.scene)):
            if (found := pattern_problem(pattern)) is not None:
                return found
        return amounts_problem(self.values, taxonomy)


def _plain(value: bool | float | str) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return printed(int(value) if whole else value)


def _least(least: bool | float, change: float) -> float:
    """The least change that counts; one that is above 0, where any will do."""
    if least is True:
        return change if change > 0 else float("inf")
    return least


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    taxonomy: str
    provenance: str
    rule: tuple[VariableRule, ...]


@dataclass(frozen=True, slots=True)
class VariableRules:
    """The rules that apply to a game; `watched` are the rules of each variable that one names."""

    taxonomy: Taxonomy
    provenance: str
    watched: Mapping[str, tuple[VariableRule, ...]]
    content: str

    def before(self, variables: Variables) -> Variables:
        """What is to be remembered of the variables before a step."""
        return {name: variables.get(name) for name in self.watched}

    def events(self, before: Variables, after: Variables, scene: str) -> tuple[Event, ...]:
        """The events of a step that left a menu of that scene."""
        found: list[Event] = []
        for name, rules in self.watched.items():
            old, new = before[name], after.get(name)
            if old is None or new is None or printed(old) == printed(new):
                continue
            source = f"{name}: {printed(old)} → {printed(new)}"
            found += [
                Event(axis, float(amount), source)
                for rule in rules
                if (rule.scene is None or fits_whole(rule.scene, scene)) and rule.holds(old, new)
                for axis, amount in rule.values.items()
            ]
        return tuple(found)


def read_variable_rules(game: Game, file: Path) -> VariableRules:
    """The rules of a file for a game.

    Raises ConfigError if there is no such file, DataError for a rule that is malformed, or names no
    variable or no scene of the game.
    """
    if not file.is_file():
        raise ConfigError(f"there is no file of rules {str(file)!r}; give a .toml file")
    try:
        read = msgspec.convert(decode_toml(file.name, read_text(file)), _File)
    except msgspec.ValidationError as error:
        raise DataError(
            f"{file.name} is not a file of rules on variables: {error}; see envs/reference.md"
        ) from error
    if (read.format, read.version) != _FORMAT:
        raise DataError(
            f"{file.name}: format {read.format!r} version {read.version}; this reads {_FORMAT[0]} 1"
        )
    taxonomy = taxonomy_of(file, read.taxonomy)
    known = list(created_variables(game))
    watched: dict[str, list[VariableRule]] = {}
    for place, rule in enumerate(read.rule, 1):
        where = f"{file.name}, rule {place}"
        if (problem := rule.problem(taxonomy)) is not None:
            raise DataError(f"{where}: {problem}")
        for name in _fitting(where, "variable", rule.variable, known):
            watched.setdefault(name, []).append(rule)
        if rule.scene is not None:
            _fitting(where, "scene", rule.scene, list(game.scenes))
    content = content_hash(taxonomy.name, read.provenance, msgspec.to_builtins(read.rule))
    return VariableRules(
        taxonomy, read.provenance, {name: tuple(rules) for name, rules in watched.items()}, content
    )


def _fitting(where: str, kind: str, pattern: str, names: list[str]) -> list[str]:
    """The names that a pattern fits. Raises DataError if it fits none."""
    found = [name for name in names if fits_whole(pattern, name)]
    if not found:
        raise DataError(f"{where}: {unknown_name(kind, pattern, names)}")
    return found
