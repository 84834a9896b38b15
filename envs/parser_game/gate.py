"""The gate: what a player may send to the interpreter.

Whatever it refuses never reaches the C code.

Each rule answers a fault reproduced with Jericho 3.3.1 (Frotz 2.44): a leading backslash and a
lower-case letter, or a NUL, loop for ever; other backslash sequences are hot keys that record, play
back or quit; a newline queues a second command, so every later text is one off; full stops chain
dozens of turns; a line longer than the story's own buffer is written over what follows it in
memory. That no verb saves, restores, undoes or writes a record is seen to elsewhere, in whatever
language the verb is (`opcodes.py`); here the plain English ones are told to the player as such.
"""

import re
from functools import lru_cache

from valueagents.envs.parser_game.dictionary import Word

SAFE_LINE_CHARACTERS = 40  # every story's line buffer is longer
_REMEMBERED_CHARACTERS = 200  # what is longer is looked at anew, so that nobody can fill the memory
_TYPOGRAPHIC = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "\u00a0": " "}
)
_ALONE = ("save", "restore", "quit", "q", "restart", "undo", "die")
_ALWAYS = ("script", "transcript", "unscript", "noscript")
_DEBUG = (
    "abstract", "actions", "changes", "gonear", "goto", "messages", "predictable", "purloin",
    "random", "recording", "routines", "scope", "showobj", "showverb", "timers", "trace", "tree",
    "xabstract", "xpurloin", "xtree",
)  # fmt: skip
_CHAIN = re.compile(r"\.(?!\d)|;|\bthen\b")
_TITLE = re.compile(
    r"\b(mrs?|ms|dr|prof|st|capt|col|gen|lt|sgt|rev|hon|jr|sr|messrs)\.", re.IGNORECASE
)
_SPEECH = re.compile(r"\"[^\"]*\"")
_TOKEN = re.compile(r"[^\s,\"]+")


def tidy(command: str) -> str:
    """The command with typographic quotes and dashes made plain, one space between words, and no
    full stop where it ends no command: at the end, after a title, in quoted speech.
    """
    return (
        _tidied(command) if len(command) <= _REMEMBERED_CHARACTERS else _tidied.__wrapped__(command)
    )


@lru_cache(maxsize=8192)
def _tidied(command: str) -> str:
    line = _TITLE.sub(r"\1", command.translate(_TYPOGRAPHIC))
    line = _SPEECH.sub(lambda speech: re.sub(r"[.;](?!\d)", "", speech[0]), line)
    line = re.sub(r" +", " ", line).strip(" ")
    return re.sub(r"[ .!?]+$", "", line)


class Gate:
    """The rules for one story: its words, and how many letters of a word its parser reads."""

    def __init__(self, words: tuple[Word, ...], letters: int) -> None:
        self._letters = letters
        meta = {word.text for word in words if word.is_meta}
        self._alone = {word[:letters] for word in _ALONE}
        self._always = {word[:letters] for word in _ALWAYS} | (
            {word[:letters] for word in _DEBUG} & meta
        )

        self._remembered = lru_cache(maxsize=8192)(self._refusal)

    def refusal(self, line: str, line_limit: int) -> str | None:
        """Why a tidied command must not be sent; None if it may be.

        The story has room for `line_limit` characters.
        """
        return (self._remembered if len(line) <= _REMEMBERED_CHARACTERS else self._refusal)(
            line, line_limit
        )

    def _refusal(self, line: str, line_limit: int) -> str | None:
        if not line:
            return "an empty command does nothing; name something to do"
        if any(ord(c) < 32 or ord(c) == 127 for c in line):
            return f"{line!r:.60} holds a control character; send one line of plain text"
        if not line.isascii():
            strange = next(c for c in line if not c.isascii())
            return f"the game cannot read {strange!r}; use plain English letters"
        if len(line) > line_limit:
            return f"a command of {len(line)} characters is too long; the game reads {line_limit}"
        if "\\" in line:
            return "a backslash would reach the interpreter, not the game; leave it out"
        if line[0] in "$#*@":
            return (
                f"a command that begins with {line[0]!r} is meant for the interpreter, not for the"
                " game"
            )
        lowered = line.lower()
        if _CHAIN.search(lowered):
            return "one command at a time: no full stops, semicolons or 'then' inside"
        return next(filter(None, map(self._about_the_program, lowered.split(","))), None)

    def _about_the_program(self, piece: str) -> str | None:
        """Why a piece between commas must not be sent.

        The parser cuts words: `restorexyz` restores in version 3.
        """
        tokens = _TOKEN.findall(piece)
        if tokens and tokens[0] in (
            "oops",
            "o",
        ):  # corrects the last command: `oops quit` would quit
            tokens = tokens[1:]
        if not tokens:
            return None
        first = tokens[0][: self._letters]
        if first in self._always or (len(tokens) == 1 and first in self._alone):
            return f"{tokens[0]!r} is about the program, not about the world of the game"
        return None
