"""Regular expressions in users' files: RE2's, case ignored.

RE2 takes time in proportion to the text, whatever the expression; Python's own can take for ever on
a few words ("(a+)+b"), and would hold a run where no clock looks. It has neither look-around nor
back references.
"""

from functools import lru_cache
from typing import Any

import re2


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with a regular expression, in words; None: nothing."""
    try:
        _compiled(pattern)
    except (re2.error, UnicodeEncodeError) as error:
        [said] = error.args if isinstance(error, re2.error) else ("it is not Unicode text",)
        reason = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return f"{pattern[:80]!r} is not a regular expression (RE2): {reason}"
    return None


def found_in(pattern: str, text: str) -> bool:
    """True if the text has a part that is as the pattern says."""
    return _compiled(pattern).search(_encodable(text)) is not None


def fits_whole(pattern: str, text: str) -> bool:
    """True if the text as a whole is as the pattern says."""
    return _compiled(pattern).fullmatch(_encodable(text)) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return re2.compile(pattern, options)


def _encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which RE2 cannot take."""
    return text.encode(errors="replace").decode()
