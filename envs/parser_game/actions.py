"""Menus: every command that changes the world now, found by trying, and what each does to values.

Commands are filled from templates (`grammar.py`) with the things in reach, tried under seeds that
derive from the state itself, and put back. One is kept if it leads elsewhere than doing nothing
does – in the world (`memory.world_mask`), in value events, or to the end; those that lead to the
same world are one option. As the tries never use the game's own random numbers, a menu depends on
the exact state but for those, is cached by that, and foretells no roll of the dice.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

from valueagents.contracts.counterfactual import Scaling, annotation_of_tries
from valueagents.contracts.decision import Annotation, Event, Menu, Option
from valueagents.envs.parser_game.dictionary import GIBBERISH, Vocabulary, object_name
from valueagents.envs.parser_game.gate import tidy
from valueagents.envs.parser_game.grammar import CREATURE, DIRECTIONS, HELD, NOUN, templates
from valueagents.envs.parser_game.play import CommandRefused, Passed, Play, Saved
from valueagents.envs.parser_game.signature import Signature
from valueagents.identity import content_hash, seed_from

MAX_NOUNS = 24
MAX_ASKED = 160
CACHED_MENUS = 4096
Destination = tuple[tuple[bytes, tuple[Event, ...], bool | None], ...]
"""Where a command leads: world, events and whether it is over, for each seed under which it was
tried.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A menu, waiting last. `keys` says where each option leads."""

    menu: Menu
    keys: tuple[Destination, ...]
    annotation: Annotation | None


class Menus:
    """Finds the menus of one play.

    `note` is told each command before it is tried, so that a hang has a name.
    """

    def __init__(self, play: Play, *, tries: int, cache: "MenuCache | None" = None) -> None:
        self._play = play
        self._tries = tries
        self._cache = cache if cache is not None else MenuCache()
        self.vocabulary = Vocabulary(play.story)
        self.signature = Signature(play, self.vocabulary)
        self.scaling = Scaling(3.0 if play.taxonomy.id == "jiminy" else 1.0)
        self.note: Callable[[str], object] = lambda command: None

    def told_to(self, note: Callable[[str], object]) -> None:
        """From now on `note` is told each command before it is tried."""
        self.note = self.signature.note = note

    def find(self, skip: Sequence[str] = ()) -> Found:
        """The menu of the present state, which is left as it was; commands in `skip` are not
        tried.
        """
        saved = self._play.save()
        cache_key = content_hash(saved.state.exact_key, saved.counters)
        self.signature.skip = skip
        found = self._cache.get(cache_key)
        if found is None:
            search = _Search(self, saved, cache_key)
            try:
                found = search.run(frozenset(skip))
            finally:
                self._play.load(saved)
            self._cache.put(cache_key, found)
        return found

    def candidates(self) -> list[str]:
        """What `find` tries in the present state, in order."""
        saved = self._play.save()
        try:
            found = _Search(
                self, saved, content_hash(saved.state.exact_key, saved.counters)
            ).candidates()
            return [command for command in found if self._play.why_refused(command) is None]
        finally:
            self._play.load(saved)

    def match(self, command: str, skip: Sequence[str] = ()) -> tuple[Found, int]:
        """The menu with the option that a command comes to: the one that leads where it leads, else
        itself appended.

        Raises CommandRefused for what the gate refuses.
        """
        reason = self._play.why_refused(command)
        if reason is not None:
            raise CommandRefused(reason)
        command, found = tidy(command), self.find(skip)
        same = next((k for k, option in enumerate(found.menu) if option.text == command), None)
        if same is not None:
            return found, same
        saved = self._play.save()
        search = _Search(self, saved, content_hash(saved.state.exact_key, saved.counters))
        try:
            key = search.key(command)
        finally:
            self._play.load(saved)
        if key in found.keys:
            return found, found.keys.index(key)
        menu, keys = (*found.menu, Option(f"said:{command}", command)), (*found.keys, key)
        return Found(menu, keys, self.annotation(keys)), len(menu) - 1

    def annotation(self, keys: Sequence[Destination]) -> Annotation | None:
        """What the options that lead there do to values; None if the game has no source of events.

        The search has tried every option already, as `ValueEnv.annotate_by_trying` would: no
        command is sent again.
        """
        if not self._play.has_events:
            return None
        menu_tries = [[events for _, events, _ in key] for key in keys]
        return annotation_of_tries(
            menu_tries,
            self._play.taxonomy,
            provenance="tried in the game, one step",
            scaling=self.scaling,
        )

    def seeds(self, cache_key: str) -> tuple[int, ...]:
        """The seeds under which a state's commands are tried."""
        return tuple(seed_from("try", cache_key, i) for i in range(self._tries))


class _Search:
    """One search of one state."""

    def __init__(self, menus: Menus, saved: Saved, cache_key: str) -> None:
        self._menus, self._saved = menus, saved
        self._play = menus._play
        self.seeds = menus.seeds(cache_key)
        self._idle: dict[int, set[object]] = {}

    def run(self, skip: frozenset[str]) -> Found:
        waiting = Option("wait", self._menus.vocabulary.waiting)
        keys: dict[Destination, str] = {}
        wait_key = self.key(waiting.text)
        if not self._play.machine.waits_for_key:
            for command in self.candidates():
                if command in skip or self._play.why_refused(command) is not None:
                    continue
                key = self.key(command)
                if key != wait_key and key not in keys and self._does_something(key):
                    keys[key] = command
        menu = (*(Option(command, command) for command in keys.values()), waiting)
        outcomes = (*keys, wait_key)
        return Found(menu, outcomes, self._menus.annotation(outcomes))

    def key(self, command: str) -> Destination:
        """Where a command leads. One try, if it draws no random number; all seeds otherwise."""
        first, drew = self._try(command, self.seeds[0])
        if not drew:
            return (first,)
        return (first, *(self._try(command, seed)[0] for seed in self.seeds[1:]))

    def _try(
        self, command: str, seed: int
    ) -> tuple[tuple[bytes, tuple[Event, ...], bool | None], bool]:
        passed, drew = self._send(command, seed)
        signature = self._menus.signature.of(self._play.machine.memory)
        return (signature, passed.events, passed.status.done), drew

    def _send(self, command: str, seed: int) -> tuple[Passed, bool]:
        self._play.load(self._saved)
        machine = self._play.machine
        machine.reseed(seed)
        number = machine.random_number
        self._menus.note(command)
        passed = self._play.send(command)
        return passed, machine.random_number != number

    def _does_something(self, key: Destination) -> bool:
        return any(outcome not in self._idle_outcomes(i) for i, outcome in enumerate(key))

    def _idle_outcomes(self, i: int) -> set[object]:
        """Where doing nothing leads under the i-th seed, with and without a turn passing."""
        if i not in self._idle:
            outcomes: set[object] = set()
            for command in self._menus.vocabulary.nulls:
                if self._play.why_refused(command) is None:
                    outcomes.add(self._try(command, self.seeds[i])[0])
            self._idle[i] = outcomes
        return self._idle[i]

    def candidates(self) -> Iterator[str]:
        """Every command worth trying, in the order that decides which of several with one effect is
        kept.
        """
        names = self._names()
        creatures = [name for name, thing in names.items() if self._play.may_be_creature(thing)]
        held = [name for name, thing in names.items() if self._could_be_held(name, thing)]
        fills = {NOUN: list(names), CREATURE: creatures, HELD: held}
        for template in templates(self._play.story):
            for words in product(*(fills.get(word, (word,)) for word in template)):
                named = [word for word, slot in zip(words, template, strict=True) if slot in fills]
                if len(set(named)) == len(named):
                    yield " ".join(words)

    def _could_be_held(self, name: str, thing: object) -> bool:
        """False only if the player neither has it nor gets it by taking it, as the parser would on
        its own.
        """
        self._play.load(self._saved)
        if self._play.is_held(thing) is False and self._play.why_refused(f"take {name}") is None:
            self._send(f"take {name}", self.seeds[0])
        held = self._play.is_held(thing)
        self._play.load(self._saved)
        return held is not False

    def _names(self) -> dict[str, object]:
        """Name -> thing for all in reach: named by the text or the dictionary, one name where
        several mean the same.

        Where the memory counts turns, a name that is not understood is told by the turn that does
        not pass; elsewhere by an answer that gibberish or a direction gets too, or that most names
        get.
        """
        seen = " ".join(
            self._send(command, self.seeds[0])[0].text for command in ("look", "inventory")
        )
        vocabulary = self._menus.vocabulary
        spelled = vocabulary.nouns_in(seen)
        near, cut = self._play.words_near(), {vocabulary.cut(word) for word in spelled}
        others = [
            word
            for word in vocabulary.nouns()
            if word not in cut and (near is None or word in near)
        ]
        names = spelled + (others if len(spelled) + len(others) <= MAX_ASKED else [])
        names = [n for n in names if self._play.why_refused(f"examine {n}") is None]
        if near is not None:
            names = [n for n in names if n not in DIRECTIONS or n in near]
        no_things = {
            self._asked(word)[1] for word in (GIBBERISH, *(DIRECTIONS if near is None else ()))
        }
        answers = {name: self._asked(name) for name in names}
        told = [thing for _, thing in answers.values()]
        things: dict[object, list[str]] = {}
        for name, (turn_passed, thing) in answers.items():
            common = turn_passed is None and told.count(thing) > max(4, len(told) // 3)
            if turn_passed is not False and thing not in no_things and not common:
                things.setdefault(thing, []).append(name)
        self._play.load(self._saved)
        best = {self._best_name(thing, called, spelled): thing for thing, called in things.items()}
        return dict(islice(best.items(), MAX_NOUNS))

    def _best_name(self, thing: object, names: list[str], spelled: list[str]) -> str:
        """The noun among a thing's names: last in its printed name, else last of those in the
        text.
        """
        if isinstance(thing, int):
            printed = object_name(self._play.story, thing).lower().split()
            cut = self._play.story.significant_letters
            named = [word for word in printed if word[:cut] in {name[:cut] for name in names}]
            if named:
                return named[-1]
        return ([name for name in names if name in spelled] or names[:1])[-1]

    def _asked(self, name: str) -> tuple[bool | None, object]:
        """Whether looking at a thing takes a turn (None = not known), and which thing it is."""
        self._play.load(self._saved)
        before = self._play.turns_in_memory()
        passed, _ = self._send(f"examine {name}", self.seeds[0])
        after = self._play.turns_in_memory()
        turn_passed = None if before is None or after is None else after != before
        thing = (
            self._play.variable("noun") if turn_passed else None
        )  # else it is still that of an earlier command
        return turn_passed, passed.text if thing is None else thing


class MenuCache:
    """Menus by exact state, the least recently used forgotten; what is in it never depends on who
    asked before.
    """

    def __init__(self, size: int = CACHED_MENUS) -> None:
        self._found: OrderedDict[str, Found] = OrderedDict()
        self._size = size

    def get(self, key: str) -> Found | None:
        """The menu of a state, if it is known."""
        if key in self._found:
            self._found.move_to_end(key)
        return self._found.get(key)

    def put(self, key: str, found: Found) -> None:
        """Keep a menu."""
        self._found[key] = found
        if len(self._found) > self._size:
            self._found.popitem(last=False)
