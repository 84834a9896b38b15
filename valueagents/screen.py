"""What reaches a terminal or a page is text: the one door for all that is printed.

Names, texts and messages come from servers, games, models, and run directories that somebody sent.
A control character among them could move the cursor, hide a line or give the terminal a command
(CWE-150), and one that has no width or turns the direction of writing shows another text than
there is (Boucher & Anderson 2021, "Trojan Source", arXiv 2111.00169). Such characters are shown as
their code points: `[U+001B]`.
"""

import codecs
import io
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console

_KEPT = "\n\t"
_KEPT_CATEGORIES = ("Zs", "Co", "Cn")  # spaces; what a newer Unicode than Python's may have named
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\U000e0100-\U000e01ef]")
"""Without a width or a mark, although Unicode counts them as letters or marks."""
_INSTEAD = {
    "−": "-", "–": "-", "—": "-", "…": "...", "×": "x", "→": "->", "≤": "<=", "≥": ">=",
    "“": '"', "”": '"', "‘": "'", "’": "'",
}  # fmt: skip
"""What is printed where the terminal's encoding lacks a character: a minus must stay one."""
_HANDLER = "valueagents.screen"


def visible(text: str) -> str:
    """The text with every control, direction and zero-width character as its code point.

    Newlines and tabs stay, a carriage return before a newline goes. The result can be encoded as
    UTF-8, whatever the text holds.
    """
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "".join(map(_shown, text.replace("\r\n", "\n")))


def _shown(character: str) -> str:
    if character in _KEPT:
        return character
    if character.isprintable() and not _BLANK.match(character):
        return character
    if unicodedata.category(character) in _KEPT_CATEGORIES:
        return character
    return f"[U+{ord(character):04X}]"


def visible_json(text: str, encoding: str | None = None) -> str:
    """JSON that says the same, without characters that `visible` would change or that the encoding
    lacks: both are escaped.
    """
    return "".join(
        character if character in _KEPT or _plain(character, encoding) else _escaped(character)
        for character in text
    )


def _plain(character: str, encoding: str | None) -> bool:
    if visible(character) != character:
        return False
    try:
        character.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


class Screen:
    """A stream whose texts are made visible before they are written; all else is the stream's own.

    It has no `buffer`: what writes bytes would pass by.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the visible text; the number of characters of the text itself."""
        self.stream.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.stream, name)


@contextmanager
def screens() -> Iterator[None]:
    """Standard output and error show what they are given, whatever it holds and however the
    terminal is encoded.
    """
    codecs.register_error(_HANDLER, _replaced)
    with ExitStack() as stack:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None:
                continue
            if isinstance(stream, io.TextIOWrapper):
                stack.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors=_HANDLER)
            stack.enter_context(redirect(cast(IO[str], Screen(stream))))
        yield


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """What to print in place of characters that cannot be encoded (PEP 293)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_INSTEAD.get(each, "?") for each in characters), error.end


def console(stream: IO[str], width: int | None = None) -> "Console":
    """A rich console on a stream, whose own colours and movements pass and whose texts are made
    visible.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class Door(Console):
        def render_str(self, text: str, **how: Any) -> Text:  # before its width is measured
            return super().render_str(visible(text), **how)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    bare = stream.stream if isinstance(stream, Screen) else stream
    return Door(file=bare, width=width, highlight=False, markup=False)
