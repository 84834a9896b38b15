"""Which things of a story may answer to which actions, read from the code of both.

In a story that Inform 6 compiled a thing's own rules are routines in its properties, and a rule for
an action compares with the action's number. So a thing whose code never mentions an action is as
good as any other that is alike in what the action itself looks at: one of them is tried for all.
Inform 7 keeps rules elsewhere: there nothing is known of single things.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from valueagents.envs.parser_game.grammar import inform_grammar
from valueagents.envs.parser_game.memory import individual_properties
from valueagents.envs.parser_game.story import Story
from valueagents.envs.parser_game.zcode import Routine, routine_at, unpacked

_FIRST_FAKE_ACTION = 4096
_MOST_CALLERS = 12
_DEPTH = 3
_MOST_ROUTINES = 150


@dataclass(frozen=True, slots=True)
class ActionCode:
    """What an action itself looks at. `fakes`: what a second thing is told in its place, such as
    `Receive` for `put _ in _`.
    """

    constants: frozenset[int]
    fakes: frozenset[int]
    attributes: tuple[int, ...]
    asks_for_places: bool


class Reactions:
    """What the code of a story's things and actions mentions.

    `knows_rules` is False where rules are not in the properties of things: then all that is known
    of a thing is which others its properties name.
    """

    def __init__(self, story: Story) -> None:
        self._story = story
        grammar = inform_grammar(story)
        self._actions_address = grammar.actions_address if grammar is not None else None
        self._actions: dict[int, ActionCode | None] = {}
        self._rules: dict[int, tuple[frozenset[int], ...]] = {}
        self._data: dict[int, frozenset[int]] = {}
        self.knows_rules = grammar is not None and self._acts_by_itself()
        self._callers = self._count_callers() if self.knows_rules else Counter()

    def rules_of(self, number: int) -> tuple[frozenset[int], ...]:
        """The rules of a thing, one a routine: the numbers that it, or what it calls, compares
        with.
        """
        if number not in self._rules:
            self._rules[number] = tuple(map(self._with_callees, self._routines_of(number)))
        return self._rules[number]

    def named_by(self, number: int) -> frozenset[int]:
        """The words in a thing's properties; a number of a thing among them may mean that thing."""
        if number not in self._data:
            found: set[int] = set()
            for _, data in self._story.property_entries(number):
                found.update(_words(data))
            for _, low, high in individual_properties(self._story, number):
                found.update(_words(self._story.data[low:high]))
            self._data[number] = frozenset(found)
        return self._data[number]

    def action(self, number: int) -> ActionCode | None:
        """What an action looks at; None if that is not known."""
        if number not in self._actions:
            self._actions[number] = self._read_action(number)
        return self._actions[number]

    def _acts_by_itself(self) -> bool:
        """False if most actions do nothing but call one and the same routine, as Inform 7's do."""
        grammar = inform_grammar(self._story)
        if grammar is None:
            return False
        first: Counter[int | None] = Counter()
        for action in {t.action for t in grammar.templates if t.action is not None}:
            routine = self._routine_of(action)
            first[
                routine.calls[0] if routine is not None and len(routine.calls) == 1 else None
            ] += 1
        common = max((n for called, n in first.items() if called is not None), default=0)
        return common <= first.total() // 2

    def _routine_of(self, action: int) -> Routine | None:
        if self._actions_address is None:
            return None
        at = self._actions_address + 2 * action
        if at + 1 >= len(self._story.data):
            return None
        return routine_at(self._story, unpacked(self._story, self._story.word(at)))

    def _read_action(self, number: int) -> ActionCode | None:
        routine = self._routine_of(number)
        if routine is None:
            return None
        constants, stored = set(routine.constants), set(routine.stored)
        attributes: set[int] = set()
        places, seen, todo = False, set[int](), [(routine, 0)]
        while todo and len(seen) < _MOST_ROUTINES:
            one, depth = todo.pop()
            attributes |= one.attributes
            places = places or one.asks_for_places
            for address in one.calls if depth < _DEPTH else ():
                called = routine_at(self._story, address) if address not in seen else None
                seen.add(address)
                if called is not None and self._callers[address] <= _MOST_CALLERS:
                    if depth == 0:
                        constants |= called.constants
                        stored |= called.stored
                    todo.append((called, depth + 1))
        fakes = frozenset(value for value in stored if value >= _FIRST_FAKE_ACTION)
        return ActionCode(frozenset(constants), fakes, tuple(sorted(attributes)), places)

    def _routines_of(self, number: int) -> Iterable[Routine]:
        story = self._story
        own = [story.data[low:high] for _, low, high in individual_properties(story, number)]
        for data in (*(data for _, data in story.property_entries(number)), *own):
            for value in _words(data):
                yield from self._routine(value)

    def _routine(self, packed: int) -> Iterable[Routine]:
        address = unpacked(self._story, packed)
        if packed and address >= self._story.word(0x04):
            routine = routine_at(self._story, address)
            if routine is not None:
                yield routine

    def _with_callees(self, routine: Routine) -> frozenset[int]:
        constants = set(routine.constants)
        for address in routine.calls:
            called = routine_at(self._story, address)
            if called is not None and self._callers[address] <= _MOST_CALLERS:
                constants |= called.constants
        return frozenset(constants)

    def _count_callers(self) -> Counter[int]:
        """How many actions and rules call a routine: what many call is a tool and tells nothing."""
        callers: Counter[int] = Counter()
        grammar = inform_grammar(self._story)
        for action in (
            {t.action for t in grammar.templates if t.action is not None} if grammar else ()
        ):
            acting = self._routine_of(action)
            callers.update(set(acting.calls) if acting is not None else ())
        for number in self._story.objects:
            for routine in self._routines_of(number):
                callers.update(set(routine.calls))
        return callers


@lru_cache(maxsize=16)
def reactions(story: Story) -> Reactions:
    """What is known of a story's code; read once."""
    return Reactions(story)


def _words(data: bytes) -> list[int]:
    return [data[i] << 8 | data[i + 1] for i in range(0, len(data) - 1, 2)]
