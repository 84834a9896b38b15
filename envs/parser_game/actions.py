"""Menus: every command that changes the world now, found by trying, and what each does to values.

Candidates (`candidates.py`) are tried and put back. One is kept if it leads elsewhere than letting
time pass does (`effects.py`); those that lead to the same world are one option. As the tries never
use the game's own random numbers, a menu depends on the exact state but for those, is cached by
that, and foretells no roll of the dice.
"""

import hashlib
from collections.abc import Callable, Container, Iterable, Sequence

from valueagents.contracts.counterfactual import Scaling, annotation_of_tries
from valueagents.contracts.decision import Annotation, Option
from valueagents.envs.parser_game.candidates import (
    GOING,
    NO_TEMPLATE,
    OWN_RULE,
    PAIR,
    Candidate,
    Candidates,
    Group,
)
from valueagents.envs.parser_game.dictionary import Vocabulary
from valueagents.envs.parser_game.effects import DIGEST_BYTES, Effects, Variable, World, things_of
from valueagents.envs.parser_game.gate import tidy
from valueagents.envs.parser_game.keys import ENTER, keys_asked, numbers_listed
from valueagents.envs.parser_game.menu_cache import Destination, Found, MenuCache
from valueagents.envs.parser_game.play import CommandRefused, Play
from valueagents.envs.parser_game.scope import ScopeFinder
from valueagents.envs.parser_game.tries import StateTries, Tried
from valueagents.errors import EnvError
from valueagents.identity import content_hash


class Menus:
    """Finds the menus of one play, whose content `content` names in the cache.

    `note` is told place and command before a command is tried, so that a hang has a name; the place
    is the hash of the state. `faults` are commands, by place, that are not to be tried there: twice
    they did not come back.
    """

    def __init__(
        self, play: Play, *, tries: int, cache: "MenuCache | None" = None, content: str = ""
    ) -> None:
        self._play = play
        self._tries = tries
        self._cache = cache if cache is not None else MenuCache()
        self._content = content
        self.vocabulary = Vocabulary(play.story)
        self.scope = ScopeFinder(play, self.vocabulary)
        self.world = World(play)
        self.scaling = Scaling(3.0 if play.taxonomy.id == "jiminy" else 1.0)
        self.note: Callable[[str, str], object] = lambda place, command: None
        self.faults: Container[tuple[str, str]] = ()

    def told_to(
        self, note: Callable[[str, str], object], faults: Container[tuple[str, str]] = ()
    ) -> None:
        """From now on `note` is told what is tried, and nothing in `faults` is, which may grow."""
        self.note, self.faults = note, faults

    @property
    def play(self) -> Play:
        """The game whose menus these are."""
        return self._play

    def forget(self) -> None:
        """The next menu is found anew."""
        self._cache = MenuCache()

    def find(self) -> Found:
        """The menu of the present state, which is left as it was."""
        tries = self._tries_here()
        cache_key = f"{self._content}/{tries.place}"
        found = self._cache.get(cache_key)
        if found is None:
            try:
                found = self._search(tries).run()
            finally:
                tries.put_back()
            self._cache.put(cache_key, found)
        return found

    def _tries_here(self) -> StateTries:
        saved, machine = self._play.save(), self._play.machine
        said = machine.last_text
        asked = keys_asked(said) if machine.waits_for_key else numbers_listed(said)
        place = content_hash(saved.state.exact_key, saved.counters, asked)
        return StateTries(self._play, saved, place, asked, self._tries, self.note, self.faults)

    def _search(
        self, tries: StateTries, scratch: Iterable[Variable] = ()
    ) -> "_Search | _KeySearch":
        if self._play.machine.waits_for_key:
            return _KeySearch(self, tries)
        return _Search(self, tries, scratch)

    def candidates(self) -> list[str]:
        """The first of each group that `find` tries in the present state, in order."""
        tries = self._tries_here()
        try:
            groups = self._search(tries).groups()
            return [group[0].text for group in groups if tries.may_try(group[0].text)]
        finally:
            tries.put_back()

    def match(self, command: str) -> tuple[Found, int]:
        """The menu with the option that a command comes to: the one that leads where it leads, else
        itself appended.

        Raises CommandRefused for what the gate refuses and for what never came back.
        """
        reason = self._play.why_refused(command)
        if reason is not None:
            raise CommandRefused(reason)
        command, found = tidy(command), self.find()
        same = next((k for k, option in enumerate(found.menu) if option.text == command), None)
        if same is not None:
            return found, same
        tries = self._tries_here()
        if (tries.place, command) in self.faults:
            raise CommandRefused(
                f"the game did not come back from {command!r:.80} and was put back"
            )
        try:
            key = self._search(tries, found.scratch).key_of(command)
        finally:
            tries.put_back()
        index = _same(key, found.keys)
        if index is not None:
            return found, index
        menu, keys = (*found.menu, Option(f"said:{command}", command)), (*found.keys, key)
        return Found(menu, keys, self.annotation(keys), found.scratch), len(menu) - 1

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


def _same(key: Destination, keys: Sequence[Destination]) -> int | None:
    """The index of the key that leads to the same world, else of the first that leaves things the
    same with the same events: two wordings write the parser's variables differently.
    """
    if key in keys:
        return keys.index(key)
    things = _things(key)
    if not all(left for left, _, _ in things):
        return None
    return next((k for k, other in enumerate(keys) if _things(other) == things), None)


def _things(key: Destination) -> Destination:
    return tuple((things_of(outcome), events, done) for outcome, events, done in key)


class _Search:
    """One search of one state. `scratch`: variables that are no world here, where that is known."""

    def __init__(self, menus: Menus, tries: StateTries, scratch: Iterable[Variable]) -> None:
        self._menus, self._tries = menus, tries
        waiting = menus.vocabulary.waiting
        if not tries.may_try(waiting):
            raise EnvError(f"{menus.play.story.path.name}: {waiting!r} never comes back here")
        self._effects = Effects(menus.world, tries, waiting, menus.vocabulary.nulls)
        self._effects.leave_out(scratch)

    def groups(self) -> list[Group]:
        """What is worth a try."""
        menus = self._menus
        scope = menus.scope.find(self._tries)
        candidates = Candidates(menus.play, menus.vocabulary, scope, self._tries)
        listed = [(Candidate(number, NO_TEMPLATE, GOING),) for number in self._tries.asked]
        return [*candidates.groups(), *listed]

    def run(self) -> Found:
        """The menu, waiting last."""
        groups = self.groups()
        first = [(group[0], self._first(group[0])) for group in groups]
        tried = [(command, one) for command, one in first if one is not None]
        self._effects.learn_scratch((c.template, c.rank == OWN_RULE, one) for c, one in tried)
        kept: dict[Destination, Candidate] = {}
        for group, (command, one) in zip(groups, first, strict=True):
            if self._keep(kept, command, one):
                for other in group[1:]:
                    self._keep(kept, other, self._first(other))
        keys = sorted(kept, key=lambda key: kept[key].rank)  # stable: else as they were tried
        waiting = self._menus.vocabulary.waiting
        options = [*(Option(kept[key].text, kept[key].text) for key in keys)]
        menu = (*options, Option("wait", waiting))
        outcomes = (*keys, self._wait_key())
        scratch = tuple(sorted(self._effects.scratch_variables))
        return Found(menu, outcomes, self._menus.annotation(outcomes), scratch)

    def key_of(self, command: str) -> Destination:
        """Where a command leads; where waiting leads if it does nothing."""
        one = self._tries.send(command)
        tries = self._all(command, one)
        if not self._effects.has_effect(tries) or not self._effects.settled(command, one):
            return self._wait_key()
        return self._key(tries)

    def _first(self, command: Candidate) -> Tried | None:
        return self._tries.send(command.text) if self._tries.may_try(command.text) else None

    def _keep(
        self, kept: dict[Destination, Candidate], command: Candidate, one: Tried | None
    ) -> bool:
        """True if a command has an effect; it is kept if it is the first with that."""
        if one is None or one.halted:
            return False
        tries = self._all(command.text, one)
        if not self._effects.has_effect(tries) or not self._effects.settled(command.text, one):
            return False
        if command.rank == PAIR and not self._effects.is_more_than_variables(one):
            return False  # without a rule for two things, what was written is the parser's
        kept.setdefault(self._key(tries), command)
        return True

    def _all(self, command: str, first: Tried) -> list[Tried]:
        """The tries of a command: one, if it draws no other random numbers than waiting does."""
        if not self._effects.is_random(first):
            return [first]
        others = range(1, len(self._tries.seeds))
        return [first, *(self._tries.send(command, seed) for seed in others)]

    def _key(self, tries: Sequence[Tried]) -> Destination:
        outcomes = self._effects.outcome(tries)
        return tuple(
            (outcome, one.events, one.done) for outcome, one in zip(outcomes, tries, strict=True)
        )

    def _wait_key(self) -> Destination:
        waits = self._effects.waits
        return tuple((b"", one.events, one.done) for one in waits)


class _KeySearch:
    """The menu of a state in which the story waits for a key: the keys that its text asks for."""

    def __init__(self, menus: Menus, tries: StateTries) -> None:
        self._menus, self._tries = menus, tries

    def groups(self) -> list[Group]:
        """The keys."""
        return [(Candidate(key, NO_TEMPLATE, GOING),) for key in self._tries.asked]

    def run(self) -> Found:
        """The menu of all keys that do not end the program."""
        keys: dict[Destination, str] = {}
        for (command,) in self.groups():
            if self._tries.may_try(command.text) and not self._tries.send(command.text).halted:
                keys.setdefault(self.key_of(command.text), command.text)
        if not keys:
            keys[self.key_of(ENTER)] = ENTER
        menu = tuple(Option(key, key) for key in keys.values())
        return Found(menu, tuple(keys), self._menus.annotation(tuple(keys)))

    def key_of(self, key: str) -> Destination:
        """Where a key leads, under all seeds: the words that follow and the world."""
        tries = [self._tries.send(key, seed) for seed in range(len(self._tries.seeds))]
        return tuple((self._hash(one), one.events, one.done) for one in tries)

    def _hash(self, tried: Tried) -> bytes:
        world = tried.memory_after(self._tries.before) & self._menus.world.mask
        return hashlib.sha256(tried.text.encode() + world.tobytes()).digest()[:DIGEST_BYTES]
