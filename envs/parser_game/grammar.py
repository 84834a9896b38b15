"""What kinds of commands a story understands, as templates such as `put NOUN in NOUN`.

Inform's own grammar table (version 2, Inform Technical Manual section 8.6) is read where a story
has one: it knows which lines lead to the same action, so each action is tried once. Any other story
gets common sentence frames and every verb of its dictionary, on its own and with a noun.
"""

from dataclasses import dataclass
from functools import lru_cache

from valueagents.envs.parser_game.dictionary import Word, read_dictionary
from valueagents.envs.parser_game.story import Story

NOUN, CREATURE, HELD, TOPIC = "_", "@", "^", "#"
SLOTS = (NOUN, CREATURE, HELD, TOPIC)
Pattern = tuple[str, ...]
"""The words of a command in order.

NOUN stands for any thing, CREATURE for one that the parser takes for alive, HELD for one that the
player has or can take, because the parser will take it first, TOPIC for what one can talk about.
"""


@dataclass(frozen=True, slots=True)
class Template:
    """A pattern and the number of the action that it leads to, None where that is not known.

    `is_reversed`: the action takes its two things in the other order, as in `give child bread`.
    """

    words: Pattern
    action: int | None = None
    is_reversed: bool = False

    @property
    def slots(self) -> int:
        """How many things it asks for."""
        return _slots(self.words)


DIRECTIONS = (
    "north", "south", "east", "west", "northeast", "northwest", "southeast", "southwest",
    "up", "down", "in", "out",
)  # fmt: skip
_PREFERRED_VERBS = (
    "take", "put", "drop", "open", "close", "give", "show", "throw", "push", "pull", "turn",
    "enter", "eat", "drink", "wear", "remove", "read", "attack", "ask", "tell", "unlock", "lock",
    "switch", "burn", "cut", "tie", "touch", "kiss",
)  # fmt: skip
_FRAMES = (
    "take _", "drop _", "open _", "close _", "push _", "pull _", "turn _", "turn on _",
    "turn off _", "enter _", "eat _", "drink _", "wear _", "read _", "attack _", "move _",
    "climb _", "put _ in _", "put _ on _", "give _ to _", "show _ to _", "throw _ at _",
    "unlock _ with _", "open _ with _", "attack _ with _", "tie _ to _",
)  # fmt: skip
_OUT_OF_WORLD = frozenset(
    (
        *(
            "brief",
            "disable",
            "enable",
            "fullscore",
            "long",
            "normal",
            "notify",
            "nouns",
            "pronouns",
            "restrict",
        ),
        *("score", "short", "superbrief", "verbose", "verify", "version"),
    )
)  # Inform 7 and TextWorld do not mark them as Inform 6 does
_INVENTORY = ("i", "inv", "inventory", "inventor", "invent")  # with a word more it sets a style
ABOUT_THE_PROGRAM = ("save", "restore", "quit", "restart", "script", "unscript", "recording")
_NOUN_KINDS = (0, 1, 2, 3, 4, 5, 6, 9)  # elementary tokens; 7 special and 8 number ask for no thing
_ELEMENTARY = {1: HELD, 6: CREATURE, 9: TOPIC}
_END = 15
_ACTION = 0x3FF
_MAX_LINES = 64


def _slots(words: Pattern) -> int:
    return sum(word in SLOTS for word in words)


@lru_cache(maxsize=16)
def templates(story: Story) -> tuple[Template, ...]:
    """The templates to fill, in an order that the story alone decides: fewest nouns first, `give Y
    X` last.
    """
    words = read_dictionary(story)
    known, cut = {word.text for word in words}, story.significant_letters
    grammar = inform_grammar(story)
    found = list(grammar.templates) if grammar is not None else _frames(words, known, cut)
    directions = [Template((d,)) for d in DIRECTIONS if d[:cut] in known]
    first: dict[Pattern, Template] = {}
    for template in (*directions, *found):
        setting = template.words[0] in _INVENTORY and len(template.words) > 1
        if template.words[0] not in _OUT_OF_WORLD and not setting:
            first.setdefault(template.words, template)
    return tuple(sorted(first.values(), key=lambda one: (one.slots, _slots(one.words[-2:]) == 2)))


def _frames(words: tuple[Word, ...], known: set[str], cut: int) -> list[Template]:
    """Common sentences, and every verb alone and with a noun, one of those with one number."""
    verbs: dict[object, str] = {}
    marked = [word for word in words if word.is_verb]  # none where a story parses by itself
    for word in marked or words:
        if word.text.isalpha():
            verbs.setdefault(word.text if word.verb_number is None else word.verb_number, word.text)
    frames = [tuple(frame.split()) for frame in _FRAMES]
    found = [frame for frame in frames if all(w == NOUN or w[:cut] in known for w in frame)]
    found += [(verb,) for verb in verbs.values()] + [(verb, NOUN) for verb in verbs.values()]
    return [Template(frame) for frame in found]


@dataclass(frozen=True, slots=True)
class Grammar:
    """Inform's grammar: one template for each action and pattern of nouns, and the byte address of
    the table of action routines, which follows it.
    """

    templates: tuple[Template, ...]
    actions_address: int


@lru_cache(maxsize=16)
def inform_grammar(story: Story) -> Grammar | None:
    """The grammar of a story that Inform wrote; None if it has no such table."""
    if not story.is_inform:
        return None
    words = read_dictionary(story)
    by_address = {word.address: word.text for word in words}
    rank = {verb: i for i, verb in enumerate(_PREFERRED_VERBS)}
    verbs: dict[int, Word] = {}
    ends = 0
    for word in words:
        if word.verb_number is None:
            continue
        lines = _lines(story, word.verb_number, by_address)
        if lines is None:
            return None
        ends = max(ends, lines[1])
        if not word.is_meta and word.text.isalpha() and len(word.text) > 1:
            best = verbs.get(word.verb_number)
            if best is None or _rank(word, rank) < _rank(best, rank):
                verbs[word.verb_number] = word
    if not verbs:
        return None
    apart = _actions_out_of_world(story, words, by_address)
    found: dict[tuple[int, int], Template] = {}
    for number, verb in sorted(verbs.items(), key=lambda item: (_rank(item[1], rank), item[0])):
        for action, pattern in (_lines(story, number, by_address) or ([], 0))[0]:
            template = Template((verb.text, *pattern), action & _ACTION, action > _ACTION)
            key = action, template.slots
            if template.action in apart:
                continue
            if key not in found or _narrowness(template) < _narrowness(found[key]):
                found[key] = template
    return Grammar(tuple(found.values()), ends)


def _actions_out_of_world(
    story: Story, words: tuple[Word, ...], by_address: dict[int, str]
) -> set[int]:
    """The actions that are about the program, whatever language the verbs for them are in: those of
    verbs that are marked as meta, and of English ones that are known.
    """
    cut = story.significant_letters
    known = {word[:cut] for word in (*_OUT_OF_WORLD, *ABOUT_THE_PROGRAM)}
    return {
        action & _ACTION
        for word in words
        if word.verb_number is not None and (word.is_meta or word.text in known)
        for action, _ in (_lines(story, word.verb_number, by_address) or ([], 0))[0]
    }


def _narrowness(template: Template) -> tuple[int, int]:
    """Of two templates for one action the wider is kept, then the shorter."""
    narrow = sum(word in (CREATURE, HELD, TOPIC) for word in template.words)
    return narrow, len(template.words)


def _rank(word: Word, rank: dict[str, int]) -> tuple[int, int, str]:
    return rank.get(word.text, len(rank)), len(word.text), word.text


def _lines(
    story: Story, verb_number: int, by_address: dict[int, str]
) -> tuple[list[tuple[int, Pattern]], int] | None:
    """The lines of a verb that ask for words and things only, and where they end; None if the bytes
    are not a grammar of version 2.
    """
    address = story.word(story.word(0x0E) + 2 * verb_number)
    if not story.word(0x0E) < address < len(story.data) - 1:
        return None
    count, address = story.data[address], address + 1
    if count > _MAX_LINES:
        return None
    lines: list[tuple[int, Pattern]] = []
    for _ in range(count):
        action, address = story.word(address), address + 2
        pattern: list[str] = []
        usable = True
        while story.data[address] != _END:
            kind, data, address = story.data[address], story.word(address + 1), address + 3
            if kind & 15 == 2:
                if data not in by_address:
                    return None
                if not kind & 0x10:  # an alternative (to/into) is passed over for the first
                    pattern.append(by_address[data])
            elif (kind & 15 == 1 and data not in _NOUN_KINDS) or kind & 15 == 6:
                usable = False
            elif kind & 15 in (1, 3, 4, 5):
                pattern.append(_ELEMENTARY.get(data, NOUN) if kind & 15 == 1 else NOUN)
            else:
                return None
        address += 1
        if usable and _slots(tuple(pattern)) <= 2:
            lines.append(
                (action, tuple(pattern))
            )  # bit 10, beyond the action, says that the nouns come in reverse
    return lines, address
