"""The error tree, one class for each boundary that bad input can cross.

ValueAgentsError
├── ConfigError   a name, option or setting that the user gave
├── DataError     the content of a file, named with its line
├── EnvError      an env broke its contract
├── PolicyError   a policy could not answer
│   └── PromptTooLong   what it was to read is longer than its window
└── StoreError    a run directory cannot be read or written

Every message says what was wrong, the value, and what to do. The command line prints it as one line
and exits with code 2; anything that is not a `ValueAgentsError` is a bug of ours and shows its
traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches

NOT_JSON = (ValueError, RecursionError)
"""What decoding raises for what is not JSON of the wanted shape (msgspec's errors are ValueErrors,
and so are those of UTF-8), or nests deeply.
"""


class ValueAgentsError(Exception):
    """The root: catch this to catch every error that valueagents raises on purpose."""


class ConfigError(ValueAgentsError):
    """A name, option or setting is unknown or out of range."""


class DataError(ValueAgentsError):
    """A file's content is malformed; the message names the file and the line."""


class EnvError(ValueAgentsError):
    """An environment broke the ValueEnv contract."""


class PolicyError(ValueAgentsError):
    """A policy could not be made or could not answer."""


class PromptTooLong(PolicyError):
    """A prompt, with what is to come after it, is longer than the model's window.

    It is never cut.
    """


class StoreError(ValueAgentsError):
    """A run directory is missing, locked, or of another schema version."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def unknown_name(kind: str, name: str, known: Iterable[str], *, remedy: str = "") -> str:
    """A one-line message: the unknown name, the nearest known one, and the remedy (by default: all
    known names).
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if not close:
        folded = {candidate.casefold(): candidate for candidate in names}
        close = [
            folded[n] for n in get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
        ]
    hint = f" Did you mean {close[0]!r}?" if close else ""
    advice = remedy or f"Known: {', '.join(names) or 'none'}."
    return f"unknown {kind} {name!r}.{hint} {advice}"
