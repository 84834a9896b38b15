"""Which commands are worth a try: the grammar's templates filled with what is in reach.

Commands are in groups of which the first is tried for all: the rest is tried only if the first does
something. A group is made of things that are alike in what the action looks at and have no rule of
their own for it (`reactions.py`). Where nothing is known of rules, single things are tried each,
and pairs by things that are alike in attributes and place.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from valueagents.envs.parser_game.dictionary import Vocabulary
from valueagents.envs.parser_game.grammar import CREATURE, HELD, SLOTS, TOPIC, Template, templates
from valueagents.envs.parser_game.memory import parent_addresses
from valueagents.envs.parser_game.play import Play
from valueagents.envs.parser_game.reactions import reactions
from valueagents.envs.parser_game.scope import Scope, Thing
from valueagents.envs.parser_game.tries import StateTries

GOING, OWN_RULE, PLAIN, PAIR = range(4)
NO_TEMPLATE = -1
_ANSWERS = ("yes", "no")
_VERBS_FOR_CREATURES = 3
_TELLING = ("take", "open", "enter", "search")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A command, the template that it fills, and its rank: lower ones are shown first."""

    text: str
    template: int
    rank: int


Group = tuple[Candidate, ...]


class Candidates:
    """The candidates of one state."""

    def __init__(self, play: Play, vocabulary: Vocabulary, scope: Scope, tries: StateTries) -> None:
        self._play, self._vocabulary, self._scope = play, vocabulary, scope
        self._tries = tries
        self._reactions = reactions(play.story)
        self._ram = tries.before  # what the machine holds is where the last try led
        self._held = self._held_now()
        self._places = parent_addresses(play.story)
        present = {thing.number for thing in scope.things} | {scope.location, scope.player}
        numbers = sorted(n for n in present if n is not None)
        self._rules = {number: self._reactions.rules_of(number) for number in numbers}
        self._mentioned = {
            number: frozenset[int]().union(*rules) for number, rules in self._rules.items()
        }
        self._naming = [
            (number, others, rule)
            for number, rules in self._rules.items()
            for rule in rules
            if (others := rule.intersection(numbers) - {number})
        ]
        self._pairs: dict[int | None, frozenset[tuple[int, int]]] = {}
        self._known_signs: dict[int | None, frozenset[int]] = {}
        self._worded: set[tuple[int, tuple[Thing, ...]]] = set()
        self._templates = templates(play.story)
        self._fills = self._fill()

    def groups(self) -> Iterator[Group]:
        """The groups in the order in which they are to be tried."""
        for number, template in enumerate(self._templates):
            words = tuple(
                self._vocabulary.spelled(w) if w not in SLOTS else w for w in template.words
            )
            for filled in self._filled(template):
                yield tuple(
                    Candidate(_text(words, things), number, self._rank(template, things))
                    for things in filled
                )
        known = {template.words for template in self._templates}
        for answer in _ANSWERS:
            if (answer,) not in known and self._vocabulary.knows(answer):
                yield (Candidate(answer, NO_TEMPLATE, GOING),)

    def _fill(self) -> dict[str, list[Thing]]:
        things = list(self._scope.things)
        creatures = [t for t in things if self._may_be_creature(t)]
        held = [t for t in things if self._could_be_held(t)]
        return {CREATURE: creatures, HELD: held}

    def _held_now(self) -> frozenset[int]:
        """What the player has, however deep in what they carry."""
        self._tries.put_back()
        player = self._scope.player
        return frozenset(self._play.objects_within(player) if player is not None else ())

    def _may_be_creature(self, thing: Thing) -> bool:
        """False if the memory map says so or, without one, if verbs for creatures all get the same
        answer, which is the parser's.
        """
        if self._play.memory is not None:
            self._tries.put_back()
            return self._play.may_be_creature(thing.number)
        verbs = [t.words[0] for t in self._templates if t.words[1:] == (CREATURE,)]
        commands = [f"{verb} {thing.name}" for verb in verbs[:_VERBS_FOR_CREATURES]]
        said = [self._tries.send(c).text for c in commands if self._tries.may_try(c)]
        return len(said) < 2 or len(set(said)) > 1

    def _could_be_held(self, thing: Thing) -> bool:
        """False only if the player neither has it nor gets it by taking it, as the parser would on
        its own.
        """
        player = self._scope.player
        if thing.number is None:
            return False  # nothing moved when it was to be taken or dropped
        if player is None or thing.number in self._held:
            return True
        command = f"take {thing.name}"
        if not self._tries.may_try(command):
            return True
        after = self._tries.send(command).memory_after(self._tries.before)
        return self._play.parent_in(after, thing.number) == player

    def _filled(self, template: Template) -> Iterator[list[tuple[Thing, ...]]]:
        kinds = [word for word in template.words if word in SLOTS]
        things = [self._fills.get(kind, list(self._scope.things)) for kind in kinds]
        if not kinds:
            yield [()]
        elif len(kinds) == 1:
            yield from self._grouped(template, [(thing,) for thing in things[0]])
        else:
            first, second = ({t.name for t in slot} for slot in things)
            pairs = [
                (a, b)
                for a, b in permutations(self._scope.things, 2)
                if a.name in first and b.name in second
            ]
            if not self._reactions.knows_rules:
                pairs = self._telling_pairs(template, pairs)
            yield from self._grouped(template, pairs)
        if TOPIC in kinds:
            yield from ([things] for things in self._topics(kinds))

    def _telling_pairs(
        self, template: Template, pairs: Sequence[tuple[Thing, Thing]]
    ) -> list[tuple[Thing, Thing]]:
        """The pairs that are worth a try where no rules are known.

        Every first and every second thing is tried with one other. If all get the same answer,
        names left out, and nothing moves, the template comes to nothing here. Else the first and
        the second things are told that get another answer with the most common partner.
        """
        firsts = list(dict.fromkeys(a for a, _ in pairs))
        seconds = list(dict.fromkeys(b for _, b in pairs))
        known = set(pairs)
        around = [(a, seconds[i % len(seconds)]) for i, a in enumerate(firsts)]
        around += [(firsts[(i + 1) % len(firsts)], b) for i, b in enumerate(seconds)]
        probes = [pair for pair in dict.fromkeys(around) if pair in known]
        if len({self._answer(template, pair) for pair in probes}) < 2:
            return probes[:1]
        rows = {a: next((p for p in pairs if p[0] == a), None) for a in firsts}
        columns = {b: next((p for p in pairs if p[1] == b), None) for b in seconds}
        said = {p: self._answer(template, p) for p in (*rows.values(), *columns.values()) if p}
        common, _ = Counter(said.values()).most_common(1)[0]
        telling = {p for p, answer in said.items() if answer != common}
        return [
            (a, b)
            for a, b in pairs
            if (a, b) in telling or rows[a] in telling or columns[b] in telling
        ]

    def _answer(self, template: Template, things: tuple[Thing, ...]) -> object:
        """What is said of a command, names left out, and how many things it moves."""
        command = _text(template.words, things)
        if not self._tries.may_try(command):
            return None
        tried = self._tries.send(command)
        names = [word for thing in things for word in thing.name.split()]
        said = re.sub("|".join(map(re.escape, names)), "", tried.text.lower())
        moved = sum(int(address) in self._places for address in tried.addresses)
        return said, moved

    def _topics(self, kinds: Sequence[str]) -> Iterator[tuple[Thing, ...]]:
        """Words that the rules of a creature compare with, as it may be asked about them."""
        if CREATURE not in kinds:
            return
        named = {self._vocabulary.cut(word) for t in self._scope.things for word in t.name.split()}
        for creature in self._fills[CREATURE]:
            rules = self._rules.get(creature.number or 0, ())
            constants = sorted({c for rule in rules for c in rule})
            for word in self._vocabulary.words_of(constants):
                if word not in named:
                    topic = Thing(self._vocabulary.spelled(word, self._scope.seen), None)
                    yield (creature, topic) if kinds[0] == CREATURE else (topic, creature)

    def _grouped(
        self, template: Template, filled: Sequence[tuple[Thing, ...]]
    ) -> Iterator[list[tuple[Thing, ...]]]:
        filled = [things for things in filled if self._is_new(template, things)]
        groups: dict[object, list[tuple[Thing, ...]]] = {}
        slots = [word for word in template.words if word in SLOTS]
        kinds = [
            {t: self._kind(template, slot, t) for t in set(column)}
            for slot, column in zip(slots, zip(*filled, strict=True), strict=False)
        ]
        for things in filled:
            alone = self._is_related(template, things) or not self._may_share(things)
            key = things if alone else tuple(kind[t] for kind, t in zip(kinds, things, strict=True))
            groups.setdefault(key, []).append(things)
        yield from groups.values()

    def _is_new(self, template: Template, things: tuple[Thing, ...]) -> bool:
        """True if no other wording of the same action with the same two things came before."""
        if template.action is None or len(things) < 2:
            return True
        key = template.action, things[::-1] if template.is_reversed else things
        known = key in self._worded
        self._worded.add(key)
        return not known

    def _may_share(self, things: tuple[Thing, ...]) -> bool:
        return len(things) == 2 or self._reactions.knows_rules

    def _kind(self, template: Template, slot: str, thing: Thing) -> object:
        """What a thing is for an action: itself, or its kind if it has no rule of its own."""
        alike = self._reactions.knows_rules or CREATURE not in template.words
        if slot == TOPIC and alike and not self._reacts(template, thing):
            return TOPIC
        if self._reacts(template, thing) or (slot == HELD and not self._reactions.knows_rules):
            return thing  # of things in the hand one may be the key
        if thing.number is None:
            return thing if self._reactions.knows_rules else self._likeness(thing)
        code = self._reactions.action(template.action) if template.action is not None else None
        if code is None or not self._reactions.knows_rules:
            return self._attributes(thing.number), self._play.parent_in(self._ram, thing.number)
        flags = tuple(self._has(thing.number, attribute) for attribute in code.attributes)
        place = self._play.parent_in(self._ram, thing.number)
        if code.asks_for_places or place in (self._scope.player, self._scope.location):
            return flags, place
        return flags, None

    def _likeness(self, thing: Thing) -> object:
        """What is said of trying four verbs on a thing, its own name left out."""
        said = []
        for verb in _TELLING:
            command = f"{verb} {thing.name}"
            text = self._tries.send(command).text if self._tries.may_try(command) else ""
            said.append(re.sub("|".join(map(re.escape, thing.name.split())), "", text.lower()))
        return tuple(said)

    def _reacts(self, template: Template, thing: Thing) -> bool:
        """True if the thing's rules mention the action, or the action the thing."""
        if template.action is None or thing.number is None:
            return False
        code = self._reactions.action(template.action)
        if code is not None and thing.number in code.constants:
            return True
        mentioned = self._mentioned[thing.number]
        return not mentioned.isdisjoint(self._signs(template.action))

    def _signs(self, action: int | None) -> frozenset[int]:
        """The numbers by which a rule knows an action."""
        if action not in self._known_signs:
            code = self._reactions.action(action) if action is not None else None
            fakes = code.fakes if code is not None else frozenset()
            self._known_signs[action] = fakes | ({action} if action is not None else frozenset())
        return self._known_signs[action]

    def _is_related(self, template: Template, things: tuple[Thing, ...]) -> bool:
        """True if somebody's rule for the action names the thing, or one of two things names the
        other.
        """
        pairs = self._pairs_of(template.action)
        if len(things) == 1:
            return any(number == things[0].number for _, number in pairs)
        a, b = (thing.number for thing in things)
        if a is None or b is None:
            return False
        if (a, b) in pairs or (b, a) in pairs:
            return True
        return b in self._reactions.named_by(a) or a in self._reactions.named_by(b)

    def _pairs_of(self, action: int | None) -> frozenset[tuple[int, int]]:
        """(whose rule, which other it names) for all rules that mention the action."""
        if action not in self._pairs:
            self._pairs[action] = frozenset(
                (owner, other)
                for owner, others, constants in self._naming
                if not constants.isdisjoint(self._signs(action))
                for other in others
            )
        return self._pairs[action]

    def _rank(self, template: Template, things: tuple[Thing, ...]) -> int:
        if not things:
            return GOING
        reacts = any(self._reacts(template, thing) for thing in things)
        if self._reactions.knows_rules and (reacts or self._is_related(template, things)):
            return OWN_RULE
        return PLAIN if len(things) == 1 else PAIR

    def _attributes(self, number: int) -> bytes:
        start, _, size_bytes = self._play.story.object_table
        entry = start + (number - 1) * size_bytes
        return bytes(self._ram[entry : entry + (4 if self._play.story.version <= 3 else 6)])

    def _has(self, number: int, attribute: int) -> bool:
        flags = self._attributes(number)
        return attribute // 8 < len(flags) and bool(flags[attribute // 8] & 0x80 >> attribute % 8)


def _text(words: Sequence[str], things: Sequence[Thing]) -> str:
    names = iter(thing.name for thing in things)
    return " ".join(next(names) if word in SLOTS else word for word in words)
