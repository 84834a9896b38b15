"""Mentions: where a reply names options: by letter, number, place or text.

A letter is one only where it stands as one ("A good neighbour" names no option), a number only on
the menu's scale or after a word such as "option".
"""

import re
from collections.abc import Iterator
from string import ascii_uppercase
from typing import Literal

import msgspec

from valueagents.policies.readings.menu_words import NamedMenu, lower
from valueagents.policies.readings.patterns import CJK, counted, pattern, says_nothing

Kind = Literal["letter", "number", "code", "text"]

_CYRILLIC = {"А": {0}, "Б": {1}, "В": {1, 2}, "Г": {3}, "Д": {4}, "С": {2}, "Е": {4, 5}}
"""What a Russian letter may stand for: the Latin one that it looks like, or its own place."""

_WORDLIKE = "AEIOUYАВСЕИКОУ"
_TOKEN = re.compile(
    r"(?<!\w)(?<!\w[-'.])"
    r"([A-ZАБВГДСЕ]|(?<=[(\[\"'])[a-z](?=[)\]\"'])|\A[a-z](?=\W*\Z|[).:\]]))"
    r"(?!\w)(?!['-](?!s\b)\w)(?!\.\w\b)(?!/\w{2})"
)
_SMALL = re.compile(r"(?<!\w)(?<!\w[-'.])([a-z])(?!\w)(?!['-]\w)(?!\.\w\b)(?!/\w{2})")
_AFTER_NOUN = r"<options>[\s:#\"(\[]*([a-zабвгдсе])(?!\w)(?!['-]\w)"
_ENUMERATED = r"(?<=\s)([a-hа-д])(?=\)(?!\w))"  # "I take b), as …"
_CHOSEN = (
    r"<chosen>\s+(?:<particles>\s+)?(?:(?:the|die|das|la|el|il|lo)\s+|l')?([a-hа-д])"
    r"(?=\s*(?:[.,;:!)\n–—]|\Z))"
)
_NOT_OPTIONS = re.compile(r"(?:plan|team|vitamin|grade|type|class|hepatitis|step|part)\s+\Z")
_JOINED = r"(?<!\w)[a-zа-я]\s+(?:and|or|und|oder|et|ou|e|o|y|и|или)\s+\Z"  # "A and B"
_GRADE = re.compile(r"(?<!\w)an?\s+\Z")  # "she deserves an A for effort"
_COMPARED = re.compile(r"\s+(?:a|to|à|alla|al)\s+(?:la\s+)?[a-z](?!\w)")

_OF = (
    r"(?:\s*(?:points?|stars?|punkten?|puntos|punti|балл\w*|分))?"
    r"(?:\s*/|\s+(?:out\s+of\s+a\s+(?:possible|total\s+of)|(?:out\s+)?of|von|sur|sobre|su|de|di|из|auf|aus)\b)"
)
_OF_TOP = (
    rf"(?<![\w.,/-])(\w+){_OF}\s*(\w+)"
    r"(?:\s+(?:points?|stars?|punkten?|puntos|punti|балл\w*))?(?![\w%]|[.,]\d)"
)
_NUMBER = re.compile(
    r"(?<![\w$€£%<>≥≤−-])(?<![\d][.,:/–—-])(\d{1,3})"
    r"(?!\w)(?![.,:]\d)(?!\s*%)(?!-\w|[–—]\d)(?!\s*\+)(?!\s*/\s*\d)"
)
_RANGE = (
    r"(?<!\w)(\d{1,3})\s*(?:\([^()]*\)\s*)?(?:[-–—~]|\.\.+|to|through|bis|à|a|до|到|至|and|und|et|y|e|и)\s*"
    r"(\d{1,3})(?!\w)"
)
_RANGE_IN_WORDS = r"(?<!\w)(\w+)\s+(?:to|bis|à|al?|до)\s+(\w+)(?!\w)"
_TOP_ALONE = (
    r"\A\W*(?:out\s+of|von|sur|su|de|из)\s+\d+\s*,"
    r"|(?:满分|最高)\s*\d+|\d+\s*(?:分制|-(?:point|stufig|punkte))"
)


_FEW, _BEGINNING = 8, 4  # words, characters


class Mention(msgspec.Struct, frozen=True):
    """A place where options are named; several where it names several or may mean several.

    `sure`: a number out of the highest one, which is a rating wherever it stands.
    """

    start: int
    end: int
    options: frozenset[int]
    kind: Kind
    sure: bool = False


def every_mention(text: str, menu: NamedMenu) -> list[Mention]:
    """All mentions of a text by their places, the longer one where several begin."""
    low = lower(text)
    found = [
        *_letters(text, low, menu),
        *_ratings(low, menu),
        *_places(low, menu),
        *_texts(text, low, menu),
    ]
    return sorted(found, key=lambda each: (each.start, -each.end))


def _letters(text: str, low: str, menu: NamedMenu) -> Iterator[Mention]:
    by_place = re.search(r"(?<!\w)[БГД](?!\w)", text) is not None
    starts = {match.start(1) for match in _TOKEN.finditer(text)}
    after_noun = {match.start(1) for match in pattern(_AFTER_NOUN).finditer(low)}
    starts |= after_noun | {match.start(1) for match in pattern(_CHOSEN).finditer(low)}
    enumerated = (match.start() for match in re.finditer(_ENUMERATED, low))
    starts |= {k for k in enumerated if low.count("(", 0, k) == low.count(")", 0, k)}
    if text == low:  # written without capitals
        starts |= {match.start(1) for match in _SMALL.finditer(low)}
    for start in sorted(starts):
        letter = text[start].upper()
        options = _CYRILLIC.get(letter, {ascii_uppercase.find(letter)})
        if by_place and len(options) > 1:
            options = {max(options)}
        named = frozenset(options & set(range(len(menu.texts))))
        said = start in after_noun and text[start].isupper() and letter != "I"
        if named and (said or _is_letter(low, start, letter, menu.texts[min(named)])):
            yield Mention(start, start + 1, named, "letter")


def _is_letter(low: str, start: int, letter: str, option: str) -> bool:
    """Whether a letter stands there as one, and not as a word ("A friend", "I think")."""
    rest = low[start + 1 : start + 41]
    before = low[max(0, start - 12) : start]
    word = re.match(r"[ \t]+([^\W_]+)", rest)
    if _NOT_OPTIONS.search(before) or (word and _GRADE.search(before)):
        return False
    if letter == "I" and (word or re.match(r"\s*,", rest)):
        return False
    if letter not in _WORDLIKE or word is None or re.match(f"[{CJK}]", word.group(1)):
        return True
    if re.search(_JOINED, before):
        return True
    own = len(rest.strip()) > 3 and lower(option).startswith(rest.strip()[:12])
    follows = pattern("<follow>").match(rest, word.start(1)) is not None
    return own or follows or _COMPARED.match(rest) is not None


def _ratings(low: str, menu: NamedMenu) -> Iterator[Mention]:
    """Numbers of the scale, in digits or words; none where the menu has no scale."""
    if not menu.scale:
        return
    taken: set[int] = set()
    for match in re.finditer(_TOP_ALONE, low):
        taken |= set(range(*match.span()))
    for match in re.finditer(_OF_TOP, low):
        value, top = number_of(match.group(1)), number_of(match.group(2))
        if value is None or top is None:
            continue
        taken |= set(range(*match.span()))
        if top == menu.top and value in menu.scale and _counts_nothing(low, match.end()):
            yield _rating(match.start(), match.end(), menu.scale[value], sure=True)
    for match in re.finditer(r"(\d+)\s*分?\s*[中里]的?\s*(\d+)\s*分?", low):
        taken |= set(range(*match.span()))
        if int(match.group(1)) == menu.top and int(match.group(2)) in menu.scale:
            yield _rating(*match.span(), menu.scale[int(match.group(2))], sure=True)
    for match in re.finditer(_RANGE, low):
        if {int(number) for number in match.groups()} == {min(menu.scale), menu.top}:
            taken |= set(range(*match.span()))
    for match in re.finditer(_RANGE_IN_WORDS, low):
        if tuple(map(number_of, match.groups())) == (min(menu.scale), menu.top):
            taken |= set(range(*match.span()))
    for start, end, value in _numerals(low):
        if value in menu.scale and start not in taken:
            yield _rating(start, end, menu.scale[value])


def _rating(start: int, end: int, place: int, *, sure: bool = False) -> Mention:
    return Mention(start, end, frozenset({place}), "number", sure)


def _numerals(low: str) -> Iterator[tuple[int, int, int]]:
    """Start, end and value of the numbers that count no thing ("5 years"). "One" is one only by
    itself.
    """
    for match in _NUMBER.finditer(low):
        if _counts_nothing(low, match.end()):
            yield match.start(), match.end(), int(match.group(1))
    for value, words in enumerate(counted("numbers"), 1):
        for match in re.finditer(
            rf"(?:(?<!\w)|(?<=[给打评选]))(?:{words.pattern})(?=\W|分|\Z)", low
        ):
            before, after = low[: match.start()], low[match.end() :]
            alone = (
                re.fullmatch(r"[\W_]*", before + after) is not None
                or (not before.strip() and after[0] in ".!\n")
                or _has_article(before)
                or _is_announced(before, after)
            )
            if alone or (value > 1 and _counts_nothing(low, match.end())):
                yield match.start(), match.end(), value


def _has_article(before: str) -> bool:
    """Whether "a" comes before a number, or "a solid"; not "a wrong one"."""
    found = re.search(r"\b(?:a|an?\s(\w+))\s+\Z", before)
    return found is not None and says_nothing(found.group(1) or "")


def _is_announced(before: str, after: str) -> bool:
    """Whether a number ends a clause as the answer: "my rating would be one, as …"."""
    announced = pattern(r"<answers>[^,.;:!?\n]{0,30}(?:<copulas>|:)\s*(?:an?\s+)?\Z").search(before)
    return announced is not None and re.match(r"\s*[.,;!\n–—]", after) is not None


def _counts_nothing(low: str, end: int) -> bool:
    word = re.match(r"[ \t]+([^\W_]+)", low[end : end + 40])
    follow = pattern("<follow,because,turn,infinitives>")
    if word is None or says_nothing(word.group(1)):
        return True
    return follow.match(low, end + word.start(1)) is not None


def number_of(word: str) -> int | None:
    """The number that a word is, in digits or letters."""
    if word.isdecimal():
        return int(word) if len(word) < 4 else None
    found = (value for value, words in enumerate(counted("numbers"), 1) if words.fullmatch(word))
    return next(found, None)


def _places(low: str, menu: NamedMenu) -> Iterator[Mention]:
    """Options by place: "option 2", "the second option"; "option 2" of a scale is its number 2."""
    by_place = {k + 1: k for k in range(len(menu.texts))} if not menu.scale else menu.scale
    numbered = r"(?:<options>|#)[\s:#\"(\[]*(\d{1,2}|[^\W\d_]+)(?![\w%]|[.,]\d)"
    for match in pattern(numbered).finditer(low):
        value = number_of(match.group(1))
        if value in by_place:
            yield _rating(*match.span(), by_place[value])
    alone = None if menu.scale else re.fullmatch(r"\W*(\d{1,2})\W*", low)
    if alone and int(alone.group(1)) in by_place:
        yield _rating(*alone.span(1), by_place[int(alone.group(1))])
    ordinals = [words.pattern for words in counted("ordinals")[: len(menu.texts)]]
    for place, words in [*enumerate(ordinals), (len(menu.texts) - 1, "<last>")]:
        for match in pattern(rf"(?<!\w)(?:{words})(?![^\W\d_])|(?=第|最)(?:{words})").finditer(low):
            noun = pattern(r"(?:\s*<options,kinds>){1,2}").match(low, match.end())
            if noun is not None or _stands_for_noun(low, match):
                yield _rating(match.start(), (noun or match).end(), place)


def _stands_for_noun(low: str, ordinal: re.Match[str]) -> bool:
    """Whether an ordinal is all that is said of the option: "the second", "the first is right"."""
    before, after = low[: ordinal.start()], low[ordinal.end() :]
    article = pattern(
        r"(?<!\w)(?:(?:the|die|den|das|la|il|le|el|lo)\s+|l')\Z|<answers>\W*(?:<copulas>\W*)?\Z"
    ).search(before)
    ends = pattern(r"\s*(?:[.,;:!)\n–—]|\Z|\s<copulas>)").match(after)
    return article is not None and ends is not None


def _texts(text: str, low: str, menu: NamedMenu) -> Iterator[Mention]:
    """Options by their own words, and by their codes: NTA is in capitals, but at the beginning or
    in a few words.
    """
    for k, said in enumerate(menu.patterns):
        for match in said.finditer(low) if said is not None else ():
            yield Mention(*match.span(), frozenset({k}), "text")
    few = len(text.split()) <= _FEW
    for k, code in menu.codes.items():
        for match in code.finditer(low):
            small = " " not in match.group() and text[slice(*match.span())].islower()
            if not small or few or match.start() < _BEGINNING:
                yield Mention(*match.span(), frozenset({k}), "code")
