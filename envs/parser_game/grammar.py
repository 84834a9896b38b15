"""What kinds of commands a story understands, as templates such as `put NOUN in NOUN`.

Inform's own grammar table (version 2, Inform Technical Manual section 8.6) is read where a story
has one: it knows which lines lead to the same action, so each action is tried once. Any other story
gets common sentence frames and every verb of its dictionary, on its own and with a noun.
"""

from functools import lru_cache

from valueagents.envs.parser_game.dictionary import Word, read_dictionary
from valueagents.envs.parser_game.story import Story

NOUN, CREATURE, HELD = "_", "@", "^"
CommandTemplate = tuple[str, ...]
"""The words of a command in order.

NOUN stands for any thing, CREATURE for one that the parser takes for alive, HELD
for one that the player has or can take, because the parser will take it first.
"""

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
_NOUN_KINDS = (0, 1, 2, 3, 4, 5, 6, 9)  # elementary tokens; 7 special and 8 number ask for no thing
_ELEMENTARY = {1: HELD, 6: CREATURE}
_END = 15
_MAX_LINES = 64


def slots(template: CommandTemplate) -> int:
    """How many things a template asks for."""
    return sum(word in (NOUN, CREATURE, HELD) for word in template)


@lru_cache(maxsize=16)
def templates(story: Story) -> tuple[CommandTemplate, ...]:
    """The templates to fill, in an order that the story alone decides: fewest nouns first, `give Y
    X` last.
    """
    words = read_dictionary(story)
    known = {word.text for word in words}
    found = _inform_templates(story, words)
    if found is None:
        marked = [word for word in words if word.is_verb]  # none where a story parses by itself
        verbs = [word.text for word in marked or words if word.text.isalpha()]
        frames = [tuple(frame.split()) for frame in _FRAMES]
        cut = story.significant_letters
        found = [frame for frame in frames if all(w == NOUN or w[:cut] in known for w in frame)]
        found += [(verb,) for verb in verbs] + [(verb, NOUN) for verb in verbs]
    directions: list[CommandTemplate] = [
        (d,) for d in DIRECTIONS if d[: story.significant_letters] in known
    ]
    unique = dict.fromkeys(
        [*directions, *(template for template in found if template[0] not in _OUT_OF_WORLD)]
    )
    return tuple(sorted(unique, key=lambda template: (slots(template), slots(template[-2:]) == 2)))


def _inform_templates(story: Story, words: tuple[Word, ...]) -> list[CommandTemplate] | None:
    """One template for each action and pattern of nouns; None if there is no such table."""
    if not story.is_inform:
        return None
    by_address = {word.address: word.text for word in words}
    rank = {verb: i for i, verb in enumerate(_PREFERRED_VERBS)}
    verbs: dict[int, Word] = {}
    for word in words:
        if (
            word.verb_number is not None
            and not word.is_meta
            and word.text.isalpha()
            and len(word.text) > 1
        ):
            best = verbs.get(word.verb_number)
            if best is None or _rank(word, rank) < _rank(best, rank):
                verbs[word.verb_number] = word
    if not verbs:
        return None
    found: dict[tuple[int, int], CommandTemplate] = {}
    for number, verb in sorted(verbs.items(), key=lambda item: (_rank(item[1], rank), item[0])):
        lines = _lines(story, number, by_address)
        if lines is None:
            return None
        for action, pattern in lines:
            template = (verb.text, *pattern)
            key = action, slots(template)
            if key not in found or _narrowness(template) < _narrowness(found[key]):
                found[key] = template
    return list(found.values())


def _narrowness(template: CommandTemplate) -> tuple[int, int]:
    """Of two templates for one action the wider is kept, then the shorter."""
    return template.count(CREATURE) + template.count(HELD), len(template)


def _rank(word: Word, rank: dict[str, int]) -> tuple[int, int, str]:
    return rank.get(word.text, len(rank)), len(word.text), word.text


def _lines(
    story: Story, verb_number: int, by_address: dict[int, str]
) -> list[tuple[int, CommandTemplate]] | None:
    """The lines of a verb that ask for words and things only; None if the bytes are not a grammar
    of version 2.
    """
    address = story.word(story.word(0x0E) + 2 * verb_number)
    if not story.word(0x0E) < address < len(story.data) - 1:
        return None
    count, address = story.data[address], address + 1
    if count > _MAX_LINES:
        return None
    lines: list[tuple[int, CommandTemplate]] = []
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
        if usable and slots(tuple(pattern)) <= 2:
            lines.append(
                (action & 0x7FF, tuple(pattern))
            )  # bit 10 says that the nouns come in reverse
    return lines
