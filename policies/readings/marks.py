"""Marked answers: a box, a tag, a field of JSON, a line or a heading "Answer: …"."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

import msgspec

from valueagents.errors import NOT_JSON
from valueagents.policies.readings.menu_words import lower
from valueagents.policies.readings.patterns import pattern

_BOX = r"\\f?box(?:ed)?\s*\{+\s*(?:\\\w+\s*\{)?([^{}\n]+)"
_TAG = (
    r"\[?[<\[](?:answer|choice|final|verdict|rating|action|decision|response|output)[>\]]:?\s*"
    r"([^<\n]+)"
)
_VALUES = r"action|acci[oó]n|azione|aktion|действие|行动|value|valor|valore|wert|valeur|значение"
_FIELD = (
    rf"[\"'][^\"'\n:]{{0,30}}(?:<answers>|{_VALUES})[^\"'\n:]{{0,20}}[\"']\s*:\s*"
    r"(\[[^\]]*\]|\"[^\"\n]*\"|'[^'\n]*'|[^\n,}]+)"
)
_LINE = (
    r"<answers>(?:\s*\([^()\n]*\)|\s+<options>|\s+(?:for me|here|pour moi|para mí|per me))?"
    r"[\"']?\s*(?:<copulas>\s*)?(?::|=)[ \t]*(?:\n\s*)?([^\n]+)"
)
_HEADING = r"(?:^|\n)[#\s]*(?:(?:my|the|final|meine?|ma|mon|mi|la|il)\s+)*<answers>\s*\n\s*([^\n]+)"
_LABELS = ("answer", "choice", "verdict", "antwort", "réponse", "risposta", "respuesta", "ответ")
_ALIKE = 0.8  # of the letters, in their order
_NOT_THE_ANSWER = (
    r"<denial,rejection>|second|first (?:thought|instinct|idea)|other|alternativ|opposite|initial"
    r"|possib|reason|expla|confiden|rationale|justif|begründ|raison|raz[oó]n|motiv|причин|理由"
)
_NEITHER = (
    r"\W*(?:neither|none|both|either|null|unclear|undecided|n/a|weder|keine|beide|aucun|ni\b"
    r"|les deux|ning|ambas|ambos|nessun|né\b|entramb|ни\b|нет\b|обе|оба|都|无|没有)"
)


class Mark(msgspec.Struct, frozen=True):
    """A marked answer: from where to where, whether it says that it names no option, and whether
    it is called final.
    """

    start: int
    end: int
    neither: bool
    final: bool


def find_marks(text: str) -> Iterator[Mark]:
    """The marked answers of a text, in order."""
    low = lower(text)
    for match in pattern("|".join((_BOX, _TAG, _FIELD, _LINE, _HEADING))).finditer(low):
        [(start, end)] = [match.span(k) for k, said in enumerate(match.groups(), 1) if said]
        before = re.split(r"[.!?;\n,]", low[max(0, match.start() - 40) : match.start()])[-1]
        label = before + low[match.start() : start]
        if pattern(_NOT_THE_ANSWER).search(label) and "box" not in label:
            continue
        boxed = re.search(_BOX, text[start:end])
        if boxed is not None:
            start, end = start + boxed.start(1), start + boxed.end(1)
        neither = re.match(_NEITHER, low[start:end]) is not None
        final = re.search(r"final|endgültig|definitiv|окончательн|最终", label) is not None
        yield Mark(start, end, neither, final)


def spelt(text: str) -> str:
    """The text with a label at the beginning of a line as it is usually spelt: "Anwser: B"."""
    return re.sub(r"(?m)^([^\W\d_]{5,})(?=:)", lambda match: _usual(match.group()), text)


def _usual(label: str) -> str:
    if pattern("<answers>").fullmatch(lower(label)):
        return label
    return next(iter(get_close_matches(lower(label), _LABELS, 1, _ALIKE)), label)


def says_neither(text: str) -> bool:
    """Whether a text begins with "both", "neither" or the like."""
    return re.match(rf"{_NEITHER}(?:\W*[.,:;!\n–—]|\Z)", lower(text)) is not None


def json_answers(text: str) -> list[str]:
    """The texts in an object of JSON without a field that is named as the answer."""
    start, end = text.find("{"), text.rfind("}")
    if not 0 <= start < end:
        return []
    try:
        found = msgspec.json.decode(text[start : end + 1])
    except NOT_JSON:
        return []
    return list(_texts(found))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
