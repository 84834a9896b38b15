"""What the visitor asks to see: the fields of the form, read from an address, and the decisions
that they leave.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
import numpy as np
import pyarrow.compute as pc

from valueagents.arrays import BoolArray, IntArray
from valueagents.viewer.index import (
    CHOSEN_SERVES,
    CHOSEN_VIOLATES,
    REFUSED_SERVES,
    REFUSED_VIOLATES,
    Index,
)

SIDES = {
    "": ("stands on the menu", CHOSEN_SERVES | CHOSEN_VIOLATES | REFUSED_SERVES | REFUSED_VIOLATES),
    "chosen-serves": ("is served by the option chosen", CHOSEN_SERVES),
    "chosen-violates": ("is violated by the option chosen", CHOSEN_VIOLATES),
    "refused-serves": ("would be served by an option refused", REFUSED_SERVES),
    "refused-violates": ("would be violated by an option refused", REFUSED_VIOLATES),
}
"""Side of a value -> in words, and its bits."""
STATUSES = {
    "terminated": "ended by itself",
    "truncated": "cut off",
    "refused": "an answer refused by the env",
    "unread": "an answer that names no option",
    "failed": "failed, without a transcript",
}


RELOADS = ("5", "30")
"""Seconds after which a page may be asked for again."""


class BadAddress(Exception):
    """Raised where a field of the address holds what the form never sends; the message says
    which.
    """


class Filters(msgspec.Struct, frozen=True):
    """The fields as text; an empty one filters nothing. `p_from` and `p_to` bound the probability
    of the option chosen; `find` is part of the id of a situation or an episode; `reload` is after
    how many seconds the browser asks again; `pairs` is which of two runs' episodes: all, or those
    that part.
    """

    env: str = ""
    policy: str = ""
    value: str = ""
    side: str = ""
    p_from: str = ""
    p_to: str = ""
    reading: str = ""
    status: str = ""
    find: str = ""
    order: str = ""
    reload: str = ""
    pairs: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filters":
        """The fields of an address; others are left out. Raises BadAddress."""
        given = {name: query[name].strip() for name in cls.__struct_fields__ if name in query}
        made = cls(**given)
        if made.side not in SIDES:
            raise BadAddress(f"side {made.side!r} is none of {', '.join(filter(None, SIDES))}")
        if made.status not in ("", *STATUSES):
            raise BadAddress(f"status {made.status!r} is none of {', '.join(STATUSES)}")
        for name in ("p_from", "p_to"):
            _share(name, getattr(made, name))
        if made.pairs not in ("", "all"):
            raise BadAddress(f"pairs {made.pairs!r} is not all")
        if made.reload and made.reload not in RELOADS:
            raise BadAddress(f"reload {made.reload!r} is none of {', '.join(RELOADS)}")
        return made

    def address(self) -> str:
        """The fields that are set, as they stand in an address, with its question mark."""
        fields = {name: value for name, value in msgspec.structs.asdict(self).items() if value}
        return f"?{urlencode(fields, errors='replace')}" if fields else ""

    def of_decisions(self) -> bool:
        """True if anything is filtered within a run."""
        return self.rest() != Filters()

    def rest(self) -> "Filters":
        """Without env, policy, order and reload."""
        return msgspec.structs.replace(self, env="", policy="", order="", reload="")


def matching(index: Index, asked: Filters) -> IntArray:
    """The rows of the decisions that the filters leave, in their order."""
    left: BoolArray = np.ones(index.decisions, dtype=bool)
    if asked.value:
        bits = SIDES[asked.side][1]
        if asked.value not in index.axes:
            return np.zeros(0, dtype=np.int64)
        left &= (index.sides[:, index.axes.index(asked.value)] & bits) > 0
    low, high = _share("p_from", asked.p_from), _share("p_to", asked.p_to)
    if low is not None:
        left &= index.p >= low
    if high is not None:
        left &= index.p <= high
    if asked.reading:
        known = index.readings
        left &= index.reading_code == (
            known.index(asked.reading) if asked.reading in known else len(known)
        )
    if asked.status in ("terminated", "truncated"):
        left &= pc.equal(index.outcome, asked.status).to_numpy()[index.episode]
    elif asked.status == "refused":
        left &= index.refused
    elif asked.status == "unread":
        left &= pc.is_null(index.chosen).to_numpy(zero_copy_only=False) & ~index.refused
    elif asked.status == "failed":
        left[:] = False
    if asked.find:
        left &= _named(index, asked.find)[index.episode]
    return np.flatnonzero(left)


def side_counts(index: Index) -> dict[int, dict[str, int]]:
    """Place of an axis -> side -> in how many decisions it stands there; without axes that are
    never at stake.
    """
    sides = {name: bits for name, (_, bits) in SIDES.items() if name}
    found = {name: ((index.sides & bits) > 0).sum(axis=0).tolist() for name, bits in sides.items()}
    every = {v: {name: found[name][v] for name in sides} for v in range(len(index.axes))}
    return {v: counts for v, counts in every.items() if any(counts.values())}


def _named(index: Index, part: str) -> BoolArray:
    found = pc.or_(
        pc.fill_null(pc.match_substring(index.situation, part), fill_value=False),
        pc.match_substring(index.identity, part),
    )
    named: BoolArray = found.to_numpy()
    return named


def _share(name: str, text: str) -> float | None:
    """The bound of a probability; None where none is set. Raises BadAddress."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 <= value <= 1:
        raise BadAddress(f"{name} {text!r} is not a probability from 0 to 1")
    return value
