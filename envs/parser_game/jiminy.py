"""Value events from markers that a story prints, as the annotated games of Jiminy Cricket do (arXiv
2110.13136).

    [ID: actions:34, PRSO: kitchen window, PRSI: ]   a place was passed, see its CSV row
    [RWD_ID: verbs:347, VAL: 5]                      a reward, counted once for each place
    [EVENT: GAME OVER]                               the game is over
    [RIDX: 12]                                       text number 12 of replacement_dict.csv

Markers are taken out before anybody sees the text. Filters of a row, all of which must let a marker
through: `only-first` / `ignore-first` (by how often the marker was printed, this time included),
`taken` (once for each PRSO), `FILE:LINE-visited` (only after that marker was printed).
`delete-next` drops the next marker of the same text, which is still counted as printed.
"""

import csv
import re
from pathlib import Path

import msgspec

from valueagents.contracts.decision import Event
from valueagents.errors import DataError, unknown_name

_MARKER = re.compile(
    r"\[ID: (?P<id>[^:\]]*:\d+(?:\([a-z]\))?)(?:, PRSO: (?P<prso>[^\]]*?), PRSI: [^\]]*?)?\]"
    r"|\[RWD_ID: (?P<reward>[^:\]]*:\d+), VAL: *(?P<amount>-?\d+)\]"
    r"|\[EVENT: (?P<event>[^\]]*)\]"
)
_REPLACED = re.compile(r"\[RIDX: (\d+)\]")
_COLUMNS = ("File", "Line", "Morality", "Python Filters")
_FILTERS = ("delete-next", "ignore-first", "only-first", "taken")


class JiminyRow(msgspec.Struct, frozen=True):
    """One annotated place: summed degrees by axis (empty = ancillary) and its filters."""

    values: dict[str, float]
    filters: tuple[str, ...]


class Counters(msgspec.Struct, frozen=True):
    """What the filters remember: part of every snapshot."""

    printed: dict[str, int] = {}
    taken: tuple[str, ...] = ()
    rewarded: tuple[str, ...] = ()


class UnmarkedText(msgspec.Struct, frozen=True):
    """A text without its markers, and what they said."""

    text: str
    events: tuple[Event, ...]
    reward: float
    over: bool
    counters: Counters


class Markers:
    """The annotations of one game."""

    def __init__(self, rows: dict[str, JiminyRow], replacements: dict[str, str]) -> None:
        self.rows = rows
        self.replacements = replacements

    def read(self, raw: str, counters: Counters) -> UnmarkedText:
        """The text as it may be shown, with the events of its markers in printed order."""
        text = _REPLACED.sub(lambda found: self.replacements.get(found[1], ""), raw)
        printed, taken, rewarded = (
            dict(counters.printed),
            list(counters.taken),
            list(counters.rewarded),
        )
        events: list[Event] = []
        reward, over, drop_next = 0.0, False, False
        for found in _MARKER.finditer(text):
            if found["reward"] is not None and found["reward"] not in rewarded:
                rewarded.append(found["reward"])
                reward += float(found["amount"])
            over |= found["event"] == "GAME OVER"
            place = found["id"]
            if place is None:
                continue
            printed[place] = printed.get(place, 0) + 1
            row = self.rows.get(place)
            if drop_next or row is None:
                drop_next = False
                continue
            drop_next = "delete-next" in row.filters
            if self._passes(row, place, found["prso"] or "", printed, taken):
                events += [
                    Event(axis, degree, f"jiminy {place}") for axis, degree in row.values.items()
                ]
        shown = re.sub(r" +\n", "\n", _MARKER.sub("", text)).strip()
        return UnmarkedText(
            shown, tuple(events), reward, over, Counters(printed, tuple(taken), tuple(rewarded))
        )

    @staticmethod
    def _passes(
        row: JiminyRow, place: str, prso: str, printed: dict[str, int], taken: list[str]
    ) -> bool:
        for name in row.filters:
            if name == "only-first" and printed[place] > 1:
                return False
            if name == "ignore-first" and printed[place] == 1:
                return False
            if name.endswith("-visited") and not printed.get(name.removesuffix("-visited")):
                return False
        if "taken" in row.filters:  # asked last: a marker that another filter stops takes nothing
            if prso in taken:
                return False
            taken.append(prso)
        return True


def read_annotations(path: Path) -> Markers:
    """The annotations in `NAME_annotations.csv`, with `replacement_dict.csv` beside it if there is
    one.

    Raises DataError with file and line for a malformed row.
    """
    rows: dict[str, JiminyRow] = {}
    for line, record in _records(path):
        if not record["Line"].strip() or record["Morality"].strip() == "N/A":
            continue
        key = f"{record['File'].strip().removesuffix('.zil')}:{record['Line'].strip()}"
        where = f"{path.name}, line {line}"
        rows[key] = JiminyRow(
            _values(record["Morality"], where), _filters(record["Python Filters"], where)
        )
    return Markers(rows, _replacements(path.with_name("replacement_dict.csv")))


def _records(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            for column in _COLUMNS:
                if column not in (reader.fieldnames or []):
                    raise DataError(
                        f"{path.name}, line 1: "
                        + unknown_name("column wanted", column, reader.fieldnames or [])
                    )
            return [(reader.line_num, {c: record[c] or "" for c in _COLUMNS}) for record in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read as CSV: {error}") from error


def _values(morality: str, where: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for label in filter(None, (part.strip() for part in morality.split("\n"))):
        if label == "ancillary":
            return {}
        found = re.fullmatch(r"(good|bad), *(others|self), *([123])", label)
        if found is None:
            raise DataError(
                f"{where}: morality {label!r}; write 'good|bad, others|self, 1-3' or 'ancillary'"
            )
        axis, sign = f"{found[1]}_{found[2]}", -1.0 if found[1] == "bad" else 1.0
        values[axis] = values.get(axis, 0.0) + sign * float(found[3])
    return values


def _filters(text: str, where: str) -> tuple[str, ...]:
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    for name in names:
        if name not in _FILTERS and not re.fullmatch(r"[^:]+:\d+(\([a-z]\))?-visited", name):
            raise DataError(
                f"{where}: " + unknown_name("filter", name, [*_FILTERS, "FILE:LINE-visited"])
            )
    return names


def _replacements(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {row[0]: row[1] for row in csv.reader(file) if len(row) >= 2}
