"""Parsing: which option a model's words name. Tolerant, and every answer says by which rule it was read.

Rules are tried in order, the plainest first; a rule that fits two options names none. A letter counts only where it
stands as an answer: "A good neighbour would wait" is not option A.
"""

import re
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher
from string import ascii_uppercase
from typing import Literal

import msgspec

Rule = Literal[
    "letter", "named letter", "number", "quoted text", "text", "fuzzy text", "refusal", "open thought", "none"
]

_FUZZY_RATIO = 0.85
_FUZZY_LEAD = 0.1
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"<(think|thinking|reasoning)>", re.IGNORECASE)
_CLOSED_ONLY = re.compile(r"\A.*</(think|thinking|reasoning)>", re.DOTALL | re.IGNORECASE)
_FINAL = re.compile(r"(?:final\s+)?answer\s*(?:is\s*)?[:=]\s*([^\n]+)", re.IGNORECASE)
_LETTER = re.compile(r"\A\W*(?:option\s+)?([A-Za-z])(?=\W*\Z|\s*[.):,*\]\n–—-])")
_NUMBER = re.compile(r"\A\W*(?:option\s+)?(\d{1,2})(?=\W*\Z|\s*[.):,*\]\n–—-])", re.IGNORECASE)
_NAMED = re.compile(
    r"\b(?:option|choice|answer|choose|chose|pick|select|take|go(?:ing)?\s+(?:with|for))\s*(?:is|:|=)?\s*[*(\"'“]*([A-Z])\b(?!')"
)
_QUOTED = re.compile(r"[\"“”«]([^\"“”«»]{2,}?)[\"“”»]")
_REFUSAL = re.compile(
    r"\b(?:i\s*(?:'m|\s+am)\s+(?:sorry|unable|not\s+able)|i\s+(?:can\s*not|can't|won't|will\s+not|must\s+decline)|"
    r"as\s+an?\s+(?:ai|language\s+model))\b",
    re.IGNORECASE,
)


class Parsed(msgspec.Struct, frozen=True):
    """The index of the option in the order in which the options were listed, None = none named; and by which rule."""

    index: int | None
    rule: Rule


def without_thought(reply: str) -> str | None:
    """The reply after the model's thinking; None if the thinking never ended, so that there is no answer."""
    said = _THOUGHT.sub("", reply)
    if _OPEN_THOUGHT.search(said):
        return None
    return _CLOSED_ONLY.sub("", said).strip()  # a chat template may have opened it for the model


def parse(reply: str, options: Sequence[str]) -> Parsed:
    """Which of the listed options (under the letters A, B, …) a reply names.

    A line "Answer: …" is believed over everything around it, the last one if there are several.
    """
    said = without_thought(reply)
    if said is None:
        return Parsed(None, "open thought")
    final = _FINAL.findall(said)
    parsed = _read(final[-1].strip(), options) if final else None
    if parsed is not None:
        return parsed
    refused = bool(_REFUSAL.search(said))
    parsed = None if refused and final else _read(said, options)
    if parsed is not None and not (refused and parsed.rule == "fuzzy text"):
        return parsed
    return Parsed(None, "refusal" if refused else "none")


def _read(said: str, options: Sequence[str]) -> Parsed | None:
    """By the first rule that names one option."""
    rules: list[tuple[Rule, set[int]]] = [
        ("letter", _letters(_LETTER.findall(said.splitlines()[0] + "\n") if said else [], len(options))),
        ("text", {k for k, text in enumerate(options) if _plain(text) == _plain(said)}),
        ("named letter", _letters(_NAMED.findall(said), len(options))),
        ("number", {int(n) - 1 for n in _NUMBER.findall(said) if 1 <= int(n) <= len(options)}),
        ("quoted text", _holding([_plain(quote) for quote in _QUOTED.findall(said)], options)),
        ("text", _contained(_plain(said), options)),
        ("fuzzy text", _nearest(_plain(said), options)),
    ]
    return next((Parsed(min(found), rule) for rule, found in rules if len(found) == 1), None)


def _letters(found: Sequence[str], count: int) -> set[int]:
    return {k for letter in found if (k := ascii_uppercase.find(letter.upper())) in range(count)}


def _plain(text: str) -> str:
    """Letters and digits in lower case, one space between words."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded))


def _holding(quotes: Sequence[str], options: Sequence[str]) -> set[int]:
    return {k for k, text in enumerate(options) if _plain(text) in quotes}


def _contained(said: str, options: Sequence[str]) -> set[int]:
    """Options whose whole text stands in the reply, those left out that are part of a longer one that does."""
    plain = [_plain(text) for text in options]
    found = {k for k, text in enumerate(plain) if text and re.search(rf"\b{re.escape(text)}\b", said)}
    return {k for k in found if not any(j != k and plain[k] in plain[j] and plain[k] != plain[j] for j in found)}


def _nearest(said: str, options: Sequence[str]) -> set[int]:
    """The option most like the reply, if it is very like and clearly more so than the next."""
    ratios = sorted(
        ((SequenceMatcher(None, said, _plain(t), autojunk=False).ratio(), k) for k, t in enumerate(options))
    )
    best, k = ratios[-1]
    second = ratios[-2][0] if len(ratios) > 1 else 0.0
    return {k} if said and best >= _FUZZY_RATIO and best - second >= _FUZZY_LEAD else set()
