"""The words that a story's parser knows, with what its compiler noted about them.

Text decoding follows sections 3 and 13 of the Z-Machine Standards Document 1.1; the flags of a word
those of the Inform Technical Manual (section 8.5) and of Infocom's compiler.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from valueagents.envs.parser_game.story import Story

_ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    " \n0123456789.,!?_#'\"/\\-:()",
)
_MAX_WORDS = 20_000
_NAME_PROPERTY = 1
_SPELLED = re.compile(r"[a-z][a-z'-]+")
_LONGEST_PHRASE = 3
GIBBERISH = "qzxqv"
LONG_WORDS = (  # noqa: SIM905 – a list of words reads better as words
    "about above across against altogether apologise apologize approach around ascend"
    " attach attack balance before behind beneath beside between beyond blackmail breathe"
    " capture challenge check cheer children collect command compliment conceal concerning"
    " confess connect consult control count cover cross curse decline defeat deflate"
    " deliver deposit descend describe destroy detach diagnose disagree discard disconnect"
    " discover disembark display disrobe disturb donate embrace empty enchant enquire"
    " examine exchange exhibit exorcise explore extinguish extract fasten flatter follow"
    " forgive fulfill grasp greet hello illuminate incant incinerate inflate inquire"
    " insert inside inspect insult inventory investigate kindle knock launch leave listen"
    " loosen lubricate manipulate meditate molest murder northeast northwest oil operate"
    " outside perform persuade placate polish position praise present press proceed"
    " promise pronounce punch puncture purchase question recite reject release remove"
    " repair repent replace rescue retrieve return rotate scratch scream search shatter"
    " signal slice smash smell southeast southwest splice squash squeeze stand stroke"
    " surprise surrender swallow swing switch taunt telephone threaten through throw"
    " thrust tickle torture toward towards transfer translate travel twist uncover"
    " underneath unfasten unfold unlock unroll unscrew untangle untie upstairs wander"
    " whisper without worship wrestle"
).split()  # for verbs that a dictionary cuts to 6 or 9 letters
_NO_NAMES = (  # noqa: SIM905 – a list of words reads better as words
    "a all an and another any both but direction each every everything half her here him his it its"
    " me my myself nearby other self some that the their them then these thing things this those to"
    " us your yourself at by for from in of on to with"
).split()  # descriptors, pronouns, prepositions, and what could be anything


@dataclass(frozen=True, slots=True)
class Word:
    """A dictionary word. `verb_number` is Inform's number of the verb's grammar, None elsewhere."""

    text: str
    address: int
    is_verb: bool
    is_noun: bool
    is_meta: bool
    verb_number: int | None


@lru_cache(maxsize=16)
def read_dictionary(story: Story) -> tuple[Word, ...]:
    """All words in dictionary order; empty if the table is not the usual sorted one."""
    address = story.word(0x08)
    address += 1 + story.data[address]
    size_bytes, count = story.data[address], story.word(address + 1)
    text_bytes = 4 if story.version <= 3 else 6
    start = address + 3
    if (
        count > _MAX_WORDS
        or size_bytes < text_bytes + 1
        or start + count * size_bytes > len(story.data)
    ):
        return ()
    return tuple(_word(story, start + i * size_bytes, text_bytes) for i in range(count))


class Vocabulary:
    """What the parser knows: which words of a text, which of them name things, and how to let time
    pass.
    """

    def __init__(self, story: Story) -> None:
        self._words = {word.text: word for word in read_dictionary(story)}
        self._by_address = {word.address: word for word in self._words.values()}
        self._letters = story.significant_letters
        self.no_names = frozenset(self.cut(name) for name in _NO_NAMES)
        self.waiting = next((w for w in ("wait", "z", "look", "l") if w in self._words), "wait")
        self.nulls = (self.waiting, "look", "inventory", GIBBERISH)
        """Commands that do nothing but, at most, let a turn pass."""

    def nouns_in(self, text: str) -> list[str]:
        """The words of a text that may name things, each once, as spelled there."""
        return list(
            dict.fromkeys(word for word in _SPELLED.findall(text.lower()) if self._is_noun(word))
        )

    def phrases_in(self, text: str) -> list[tuple[str, ...]]:
        """Runs of words that may name things, each once, as spelled there: `iron key`."""
        found: dict[tuple[str, ...], None] = {}
        for piece in re.split(r"[^a-z' -]+", text.lower()):
            words = piece.split(" ")
            for is_name, run in groupby(words, key=self._is_noun):
                if is_name:
                    found[tuple(run)[-_LONGEST_PHRASE:]] = None
        return list(found)

    def spelled(self, word: str, seen: str = "") -> str:
        """A word of the dictionary spelled whole, as a text has it or as English does."""
        if len(word) < self._letters:
            return word
        texts = (*_SPELLED.findall(seen.lower()), *LONG_WORDS)
        return next((whole for whole in texts if self.cut(whole) == word), word)

    def knows(self, word: str) -> bool:
        """True if the dictionary has a word."""
        return self.cut(word) in self._words

    def words_of(self, addresses: Iterable[int]) -> list[str]:
        """The dictionary's words at those addresses, in order."""
        return [self._by_address[a].text for a in addresses if a in self._by_address]

    def cut(self, word: str) -> str:
        """As much of a word as the parser reads."""
        return word[: self._letters]

    def nouns(self) -> list[str]:
        """All words that the compiler marked as names of things."""
        return [
            text for text in self._words if text.isalpha() and len(text) > 1 and self._is_noun(text)
        ]

    def _is_noun(self, word: str) -> bool:
        known = self._words.get(self.cut(word))
        return known is not None and known.is_noun and known.text not in self.no_names


@lru_cache(maxsize=16)
def object_words(story: Story) -> dict[int, frozenset[str]] | None:
    """Object number -> the words that its author called it by; None for stories that Inform did not
    write.

    Inform numbers the property `name` 1 and keeps addresses of dictionary words in it (Technical
    Manual 9.2).
    """
    if not story.is_inform:
        return None
    by_address = {word.address: word.text for word in read_dictionary(story)}
    start, end, size_bytes = story.object_table
    found = {}
    for number in range(1, (end - start) // size_bytes + 1):
        data = story.property_data(number, _NAME_PROPERTY)
        addresses = [data[i] << 8 | data[i + 1] for i in range(0, len(data) - 1, 2)]
        found[number] = frozenset(
            by_address[address] for address in addresses if address in by_address
        )
    return found


def _word(story: Story, address: int, text_bytes: int) -> Word:
    text = _decode(story.data[address : address + text_bytes], _alphabets(story)).strip()
    flags, number = story.data[address + text_bytes], story.data[address + text_bytes + 1]
    if story.is_inform:
        is_verb = bool(flags & 0x01)
        return Word(
            text,
            address,
            is_verb,
            bool(flags & 0x80),
            bool(flags & 0x02),
            255 - number if is_verb else None,
        )
    return Word(
        text, address, bool(flags & 0x40), bool(flags & 0x80), is_meta=False, verb_number=None
    )


def _alphabets(story: Story) -> tuple[str, ...]:
    table = story.word(0x34) if story.version >= 5 else 0
    if not table:
        return _ALPHABETS
    rows = [story.data[table + 26 * i : table + 26 * (i + 1)].decode("latin-1") for i in range(3)]
    return rows[0], rows[1], "  " + rows[2][2:]


def object_name(story: Story, number: int) -> str:
    """An object's printed name, e.g. `loaf of bread`; empty if it has none."""
    start, end, size_bytes = story.object_table
    if not 1 <= number <= (end - start) // size_bytes:
        return ""
    address = story.properties(number)
    return _decode(
        story.data[address + 1 : address + 1 + 2 * story.data[address]], _alphabets(story), story
    )


def _decode(encoded: bytes, alphabets: tuple[str, ...], story: Story | None = None) -> str:
    """The text of Z-characters; `story` is where abbreviations are looked up (words of the
    dictionary have none).
    """
    codes = []
    for i in range(0, len(encoded) - 1, 2):
        triple = encoded[i] << 8 | encoded[i + 1]
        codes += [triple >> 10 & 31, triple >> 5 & 31, triple & 31]
    text, row, bank = "", 0, 0
    escape: list[int] = []
    for code in codes:
        if bank and story is not None:
            text, bank = text + _abbreviation(story, 32 * (bank - 1) + code, alphabets), 0
        elif escape:
            escape.append(code)
            if len(escape) == 3:
                text, escape = text + chr(escape[1] << 5 | escape[2]), []
        elif code in (1, 2, 3):
            bank = code
        elif code in (4, 5):
            row = code - 3
            continue
        elif code == 6 and row == 2:
            escape = [code]
        elif code >= 6:
            text += alphabets[row][code - 6]
        elif code == 0:
            text += " "
        row = 0
    return text


def _abbreviation(story: Story, number: int, alphabets: tuple[str, ...]) -> str:
    """The text that stands behind an abbreviation (Standard 3.3); it holds no others."""
    start = end = 2 * story.word(story.word(0x18) + 2 * number)
    while end + 1 < len(story.data) and not story.data[end] & 0x80:
        end += 2
    return _decode(story.data[start : end + 2], alphabets)
