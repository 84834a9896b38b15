"""What a ChoiceScript variable can hold, and the operators on it.

Numbers are doubles, as in the language's own interpreter; whole ones are kept as `int` so that they
print and compare without a fraction. Texts that look like numbers count as numbers. Fairmath is the
language's own: x %+ y = x + (100 - x)·y/100 rounded down, at most 99; x %- y = x - x·y/100 rounded
up, at least 1.
"""

import math
from collections.abc import Callable

Value = bool | int | float | str
Operator = Callable[[Value, Value], Value]

_EXACT = 2**53
_MAX_CHARACTERS = 10_000


class ScriptError(ValueError):
    """A script asks for what cannot be done; whoever knows the scene and the line says so in a
    DataError.
    """


def number(value: Value) -> int | float:
    """The value as a number. Raises ScriptError for a boolean or a text that is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return tidy(float(value))
        except ValueError:
            pass
    raise ScriptError(f"{printed(value)!r} is not a number")


def truth(value: Value) -> bool:
    """The value as true or false.

    Raises ScriptError for anything else: the language has no truthy numbers.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ScriptError(f"{printed(value)!r} is neither true nor false; compare it with something")


def printed(value: Value) -> str:
    """The value as the player reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def tidy(x: float) -> int | float:
    """A double, whole ones as int. Raises ScriptError if it is not finite."""
    if not math.isfinite(x):
        raise ScriptError(
            "the result is not a finite number; the script divides by zero or counts too high"
        )
    return int(x) if x == math.floor(x) and -_EXACT < x < _EXACT else x


def rounded(value: Value) -> int | float:
    """The nearest whole number, halves upwards (not to even)."""
    return tidy(math.floor(number(value) + 0.5))


def logarithm(value: Value) -> int | float:
    """The logarithm to base 10."""
    x = number(value)
    if x <= 0:
        raise ScriptError(f"log({printed(value)}) does not exist; its argument must be above 0")
    return tidy(math.log10(x))


def equal(a: Value, b: Value) -> bool:
    """True if the two print alike or are the same number: 2 = "2.0"."""
    if type(a) is type(b):
        return a == b
    if printed(a) == printed(b):
        return True
    if isinstance(a, bool) or isinstance(b, bool):
        return False
    try:
        return number(a) == number(b)
    except ScriptError:
        return False


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
    divisor = number(b)
    if divisor == 0:
        raise ScriptError(f"{printed(a)} modulo 0")
    return tidy(
        math.fmod(number(a), divisor)
    )  # the sign of the dividend, as in the language's own interpreter


def _power(a: Value, b: Value) -> Value:
    try:
        result = math.pow(number(a), number(b))
    except (OverflowError, ValueError):
        raise ScriptError(f"{printed(a)} ^ {printed(b)} is not a finite number") from None
    return tidy(result)


def _fair_plus(a: Value, b: Value) -> Value:
    x = _percentage(a)
    return tidy(min(99.0, math.floor(x + (100 - x) / 100 * number(b))))


def _fair_minus(a: Value, b: Value) -> Value:
    x = _percentage(a)
    return tidy(max(1.0, math.ceil(x - x / 100 * number(b))))


def _percentage(value: Value) -> int | float:
    x = number(value)
    if not 0 <= x <= 100:
        raise ScriptError(f"fairmath needs a percentage from 0 to 100, not {printed(value)}")
    return x


def _joined(a: Value, b: Value) -> Value:
    text = printed(a) + printed(b)
    if len(text) > _MAX_CHARACTERS:  # a script that doubles a text in a loop would fill the memory
        raise ScriptError(f"a text of {len(text)} characters; {_MAX_CHARACTERS} are possible")
    return text


def _character(a: Value, b: Value) -> Value:
    text, place = printed(a), number(b)
    if place != math.floor(place) or not 1 <= place <= len(text):
        raise ScriptError(
            f"there is no character {printed(b)} in {text!r}; the first is 1, the last {len(text)}"
        )
    return text[int(place) - 1]


OPERATORS: dict[str, Operator] = {
    "+": _plus, "-": _minus, "*": _times, "/": _divided, "%": _modulo, "modulo": _modulo,
    "^": _power, "%+": _fair_plus, "%-": _fair_minus, "&": _joined, "#": _character,
    "=": equal, "!=": lambda a, b: not equal(a, b),
    "<": lambda a, b: number(a) < number(b), ">": lambda a, b: number(a) > number(b),
    "<=": lambda a, b: number(a) <= number(b), ">=": lambda a, b: number(a) >= number(b),
}  # fmt: skip
"""Operators that want both sides; `and` and `or` may not need their second (`expressions`)."""

FUNCTIONS: dict[str, Callable[[Value], Value]] = {
    "not": lambda value: not truth(value),
    "round": rounded,
    "length": lambda value: len(printed(value)),
    "log": logarithm,
}
