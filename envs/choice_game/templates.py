"""Text with substitutions: `${x}`, `$!{x}` with a capital, `$!!{x}` in capitals, `@{x one|two}` one
of several.

`@{}` picks by number from 1, or by truth (first if true, second if false); what it picks from may
hold substitutions. Markup is part of a text, stored ones too, until the text is shown (`shown`).
"""

import re
from collections.abc import Callable

from valueagents.envs.choice_game.expressions import (
    MAX_DEPTH,
    Expression,
    compiled,
)
from valueagents.envs.choice_game.values import ScriptError, number, printed

_OPENING = re.compile(r"([$@])(!{0,2})\{")
_MARKUP = re.compile(r"\[(?:/?[bi]|url=[^\]]*|/url|c/)\]")

_TRUTHS = ("true", "false")

TextTemplate = Callable[[Callable[[str], bool | int | float | str]], str]
"""What an expression is, but it always gives a text."""


def template(text: str, *, depth: int = 0) -> TextTemplate:
    """The function that fills a text in. Raises ScriptError for a brace that is not closed.

    `depth` counts the multireplaces round it.
    """
    if depth > MAX_DEPTH:
        raise ScriptError(f"multireplaces nest deeper than {MAX_DEPTH}")
    parts: list[str | TextTemplate] = []
    place = 0
    while (match := _OPENING.search(text, place)) is not None:
        parts.append(text[place : match.start()])
        closing = _closing_brace(text, match.end())
        inside = text[match.end() : closing]
        value = _multireplace(inside, depth) if match[1] == "@" else _printed(compiled(inside))
        parts.append(_capitals(match[2], value))
        place = closing + 1
    rest = text[place:]
    if not parts:
        return lambda lookup: rest
    pieces = tuple(part for part in (*parts, rest) if part != "")
    return lambda lookup: "".join(
        [part if isinstance(part, str) else part(lookup) for part in pieces]
    )


def is_constant(text: str) -> bool:
    """True if nothing is substituted in a text."""
    return _OPENING.search(text) is None


def shown(text: str) -> str:
    """A text as it is read: of bold, italics and links the words, lines ended where `[n/]` says."""
    return _MARKUP.sub("", text.replace("[n/]", "\n")) if "[" in text else text


def label(text: str) -> str:
    """The words of an option or a button as they are read, on one line."""
    return shown(text).replace("\n", " ").strip()


def substitutions(text: str) -> list[str]:
    """The expressions that are substituted in a text; raises nothing for one that is broken."""
    found = []
    for match in _OPENING.finditer(text):
        try:
            inside = text[match.end() : _closing_brace(text, match.end())]
            found.append(_split_head(inside)[0] if match[1] == "@" else inside)
        except ScriptError:
            continue
    return found


def _closing_brace(text: str, start: int) -> int:
    depth = 0
    for place in range(start, len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            if depth == 0:
                return place
            depth -= 1
    raise ScriptError(f"a brace is not closed in {text[max(0, start - 3) :]!r}")


def _printed(expression: Expression) -> TextTemplate:
    return lambda lookup: printed(expression(lookup))


def _capitals(marks: str, value: TextTemplate) -> TextTemplate:
    if marks == "!":
        return lambda lookup: (said := value(lookup))[:1].upper() + said[1:]
    if marks == "!!":
        return lambda lookup: value(lookup).upper()
    return value


def _multireplace(inside: str, depth: int) -> TextTemplate:
    """`value one|two|three`: the value holds no space, or stands in parentheses."""
    head, body = _split_head(inside)
    chooser = compiled(head)
    if "|" not in body:
        raise ScriptError(f"@{{{inside}}} has nothing to pick from; write @{{value one|two}}")
    offers = tuple(template(offer, depth=depth + 1) for offer in _split_bars(body))

    def pick(lookup: Callable[[str], bool | int | float | str]) -> str:
        value = chooser(lookup)
        if isinstance(value, bool) or (isinstance(value, str) and value.lower() in _TRUTHS):
            place: int | float = 1 if printed(value).lower() == "true" else 2
        else:
            place = number(value)
        if place != int(place) or not 1 <= place <= len(offers):
            raise ScriptError(
                f"@{{{inside}}} has {len(offers)} texts, and {printed(value)!r} picks none of them"
            )
        return offers[int(place) - 1](lookup)

    return pick


def _split_head(inside: str) -> tuple[str, str]:
    """The value and the texts of a multireplace, split at the first space outside brackets."""
    depth = 0
    for place, character in enumerate(inside):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == " " and depth == 0 and place:
            return inside[:place], inside[place + 1 :]
    raise ScriptError(f"@{{{inside}}} has nothing to pick from; write @{{value one|two}}")


def _split_bars(body: str) -> list[str]:
    """The texts between the bars that stand outside braces."""
    texts, depth, start = [], 0, 0
    for place, character in enumerate(body):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        elif character == "|" and depth == 0:
            texts.append(body[start:place])
            start = place + 1
    return [*texts, body[start:]]
