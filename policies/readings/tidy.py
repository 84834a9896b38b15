"""Tidy: the part of a reply that counts, without thoughts, turns that the model made up, emphasis,
and what is struck out or taken back.
"""

import re

from valueagents.policies.readings.menu_words import lower
from valueagents.policies.readings.patterns import CLOSED_ONLY, OPEN_THOUGHT, THOUGHT, pattern

_ABBREVIATIONS = r"\b(?:z\.\s?B|d\.\s?h|u\.\s?a|[eE]\.\s?g|i\.\s?e|[ap]\.m|P\.S|[nN]/[aA])\b\.?"
_TURN = r"^\W*(?:<speakers>)\s*:|<\|[a-z_]+\|>|\[/?inst\]|</?s>"
_NO = r"<no>(?=\s*(?:[,.:;!。\n–—]|- |\Z))"
_TAKEN_BACK = (
    rf"<revised>|,\s*{_NO}(?![.!])|\.\.[^.!?\n]{{0,60}}?(?<!\w){_NO}"
    rf"|<hesitation>[\s,.–—-]*{_NO}"
)
"""A phrase such as "I take that back", or a "no" of its own after a pause: "A... well, no."."""
_BOLD = re.compile(r"(?<=\n)[ \t]*(?:[-*] )?(?:\*\*|__)([^*\n]+)(?:\*\*|__)[ \t]*$", re.MULTILINE)
"""A line in bold: of a restated menu it is the answer."""
_UNTICKED = re.compile(r"(?:\([ \t]\)|\[[ \t]\]|☐)[ \t]*[A-Z](?!\w)")
_STARS = re.compile(r"([★⭐]{2,}|[★⭐]+(?=\ufe0f?☆))\ufe0f?(☆*)")
_EMOJI = re.compile(
    "\\s*[\U0001f300-\U0001f448\U0001f44a-\U0001faff❤\ufe0f\u200d]+(?=\\s+[^\\W\\d_])"
)  # but for the finger that points at an answer


def without_thought(reply: str) -> str | None:
    """The reply after the model's thinking; None if the thinking never ended, so that there is no
    answer.
    """
    closed = CLOSED_ONLY.match(reply)
    thought, said = (
        (reply[: closed.end()], reply[closed.end() :]) if closed is not None else ("", reply)
    )
    if OPEN_THOUGHT.search(said):
        return None
    before: str = CLOSED_ONLY.sub("", THOUGHT.sub("", thought))
    return (before + said).strip()  # a chat template may have opened it


def first_turn(said: str) -> str:
    """What a model says before it goes on as somebody else ("User: …"), without its own label."""
    turn = pattern(_TURN)
    begins = turn.match(lower(said))
    said = said[begins.end() :] if begins else said
    return said[: ends.start()] if (ends := turn.search(lower(said))) else said


def tidy(text: str) -> str:
    """The words of a reply without emphasis, tags, formulas and what is struck out or taken back;
    stars as numbers where there are none.
    """
    text = re.sub(r"~~[^~\n]*~~", " ", text)
    text = _UNTICKED.sub(" ", text)
    text = _BOLD.sub(r"\1 ←", text)
    text = re.sub(r"</?(?:b|i|em|strong|u|p|br|span|div|code|mark)\b[^>\n]*>", " ", text)
    text = re.sub(r"(?m)^\s*(?:#+|>+(?!\d))\s*|```\w*", " ", text)
    text = re.sub(_ABBREVIATIONS, " ", text)
    text = re.sub(r"\\(?:text|math)\w*\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[()\[\]]|\$", " ", text)
    text = re.sub(r"[*`]|(?<!\w)_+|_+(?!\w)", "", text)
    text = _EMOJI.sub(".", text if re.search(r"\d", text) else _STARS.sub(_counted, text))
    low = lower(text.replace("NAH", "···"))  # a verdict, not a "nah"
    taken_back = list(pattern(_TAKEN_BACK).finditer(low))
    return text[taken_back[-1].end() :] if taken_back else text


def after_no(text: str) -> str | None:
    """What follows a "no" that begins a sentence ("A. No, B."); None if there is none."""
    found = list(pattern(rf"[.;!。]\s*{_NO}(?![.!])").finditer(lower(text.replace("NAH", "···"))))
    return text[found[-1].end() :] if found else None


def _counted(stars: re.Match[str]) -> str:
    """Stars as a number: 4/5 for four of five."""
    full, empty = map(len, stars.groups())
    return f"{full}/{full + empty}" if empty else f"{full}. "
