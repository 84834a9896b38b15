"""Which keys a text asks for: a question, a numbered list, or just any key to go on."""

import re

ENTER, SPACE = "enter", "space"
NAMED_KEYS = {ENTER: "", SPACE: " "}
_READ_BYTES = 800  # the question is at the end of what was said
_YES_OR_NO = re.compile(r"\by\b\W{0,3}(?:or|/|,)?\W{0,3}\bn\b|\byes\b.{0,8}\bno\b", re.IGNORECASE)
_LIST = re.compile(r"^[ \t]*[\[(<]?([0-9A-Za-z])[\])>.:](?=[ \t]*\S)", re.MULTILINE)
_IN_BRACKETS = re.compile(r"[\[(<]([0-9A-Za-z])[\])>]")
_TO_PRESS = re.compile(
    r"\b(?:press|type|hit|push|enter)\s+(?:the\s+)?[\"'<\[(]*([0-9A-Za-z])\b(?!')", re.IGNORECASE
)
_OTHERWISE = re.compile(r"(?:,|\bor\b)\s+[\"'<\[(]*([0-9A-Z])[\"'>\])]*(?=\s+(?:to|for)\b)")
_ARTICLE = re.compile(r"\ba\s+(?:key|number|letter|button)\b", re.IGNORECASE)


def keys_asked(text: str) -> tuple[str, ...]:
    """The keys that a text asks for, each once, in order; `enter` where any will do."""
    end = text[-_READ_BYTES:]
    if _YES_OR_NO.search(end):
        return ("y", "n")
    plain = _ARTICLE.sub("", end)
    found = _LIST.findall(plain) + _IN_BRACKETS.findall(plain) + _TO_PRESS.findall(plain)
    found += _OTHERWISE.findall(plain)
    return tuple(dict.fromkeys(key.lower() for key in found)) or (ENTER,)


def numbers_listed(text: str) -> tuple[str, ...]:
    """The numbers of a list at the end of a text, to be typed in a line; empty if there is none."""
    listed = [key for key in _LIST.findall(text[-_READ_BYTES:]) if key.isdigit()]
    return tuple(dict.fromkeys(listed)) if len(listed) > 1 else ()
