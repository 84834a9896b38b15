"""Menus: every command that changes the world now, found by trying, and what each does to values.

Commands are filled from templates (`grammar.py`) with the things in reach, tried under seeds that
derive from the state itself, and put back. One is kept if it leads elsewhere than doing nothing
does – in the world (`memory.world_mask`), in value events, or to the end; those that lead to the
same world are one option. As the tries never use the game's own random numbers, a menu depends on
the exact state but for those, is cached by that, and foretells no roll of the dice.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from itertools import islice, product

from valueagents.contracts.counterfactual import Scaling, annotation_of_tries
from valueagents.contracts.decision import Annotation, Event, Option
from valueagents.envs.parser_game.dictionary import GIBBERISH, Vocabulary, object_name
from valueagents.envs.parser_game.gate import tidy
from valueagents.envs.parser_game.grammar import CREATURE, DIRECTIONS, HELD, NOUN, templates
from valueagents.envs.parser_game.menu_cache import Destination, Found, MenuCache
from valueagents.envs.parser_game.play import CommandRefused, Passed, Play, Saved
from valueagents.envs.parser_game.signature import Signature
from valueagents.errors import EnvError
from valueagents.identity import content_hash, seed_from

MAX_NOUNS = 24
MAX_ASKED = 160


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
        self.signature = Signature(play, self.vocabulary)
        self.scaling = Scaling(3.0 if play.taxonomy.id == "jiminy" else 1.0)
        self.note: Callable[[str, str], object] = lambda place, command: None
        self.faults: Container[tuple[str, str]] = ()

    def told_to(
        self, note: Callable[[str, str], object], faults: Container[tuple[str, str]] = ()
    ) -> None:
        """From now on `note` is told what is tried, and nothing in `faults` is, which may grow."""
        self.note = self.signature.note = note
        self.faults = self.signature.faults = faults

    def find(self) -> Found:
        """The menu of the present state, which is left as it was."""
        search = self._search()
        cache_key = f"{self._content}/{search.place}"
        found = self._cache.get(cache_key)
        if found is None:
            try:
                found = search.run()
            finally:
                search.put_back()
            self._cache.put(cache_key, found)
        return found

    def _search(self) -> "_Search":
        saved = self._play.save()
        return _Search(self, saved, content_hash(saved.state.exact_key, saved.counters))

    def candidates(self) -> list[str]:
        """What `find` tries in the present state, in order."""
        search = self._search()
        try:
            return [command for command in search.candidates() if search.may_try(command)]
        finally:
            search.put_back()

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
        search = self._search()
        if (search.place, command) in self.faults:
            raise CommandRefused(
                f"the game did not come back from {command!r:.80} and was put back"
            )
        try:
            key = search.key(command)
        finally:
            search.put_back()
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

    def seeds(self, place: str) -> tuple[int, ...]:
        """The seeds under which a state's commands are tried."""
        return tuple(seed_from("try", place, i) for i in range(self._tries))


class _Search:
    """One search of one state, whose hash is its place."""

    def __init__(self, menus: Menus, saved: Saved, place: str) -> None:
        self._menus, self._saved, self.place = menus, saved, place
        self._play = menus._play
        self.seeds = menus.seeds(place)
        self._idle: dict[int, set[object]] = {}

    def put_back(self) -> None:
        """The game is where the search began."""
        self._play.load(self._saved)

    def may_try(self, command: str) -> bool:
        """True if the gate lets a command pass here and it is not known never to come back."""
        known = (self.place, command) in self._menus.faults
        return not known and self._play.why_refused(command) is None

    def run(self) -> Found:
        waiting = Option("wait", self._menus.vocabulary.waiting)
        if (self.place, waiting.text) in self._menus.faults:
            raise EnvError(f"{self._play.story.path.name}: {waiting.text!r} never comes back here")
        keys: dict[Destination, str] = {}
        wait_key = self.key(waiting.text)
        if not self._play.machine.waits_for_key:
            for command in self.candidates():
                if not self.may_try(command):
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
        self._menus.note(self.place, command)
        passed = self._play.send(command)
        return passed, machine.random_number != number

    def _does_something(self, key: Destination) -> bool:
        return any(outcome not in self._idle_outcomes(i) for i, outcome in enumerate(key))

    def _idle_outcomes(self, i: int) -> set[object]:
        """Where doing nothing leads under the i-th seed, with and without a turn passing."""
        if i not in self._idle:
            outcomes: set[object] = set()
            for command in self._menus.vocabulary.nulls:
                if self.may_try(command):
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
        if self._play.is_held(thing) is False and self.may_try(f"take {name}"):
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
        asked = [command for command in ("look", "inventory") if self.may_try(command)]
        seen = " ".join(self._send(command, self.seeds[0])[0].text for command in asked)
        vocabulary = self._menus.vocabulary
        spelled = vocabulary.nouns_in(seen)
        near, cut = self._play.words_near(), {vocabulary.cut(word) for word in spelled}
        others = [
            word
            for word in vocabulary.nouns()
            if word not in cut and (near is None or word in near)
        ]
        names = spelled + (others if len(spelled) + len(others) <= MAX_ASKED else [])
        names = [n for n in names if self.may_try(f"examine {n}")]
        if near is not None:
            names = [n for n in names if n not in DIRECTIONS or n in near]
        strange = (GIBBERISH, *(DIRECTIONS if near is None else ()))
        no_things = {self._asked(word)[1] for word in strange if self.may_try(f"examine {word}")}
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
