"""Naming: which option a few words name that are not its letter, number or whole text.

Words are compared by their beginnings, so that forms of a word are alike ("vendería" and
"Vender"); Chinese by pairs of characters. What only one option has tells it from the others.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import takewhile

from valueagents.policies.readings.menu_words import NamedMenu, lower, plain
from valueagents.policies.readings.patterns import CJK, blanked, pattern, says_nothing

ACT, DONE, FRAGMENT = 0.45, 0.3, 0.65
"""Of an act this share of the words must be the option's; of one that begins with the option's
verb; of words that stand alone.
"""
_FAR = 3  # with so many times as many words of its own, an option is meant and another is not
_VERB = 3  # so many letters of a verb are alike in its forms
_STEM = 5
_INFINITIVE = re.compile(r"\w{3,}(?:en|[aei]re?|[aei]r[mts]e|[aei]rsi|ть|ться|ти|чь)\Z")
_ROMANCE = re.compile(r"[aei]re?\Z")
_ENCLITIC = re.compile(
    r"(?<=[aei]r)(?:me|te|se|l[aeo]s?|les|nos|mi|ti|si|ci|ne|li|gli(?:el[aeio])?)\Z"
)
_PARTICLE = re.compile(
    r"(?<!\w)(?:ab|an|auf|aus|ein|mit|nach|vor|weg|zurück|los|weiter|um|hin|her|bei|zu)(?=\W*\Z)"
)
"""What a German verb leaves at the end: "ich gebe ihn ab" of "abgeben"."""
_PREFIX = re.compile(r"\A(?:по|за|на|от|вы|при|пере|раз|рас|про|под)(?=\w{4})")
_OWN_FORM = re.compile(r"(?:\w[oòée]|\w[юу]|[юу]сь|\wм|mos|iamo|ons|ai|is)\Z")
"""Endings of a verb of "I" or "we" that stands without a pronoun."""
_PONDERS = r"\W*(?:(?:first|zuerst|erst|d'abord|primero|prima|сначала)\W+)?<ponders>"
_WORD = re.compile(r"[^\W\d_]+")


def named(part: str, menu: NamedMenu, share: float, share_of_verb: float) -> int | None:
    """The option that alone has a text's words in a row, or two words of its own and this share of
    all, the second one where the text begins with the option's verb.
    """
    part = _as_asked(_with_particle(part, menu), menu)
    row = f" {plain(part)} "
    holding = [k for k, each in enumerate(menu.texts) if row in f" {plain(each)} "]
    if len(holding) == 1 and len(row.split()) > 1:
        return holding[0]
    every, own = stems_of(menu.texts)
    said = _stems_said(part, menu)
    met = [len(each & said) for each in own]
    option = max(range(len(met)), key=met.__getitem__, default=0)
    if not met or not met[option]:
        return None
    begins = _verb_of(part, (menu.texts[option],)) is not None
    rival = max((each for k, each in enumerate(met) if k != option), default=0)
    if rival and met[option] < _FAR * rival and not (begins and met[option] > rival == 1):
        return None
    if _is_opposed(part, menu.texts[option], own[option] & said):
        return None
    if met[option] == 1:
        told = _stems_said(" ".join(word for word in row.split() if not says_nothing(word)), menu)
        known = told & frozenset[str]().union(*every)
        only = known == told or len(told & every[option]) >= len(told) / 2
        return option if begins and only and len(known) > 1 else None
    if not begins and pattern(_PONDERS).match(part):
        return None
    chinese = re.search(f"[{CJK}]", part) is not None
    least = share_of_verb if begins else min(share, DONE) if chinese else share
    return option if len(every[option] & said) >= least * len(said) else None


def done(act: str, menu: NamedMenu, low: str, *, alone: bool) -> int | None:
    """The one option that begins with what is done, where no more is said of it than a pronoun
    ("je le garderais" of "Garder le chien") or words of the option ("venderei la barca").

    A pronoun stands for the option's object, which has an article or is spoken of elsewhere.
    `alone`: a verb without an object is enough.
    """
    words = _without_lead(plain(_with_particle(act, menu)).split(), menu)
    if not words or pattern("<ponders>").match(" ".join(words)):
        return None
    if re.match(f"[{CJK}]", words[0]):
        return _in_order("".join(words), menu)
    texts = [plain(each).split() for each in menu.texts]
    at = next((k for k, word in enumerate(words) if k and _is_pronoun(word)), len(words))
    if all(_is_pronoun(word) or says_nothing(word) for word in words[at:]):
        begun = [k for k, each in enumerate(texts) if _begins(each, words[:at])]
        if len(begun) == 1:
            has = alone if at == len(words) else _has_object(begun[0], at, menu, low)
            return begun[0] if has else None
    told = [words[0], *(word for word in words[1:] if not says_nothing(word))]
    found = [k for k, each in enumerate(texts) if _has_all(told, each)]
    return found[0] if len(found) == 1 else None


def wholly(part: str, menu: NamedMenu) -> int | None:
    """The one option that has every word of a text, and of them one that no other has."""
    words = plain(part).split()
    while words and says_nothing(words[0]):
        words.pop(0)
    own = stems_of(menu.texts)[1]
    found = [k for k, each in enumerate(own) if each & stems(" ".join(words))]
    if len(found) != 1:
        return None
    has = plain(menu.texts[found[0]]).split()
    told = (word for word in words if not pattern("<articles,towards>").fullmatch(word))
    return found[0] if all(any(_is_plural(word, each) for each in has) for word in told) else None


def _is_plural(word: str, of: str) -> bool:
    return word.startswith(of) and len(word) - len(of) < _VERB and (word == of or len(of) > _VERB)


def is_rivalled(part: str, option: int, menu: NamedMenu) -> bool:
    """Whether a text has two words or more that only another option has, and not far fewer than of
    this one.
    """
    said = _stems_said(part, menu)
    met = [len(each & said) for each in stems_of(menu.texts)[1]]
    rival = max((each for k, each in enumerate(met) if k != option), default=0)
    return rival > 1 and met[option] < _FAR * rival


def named_beside(part: str, menu: NamedMenu) -> frozenset[int]:
    """The options of which a text has two words or more that no other has."""
    said = stems(part)
    return frozenset(k for k, each in enumerate(stems_of(menu.texts)[1]) if len(each & said) > 1)


def is_verb_of(word: str, texts: tuple[str, ...], *, bare: bool = False) -> bool:
    """Whether a word may be a form of an option's verb; if `bare`, one of the first person."""
    return any(_is_form_of(word, verb, bare=bare) for verb in _verbs(texts))


def begins_act(clause: str, menu: NamedMenu, *, bare: bool) -> bool:
    """Whether a clause begins with a form of an option's verb; if `bare`, in the first person."""
    word, ends = _WORD.match(clause), _PARTICLE.search(clause)
    forms = [] if word is None else [word.group(), *([ends.group() + word.group()] if ends else [])]
    return any(is_verb_of(form, menu.texts, bare=bare) for form in forms)


def is_lead(before: str) -> bool:
    """Whether words say no more than pronouns and filler do before a verb."""
    return says_nothing(blanked(before, pattern("<persons,clitics,turn>")))


def stems(text: str) -> frozenset[str]:
    """The beginnings of a text's words, pairs of Chinese characters as words."""
    low = lower(text)
    pairs = {
        run[k : k + 2] for run in re.findall(f"[{CJK}]+", low) for k in range(max(1, len(run) - 1))
    }
    words = _WORD.findall(re.sub(f"[{CJK}]+", " ", low))
    return frozenset(pairs | {_stem(word) for word in words if _tells(word)})


def _tells(word: str) -> bool:
    return len(word) >= _VERB and not pattern("<common>").fullmatch(word)


@lru_cache(4096)
def _stem(word: str) -> str:
    root = _PREFIX.sub("", _ENCLITIC.sub("", word))
    cut = _folded(root)[: _STEM - (root != word)]
    short = cut.rstrip("aeiosyаеиоуыьюя")
    return short if len(word) <= _STEM and len(short) >= _VERB else cut


def _folded(word: str) -> str:
    """Without accents."""
    parts = unicodedata.normalize("NFD", word)
    return "".join(char for char in parts if not unicodedata.combining(char))


@lru_cache(4096)
def stems_of(texts: tuple[str, ...]) -> tuple[list[frozenset[str]], list[frozenset[str]]]:
    """The stems of each option, and those that no other has. An option that denies ("do not tell
    her") takes none from one that does not.
    """
    every = [stems(text) for text in texts]
    denies = [pattern(r"\W*(?:do\s+)?<denial>").match(lower(text)) is not None for text in texts]
    own = [
        each.difference(
            *(other for j, other in enumerate(every) if j != k and (denies[k] or not denies[j]))
        )
        for k, each in enumerate(every)
    ]
    return every, own


@lru_cache(4096)
def _verbs(texts: tuple[str, ...]) -> frozenset[str]:
    """The first word of what is joined in each option, and infinitives."""
    clauses = (each for text in texts for each in pattern(r"[,;:]|<joins>").split(lower(text)))
    first = {words[0] for words in map(str.split, map(plain, clauses)) if words}
    first = {word for word in first if not pattern("<articles>").fullmatch(word)}
    every = (word for text in texts for word in plain(text).split())
    return frozenset(first | {word for word in every if _INFINITIVE.fullmatch(word)})


@lru_cache(4096)
def _is_form_of(word: str, verb: str, *, bare: bool = False) -> bool:
    """Whether a word may be a form of a verb: alike but for the end."""
    if bare and (word == verb or not _OWN_FORM.search(word)):
        return False
    one, other = _folded(word), _folded(verb)
    if one.endswith("ing") and one[:-3] in (other, other.removesuffix("e"), other + other[-1:]):
        return True
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    alike = sum(1 for _ in pairs)
    other = _ENCLITIC.sub("", other)
    least = _VERB if one == other or _ROMANCE.search(other) else _VERB + 1
    return alike >= _STEM or (alike >= least and max(len(one), len(other)) - alike <= alike)


def _verb_of(part: str, texts: tuple[str, ...]) -> str | None:
    """The word that a text begins with, but for filler, if it is a form of an option's verb."""
    for match in _WORD.finditer(part):
        word = match.group()
        if is_verb_of(word, texts):
            return word
        if not is_lead(word):
            return None
    return None


def _stems_said(part: str, menu: NamedMenu) -> frozenset[str]:
    """The stems of a text; of its verb, those of the option's verb that it is a form of."""
    said, word = stems(part), _verb_of(part, menu.texts)
    if word is None:
        return said
    verbs = [verb for verb in _verbs(menu.texts) if _is_form_of(word, verb)]
    return (said - stems(word)).union(*(stems(verb) for verb in verbs))


def _with_particle(part: str, menu: NamedMenu) -> str:
    """A German verb with what stands apart from it at the end: "abgebe ihn" for "gebe ihn ab"."""
    ends = _PARTICLE.search(part)
    if ends is None:
        return part
    for word in _WORD.finditer(part):
        if is_verb_of(ends.group() + word.group(), menu.texts):
            return ends.group() + part[word.start() : ends.start()]
    return part


def _as_asked(part: str, menu: NamedMenu) -> str:
    """With the word for asking that the one option has that begins with one: "ask the boss" for
    "check with the boss".
    """
    asks = pattern(r"\A\W*(<asks>)")
    own = [match.group(1) for each in menu.texts if (match := asks.match(lower(each)))]
    return asks.sub(own[0], part) if len(own) == 1 else part


def _leads(word: str) -> bool:
    """Whether a word may stand before a verb, adverbs too."""
    return is_lead(word) or re.fullmatch(r"\w{3,}(?:ly|ment|mente)", word) is not None


def _without_lead(words: list[str], menu: NamedMenu) -> list[str]:
    lead = takewhile(lambda word: _leads(word) and not is_verb_of(word, menu.texts), words)
    return words[sum(1 for _ in lead) :]


def _is_pronoun(word: str) -> bool:
    return pattern("<pronouns>").fullmatch(word) is not None


def _begins(option: list[str], words: list[str]) -> bool:
    """Whether an option begins with words, the first one in some form; after a pronoun, too."""
    own = option[1:] if option and pattern("<clitics>").fullmatch(option[0]) else option
    return bool(own) and _is_form_of(words[0], own[0]) and own[1 : len(words)] == words[1:]


def _has_object(option: int, size: int, menu: NamedMenu, low: str) -> bool:
    """Whether what follows an option's first words begins with an article, or is spoken of."""
    rest = plain(menu.texts[option]).split()[size:]
    if rest and pattern("<articles,pronouns>").fullmatch(rest[0]):
        return True
    others = " ".join(each for k, each in enumerate(menu.texts) if k != option)
    meant = [stem for word in rest for stem in stems(word)][:1]
    return bool(meant) and meant[0] in stems(f"{low} {others}")


def _in_order(said: str, menu: NamedMenu) -> int | None:
    """The one option that has all Chinese characters of a text in their order."""
    characters = re.sub(r"\A(?:先|就|再|还是)+|[他她它](?:们)?|[吧了啊呀啦呢]+\Z", "", said)
    found = []
    for k, each in enumerate(menu.texts):
        rest = iter(each)
        if len(characters) > 1 and all(char in rest for char in characters):
            found.append(k)
    return found[0] if len(found) == 1 else None


def _has_all(words: list[str], option: list[str]) -> bool:
    """Whether an option has a verb and all further words that are said."""
    verb = is_verb_of(words[0], (" ".join(option),))
    return verb and any(map(_tells, words[1:])) and set(words[1:]) <= set(option)


def _is_opposed(one: str, text: str, own: frozenset[str]) -> bool:
    """Whether a text denies what the option says or holds other numbers: "do not tell her",
    "unlock the door".
    """
    clauses = re.split(r"[,;:]", lower(text))
    other = " ".join(clause for clause in clauses if stems(clause) & own)
    mine, yours = plain(one).split(), plain(other).split()
    denials = {pattern("<denial>").search(each) is not None for each in (one, other)}
    numbers = {word for word in mine if word.isdecimal()} - set(yours)
    turned = any(
        prefix + word in here
        for here, there in ((mine, yours), (yours, mine))
        for word in there
        for prefix in ("un", "dis", "in", "im", "non")
    )
    return len(denials) > 1 or bool(numbers) or turned
