"""Claims: what the sentences of a reply say is chosen, with how plainly they say it.

A mention of an option is a claim where nothing else is said ("So B."), after a word of choosing
("I'd go with B"), or before praise ("B is best"). It is none where it is denied ("I would not take
B"), asked, said of others ("some would say B"), or on a condition ("if she asks, B").
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from valueagents.policies.readings.mentions import Kind, Mention
from valueagents.policies.readings.menu_words import NamedMenu, lower
from valueagents.policies.readings.patterns import blanked, pattern, says_nothing
from valueagents.policies.readings.places import (
    ASIDE,
    LONG,
    PLAIN,
    PRAISE,
    RIVAL,
    MentionPlace,
    after_last,
    is_bracketed_aside,
    is_conditional,
    is_denied,
    is_elsewhere,
    is_particle,
    is_rated,
    is_rival,
    is_spoken,
    is_whole,
    place_of,
    unspoken_rank,
)

_MANY, _TOO_MANY = 60, 300  # a sentence, a reply that names options so often is not an answer
_SENTENCE = re.compile(r"[.!?。]+[\"')\]]*(?=\s|\Z)|[!?。;\n]+")


class Claim(msgspec.Struct, frozen=True):
    """That options are chosen.

    `leads`: the reply begins with it. `alone`: it is all that its sentence says, `whole`: that the
    first sentence says. `concludes`: it is said to be the end of the matter. `spoken`: with a word
    of choosing. `sentence`: where its sentence begins (-1: it concerns all before it).
    """

    rank: int
    options: frozenset[int]
    kind: Kind
    end: int
    sentence: int
    leads: bool = False
    alone: bool = False
    whole: bool = False
    concludes: bool = False
    spoken: bool = False


def find_claims(text: str, menu: NamedMenu, mentions: Sequence[Mention]) -> list[Claim]:
    """The claims of a text, in order; none of one that names options hundreds of times."""
    if not mentions or len(mentions) > _TOO_MANY:
        return []
    low = blanked(lower(text), pattern("<aside>"))
    low = pattern("<except>").sub(lambda match: "not".ljust(len(match.group())), low)
    claims, first, before = [], True, 0
    for start, end in _statements(low, mentions):
        first = first and says_nothing(low[before:start])
        before = start
        here = [each for each in mentions if start <= each.start <= end]
        if len(here) > _MANY:
            continue
        parted = _parted(low, here)
        for k, each in enumerate(here):
            begin = here[k - 1].end if k else start
            stop = here[k + 1].start if k + 1 < len(here) else max(end, each.end)
            place = place_of(low, each, (start, max(end, each.end)), (begin, stop), first=first)
            claim = _claim(place, menu, low[: each.start], start)
            aside = not low[each.start : each.end].strip()  # "of the four"
            if claim is not None and each not in parted and not aside:
                claims.append(claim)
    return _without_open(low, mentions, claims)


def _parted(low: str, here: Sequence[Mention]) -> list[Mention]:
    """Those of a sentence's mentions that judge parts of the case differently: "YTA for the lie,
    NTA for the rest".
    """
    parts = [
        each
        for each in here
        if pattern(r"\s+<parts>").match(low, each.end)
        or pattern(r"(?:\A|[,;.!?\n])\s*(?:<turn>\s+)?<parts>[^,;.!?\n]*\Z").search(
            low[max(0, each.start - 60) : each.start]
        )
    ]
    return parts if len({each.options for each in parts}) > 1 else []


def _without_open(low: str, mentions: Sequence[Mention], claims: list[Claim]) -> list[Claim]:
    """The claims; only those with a word of choosing or in conclusion where several options are
    named and a later sentence leaves the matter open.
    """
    if len({each.options for each in mentions}) < 2:
        return claims
    later = re.split(r"[.!?。;\n]", low[mentions[-1].end :])[1:]
    if not any(pattern("<open>").search(sentence) for sentence in later):
        return claims
    return [each for each in claims if each.spoken or each.concludes]


def _statements(low: str, mentions: Sequence[Mention]) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence that asks nothing; none ends within a mention."""
    inside = {place for each in mentions for place in range(each.start, each.end - 1)}
    start = 0
    for match in _SENTENCE.finditer(low):
        if match.start() in inside:
            continue
        asks = "?" in match.group()
        answers = "<maybe,tentative>" if low.count("?") == 1 else "<maybe>"
        if not asks or pattern(answers).search(low[start : match.start()]):
            yield start, match.start()
        start = match.end()
    if start < len(low):
        yield start, len(low)


def _claim(place: MentionPlace, menu: NamedMenu, said: str, sentence: int) -> Claim | None:
    each = place.mention
    if is_denied(place, menu):
        return None
    if is_rival(place):
        return Claim(RIVAL, each.options, each.kind, each.end, sentence)
    if is_conditional(place) or is_elsewhere(place):
        return None
    goes_on = pattern(r"\s*<copulas>").match(place.after)  # "choosing B is wrong"
    spoken = not goes_on and is_spoken(place) and is_whole(place, menu)
    rank = PLAIN if spoken or each.sure else unspoken_rank(place, menu)
    rank = rank or (ASIDE if is_rated(place, menu) else 0)
    maybe = after_last("<maybe>", place.clause)
    if not rank and maybe is not None and is_particle(maybe):
        ends = each.kind == "number" or says_nothing(place.rest)  # "B. Or maybe C."
        anywhere = ends and says_nothing(blanked(place.head, pattern("<maybe>")))
        return Claim(RIVAL, each.options, each.kind, each.end, -1 if anywhere else sentence)
    unsure = each.kind == "letter" and each.end - each.start == 1  # a Russian "В"
    if not rank or (len(each.options) > 1 and not spoken and not unsure):
        return None
    if rank == PLAIN and pattern("<hedged>").search(place.clause):
        rank = ASIDE
    if rank == PLAIN and not each.sure and is_bracketed_aside(place):
        rank = PRAISE
    leads = len(said) < LONG and pattern(r"\W*(?:<options>\W*)?").fullmatch(said) is not None
    alone = says_nothing(place.head) and says_nothing(place.rest)
    return Claim(
        rank=rank,
        options=each.options,
        kind=each.kind,
        end=each.end,
        sentence=sentence,
        leads=leads,
        alone=alone,
        whole=alone and place.first,
        concludes=pattern("<conclusion>").search(place.head) is not None,
        spoken=spoken,
    )
