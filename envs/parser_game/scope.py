"""The things in reach: what a command can name now, one name each, spelled whole.

The object tree tells what is under one roof with the player, where the place is known: by the
memory map, by the status line of versions 1 to 3, else by the room's name, with which `look`
begins. What the texts name beyond that (a part of a thing, what a routine parses) is asked about.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from valueagents.envs.parser_game.dictionary import (
    GIBBERISH,
    Vocabulary,
    object_name,
    object_words,
)
from valueagents.envs.parser_game.grammar import DIRECTIONS
from valueagents.envs.parser_game.play import Play
from valueagents.envs.parser_game.tries import StateTries

MAX_THINGS = 24
MAX_ASKED = 160
_PLAYERS = ("(self object)", "yourself")
_ROOM = re.compile(r"^([^\n,(]+?) *(?:[,(][^\n]*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Thing:
    """A name that the parser understands, and the number of its object, None if not known."""

    name: str
    number: int | None


@dataclass(frozen=True, slots=True)
class Scope:
    """What is in reach, and the objects of place and player, None where not known."""

    things: tuple[Thing, ...]
    location: int | None
    player: int | None
    seen: str


class ScopeFinder:
    """Finds the scope of the states of one play."""

    def __init__(self, play: Play, vocabulary: Vocabulary) -> None:
        self._play, self._vocabulary = play, vocabulary
        self._words = object_words(play.story)
        self._compass = self._find_compass()
        self._printed = {n: object_name(play.story, n).lower() for n in play.story.objects}

    def find(self, tries: StateTries) -> Scope:
        """The scope of the state that the tries begin in."""
        asked = [command for command in ("look", "inventory") if tries.may_try(command)]
        texts = [tries.send(command).text for command in asked]
        seen = "\n".join(texts)
        tries.put_back()
        location = self._location(texts[0] if texts else "")
        within = self._play.objects_within(location) if location else []
        player = self._player(within)
        near = [n for n in within if n != player]
        candidates = self._named(near, seen) + self._unknown(
            near, seen, located=bool(within) and self._words is not None
        )
        return Scope(self._understood(tries, candidates), location, player, seen)

    def _location(self, text: str) -> int | None:
        known = self._play.status().location
        if known:
            return known
        first = _ROOM.search(text)
        if first is None or self._words is None:
            return None
        name = first[1].strip().lower()
        rooms = [n for n, printed in self._printed.items() if printed == name]
        rooms = [n for n in rooms if self._play.parent_of(n) == 0]
        with_player = [n for n in rooms if self._player(self._play.objects_within(n))]
        found = with_player or rooms
        return found[0] if len(found) == 1 else None

    def _find_compass(self) -> int | None:
        """The object in which Inform keeps the directions as things; None if there is none."""
        words = self._words or {}
        north = next((n for n in sorted(words) if {"north", "south"} & words[n]), None)
        return self._play.story.first_parent_of(north) if north is not None else None

    def _player(self, within: Iterable[int]) -> int | None:
        known = self._play.variable("player")
        if known is not None:
            return known
        return next((n for n in within if self._printed.get(n) in _PLAYERS), None)

    def _named(self, near: Sequence[int], seen: str) -> list[Thing]:
        """The things whose object is known, those that the texts name first."""
        found = []
        for number in near:
            others = [n for n in near if n != number]
            name = self._name(number, others, seen)
            if name is not None:
                found.append(Thing(name, number))
        places = {thing: seen.lower().find(thing.name.split()[-1]) for thing in found}
        return sorted(found, key=lambda thing: (places[thing] < 0, places[thing]))

    def _name(self, number: int, others: Sequence[int], seen: str) -> str | None:
        """The last word of a thing's printed name that no other thing is called by; else that name
        whole; else a word of its own.
        """
        called = self._called(number)
        if not called:
            return None
        cut = self._vocabulary.cut
        taken = {word for other in others for word in self._called(other)}
        words: list[str] = re.findall(r"[a-z][a-z'-]*", self._printed[number])
        printed = [word for word in words if cut(word) in called]
        if printed and cut(printed[-1]) not in taken:
            return printed[-1]
        if len(printed) > 1 and any(cut(word) not in taken for word in printed):
            return " ".join(printed)
        spelled = [w for w in self._vocabulary.nouns_in(seen) if cut(w) in called]
        own = [w for w in spelled if cut(w) not in taken] or sorted(called - taken)
        if own:
            return self._vocabulary.spelled(own[-1] if own[-1] in spelled else own[0], seen)
        return printed[-1] if printed else (spelled or sorted(called))[-1]

    def _called(self, number: int) -> frozenset[str]:
        return (self._words or {}).get(number, frozenset()) - self._vocabulary.no_names

    def _unknown(self, near: Sequence[int], seen: str, *, located: bool) -> list[Thing]:
        """What names none of the known things: words and phrases of the texts and, where it is not
        known what is near, words of the dictionary.
        """
        cut, called = self._vocabulary.cut, {w for n in near for w in self._called(n)}
        phrases = [p for p in self._vocabulary.phrases_in(seen) if cut(p[-1]) not in called]
        last = Counter(phrase[-1] for phrase in phrases)
        names = [" ".join(p) if last[p[-1]] > 1 else p[-1] for p in phrases]
        if not located:
            cuts = {cut(word) for phrase in phrases for word in phrase}
            others = [word for word in self._vocabulary.nouns() if word not in cuts]
            names += others if len(names) + len(others) <= MAX_ASKED else []
        return [Thing(name, None) for name in dict.fromkeys(names) if name not in DIRECTIONS]

    def _understood(self, tries: StateTries, candidates: Sequence[Thing]) -> tuple[Thing, ...]:
        """The candidates that the parser finds, each thing once.

        Where the memory tells the turns and the noun, both tell; elsewhere what is not understood
        is known by an answer that gibberish or a direction gets too, or that most names get.
        """
        strange = [w for w in (GIBBERISH, *DIRECTIONS) if tries.may_try(f"examine {w}")]
        exact = self._play.variable("noun") is not None
        strange_answers = {tries.send(f"examine {w}").text for w in ([] if exact else strange)}
        answers: dict[Thing, object] = {}
        for thing in candidates:
            if tries.may_try(f"examine {thing.name}"):
                answers[thing] = self._answer(tries, thing)
        told = list(answers.values())
        found: dict[object, Thing] = {}
        for thing, answer in answers.items():
            common = thing.number is None and told.count(answer) > max(4, len(told) // 3)
            if answer is None or answer in strange_answers or common:
                continue
            key: object = (
                answer if isinstance(answer, int) or thing.number is None else thing.number
            )
            if isinstance(answer, int):
                if self._play.parent_of(answer) == self._compass:
                    continue
                thing = Thing(thing.name, answer)
            elif thing.number is None:
                thing = Thing(thing.name, self._moved_by_taking(tries, thing.name))
            found.setdefault(key, thing)
            if thing.number is not None:
                found.setdefault(answer, thing)
        things = tuple(dict.fromkeys(found.values()))
        tries.put_back()
        return things[:MAX_THINGS]

    def _moved_by_taking(self, tries: StateTries, name: str) -> int | None:
        """The object that alone moves when a thing is taken, or dropped; None if there is none."""
        start, _, size_bytes = self._play.story.object_table
        offset = 4 if self._play.story.version <= 3 else 6
        for verb in ("take", "drop"):
            if tries.may_try(f"{verb} {name}"):
                changed = tries.send(f"{verb} {name}").addresses
                numbers = {
                    (int(address) - start) // size_bytes + 1
                    for address in changed
                    if self._is_parent(int(address) - start, size_bytes, offset)
                }
                if len(numbers) == 1:
                    return numbers.pop()
        return None

    def _is_parent(self, within: int, size_bytes: int, offset: int) -> bool:
        """True if an address in the object table is of a parent."""
        last = self._play.story.objects[-1] * size_bytes
        wide = 1 if self._play.story.version <= 3 else 2
        return 0 <= within < last and offset <= within % size_bytes < offset + wide

    def _answer(self, tries: StateTries, thing: Thing) -> object:
        """Which thing it is: its object's number or what is said of it; None if it is none."""
        before = self._play.turns_in_memory()
        text = tries.send(f"examine {thing.name}").text
        after, noun = self._play.turns_in_memory(), self._play.variable("noun")
        tries.put_back()
        if noun is None or before is None or after is None:
            return text
        return noun if after != before else None
