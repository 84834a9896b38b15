"""The one way to print a number, with its interval and its caution, in the terminal and in
pages.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valueagents.measuring.inference import Estimate

NOTHING = "–"
_WHOLE_NUMBER = re.compile(r"(?<![\d.])(\d{1,9})(?!\d|\.\d)")
_SMALLEST_P = 0.0001
_SMALLEST_PERCENT = 0.01
_LARGER_FROM = 999.5
_ONE_DIGIT_BELOW = 9.95


def signed(value: float | None, digits: int = 2) -> str:
    """+0.12 or −0.12; a dash for None, no sign on what rounds to 0."""
    if value is None:
        return NOTHING
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text if any(digit in text for digit in "123456789") else text[1:]


def interval(estimate: "Estimate", digits: int = 2) -> str:
    """[−0.12, +0.34]; nothing where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{signed(estimate.low, digits)}, {signed(estimate.high, digits)}]"


def number(estimate: "Estimate", digits: int = 2) -> str:
    """+0.12 [−0.12, +0.34], with `*` where there is a caution; a dash where there is no number."""
    star = "*" if estimate.reason and estimate.value is not None else ""
    return f"{signed(estimate.value, digits)} {interval(estimate, digits)}".strip() + star


def in_brackets(details: Sequence[float], digits: int = 2) -> str:
    """(+22 / −5) after a number; nothing where there are none."""
    return f" ({' / '.join(signed(detail, digits) for detail in details)})" if details else ""


def sentence(estimate: "Estimate", digits: int = 2) -> str:
    """A number with its interval and its caution in words, or why there is none."""
    bare = f"{signed(estimate.value, digits)} {interval(estimate, digits)}".strip()
    return f"{bare} ({estimate.reason})" if estimate.reason else bare


def merged(reasons: Iterable[str]) -> list[str]:
    """Each reason once; of those that differ only in their numbers one, with the least and the
    greatest: "5 to 17 contested decisions, 20 needed".
    """
    alike: dict[tuple[str, ...], list[list[int]]] = {}
    for reason in reasons:
        parts = _WHOLE_NUMBER.split(reason)
        alike.setdefault(tuple(parts[::2]), []).append([int(part) for part in parts[1::2]])
    told = []
    for words, rows in alike.items():
        ends = [(min(column), max(column)) for column in zip(*rows, strict=True)]
        numbers = [str(low) if low == high else f"{low} to {high}" for low, high in ends]
        pairs = zip_longest(words, numbers, fillvalue="")
        told.append("".join(part for pair in pairs for part in pair))
    return told


def percent(share: float | None) -> str:
    """12 %, 1.2 % below ten, 0.012 % below one, and < 0.01 % for what is less; a dash for None."""
    if share is None:
        return NOTHING
    value = 100 * abs(share)
    if value >= 9.95 or value == round(value):
        text = f"{value:.0f} %"
    elif value < _SMALLEST_PERCENT:
        return f"> −{_SMALLEST_PERCENT} %" if share < 0 else f"< {_SMALLEST_PERCENT} %"
    else:
        text = f"{value:.2g} %"
    return f"−{text}" if share < 0 else text


def size(count: int) -> str:
    """Bytes as 900 B, 1.2 kB, 34 MB: a factor of 1000 each, two digits or the whole number."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < _LARGER_FROM:
            break
        value, unit = value / 1000, larger
    return (
        f"{value:.1f} {unit}" if unit != "B" and value < _ONE_DIGIT_BELOW else f"{value:.0f} {unit}"
    )


def p_value(p: float | None) -> str:
    """0.0312, or < 0.0001; a dash for None."""
    if p is None:
        return NOTHING
    return f"< {_SMALLEST_P}" if p < _SMALLEST_P else f"{p:.4f}"
