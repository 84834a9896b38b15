"""Menu words: a menu as a reply may name it: by letter, by number on its scale, by its texts."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from valueagents.policies.readings.patterns import CJK, DRESS, pattern

_VERDICTS = {
    "NTA": r"(?:not|aren't|isn't|ain't) (?:the|an) (?:asshole|a-?hole)",
    "YTA": r"(?:you're|you are|op is) the (?:asshole|a-?hole)",
    "ESH": r"every(?:one|body) sucks(?: here)?",
    "NAH": r"no (?:assholes|a-?holes) here",
}
"""What the usual abbreviations of verdicts stand for (r/AmItheAsshole, "Voting rules")."""


_LOOSE = 3
_CODE = r"\A([A-Z]{2,4})\s+[–—:-]+\s+|\s*\(([A-Z]{2,4})\)\W*\Z|\A([A-Z]{2,4})\Z"


def straight(text: str) -> str:
    """One form of every character, straight quotation marks and apostrophes, and a space between
    Chinese and Latin script.
    """
    text = unicodedata.normalize("NFKC", text)
    text = re.sub("[’‘‛]", "'", re.sub("[“”„«»「」『』《》]", '"', text))
    text = re.sub(rf"(?<=[{CJK}])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[{CJK}])", " ", text)
    return text.strip(DRESS)


def lower(text: str) -> str:
    """In lower case, every character at the same place."""
    whole = text.lower()
    if len(whole) == len(text):
        return whole
    return "".join(small if len(small := char.lower()) == 1 else char for char in text)


def plain(text: str) -> str:
    """Letters and digits in lower case, one space between words."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


@dataclass(frozen=True, slots=True)
class NamedMenu:
    """Option texts as a reply is compared with them.

    `scale`: the place of each number, where the options differ by one (a rating). `patterns`: what
    names each option by its words, to be matched in lower case. `codes`: what names those that
    are, begin or end with an abbreviation: "NTA", "NTA – nobody is to blame", "… (NTA)".
    """

    texts: tuple[str, ...]
    scale: dict[int, int] = field(default_factory=dict)
    patterns: tuple[re.Pattern[str] | None, ...] = ()
    codes: dict[int, re.Pattern[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Sequence[str]) -> "NamedMenu":
        """The menu of these texts."""
        texts = tuple(straight(option) for option in options)
        scale = _scale(texts)
        said = tuple(_pattern(text, rates=bool(scale)) for text in texts)
        return cls(texts, scale, said, _codes(texts))

    @property
    def top(self) -> int | None:
        """The highest number of the scale; None if there is none."""
        return max(self.scale, default=None)

    def loose(self, option: int) -> bool:
        """Whether a text is so short that it may be part of other words: "Wait", "like me"."""
        words = re.sub(rf"\A\d+\W+|{_CODE}", "", self.texts[option])
        return len(plain(words).split()) <= _LOOSE and not re.search(f"[{CJK}]{{2}}", words)


def _scale(texts: Sequence[str]) -> dict[int, int]:
    """The place of each number, if every text begins with another one or differs by nothing
    else.
    """
    found = [[int(number) for number in re.findall(r"\d{1,3}", text)] for text in texts]
    if len(texts) < 2 or not all(found):
        return {}
    begins = all(re.match(r"\d", text) for text in texts)
    alike = len({re.sub(r"\d+", "", text) for text in texts}) == 1
    if not begins and not alike:
        return {}
    columns = list(zip(*([row[:1] for row in found] if begins else found), strict=alike))
    varying = [column for column in columns if len(set(column)) == len(texts)]
    if len(varying) != 1:
        return {}
    return {number: place for place, number in enumerate(varying[0])}


def _codes(texts: Sequence[str]) -> dict[int, re.Pattern[str]]:
    """What names the options that have an abbreviation of their own."""
    found = {
        k: match.group(match.lastindex or 0)
        for k, text in enumerate(texts)
        if (match := re.search(_CODE, text))
    }
    own = {k: code for k, code in found.items() if list(found.values()).count(code) == 1}
    return {
        k: re.compile(rf"(?<![^\W_]){lower(code)}(?![^\W_])|{_VERDICTS.get(code, '(?!)')}")
        for k, code in own.items()
    }


def _pattern(text: str, *, rates: bool) -> re.Pattern[str] | None:
    words = re.findall(r"[^\W_]+", lower(re.sub(_CODE, "", text)))
    if not words or re.fullmatch(r"[a-z]|\d+", "".join(words)):
        return None
    number = re.match(r"\d+\W+", text)
    optional = rf"(?:{words.pop(0)}[\W_]+)?" if number and len("".join(words[1:])) > 1 else ""
    begins, ends = (
        "" if re.match(f"[{CJK}]", word) else r"[^\W_]" for word in (words[0], words[-1][-1])
    )
    left = rf"(?<!{begins})" if begins else ""
    right = rf"(?!{ends}|[.,]\d|\s*[-–—]\s*\d)" if ends else ""
    between = r"[\W_]+"
    if rates and not words[-1].isdecimal():  # "stimme ich dem eher zu"
        between = pattern(r"[\W_]+(?:<persons,rated>[\W_]+){0,2}").pattern
    elif len(words) > _LOOSE:
        between = pattern(r"[\W_]+(?:<adverbs>[\W_]+)?").pattern
    return re.compile(left + optional + between.join(map(re.escape, words)) + right)
