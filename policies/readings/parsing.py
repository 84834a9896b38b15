"""Parsing: which option a model's words name.

Tolerant, and every answer says by which rule it was read.

Rules are tried in order, the plainest first, and a rule that fits two options ends the search:
nothing is guessed. A letter counts only where it is the answer ("A good neighbour would wait" is
not option A), words only where they are not denied ("I would never keep it"). In a reply that also
declines, or that has a line "Answer: …" which names nothing, only what the model says it would do
is believed.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from string import ascii_uppercase
from typing import Literal

import msgspec

from valueagents.policies.readings.patterns import (
    BARE,
    CLAUSE,
    CLOSED_ONLY,
    DENIALS,
    DENIED,
    DRESS,
    FINAL,
    LETTER,
    LISTED,
    MORE,
    NAMED,
    NUMBER,
    OPEN_THOUGHT,
    OPPOSING,
    QUOTED,
    REFUSAL,
    THOUGHT,
    WILLING,
)

Rule = Literal[
    "letter",
    "named letter",
    "number",
    "quoted text",
    "text",
    "fuzzy text",
    "refusal",
    "open thought",
    "cut",
    "none",
]

_FUZZY_RATIO = 0.85
_FUZZY_LEAD = 0.1
_SHORT_WORDS = (
    8  # a text of one word ("Wait") names an option only in a reply of at most this many words
)


class Parsed(msgspec.Struct, frozen=True):
    """The index of the option in the order in which the options were listed, None = none named; and
    by which rule.
    """

    index: int | None
    rule: Rule


def without_thought(reply: str) -> str | None:
    """The reply after the model's thinking; None if the thinking never ended, so that there is no
    answer.
    """
    closed = CLOSED_ONLY.match(reply)
    thought, said = (
        (reply[: closed.end()], reply[closed.end() :]) if closed is not None else ("", reply)
    )
    if OPEN_THOUGHT.search(said):
        return None
    return (
        CLOSED_ONLY.sub("", THOUGHT.sub("", thought)) + said
    ).strip()  # a chat template may have opened it


def parse(reply: str, options: Sequence[str]) -> Parsed:
    """Which of the listed options (under the letters A, B, …) a reply names.

    A line "Answer: …" is believed over everything around it, the last one if there are several.
    """
    said = without_thought(reply)
    if said is None:
        return Parsed(None, "open thought")
    said = _straight(said).strip(DRESS)
    texts = [_straight(text).strip(DRESS) for text in options]
    exact = {k for k, text in enumerate(texts) if text == said and said}
    if len(exact) == 1 and not BARE.fullmatch(said):
        return Parsed(exact.pop(), "text")
    finals = ["".join(groups).strip() for groups in FINAL.findall(said)]
    found = _read(finals[-1], texts) if finals else None
    refused = bool(REFUSAL.search(said))
    if found is None:
        found = _read(said, texts, willing=refused or bool(finals))
    if found is None or found.index is None:
        return Parsed(None, "refusal" if refused else "none")
    return found


def parse_cut(reply: str, options: Sequence[str], *, reasoning: bool) -> Parsed:
    """Which option a reply names that was cut by its length: only an answer in the form asked for
    is believed.

    That is a letter first, or after `reasoning` a line "Answer: …" with one; any other words may
    have gone on to another option.
    """
    parsed = parse(reply, options)
    as_asked = parsed.rule == "letter" and (
        not reasoning or FINAL.search(without_thought(reply) or "") is not None
    )
    return parsed if as_asked or parsed.index is None else Parsed(None, "cut")


def _read(said: str, options: Sequence[str], *, willing: bool = False) -> Parsed | None:
    """By the first rule that fits: one option, or none where it fits several; None if no rule fits.

    `willing`: believe only a reply that is nothing but the answer, and what the model says that it
        would do.
    """
    for rule, found in _rules(said, options, willing=willing):
        if found:
            return Parsed(min(found), rule) if len(found) == 1 else Parsed(None, "none")
    return None


def _rules(said: str, options: Sequence[str], *, willing: bool) -> Iterator[tuple[Rule, set[int]]]:
    count = len(options)
    yield "letter", _leading(said, options)
    yield (
        "text",
        {k for k, text in enumerate(options) if _plain(text) and _plain(text) == _plain(said)},
    )
    yield "number", _numbered(said, options)
    lines = said.splitlines()
    yield "named letter", _letters(BARE.fullmatch(lines[-1]) if lines else None, count)
    yield "named letter", _named(said, count, willing=True)
    if not willing:
        yield "named letter", _named(said, count, willing=False)
        yield "quoted text", _holding([_plain(quote) for quote in QUOTED.findall(said)], options)
    yield "text", _contained(said, options, willing=willing)
    if not willing:
        yield "fuzzy text", _nearest(_plain(said), options)


def _leading(said: str, options: Sequence[str]) -> set[int]:
    """The letter with which the reply begins, and those that a list of letters or of options goes
    on with.
    """
    match = LETTER.match(said)
    found = _letters(match, len(options))
    if match is None or not found:
        return set()
    rest = said[match.end() :]
    plain = _plain(rest)
    if plain == _plain(options[min(found)]):
        return found
    others = [m.group(1) for m in LISTED.finditer(rest)]
    more = MORE.match(rest)
    if more is not None:
        others.append(more.group(1))
    listed = {k for letter in others for k in _index(letter, len(options))}
    return found | listed | {k for k, text in enumerate(options) if plain and _plain(text) == plain}


def _numbered(said: str, options: Sequence[str]) -> set[int]:
    """A number alone: of the options that begin with numbers (a scale) the one that begins so, else
    by place.
    """
    match = NUMBER.fullmatch(said)
    if match is None:
        return set()
    scale = [re.match(r"\d+", text) for text in options]
    if any(scale):
        return {
            k
            for k, begin in enumerate(scale)
            if begin is not None and int(begin.group()) == int(match.group(1))
        }
    return {int(match.group(1)) - 1} & set(range(len(options)))


def _named(said: str, count: int, *, willing: bool) -> set[int]:
    """Letters after a word such as "option" or "choose"."""
    found: set[int] = set()
    for match in NAMED.finditer(said):
        if _meant(said, match, willing=willing):
            for letter in re.findall(r"\b[A-Z]\b", match.group(1) or match.group(2)):
                found |= _index(letter, count)
    return found


def _contained(said: str, options: Sequence[str], *, willing: bool) -> set[int]:
    """Options whose whole text is in the reply, not denied there, and not only as part of another's
    text.
    """
    spans = []
    for k, text in enumerate(options):
        words = _plain(text).split()
        if words and (len(words) > 1 or len(said.split()) <= _SHORT_WORDS):
            pattern = r"(?<![^\W_])" + r"[\W_]+".join(map(re.escape, words)) + r"(?![^\W_])"
            folded = said.casefold()
            spans += [
                (*match.span(), k)
                for match in re.finditer(pattern, folded)
                if _meant(folded, match, willing=willing)
            ]
    return {
        k
        for start, end, k in spans
        if not any(
            s <= start and end <= e and e - s > end - start for s, e, other in spans if other != k
        )
    }


def _meant(said: str, match: re.Match[str], *, willing: bool) -> bool:
    """Whether the clause up to a match denies it; `willing`: and says what the model would do."""
    before = said[: match.start()]
    ends = [boundary.end() for boundary in CLAUSE.finditer(before)]
    begin = ends[-1] if ends else 0
    clause = said[begin : match.start()].casefold()
    if DENIED.search(clause):
        return False
    return not willing or WILLING.search(said[begin : match.end()].casefold()) is not None


def _holding(quotes: Sequence[str], options: Sequence[str]) -> set[int]:
    return {k for k, text in enumerate(options) if _plain(text) and _plain(text) in quotes}


def _nearest(said: str, options: Sequence[str]) -> set[int]:
    """The option most like the reply, if it is very like, clearly more so than the next, and not
    its opposite.
    """
    ratios = sorted((_likeness(said, _plain(text)), k) for k, text in enumerate(options))
    if not said or not ratios:
        return set()
    best, k = ratios[-1]
    second = ratios[-2][0] if len(ratios) > 1 else 0.0
    near = best >= _FUZZY_RATIO and best - second >= _FUZZY_LEAD
    return {k} if near and not _opposed(said.split(), _plain(options[k]).split()) else set()


def _likeness(one: str, other: str) -> float:
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= _FUZZY_RATIO - _FUZZY_LEAD else 0.0


def _opposed(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one text denies what the other says or holds other numbers: "do not tell her",
    "unlock the door".
    """
    denials = [sum(word in DENIALS for word in text) for text in (one, other)]
    numbers = [[word for word in text if word.isdecimal()] for text in (one, other)]
    pairs = ((one, other), (other, one))
    return (
        denials[0] != denials[1]
        or numbers[0] != numbers[1]
        or any(
            prefix + word in mine for mine, yours in pairs for word in yours for prefix in OPPOSING
        )
    )


def _letters(match: re.Match[str] | None, count: int) -> set[int]:
    return _index(match.group(1), count) if match is not None else set()


def _index(letter: str, count: int) -> set[int]:
    return {ascii_uppercase.find(letter.upper())} & set(range(count))


def _straight(text: str) -> str:
    """One form of every character, and straight apostrophes."""
    return unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'")


def _plain(text: str) -> str:
    """Letters and digits in lower case, one space between words."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))
