"""Blame: whose fault a reply says it is, where every option says whose it is.

A clause counts that says nothing else: "I'd put the fault with the manager" for "The manager is in
the wrong". What names two parties, doubts, denies, or is another's opinion names none.
"""

import re

from valueagents.policies.readings.menu_words import NamedMenu, lower
from valueagents.policies.readings.naming import stems, stems_of
from valueagents.policies.readings.patterns import blanked, pattern, says_nothing

_SENTENCE = re.compile(r"[^.!?。;\n]+[.!?。;\n]?")
_WORD = re.compile(r"[^\W\d_]+")
_GROUPS = ("<nobody>", "<both>", "<asker>")  # in this order: "neither of both" is nobody
_BLAMES = r"<fault>|<settled>\W*\Z"


def is_of_blame(menu: NamedMenu) -> bool:
    """Whether every option says whose fault it is, and none whose it is not."""
    fault, nobody, denial = pattern("<fault>"), pattern("<nobody>"), pattern("<denial>")
    texts = [lower(each) for each in menu.texts]
    return all(fault.search(each) for each in texts) and not any(
        denial.search(each) for each in texts if not nobody.search(each)
    )


def by_blame(text: str, menu: NamedMenu) -> int | None:
    """The one option whose party is blamed, or "both" or "nobody" where an option says so."""
    named: set[int | None] = set()
    for k, sentence in enumerate(_SENTENCE.findall(blanked(lower(text), pattern("<forced>")))):
        if sentence.endswith("?") or pattern("<condition,elsewhere>").search(sentence):
            continue
        if pattern(r"\W*<parts>[^,]*,").match(
            sentence
        ):  # "for the money, the author is in the wrong"
            continue
        clauses = pattern(r"[,;:–—]|<turn,joins>").split(sentence)
        named |= {_blamed(each, menu, first=k + j == 0) for j, each in enumerate(clauses)}
    named.discard(None)
    return named.pop() if len(named) == 1 else None


def _blamed(clause: str, menu: NamedMenu, *, first: bool) -> int | None:
    """The option whose party a clause blames; in the `first` one "both" or "nobody" is enough."""
    rest, parties = clause, list[list[int]]()
    for group in _GROUPS:
        meant = [k for k, each in enumerate(menu.texts) if pattern(group).search(lower(each))]
        parties += [meant] * len(pattern(group).findall(rest))
        rest = blanked(rest, pattern(group))
    rest = blanked(rest, pattern(_BLAMES))
    for k, own in enumerate(stems_of(menu.texts)[1]):
        told = [word for word in _WORD.findall(rest) if stems(word) & own]
        if told:
            parties.append([k])
            rest = re.sub(rf"\b(?:{'|'.join(told)})(?:'s)?\b", " ", rest)
    if len(parties) != 1 or len(parties[0]) != 1:
        return None
    if pattern("<nobody>").search(clause):  # "non è colpa di nessuno"
        rest = blanked(rest, pattern("<denial>"))
    rest = blanked(rest, pattern("<opinions,adverbs>"))
    if not pattern(_BLAMES).search(clause):
        alone = first and pattern("<nobody,both>").search(clause) and not _WORD.search(rest)
        return parties[0][0] if alone else None
    if pattern("<denial,praise,maybe>").search(rest):
        return None
    said = blanked(rest, pattern("<particles,copulas,determiners,clitics,others>"))
    return parties[0][0] if says_nothing(said) else None
