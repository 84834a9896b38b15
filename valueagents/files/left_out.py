"""What a reader of published data leaves out: rows that cannot be used are named, counted and
passed over, for whoever runs the data did not write it.

Files in our own formats are another matter: their authors can mend them, so there the first bad
line is an error.
"""

import re
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from html import unescape
from itertools import groupby

from valueagents.errors import DataError

_REASONS_TOLD = 10
_LONGEST_REASON = 240
_NOTHING = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "nil", "null", "none"})

# Entities without the semicolon, which HTML also knows, are left alone: "AT&T", "rock&roll".
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")
# Joiners between letters of other scripts, or within an emoji, belong to the text.
_INVISIBLE = re.compile(
    "[\u200b\u200e\u200f\u2060\ufeff\u00ad]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]"
    "|[\u200c\u200d](?![^\x00-\x7f])"
)
_NUMBERED = re.compile(r"(.+?)[ \[](\d+)\]?")  # line 7, HED[7]


class LeftOut:
    """The rows of one file that are left out, each with its place and the reason.

        left_out = LeftOut(path.name)
        for where, row in csv_rows(path, columns, left_out=left_out):
            with left_out.reading(where):
                kept.append(read(where, row))  # a DataError leaves the row out
        left_out.require_some(kept)

    Args:
        name: the file's name, with which places and notes begin.
        rows: what the file holds: rows, posts, items.
    """

    def __init__(self, name: str, rows: str = "rows") -> None:
        self.name, self.rows = name, rows
        self._met = self._decoded = 0
        self._places: dict[str, list[str]] = {}  # by reason

    @contextmanager
    def reading(self, where: str) -> Iterator[None]:
        """A row is read within; a DataError leaves it out."""
        try:
            yield
        except DataError as error:
            self.add(where, error)
        else:
            self._met += 1

    def add(self, where: str, reason: DataError) -> None:
        """Leave out the row at that place (`FILE, line N`)."""
        self._met += 1
        self.take_back(where, str(reason))

    def take_back(self, where: str, reason: str) -> None:
        """Leave out a row that was read already, for what others say."""
        told = " ".join(reason.removeprefix(f"{where}: ").replace(f"{self.name}, ", "").split())
        if len(told) > _LONGEST_REASON:
            told = f"{told[:_LONGEST_REASON]}…"
        place = where.removeprefix(f"{self.name}, ")
        self._places.setdefault(_printable(told), []).append(_printable(place))

    def text(self, where: str, name: str, text: str) -> str:
        """The text of a cell or field, decoded (see `decoded`).

        Raises DataError where it is empty, a word for nothing such as `nan`, or not all text.
        """
        require_unicode(where, name, text)
        plain = decoded(text)
        if not plain.strip():
            raise DataError(f"{where}: {name} is empty")
        if is_nothing(plain):
            raise DataError(f"{where}: {name} is {plain.strip()!r}, which stands for nothing")
        self._decoded += plain != text
        return plain

    def require_some(self, kept: Sized) -> None:
        """Raise DataError, with the reasons, if nothing of the file is left."""
        if len(kept):
            return
        if not self._places:
            raise DataError(f"{self.name} holds no {self.rows}; give the file that has them")
        raise DataError(f"{self.name} has nothing to give: {self._told()}")

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on what was left out and one on what was decoded, where there is any."""
        told = (f"{self.name}: {self._told()}",) if self._places else ()
        return (*told, *self.decoding)

    @property
    def decoding(self) -> tuple[str, ...]:
        """A sentence on what was decoded, where there is any."""
        if not self._decoded:
            return ()
        return (
            f"{self.name}: HTML entities or zero-width characters decoded in {self._decoded} texts",
        )

    @property
    def reasons(self) -> dict[str, list[str]]:
        """The places of the rows that were left out, by reason."""
        return {reason: list(places) for reason, places in self._places.items()}

    def _told(self) -> str:
        reasons = list(self._places.items())
        told = [f"{_listed(places)}: {reason}" for reason, places in reasons[:_REASONS_TOLD]]
        others = [place for _, places in reasons[_REASONS_TOLD:] for place in places]
        if others:
            told.append(f"{_listed(others)}: for other reasons")
        count = sum(len(places) for places in self._places.values())
        return f"{count} of {self._met} {self.rows} left out ({'; '.join(told)})"


def is_nothing(text: str) -> bool:
    """True for an empty text, and for the words that programs write for one, such as `nan`."""
    return text.strip().casefold() in _NOTHING


def decoded(text: str) -> str:
    """The text with its HTML entities decoded, and without zero-width characters.

    Twice, because Reddit's exports escape once more what its editor has escaped (`&amp;#x200B;`).
    """
    for _ in range(2):
        text = _ENTITY.sub(lambda found: unescape(found[0]), text)
    return _INVISIBLE.sub("", text)


def require_unicode(where: str, name: str, text: str) -> None:
    """Raise DataError for bytes that are not UTF-8 (read as lone surrogates), half characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{where}: {name} is not UTF-8 text; save the file as UTF-8 to keep it"
        ) from None


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _listed(places: list[str]) -> str:
    """`lines 2, 5-7` and `HED[2, 5-7]` for places with numbers, then the others."""
    numbers: dict[str, set[int]] = {}
    others = []
    for place in places:
        found = _NUMBERED.fullmatch(place)
        if found is None:
            others.append(place)
        else:
            numbers.setdefault(found[1], set()).add(int(found[2]))
    listed = []
    for name, found_numbers in numbers.items():
        spans = _spans(sorted(found_numbers))
        plural = "s" if len(found_numbers) > 1 else ""
        listed.append(f"line{plural} {spans}" if name == "line" else f"{name}[{spans}]")
    return ", ".join([*listed, *others])


def _spans(numbers: list[int]) -> str:
    spans = []
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        spans.append(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)))
    return ", ".join(spans)
