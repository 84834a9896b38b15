"""Acts: options by what a reply says is done, in words of its own.

An act is what follows "I would", "one should" or "off to", what the best thing is said to be, and
what begins with an option's verb in the first person ("je bois la potion" of "Boire la potion").
It names the option that its words are of (`naming.py`); an act that is denied, asked, conditional
or of others names none.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from valueagents.policies.readings.mentions import Mention
from valueagents.policies.readings.menu_words import NamedMenu, lower, plain
from valueagents.policies.readings.naming import (
    ACT,
    DONE,
    FRAGMENT,
    begins_act,
    done,
    is_lead,
    is_rivalled,
    named,
    wholly,
)
from valueagents.policies.readings.patterns import CONDITIONAL, blanked, pattern, says_nothing

_LONG, _MANY = 300, 40  # characters of an act; sentences that are looked at, the last ones
_TOO_LONG, _STARTS = 600, 20  # a longer sentence is left out; so many clauses of one are looked at
_FEW = 3  # words of "the puppy is the better choice"
_ENOUGH = 5  # fewer words of an option may be the beginning of something else
_NOTHING_MORE = frozenset(
    {"i", "you", "we", "ich", "wir", "bin", "je", "ne", "suis", "yo", "io", "я", "我"}
    | {"with", "this", "that", "the", "statement"}
)
_APART = r"[,;:(–—…]|\.\.\.|\s-\s"
_BUT = re.compile(r",?\s(?:but|however|mais|pero)\b|,\s*(?:aber|ma|но)\b|但")
_OTHERS = r"\b(?:would|würde|\w+(?:raite?|raient|rían?|rebbero?))\b"
_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE = re.compile(r"[^.!?。;\n]+(?:\.(?=\d)[^.!?。;\n]+)*[.!?。;\n]?")


class _Act(msgspec.Struct, frozen=True):
    """What is said to be done, up to a comma; and with what follows it in the sentence.

    `alone`: a verb is enough. `wholly`: it has no words but the option's.
    """

    said: str
    whole: str
    alone: bool = True
    wholly: bool = False


def by_acts(text: str, menu: NamedMenu) -> int | None:
    """The one option that the acts of a reply name; of several that of a conclusion at the end."""
    low = blanked(lower(text), pattern("<aside>"))
    found: list[tuple[int, bool]] = []
    for sentence in [*_sentences(low)][-_MANY:]:
        if sentence.endswith("?") or _is_restated(sentence, menu):
            continue
        concludes = pattern("<conclusion>").search(sentence) is not None
        options = {_option_of(act, menu, low) for act in _acts(sentence, menu)}
        found += [(option, concludes) for option in options if option is not None]
    if len({option for option, _ in found}) > 1 and found[-1][1] and not found[-2][1]:
        found = found[-1:]
    return found[0][0] if len({option for option, _ in found}) == 1 else None


def by_fragment(text: str, menu: NamedMenu, *, marked: bool) -> int | None:
    """The one option that alone has the words of the first or the last sentence of a reply, which
    says nothing else; if it is a marked answer, a single word is enough.
    """
    sentences = list(_sentences(blanked(lower(text), pattern("<aside,tentative>"))))
    ends = {*sentences[:1], *sentences[-1:]}
    found = {_fragment(each, menu, marked=marked) for each in ends} - {None}
    if not found and len(sentences) == 1:
        option = done(sentences[0], menu, "", alone=True)
        found = {option} if _is_answer(sentences[0], option, menu) else set()
    return found.pop() if len(found) == 1 else None


def by_text(text: str, menu: NamedMenu, mentions: Sequence[Mention]) -> int | None:
    """The one option whose whole text is in a reply that names no other, denies nothing before it
    and asks nothing.
    """
    named = {k for each in mentions for k in each.options}
    whole = [each for each in mentions if each.kind in ("code", "text")]
    if "?" in text or len(named) != 1 or not whole:
        return None
    words = whole[0].kind == "text"
    if words and menu.loose(min(named)) and not _is_sentence(text, whole[0]):
        return None
    for each in whole:
        clause = re.split(r"[.:;!?\n]|\bbut\b", lower(text)[: each.start])[-1]
        after = re.split(r"[.:;!?\n]", lower(text)[each.end :])[0]
        if pattern("<denial,rejection,contrast,elsewhere,condition>").search(clause):
            return None
        if pattern(r"<condition>|\A\s*<copulas>").search(after):
            return None
        few = len(text[each.start : each.end].split()) < _ENOUGH
        more = [word for word in plain(after).split() if word not in _NOTHING_MORE]
        if few and words and not says_nothing(" ".join(more)):
            return None
    return min(named)


def _is_sentence(text: str, whole: Mention) -> bool:
    """Whether a short text is all that a reply says, but for "I" and "with this"."""
    around = f"{text[: whole.start]} {text[whole.end :]}".lower()
    return all(word in _NOTHING_MORE for word in plain(around).split())


def _fragment(sentence: str, menu: NamedMenu, *, marked: bool) -> int | None:
    longest = max((len(each.split()) for each in menu.texts), default=0)
    if len(sentence.split()) > longest + 4:
        return None
    part = next((each for each in re.split(_APART, sentence) if not says_nothing(each)), "")
    towards = pattern(r"(?:\A|\s)<towards>\s").search(part) is not None
    told = " ".join(word for word in plain(sentence).split() if not says_nothing(word))
    found = (
        named(sentence, menu, FRAGMENT, FRAGMENT),
        named(told, menu, FRAGMENT, FRAGMENT),
        wholly(part, menu) if marked or towards or _is_verb(sentence, menu) else None,
        done(sentence, menu, "", alone=False),
    )
    option = next((each for each in found if each is not None), None)
    return option if _is_answer(sentence, option, menu) else None


def _is_verb(sentence: str, menu: NamedMenu) -> bool:
    """Whether it is a single word that begins an option or is there after "to": "Convict."."""
    word = plain(sentence)
    begins = rf"(?:\A|\bto ){word}(?!\w)"
    return " " not in word and any(re.search(begins, plain(each)) for each in menu.texts)


def _is_answer(sentence: str, option: int | None, menu: NamedMenu) -> bool:
    """Whether a sentence names an option without asking, denying or saying something of it."""
    if option is None or sentence.endswith("?") or is_rivalled(sentence, option, menu):
        return False
    own = lower(menu.texts[option])
    barred = (
        pattern("<denial,rejection,contrast,condition,elsewhere,intention,owed>"),
        pattern(rf"<copulas>|{_OTHERS}"),
    )
    if any(each.search(sentence) and not each.search(own) for each in barred):
        return False
    return pattern(r"\W*<others>").match(sentence) is None or _is_restated(sentence, menu)


def _sentences(low: str) -> Iterator[str]:
    said = (match.group() for match in _SENTENCE.finditer(low))
    return (each for each in said if each.strip() and len(each) <= _TOO_LONG)


def _is_restated(sentence: str, menu: NamedMenu) -> bool:
    """Whether a sentence is part of an option's text."""
    said = plain(sentence)
    return len(said.split()) > 2 and any(said in plain(each) for each in menu.texts)


def _option_of(act: _Act, menu: NamedMenu, low: str) -> int | None:
    """The option that an act names, if what follows it in the sentence names no other."""
    if act.wholly:
        return wholly(act.said, menu)
    for part in (pattern("<joins>").split(act.said)[0], act.said, act.whole):
        option = done(part, menu, low, alone=act.alone)
        option = named(part, menu, ACT, DONE) if option is None else option
        if option is not None:
            others = {k for k, each in enumerate(menu.patterns) if each and each.search(act.whole)}
            return None if others - {option} or is_rivalled(act.whole, option, menu) else option
    return None


def _acts(sentence: str, menu: NamedMenu) -> Iterator[_Act]:
    for match in pattern(r"<intention>(?!\s*<owed>)|([^,;:]+)吧\W*\Z").finditer(sentence):
        begins = match.start(1) if match.group(1) else match.end()
        yield from _act(sentence, match.start(), begins)
    for match in pattern(r"(<advice>)|<conditionals>").finditer(sentence):
        if is_lead(_clause(sentence[: match.start()])):
            yield from _act(sentence, match.start(), max(match.start(), match.end(1)))
    for start, pronoun, alone in _starts(sentence):
        clause = re.split(_APART, sentence[start : start + _LONG])[0]
        if begins_act(clause, menu, bare=not pronoun):
            yield from _act(sentence, start, start, alone=alone)
    yield from _settled(sentence, menu)
    yield from _best(sentence)


def _best(sentence: str) -> Iterator[_Act]:
    """What the best thing is said to be, before or after that."""
    begins = rf"(?:\A|{_APART}|<turn>)\W*(?:<turn>\W+)?"
    best = r"<copulas>\s+(?:[^\W\d_'-]+\s+){0,4}?<praise>"
    for match in pattern(rf"{begins}([^,;:–—\n]{{1,100}}?)\s*[–—-]?\s*{best}").finditer(sentence):
        if not _BUT.search(sentence, match.end()):
            starts, end = match.span(1)
            yield from _act(sentence, starts, starts, end, alone=False)
            few = len(blanked(match.group(1), pattern("<opinions>")).split()) <= _FEW
            yield from _act(sentence, starts, starts, end, wholly=True) if few else ()
    it = r"(?:<copulas>,?|,\s*(?:it's|that's|c'est|das ist|è|es)(?=\s))\s+"
    for match in pattern(rf"<praise>[^;\n,]{{0,120}}?{it}").finditer(sentence):
        if not pattern("<denial,rejection>").search(match.group()):  # "what I'd hate is …"
            yield from _act(sentence, match.start(), match.end(), alone=False)


def _settled(sentence: str, menu: NamedMenu) -> Iterator[_Act]:
    """What a set phrase settles on: "Patagonia it is", "off to the shelter we go"."""
    begins = rf"(?:\A|{_APART}|<turn>)\W*"
    forms = (
        rf"{begins}(?:<settles>\s+)?([^,;:–—]{{1,60}}?)\s+<settled>(?!\w)(.*)",
        rf"{begins}<settles>\s+([^,;:–—]{{1,60}})(.*)",
    )
    for form in forms:
        for match in pattern(form).finditer(sentence):
            end = " ".join(plain(match.group()).split()[-3:])
            own = any(end in plain(each) for each in menu.texts)
            apart = re.split("[:–—]", match.group(2))[0]
            if says_nothing(apart) and not (own and form is forms[0]):
                yield from _act(sentence, match.start(1), match.start(1), match.end(1), wholly=True)


def _act(
    sentence: str,
    begins: int,
    start: int,
    end: int | None = None,
    *,
    alone: bool = True,
    wholly: bool = False,
) -> Iterator[_Act]:
    """The act that begins there, if it is no other's, denied or on a condition."""
    before = pattern(r"<turn>").split(blanked(sentence[:begins], pattern("<forced>")))[-1]
    if pattern("<denial,rejection,contrast>").search(_clause(before)):
        return
    rest = pattern(r"\A\W*<turn>").sub("", sentence[start:end][:_LONG])
    all_of_it = pattern(rf"(?!over\b)<contrast>|\bthan\b|[,;–—]\s*<turn>|{_BUT.pattern}").split(
        rest
    )[0]
    others = pattern(rf"<elsewhere>|{CONDITIONAL}").search(before) or pattern("<unable>").search(
        rest
    )
    said = blanked(all_of_it, pattern("<because>"))  # "even if"
    if not others and not pattern("<condition>").search(said):
        said = pattern(rf"{_APART}|<because>").split(all_of_it)[0]
        yield _Act(said, all_of_it, alone, wholly)


def _clause(before: str) -> str:
    return pattern(rf"{_APART}|<opinions>").split(before)[-1]


def _starts(sentence: str) -> Iterator[tuple[int, bool, bool]]:
    """Where the verb of a clause may begin; whether "I" or "we" stands before it, and whether that
    or its object does.
    """
    starts = pattern(rf"\A|{_APART}|<turn,joins,opinions>").finditer(sentence)
    for match in islice(starts, _STARTS):
        person = thing = False
        for word in _WORD.finditer(sentence, match.end()):
            if pattern("<determiners>").fullmatch(word.group()):
                break
            yield word.start(), person, person or thing
            if not is_lead(word.group()) or pattern("<owed>").fullmatch(word.group()):
                break
            person = person or pattern("<persons>").fullmatch(word.group()) is not None
            thing = thing or pattern("<pronouns>").fullmatch(word.group()) is not None
