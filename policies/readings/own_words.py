"""Options by their own words: whole texts that are not denied, and words that no other option
has.
"""

import re
from collections.abc import Iterator, Sequence

from valueagents.policies.readings.mentions import Mention
from valueagents.policies.readings.menu_words import NamedMenu, lower, plain
from valueagents.policies.readings.patterns import CJK, blanked, pattern, says_nothing

_OWN_SHARE, _ACT_SHARE = 0.7, 0.55
"""Of a reply that is nothing but a text, and of what the model would do, this share of the words is
the option's.
"""
_NOTHING_MORE = frozenset(
    {"i", "you", "we", "ich", "wir", "bin", "je", "ne", "suis", "yo", "io", "я", "我"}
    | {"with", "this", "that", "the", "statement"}
)
_VERB = 3  # so many letters of a verb are alike in its forms
_ENOUGH = 5  # fewer words of an option may be the beginning of something else
_CHARACTERS = 3  # so many Chinese ones in a row may be those of any text
_COMMON = frozenset(
    {"the", "and", "that", "this", "with", "from", "for", "you", "your", "her", "his", "she"}
    | {"they", "them", "their", "are", "was", "were", "not", "but", "will", "would", "have", "has"}
    | {"had", "into", "out", "what", "which", "who", "all", "any", "its", "one", "him", "our"}
    | {"can"}
)


def by_text(text: str, menu: NamedMenu, mentions: Sequence[Mention]) -> int | None:
    """The one option whose whole text is in a reply that names no other, denies nothing before it
    and asks nothing.
    """
    named = {k for each in mentions for k in each.options}
    whole = [each for each in mentions if each.kind == "text"]
    if "?" in text or len(named) != 1 or not whole:
        return None
    if menu.loose(min(named)) and not named <= menu.codes and not _is_sentence(text, whole[0]):
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
        if few and not named <= menu.codes and not says_nothing(" ".join(more)):
            return None
    return min(named)


def _is_sentence(text: str, whole: Mention) -> bool:
    """Whether a short text is all that a reply says, but for "I" and "with this"."""
    around = f"{text[: whole.start]} {text[whole.end :]}".lower()
    return all(word in _NOTHING_MORE for word in plain(around).split())


def by_words(text: str, menu: NamedMenu) -> int | None:
    """The one option that alone has words of a reply: of one that is nothing but a text, or of what
    its last sentence says is done.
    """
    low = blanked(lower(text), pattern("<aside>"))
    longest = max((len(each.split()) for each in menu.texts), default=0)
    if len(low.split()) <= longest + 4 and not pattern("<intention>").search(low):
        whole = own_words(low, menu, share=_OWN_SHARE)
        if whole is not None:
            return whole
    return _last_act(low, menu)


def by_intention(text: str, menu: NamedMenu) -> int | None:
    """The one option that alone has words of what the model says it would do."""
    low = blanked(lower(text), pattern("<aside>"))
    for part in _intentions(low):
        act = pattern(r"[,(–—]|<because,turn>").split(part)[0]
        option = own_words(act, menu, share=_ACT_SHARE)
        if option is not None and option == own_words(part, menu, share=0.0):
            return option
    return None


def _last_act(low: str, menu: NamedMenu) -> int | None:
    """The option whose first word, its verb in some form, and further words are in a part of the
    last sentence: "me quedo a dormir" of "Quedarse a dormir".
    """
    *_, last = [each for each in re.split(r"(?<=[.!?。])\s+|\n", low) if each.strip()] or [""]
    if "?" in last or pattern("<denial,rejection,contrast,condition,elsewhere>").search(last):
        return None
    found = set()
    for part in re.split(r"[,;:–—]", last):
        words = plain(part).split()
        while words and words[0] in _NOTHING_MORE:
            words.pop(0)
        option = own_words(" ".join(words), menu, share=_ACT_SHARE)
        verb = "" if option is None else plain(menu.texts[option])[:_VERB]
        if option is not None and any(word.startswith(verb) for word in words):
            found.add(option)
    return found.pop() if len(found) == 1 else None


def _intentions(low: str) -> Iterator[str]:
    """What follows "I would" or "the right thing is to", and what is said to be the right thing."""
    best = r"<copulas>\s+(?:[^\W\d_'-]+\s+){0,4}?<praise>"
    forms = (
        r"<intention>\s*([^.!?;\n。]+)",
        rf"(?:\A|[.!?;\n])([^.!?;\n]+?){best}",
        r"<praise>[^.!?;\n,]*?<copulas>\s+([^.!?;\n]+)",
    )
    for form in forms:
        for match in pattern(form).finditer(low):
            before = low[max(0, match.start(1) - 60) : match.start(1)]
            clause = re.split(r"[.!?;\n]", before)[-1]
            owed = re.match(r"(?:have|need|like|love|want|be able) to\b", match.group(1))
            others = pattern("<condition,elsewhere,denial,rejection>").search(clause)
            if not owed and not others:
                yield match.group(1)


def own_words(part: str, menu: NamedMenu, *, share: float) -> int | None:
    """The option that alone has a text's words in a row, or two or more of its own words in a text
    that has none of another's.
    """
    row = f" {plain(part)} "
    holding = [k for k, each in enumerate(menu.texts) if row in f" {plain(each)} "]
    if len(holding) == 1 and len(row.split()) > 1:
        return holding[0]
    characters = "".join(re.findall(f"[{CJK}]", part))
    holding = [k for k, each in enumerate(menu.texts) if characters in re.sub(r"\W", "", each)]
    if len(holding) == 1 and len(characters) > _CHARACTERS:
        return holding[0]
    said = _stems(part)
    stems = [_stems(each) for each in menu.texts]
    met = []
    for k, each in enumerate(stems):
        others = set[str]().union(*(other for j, other in enumerate(stems) if j != k))
        if (each - others) & said:
            met.append((k, (each - others) & said))
    if len(met) != 1:
        return None
    option, own = met[0]
    enough = len(own) >= 2 and len(stems[option] & said) >= share * len(said)
    clauses = re.split(r"[,;:]", lower(menu.texts[option]))
    meant = " ".join(clause for clause in clauses if _stems(clause) & own)
    return option if enough and not _is_opposed(part, meant) else None


def _stems(text: str) -> set[str]:
    return {word[:5] for word in plain(text).split() if len(word) > 2 and word not in _COMMON}


def _is_opposed(one: str, other: str) -> bool:
    """Whether one text denies what the other says or holds other numbers: "do not tell her",
    "unlock the door".
    """
    mine, yours = plain(one).split(), plain(other).split()
    denials = {pattern("<denial>").search(text) is not None for text in (one, other)}
    numbers = [[word for word in words if word.isdecimal()] for words in (mine, yours)]
    turned = any(
        prefix + word in here
        for here, there in ((mine, yours), (yours, mine))
        for word in there
        for prefix in ("un", "dis", "in", "im", "non")
    )
    return len(denials) > 1 or numbers[0] != numbers[1] or turned
