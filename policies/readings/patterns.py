"""Patterns: the words of `words/` in regular expressions, and what thoughts, marked answers and
refusals look like in a reply.

`pattern` takes a regular expression with places such as `<chosen>` or `<because,turn>`: words of
these roles in any language. It is matched against text in lower case.
"""

import re
import tomllib
from functools import cache
from importlib.resources import files
from string import whitespace

TAG = r"(?:think|thinking|thought|reasoning)[>\]]"
THOUGHT = re.compile(rf"[<\[]{TAG}.*?[<\[]/{TAG}", re.DOTALL | re.IGNORECASE)
OPEN_THOUGHT = re.compile(rf"[<\[]{TAG}", re.IGNORECASE)
CLOSED_ONLY = re.compile(rf"\A.*[<\[]/{TAG}", re.DOTALL | re.IGNORECASE)
DRESS = whitespace + "*_`"
CJK = r"\u3040-\u30ff\u3400-\u9fff"
CONDITIONAL = (
    r"(?:\A|[,–—(:-])\W*(?:<turn>\W*)?(?:(?:only|nur|seulement|solo|sólo|только)\s+)?<condition>"
)
"""A condition at the beginning of a clause, for `pattern`."""

_WITHIN = "zh.toml"  # its words stand within a text without spaces
_LETTER = r"[^\W\d_]"
_PLACE = re.compile(r"<([a-z]+(?:,[a-z]+)*)>")
_WORD = re.compile(rf"[{CJK}]+|(?:(?![{CJK}]){_LETTER})+(?:'(?:(?![{CJK}]){_LETTER})+)?|\d+%?")


@cache
def pattern(template: str) -> re.Pattern[str]:
    """The template with the words of each role in its place."""
    return re.compile(_PLACE.sub(lambda place: _phrases(place.group(1)), template), re.MULTILINE)


@cache
def counted(role: str) -> tuple[re.Pattern[str], ...]:
    """For each entry of a role that counts (numbers, ordinals), that number in any language."""
    by_language = [roles.get(role, []) for roles in _languages().values()]
    longest = max(map(len, by_language))
    return tuple(
        re.compile("|".join(f"(?:{words[k]})" for words in by_language if k < len(words)))
        for k in range(longest)
    )


def says_nothing(text: str) -> bool:
    """Whether a text in lower case holds nothing but filler: "so, in the end, I think it is"."""
    whole, within = _filler()
    return all(
        whole.fullmatch(word) is not None or within.fullmatch(word) is not None
        for word in _WORD.findall(text)
    )


def blanked(low: str, words: re.Pattern[str]) -> str:
    """The text with white space in place of these words."""
    return words.sub(lambda match: " " * len(match.group()), low)


@cache
def _languages() -> dict[str, dict[str, list[str]]]:
    folder = files("valueagents.policies.readings").joinpath("words")
    return {
        file.name: tomllib.loads(file.read_text(encoding="utf-8"))
        for file in sorted(folder.iterdir(), key=lambda each: each.name)
        if file.name.endswith(".toml")
    }


def _phrases(roles: str) -> str:
    """A group of all phrases of these roles, the longest first."""
    whole: list[str] = []
    within: list[str] = []
    for language, by_role in _languages().items():
        for role in roles.split(","):
            (within if language == _WITHIN else whole).extend(by_role.get(role, ()))
    spaced = [phrase.replace(" ", r"\s+") for phrase in sorted(whole, key=len, reverse=True)]
    parts = [rf"(?<!{_LETTER})(?:{'|'.join(spaced)})(?!{_LETTER})"] if spaced else []
    parts += sorted(within, key=len, reverse=True)
    return f"(?:{'|'.join(parts)})"


@cache
def _filler() -> tuple[re.Pattern[str], re.Pattern[str]]:
    by_language = {name: roles["filler"] for name, roles in _languages().items()}
    within = sorted(by_language.pop(_WITHIN), key=len, reverse=True)
    whole = [word for words in by_language.values() for word in words]
    return re.compile("|".join(whole)), re.compile(f"(?:{'|'.join(within)})+")


_ANSWERING = (
    r"(?:answer|choose|decide|pick|select|help|assist|comply|engage"
    r"|participate|take\s+part|respond|recommend|judge|rate)\b"
)
REFUSAL = re.compile(
    r"\bi\s*(?:'m|\s+am)\s+(?:sorry(?!\s+(?:to|for|about|that))"
    r"|unable|not\s+(?:able|comfortable))\b|"
    r"\bi\s+apologi[sz]e\b|\bas\s+an?\s+(?:ai|(?:large\s+)?language\s+model)\b|"
    rf"\bi\s+(?:\w+\s+){{0,2}}?(?:decline|refuse)(?:\s+to\s+{_ANSWERING}|[.!,]|\Z)|"
    r"\bi\s*(?:can\s*not|can't|won't|will\s+not|do\s+not|don't)\s*"
    rf"(?:(?:\w+\s+){{0,3}}?(?:{_ANSWERING}|"
    r"(?:personal\s+)?(?:opinions?|preferences?|feelings|beliefs)\b)"
    r"|(?:do|make)\s+(?:this|that|such|an?|the|any)\b|feel\s+comfortable\b|[.!,]|\Z)|"
    r"\bich\s+(?:kann|möchte|werde)\b[^.,;!?\n]*\bnicht\b[^.;!?\n]*"
    r"(?:beantworten|entscheiden|wählen|helfen)|\bals\s+ki\b|\bals\s+sprachmodell\b|"
    r"\bje\s+(?:ne\s+(?:peux|veux|souhaite)\s+pas|suis\s+désolée?|refuse)\b|"
    r"\ben\s+tant\s+qu'ia\b|"
    r"\b(?:lo\s+siento|no\s+puedo\s+(?:elegir|responder|ayudar|decidir|escoger)|me\s+niego)\b|"
    r"\b(?:mi\s+dispiace|non\s+posso\s+(?:scegliere|rispondere|aiutar\w*|decidere)|mi\s+rifiuto)\b|"
    r"\b(?:извините|простите|к\s+сожалению),?\s+(?:но\s+)?я\s+не\b|"
    r"\bя\s+(?:не\s+(?:могу|буду)\s+(?:выбр|выбирать|отвеч|ответ|помо|реш)|отказываюсь)|"
    r"(?:抱歉|对不起)|我(?:无法|不能|不会|拒绝)(?:选择|回答|作答|做出|帮)|作为(?:一个)?(?:人工智能|\s*ai)",
    re.IGNORECASE,
)
