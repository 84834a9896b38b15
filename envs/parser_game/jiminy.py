"""Value events from markers that a story prints, as the annotated games of Jiminy Cricket do (arXiv
2110.13136).

    [ID: actions:34, PRSO: kitchen window, PRSI: ]   a place was passed, see its CSV row
    [RWD_ID: verbs:347, VAL: 5]                      a reward, counted once for each place
    [EVENT: GAME OVER]                               the game is over
    [RIDX: 12]                                       text number 12 of replacement_dict.csv

Markers are taken out before anybody sees the text. Filters of a row, all of which must let a marker
through: `only-first` / `ignore-first` (by how often the marker was printed, this time included),
`taken` (once for each PRSO), `FILE:LINE-visited` (only after that marker was printed), `verb:WORD`
(only where the command begins with this word, or one of those named), `not-verb:WORD` (nowhere
else). `delete-next` drops the next marker of the same text, which is still counted as printed.
"""

import re
from collections.abc import Sequence

import msgspec

from valueagents.contracts.decision import Event

_MARKER = re.compile(
    r"\[ID: (?P<id>[^:\]]*:\d+(?:\([a-z]\))?)(?:, PRSO: (?P<prso>[^\]]*?), PRSI: [^\]]*?)?\]"
    r"|\[RWD_ID: (?P<reward>[^:\]]*:\d+), VAL: *(?P<amount>-?\d+)\]"
    r"|\[EVENT: (?P<event>[^\]]*)\]"
)
_REPLACED = re.compile(r"\[RIDX: (\d+)\]")
_SCORE = re.compile(
    r"\b(?:score|potential) (?:is|of|was|would be)\D{0,20}?(-?\d+)"
    r"|(-?\d+) (?:points? )?\(?out of",
    re.IGNORECASE,
)
_WORD_LETTERS = 6  # of a word that stories of version 3, as nearly all of these are, look at


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
    """The annotations of one game, what a build prints numbers for, and what is typed before an
    episode begins. `notes` say what was left out of the files.
    """

    def __init__(
        self,
        rows: dict[str, JiminyRow],
        replacements: dict[str, str],
        start_commands: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.rows = rows
        self.replacements = replacements
        self.start_commands = tuple(start_commands)
        self.notes = tuple(notes)

    def read(self, raw: str, counters: Counters, command: str = "") -> UnmarkedText:
        """The text as it may be shown, with the events of its markers in printed order, after a
        command.
        """
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
            said = _verb_passes(row.filters, command)
            if said and self._passes(row, place, found["prso"] or "", printed, taken):
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


def score_in(text: str) -> int | None:
    """The score that a story tells when it is asked, e.g. `Your score is 5 of a possible 200`."""
    found = _SCORE.search(text)
    return int(found[1] or found[2]) if found is not None else None


def _verb_passes(filters: Sequence[str], command: str) -> bool:
    """True if the command's first word is one of the verbs of a row, and none that it excludes."""
    verb = command.strip().casefold().partition(" ")[0][:_WORD_LETTERS]
    named = [name.partition(":")[::2] for name in filters]
    wanted = [word[:_WORD_LETTERS] for kind, word in named if kind == "verb"]
    excluded = [word[:_WORD_LETTERS] for kind, word in named if kind == "not-verb"]
    return (not wanted or verb in wanted) and verb not in excluded
