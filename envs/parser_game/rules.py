r"""Value events from a rule file: anybody's annotation of a story that tells nothing about values
itself.

    format = "valueagents-rules"
    version = 1
    taxonomy = "schwartz20"
    story_sha256 = "…"                  # optional: the rules hold for these bytes only

    [[rule]]
    command = "(give|hand) bread.*"     # regular expression (RE2) on the whole command
    location = 31                       # object number of the room; see the env's status
    text = "the child smiles"           # regular expression in what the game says; case ignored
    moved = {object = 40, to = 44}      # elsewhere before the step, there after it
    becomes = {address = 2900, value = 1}   # another 16-bit number there before, this one after
    values = {BEC = 1, POR = -1}

Every condition that a rule names must hold; it must name one at least. `location` is where the step
began.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from valueagents.contracts.decision import Event
from valueagents.envs.parser_game.memory import Ram, word
from valueagents.envs.parser_game.story import Story
from valueagents.errors import DataError
from valueagents.files.amounts import amounts_problem
from valueagents.files.header import taxonomy_of
from valueagents.files.patterns import fits_whole, found_in, pattern_problem
from valueagents.files.text import decode_toml, read_text
from valueagents.taxonomy import Taxonomy

_FORMAT = "valueagents-rules"
_WORD = 0xFFFF


class Moved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object's parent changed to another."""

    object: int
    to: int


class Becomes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word of memory changed to a value."""

    address: int
    value: int


class ValueRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Conditions on a step, all to be met, and the values that it then serves or goes against."""

    values: dict[str, float]
    command: str | None = None
    location: int | None = None
    text: str | None = None
    moved: Moved | None = None
    becomes: Becomes | None = None


class RuleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it stands."""

    format: str
    version: int
    taxonomy: str
    rule: tuple[ValueRule, ...]
    story_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What rules look at: a step's command and text, where it began, and the memory before and
    after it.
    """

    command: str
    text: str
    location: int | None
    before: Ram
    after: Ram


class Rules:
    """The rules for one story."""

    def __init__(self, rules: tuple[ValueRule, ...], taxonomy: Taxonomy, story: Story) -> None:
        self.rules = rules
        self.taxonomy = taxonomy
        self._story = story

    def events(self, step: Step) -> tuple[Event, ...]:
        """The events of all rules that hold, in the order of the file."""
        return tuple(
            Event(axis, amount, f"rule {number}")
            for number, rule in enumerate(self.rules, 1)
            if self._holds(rule, step)
            for axis, amount in rule.values.items()
        )

    def _holds(self, rule: ValueRule, step: Step) -> bool:
        if rule.command is not None and not fits_whole(rule.command, step.command):
            return False
        if rule.location is not None and rule.location != step.location:
            return False
        if rule.text is not None and not found_in(rule.text, step.text):
            return False
        if rule.moved is not None:
            was, now = (self._parent(ram, rule.moved.object) for ram in (step.before, step.after))
            if was == now or now != rule.moved.to:
                return False
        if rule.becomes is None:
            return True
        was, now = (word(ram, rule.becomes.address) for ram in (step.before, step.after))
        return was != now and now == rule.becomes.value

    def _parent(self, ram: Ram, number: int) -> int:
        address = self._story.parent_address(number)
        return int(ram[address]) if self._story.version <= 3 else word(ram, address)


def read_rules(path: Path, story: Story) -> Rules:
    """The rules in a TOML file. Raises DataError, with the number of the rule, for what makes no
    sense.
    """
    try:
        found = msgspec.convert(decode_toml(path.name, read_text(path)), RuleFile)
    except (OSError, msgspec.ValidationError) as error:
        raise DataError(
            f"{path.name} is not a valid rule file: {error}; see envs/parser_game/rules.py"
        ) from error
    if (found.format, found.version) != (_FORMAT, 1):
        raise DataError(
            f"{path.name}: format {found.format!r} version {found.version}; this reads {_FORMAT} 1"
        )
    if found.story_sha256 not in (None, story.sha256):
        raise DataError(f"{path.name} was written for other bytes than those of {story.path.name}")
    taxonomy = taxonomy_of(path, found.taxonomy)
    for number, rule in enumerate(found.rule, 1):
        problem = _problem(rule, taxonomy, story)
        if problem is not None:
            raise DataError(f"{path.name}, rule {number}: {problem}")
    return Rules(found.rule, taxonomy, story)


def _problem(rule: ValueRule, taxonomy: Taxonomy, story: Story) -> str | None:
    if not rule.values:
        return "it names no values; write values = {AXIS = 1}"
    problem = amounts_problem(rule.values, taxonomy)
    if problem is not None:
        return problem
    if all(c is None for c in (rule.command, rule.location, rule.text, rule.moved, rule.becomes)):
        return "it names no condition and would hold at every step"
    for pattern in filter(None, (rule.command, rule.text)):
        problem = pattern_problem(pattern)
        if problem is not None:
            return problem
    start, end, size_bytes = story.object_table
    objects = (end - start) // size_bytes
    if rule.location is not None and not 0 <= rule.location <= objects:
        return f"location {rule.location} does not exist; the story has {objects} objects"
    if rule.moved is not None and not (
        1 <= rule.moved.object <= objects and 0 <= rule.moved.to <= objects  # 0: nowhere
    ):
        return (
            f"object {rule.moved.object} moved to {rule.moved.to}: one does not exist; the story"
            f" has {objects}"
        )
    if rule.becomes is not None and not 0 <= rule.becomes.value <= _WORD:
        return f"value {rule.becomes.value} is no 16-bit number; give 0 to {_WORD}"
    if rule.becomes is not None and not 0 <= rule.becomes.address <= story.dynamic_bytes - 2:
        return (
            f"address {rule.becomes.address} is outside of the {story.dynamic_bytes} bytes that the"
            " game writes"
        )
    return None
