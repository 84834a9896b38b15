"""Options by their own words: whole texts that are not denied, and words that no other option
has.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

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
_OWN_PERSON = frozenset({"i", "ich", "je", "j", "yo", "io", "я", "me", "mi", "бы"})
_OTHER_PERSON = frozenset(
    {"he", "she", "they", "er", "elle", "ils", "él", "ella", "ellos", "lui", "lei", "loro"}
    | {"он", "она", "они"}
)
_OWN_FORM = re.compile(r"(?:ais|ai|ía|é|o|ei|ò|ю|у|л|ла|ть|[aei]re?|[aei]r)\Z")
"""Endings of what "I" would do, do or did, and of infinitives; some are of other persons too."""
_VERB = 3  # so many letters of a verb are alike in its forms
_ENOUGH = 5  # fewer words of an option may be the beginning of something else
_CHARACTERS = 3  # so many Chinese ones in a row may be those of any text
_ARTICLES = frozenset({"the", "a", "an", "die", "der", "das", "dem", "le", "la", "il", "lo", "el"})
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
    if _OTHER_PERSON & set(plain(low).split()[:1]):
        return None
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
        done = pattern(r"[,(–—]|<turn>").split(part)[0]
        option = None if pattern("<condition>").search(part) else _by_pronoun(done, low, menu)
        if option is not None and own_words(part, menu, share=0.0) in (None, option):
            return option
    return None


def _by_pronoun(act: str, low: str, menu: NamedMenu) -> int | None:
    """The one option that begins with what is done, with a pronoun for its object, where that is
    spoken of in the reply or in another option: "vote against it" of "Vote against the dam".
    """
    said = pattern(r"\s*([^\W\d_][^\d_]*?)\s+<pronouns>(?!\w)(.*)").match(act)
    if said is None or not says_nothing(said.group(2)):
        return None
    verb = plain(said.group(1)).split()
    every = [plain(each).split() for each in menu.texts]
    begun = [k for k, words in enumerate(every) if words[: len(verb)] == verb]
    if len(begun) != 1:
        return None
    [option] = begun
    others = " ".join(each for k, each in enumerate(menu.texts) if k != option)
    known = _stems(f"{low} {others}")
    rest = every[option][len(verb) :]
    meant = [stem for word in rest for stem in _stems(word)][:1]
    return option if meant and meant[0] in known else None


def by_idiom(text: str, menu: NamedMenu) -> int | None:
    """The one option that a set phrase settles on by words that no other has: "so Patagonia it
    is", "off to the shelter we go".
    """
    low = blanked(lower(text), pattern("<aside>"))
    texts = [plain(each) for each in menu.texts]
    found = {
        _settled_on(part, menu)
        for sentence, part in _settled(low)
        if not any(plain(sentence) in each for each in texts)
    }
    return found.pop() if len(found) == 1 else None


def _settled(low: str) -> Iterator[tuple[str, str]]:
    """Sentences with a set phrase and what it settles on, those that deny nothing and hold on no
    condition.
    """
    forms = (
        r"\A\W{0,9}(?:<settles>\s+)?([^,;:–—]{1,60}?)\s+<settled>(?!\w)(.*)\Z",
        r"\A\W{0,9}<settles>\s+([^,;:–—]{1,60})(.*)\Z",
    )
    for match in re.finditer(r"[^.!?;。\n]+(?![^.!?;。\n]|\?)", low):
        sentence = match.group()
        turns = [turn.end() for turn in pattern("<turn>").finditer(sentence)]
        last = re.split(r"[,:–—]", sentence[max(turns, default=0) :].strip())
        while len(last) > 1 and says_nothing(last[-1]):
            last.pop()
        named = (pattern(form).match(last[-1]) for form in forms)
        one = next((each for each in named if each is not None), None)
        barred = pattern("<denial,rejection,condition,elsewhere>").search(" ".join(last))
        if one is not None and not barred and says_nothing(one.group(2)):
            yield one.group(), one.group(1)


def _settled_on(part: str, menu: NamedMenu) -> int | None:
    """The one option that has every word of a text, and of them one that no other has."""
    words = plain(part).split()
    while words and says_nothing(words[0]):
        words.pop(0)
    said = {word for word in words if word not in _ARTICLES and word not in _COMMON}
    every = [set(plain(each).split()) for each in menu.texts]
    having = [k for k, each in enumerate(every) if any(len(word) > 2 for word in said & each)]
    if len(having) != 1:
        return None
    [option] = having
    return option if set(words) - _ARTICLES <= every[option] else None


def _last_act(low: str, menu: NamedMenu) -> int | None:
    """The option whose first word, its verb in some form, and further words are in a part of the
    last sentence: "me quedo a dormir" of "Quedarse a dormir".
    """
    *_, last = [each for each in re.split(r"(?<=[.!?。])\s+|\n", low) if each.strip()] or [""]
    if "?" in last or pattern("<denial,rejection,contrast,condition,elsewhere>").search(last):
        return None
    plainly = pattern("<turn,hedged>").search(last) is None and "," not in last
    if plainly and (option := _by_verb(last, menu)) is not None:
        return option
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


def _by_verb(sentence: str, menu: NamedMenu) -> int | None:
    """The one option whose first word, in some form, a sentence begins with, and that has all of
    its further words: "venderei la barca" of "Vendere la barca".
    """
    words = plain(sentence).split()
    found = set()
    for start, verb in enumerate(words):
        rest = words[start + 1 :]
        content = any(len(word) > 2 and word not in _COMMON for word in rest)
        for k, each in enumerate(menu.texts):
            first, *own = plain(each).split() or [""]
            whole = set(rest) <= {first, *own} and (content or (not rest and len(verb) > _ENOUGH))
            if whole and _OWN_FORM.search(verb) and _is_form_of(verb, first):
                found.add(k)
        if verb not in _OWN_PERSON:
            break
    return found.pop() if len(found) == 1 else None


def _is_form_of(verb: str, infinitive: str) -> bool:
    """Whether two words may be forms of one verb: alike but for their ends."""
    pairs = zip(verb, infinitive, strict=False)
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return alike >= _VERB and len(infinitive) - alike < _VERB and len(verb) - alike <= _VERB


def _intentions(low: str) -> Iterator[str]:
    """What follows "I would" or "the right thing is to", and what is said to be the right thing."""
    best = r"<copulas>\s+(?:[^\W\d_'-]+\s+){0,4}?<praise>"
    forms = (
        r"<intention>\s*([^.!?;\n。]+)",
        rf"(?:\A|[.!?;\n])([^.!?;\n]+?){best}",
        r"<praise>[^.!?;\n,]{0,120}?<copulas>\s+([^.!?;\n]+)",
    )
    for form in forms:
        for match in pattern(form).finditer(low):
            before = low[max(0, match.start(1) - 60) : match.start(1)]
            clause = pattern(r"[.!?;\n]|,\s*<turn>(?!\w)").split(before)[-1]
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
