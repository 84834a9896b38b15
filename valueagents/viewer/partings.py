"""Two runs side by side: where the policies part, episode by episode.

Two episodes are a pair where env, situation, repetition and, in an env that lists no situations,
the run's seed are equal: what is met is then the same until the choices differ. Where the policies
differ first is where they part; what follows may be another story.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from valueagents.arrays import BoolArray, IntArray
from valueagents.running.header import RunHeader
from valueagents.viewer.index import Index

NEVER = -1


@dataclass(frozen=True, slots=True)
class Partings:
    """P pairs of episodes, in the first run's order.

    first, second: (P,), the episodes in the two indices. step: (P,), the first decision on which
    they differ, or `NEVER`.
    """

    first: IntArray
    second: IntArray
    step: IntArray

    @property
    def parted(self) -> BoolArray:
        """(P,): True where they differ somewhere."""
        parted: BoolArray = self.step != NEVER
        return parted


def why_not(first: RunHeader, second: RunHeader) -> str | None:
    """Why two runs have no episodes that could be laid side by side; None if they may have."""
    if first.env_identity != second.env_identity:
        return "they are of different envs, or of different content of one"
    return None


def partings(first: Index, second: Index, *, same_seed: bool) -> Partings:
    """The pairs of episodes of two runs of one env."""
    places = {key: k for k, key in enumerate(_keys(second, same_seed=same_seed)) if key is not None}
    pairs = [
        (k, places[key])
        for k, key in enumerate(_keys(first, same_seed=same_seed))
        if key is not None and key in places
    ]
    mine, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Partings(mine, other, _parting_steps(first, second, mine, other))


def _keys(index: Index, *, same_seed: bool) -> list[tuple[str | None, int] | None]:
    """What names an episode in both runs; None where nothing does."""
    situations = index.situation.to_pylist()
    rows = zip(situations, index.repetition.tolist(), strict=True)
    return [None if name is None and not same_seed else (name, again) for name, again in rows]


def _parting_steps(first: Index, second: Index, mine: IntArray, other: IntArray) -> IntArray:
    ends = [np.append(each.first, each.decisions) for each in (first, second)]
    begins = first.first[mine], second.first[other]
    lengths = np.minimum(ends[0][mine + 1] - begins[0], ends[1][other + 1] - begins[1])
    pair = np.repeat(np.arange(len(mine)), lengths)
    step = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes = pa.concat_arrays([first.chosen, second.chosen]).dictionary_encode().indices
    taken = codes.fill_null(NEVER).to_numpy()
    differ = taken[begins[0][pair] + step] != taken[first.decisions + begins[1][pair] + step]
    found: IntArray = np.full(len(mine), NEVER, dtype=np.int64)
    pairs, at = np.unique(pair[differ], return_index=True)
    found[pairs] = step[differ][at]
    return found
