"""Parsing: which option a model's words name.

A few rules, the plainest first, and every answer says by which it was read:

1. a reply that is one option's text is that option;
2. a marked answer (a box, a field, a line "Answer: …", `marks.py`) is believed over what surrounds
   it;
3. else what the sentences claim (`claims.py`): the one option that is claimed plainly, or in
   conclusion, or praised;
4. else the one option whose whole text is there and not denied, or that alone has the words of what
   the model says it does (`acts.py`) or of whom it blames (`blame.py`).

Only the first turn counts, and what is not taken back in it (`tidy.py`): after "A. No, B." A is,
not after "A. No, B would be a lie." What is claimed of two
options is read as none: nothing is guessed. A restated menu claims nothing (`groups.py`). In a
reply that also declines, only what the model says it would do is believed.
"""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from valueagents.policies.readings.acts import by_acts, by_fragment, by_text
from valueagents.policies.readings.blame import by_blame, is_of_blame
from valueagents.policies.readings.claims import Claim, find_claims
from valueagents.policies.readings.groups import find_mentions, ticked
from valueagents.policies.readings.marks import Mark, find_marks, json_answers, says_neither, spelt
from valueagents.policies.readings.mentions import Kind, every_mention
from valueagents.policies.readings.menu_words import NamedMenu, lower, plain, straight
from valueagents.policies.readings.naming import named_beside
from valueagents.policies.readings.patterns import REFUSAL
from valueagents.policies.readings.places import ASIDE, PLAIN, RIVAL
from valueagents.policies.readings.tidy import after_no, first_turn, tidy, without_thought

Rule = Literal[
    "letter",
    "number",
    "text",
    "named letter",
    "named number",
    "words",
    "refusal",
    "open thought",
    "cut",
    "none",
]

_BARE: dict[Kind, Rule] = {"letter": "letter", "number": "number", "code": "text", "text": "text"}
_NAMED: dict[Kind, Rule] = {**_BARE, "letter": "named letter", "number": "named number"}


class Parsed(msgspec.Struct, frozen=True):
    """The index of the option in the order in which the options were listed, None = none named; and
    by which rule.
    """

    index: int | None
    rule: Rule


class _Found(msgspec.Struct, frozen=True):
    """Options that a text names, several where it names several; and by which rule.

    `first`: the text begins with them, or marks them as the answer. `goes_on`: something follows.
    """

    options: frozenset[int]
    rule: Rule
    first: bool = False
    goes_on: bool = False


def parse(reply: str, options: Sequence[str]) -> Parsed:
    """Which of the listed options (under the letters A, B, …) a reply names."""
    said = without_thought(reply)
    if said is None:
        return Parsed(None, "open thought")
    found = _found(said, NamedMenu.of(options))
    if found is not None and len(found.options) == 1:
        return Parsed(min(found.options), found.rule)
    return Parsed(None, "refusal" if REFUSAL.search(straight(said)) else "none")


def parse_cut(reply: str, options: Sequence[str], *, reasoning: bool) -> Parsed:
    """Which option a reply names that was cut by its length: only an answer in the form asked for
    is believed.

    That is a letter first, or a number or text with something after it; after `reasoning` a marked
    answer ("Answer: …"). Any other words may have gone on to another option.
    """
    parsed = parse(reply, options)
    if parsed.index is None:
        return parsed
    said = without_thought(reply) or ""
    found = _found(said, NamedMenu.of(options))
    marked = any(find_marks(tidy(straight(said))))
    complete = found is not None and (found.rule == "letter" or found.goes_on)
    as_asked = found is not None and found.first and complete and (marked or not reasoning)
    return parsed if as_asked else Parsed(None, "cut")


def _found(said: str, menu: NamedMenu) -> _Found | None:
    text = straight(first_turn(said))
    exact = [k for k, each in enumerate(menu.texts) if each == text and text]
    if not exact:
        words, own = sorted(plain(text).split()), [plain(each).split() for each in menu.texts]
        exact = [
            k
            for k, each in enumerate(own)
            if words
            in (sorted(each), sorted(each[1:] if each[:1] and each[0].isdecimal() else each))
        ]
        exact = exact if len(words) > 1 else []
    if len(exact) == 1 and not re.fullmatch(r"[\W_]*[A-Za-z][\W_]*", text):
        return _Found(frozenset(exact), "text")
    text = spelt(tidy(text))
    rest = after_no(text)
    instead = _named(rest, menu) if rest is not None else None
    if rest is None or instead is not None:
        return instead or _named(text, menu)
    claims = find_claims(text, menu, find_mentions(text, menu))  # "A. No, B would be a lie."
    return (
        _agreed(claims[:1], len(text)) if claims and claims[0].whole and claims[0].leads else None
    )


def _named(text: str, menu: NamedMenu) -> _Found | None:
    return _marked(text, menu) or _said(text, menu)


def _marked(text: str, menu: NamedMenu) -> _Found | None:
    """What the marked answers name, several where they differ; None where none can be read."""
    final, ends, found = False, False, []
    for mark in find_marks(text):
        named = _said(text[mark.start : mark.end], menu, marked=True)
        if mark.neither and (named is None or named.rule != "text"):
            named = _Found(frozenset(), "none")
        if named is not None:
            final = mark.final
            ends = _is_last_line(text, mark) and bool(_bare(text[mark.start : mark.end], menu))
            rule = "words" if named.rule == "words" else named.rule.removeprefix("named ")
            found.append(msgspec.structs.replace(named, rule=rule, goes_on=True))
    if not found:
        found = [each for said in json_answers(text) if (each := _bare(said, menu)) is not None]
    if not found or len({each.options for each in found}) > 2:  # a restated menu
        return None
    named_by_all = frozenset[int]().union(*(each.options for each in found))
    last = found[-1]
    lead = frozenset[int]() if ends else _lead(text, menu)
    if lead and last.options and lead != last.options:
        return _Found(lead | named_by_all, "none")
    if final or all(each.options == last.options for each in found):
        return msgspec.structs.replace(last, first=True)
    return _Found(named_by_all, "none")


def _is_last_line(text: str, mark: Mark) -> bool:
    """Whether a marked answer is a last line of its own, after others."""
    before = text[: mark.start].rpartition("\n")
    return bool(before[0].strip()) and not text[mark.end :].strip()


def _bare(said: str, menu: NamedMenu) -> _Found | None:
    """What a text names that is nothing but a name."""
    mentions = find_mentions(straight(said), menu)
    if len(mentions) != 1 or re.search(r"\w", said[: mentions[0].start] + said[mentions[0].end :]):
        return None
    return _Found(mentions[0].options, _BARE[mentions[0].kind])


def _lead(text: str, menu: NamedMenu) -> frozenset[int]:
    """The option that a text begins with as with its answer."""
    claims = find_claims(text, menu, find_mentions(text, menu))
    leads = bool(claims) and claims[0].leads and claims[0].rank == PLAIN
    return claims[0].options if leads else frozenset()


def _said(text: str, menu: NamedMenu, *, marked: bool = False) -> _Found | None:
    """What a text names by what it claims, else by whole texts or words; None where it names
    none.
    """
    mentions = find_mentions(text, menu)
    claims = find_claims(text, menu, mentions)
    declines = REFUSAL.search(text) is not None
    if declines:
        claims = [each for each in claims if each.spoken or _is_bare(each, menu)]
    found = _agreed(claims, len(text)) if any(each.rank for each in claims) else None
    if found is None or len(found.options) > 1:
        tick = ticked(text, menu)
        found = _Found(tick, "letter") if tick else found
    if found is not None and found.rule == "text" and len(found.options) == 1:
        both = found.options | _others_after(text, menu, claims)
        found = msgspec.structs.replace(found, options=both)
    if found is not None or declines:
        return found
    restated = {k for each in every_mention(text, menu) for k in each.options}
    blames = is_of_blame(menu)
    if blames and not mentions and len(restated) > 1:
        return None
    blamed = by_blame(text, menu) if blames else None
    if blamed is None and says_neither(text):
        return None
    whole = by_text(text, menu, mentions) if mentions else None
    named = frozenset(each for each in (blamed, whole) if each is not None)
    if named:
        return _Found(named, "words" if whole is None else "text")
    if blames:  # "the manager was right" is no praise of an option
        return None
    option = by_acts(text, menu)
    if option is None and not mentions and len(restated) < 2:
        option = by_fragment(text, menu, marked=marked)
    return None if option is None else _Found(frozenset({option}), "words")


def _others_after(text: str, menu: NamedMenu, claims: Sequence[Claim]) -> frozenset[int]:
    """What the words after a claimed text name, in the same sentence: "I'd stay and call her"."""
    after = (re.split(r"[.!?;\n]", lower(text)[each.end :])[0] for each in claims if each.spoken)
    joined = (part for part in after if re.match(r"\s*,?\s*(?:and|und|et|y|e|и|并)\s", part))
    return frozenset[int]().union(*(named_beside(part, menu) for part in joined))


def _agreed(claims: Sequence[Claim], size: int) -> _Found:
    """What the plainest claims agree on; where they do not, a conclusion that comes last."""
    claimed = [each for each in claims if each.rank != RIVAL]
    plainest = [each for each in claimed if each.rank == PLAIN] or claimed
    plainest += [each for each in claims if each.rank == RIVAL and _follows(each, plainest)]
    plainest += [each for each in claims if _is_beside(each, plainest)]
    if plainest[0].whole and all(_is_aside(each, plainest[0]) for each in plainest[1:]):
        plainest = plainest[:1]
    if len({each.options for each in plainest}) > 1:
        last = plainest[-1]
        others = [each for each in plainest if each.options != last.options]
        if not last.concludes or any(each.leads or each.concludes for each in others):
            return _Found(frozenset[int]().union(*(each.options for each in plainest)), "none")
        plainest = [last]
    best = next((each for each in plainest if each.leads), plainest[0])
    rule = _BARE[best.kind] if best.leads else _NAMED[best.kind]
    return _Found(best.options, rule, best.leads, best.end < size)


def _is_aside(each: Claim, first: Claim) -> bool:
    """Whether a claim is said by the way, after an answer that is a sentence of its own: "2. My
    wife would put 5."
    """
    apart = each.sentence not in (-1, first.sentence) and (each.spoken or not each.alone)
    return each.options == first.options or (apart and not each.concludes)


def _follows(each: Claim, plainest: Sequence[Claim]) -> bool:
    """Whether a claim comes in a sentence after a plainer one."""
    return any(each.sentence in (-1, one.sentence) and each.end > one.end for one in plainest)


def _is_bare(claim: Claim, menu: NamedMenu) -> bool:
    """Whether a claim is an answer by itself; by its words only a first sentence, and a rating."""
    stated = claim.kind != "text" or (claim.whole and claim.leads and bool(menu.scale))
    return claim.rank >= ASIDE and stated


def _is_beside(each: Claim, plainest: Sequence[Claim]) -> bool:
    """Whether a lesser claim is in the sentence of a bare one, as plain as that: "A 5, maybe a
    6".
    """
    return each not in plainest and any(
        other.sentence == each.sentence and not other.spoken and not other.concludes
        for other in plainest
    )
