"""What a ChoiceScript variable can hold, and the operators on it.

Numbers are doubles, as in the language's own interpreter; whole ones are kept as `int` so that they
print and compare without a fraction. A text counts as the number that it begins with. A result may
be infinite or no number: it is stored and printed, and refused where it is computed with. Fairmath
is the language's own, with x from 0 to 100: for y > 0, x %+ y = x + (100 - x)·y/100 rounded down,
at most 99; for y ≤ 0, x + x·y/100 rounded up, at least 1; x %- y is x %+ -y.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import mktime_tz, parsedate_tz

Value = bool | int | float | str
Operator = Callable[[Value, Value], Value]

_EXACT = 2**53
_MAX_CHARACTERS = 1_000_000
_PLAIN_BELOW, _PLAIN_FROM = 1e21, 1e-6  # outside, a number prints with an exponent
_LEADING_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")


class ScriptError(ValueError):
    """A script asks for what cannot be done; whoever knows the place says so in a DataError.

    `line` is its number where that is not the line being run: a row of a menu, a skipped block.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def number(value: Value) -> int | float:
    """The value as a number.

    Raises ScriptError for a boolean, a text that begins with none, and what is not finite.
    """
    if isinstance(value, str):
        match = _LEADING_NUMBER.match(value)
        if match is not None:
            value = tidy(float(match[1]))
    if isinstance(value, int | float) and not isinstance(value, bool):
        if -math.inf < value < math.inf:
            return value
        raise ScriptError(
            f"{printed(value)} is not a finite number; the script divides by zero or counts too"
            " high"
        )
    raise ScriptError(f"{printed(value)!r} is not a number")


def truth(value: Value) -> bool:
    """The value as true or false.

    Raises ScriptError for anything else: the language has no truthy numbers.
    """
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ScriptError(f"{printed(value)!r} is neither true nor false; compare it with something")


def printed(value: Value) -> str:
    """The value as the player reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _digits(value) if isinstance(value, float) else str(value)


def _digits(x: float) -> str:
    """A double as ECMAScript prints it (ECMA-262, Number::toString)."""
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else ("-" if x < 0 else "") + "Infinity"
    if _PLAIN_FROM <= abs(x) < _PLAIN_BELOW:
        return format(Decimal(repr(x)), "f").removesuffix(".0")
    mantissa, _, exponent = repr(x).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent or 0):+d}" if exponent else mantissa


def tidy(x: float) -> int | float:
    """A double, whole ones as int."""
    return int(x) if -_EXACT < x < _EXACT and x == math.floor(x) else x


def literal(spelling: str) -> Value:
    """What a number that is written out stands for.

    The language keeps the spelling; that is a difference where a number would print otherwise.
    """
    if len(spelling) > len(str(_EXACT)) + 2:
        return spelling
    value = tidy(float(spelling))
    return value if printed(value) == spelling else spelling


def unescaped(text: str) -> str:
    """What stands between quotation marks, backslashes resolved."""
    return re.sub(r"\\(.)", r"\1", text)


def rounded(value: Value) -> int | float:
    """The nearest whole number, halves upwards (not to even)."""
    return tidy(math.floor(number(value) + 0.5))


def logarithm(value: Value) -> int | float:
    """The logarithm to base 10, computed as the language does; minus infinity for 0."""
    x = number(value)
    if x <= 0:
        return -math.inf if x == 0 else math.nan
    return tidy(math.log(x) / math.log(10))


def timestamp(value: Value) -> int | float:
    """The seconds from 1970 to a date, UTC where it names no zone; not a number if it is none."""
    text = printed(value)
    try:
        return mktime_tz(fields) if (fields := parsedate_tz(text)) else _iso_seconds(text)
    except (ValueError, OverflowError):
        return math.nan


def _iso_seconds(text: str) -> int | float:
    moment = datetime.fromisoformat(text)
    return tidy((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def equal(a: Value, b: Value) -> bool:
    """True if the two print alike or are the same number: 2 = "2.0"."""
    return a == b if type(a) is type(b) else _alike(a, b) or printed(a) == printed(b)


def unequal(a: Value, b: Value) -> bool:
    """True unless the two are the same text or number; not the opposite of `equal`, for texts."""
    return a != b if type(a) is type(b) else not _alike(a, b)


def _alike(a: Value, b: Value) -> bool:
    """ECMAScript's loose equality of two kinds of values: both as numbers."""
    return _as_number(a) == _as_number(b)


def _as_number(value: Value) -> float:
    if isinstance(value, str):
        try:
            return float(value.strip() or 0)
        except ValueError:
            return math.nan
    return float(value)


def _plus(a: Value, b: Value) -> Value:
    return tidy(float(number(a)) + number(b))


def _minus(a: Value, b: Value) -> Value:
    return tidy(float(number(a)) - number(b))


def _times(a: Value, b: Value) -> Value:
    return tidy(float(number(a)) * number(b))


def _divided(a: Value, b: Value) -> Value:
    divisor = number(b)
    if divisor == 0:
        raise ScriptError(f"{printed(a)} is divided by 0")
    return tidy(float(number(a)) / divisor)


def _modulo(a: Value, b: Value) -> Value:
    x, divisor = number(a), number(b)
    # the sign of the dividend, as in the language's own interpreter
    return tidy(math.fmod(x, divisor)) if divisor else math.nan


def _power(a: Value, b: Value) -> Value:
    base, exponent = number(a), number(b)
    try:
        return tidy(math.pow(base, exponent))
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        return math.nan if base else math.inf


def _fair_plus(a: Value, b: Value) -> Value:
    x, y = number(a), number(b)
    if not 0 <= x <= 100:
        raise ScriptError(f"fairmath needs a percentage from 0 to 100, not {printed(a)}")
    if y > 0:
        return tidy(min(99.0, math.floor(x + y * ((100 - x) / 100))))
    return tidy(max(1.0, math.ceil(x - -y * (x / 100))))


def _fair_minus(a: Value, b: Value) -> Value:
    return _fair_plus(a, -number(b))


def _joined(a: Value, b: Value) -> Value:
    text = printed(a) + printed(b)
    if len(text) > _MAX_CHARACTERS:  # a script that doubles a text in a loop would fill the memory
        raise ScriptError(f"a text of {len(text)} characters; {_MAX_CHARACTERS:,} are possible")
    return text


def _character(a: Value, b: Value) -> Value:
    text, place = printed(a), number(b)
    if not 1 <= place <= len(text):
        raise ScriptError(
            f"there is no character {printed(b)} in {text!r}; the first is 1, the last {len(text)}"
        )
    return text[int(place) - 1]


def _both(a: Value, b: Value) -> Value:
    return truth(a) and truth(b)


def _either(a: Value, b: Value) -> Value:
    return truth(a) or truth(b)


OPERATORS: dict[str, Operator] = {
    "+": _plus, "-": _minus, "*": _times, "/": _divided, "%": _modulo, "modulo": _modulo,
    "^": _power, "%+": _fair_plus, "%-": _fair_minus, "&": _joined, "#": _character,
    "=": equal, "!=": unequal, "and": _both, "or": _either,
    "<": lambda a, b: number(a) < number(b), ">": lambda a, b: number(a) > number(b),
    "<=": lambda a, b: number(a) <= number(b), ">=": lambda a, b: number(a) >= number(b),
}  # fmt: skip
"""By spelling. Both sides are computed before any operator looks at them, `and` and `or` too."""

FUNCTIONS: dict[str, Callable[[Value], Value]] = {
    "not": lambda value: not truth(value),
    "round": rounded,
    "length": lambda value: len(printed(value)),
    "log": logarithm,
    "timestamp": timestamp,
}
