"""The rows of the pages that list: episodes that filters leave, and episodes that failed."""

from collections.abc import Sequence

import msgspec
import numpy as np

from valueagents.arrays import IntArray
from valueagents.errors import ConfigError
from valueagents.viewer.filters import Filters, matching
from valueagents.viewer.index import CHOSEN_SERVES, CHOSEN_VIOLATES, Index
from valueagents.viewer.shelf import ShownRun, address_name

PAGE_ROWS = 50


class ListPart(msgspec.Struct, frozen=True):
    """Which part of a list is shown: the number of the page, from 1, and how many there are."""

    number: int
    pages: int
    total: int


class EpisodeRow(msgspec.Struct, frozen=True):
    """An episode with the first of its decisions that the filters leave.

    `matches` counts them among its `decisions`. `serves` and `violates` are the values that the
    option chosen there serves and violates.
    """

    key: str
    run: str
    policy: str
    name: str
    situation: str
    repetition: int
    outcome: str
    decisions: int
    matches: int
    step: int
    chosen: str | None
    p: float | None
    reading: str
    refused: bool
    serves: list[str]
    violates: list[str]


class FailureRow(msgspec.Struct, frozen=True):
    """An episode that failed and has not finished since."""

    key: str
    run: str
    policy: str
    situation: str
    repetition: int
    error: str
    message: str
    step: int
    attempt: int


def paged(total: int, number: int) -> ListPart:
    """A page of a list. Raises ConfigError if the list is too short for it."""
    pages = max(1, -(-total // PAGE_ROWS))
    if not 1 <= number <= pages:
        raise ConfigError(f"there is no page {number}: there are {pages}")
    return ListPart(number, pages, total)


def episode_rows(
    runs: Sequence[ShownRun], asked: Filters, number: int
) -> tuple[ListPart, list[EpisodeRow]]:
    """A page of the episodes with a decision that the filters leave, run by run in the order of
    writing, or from the newest. Raises ConfigError if there is no such page.
    """
    newest = asked.order == "newest"
    found = [(run, _found(run.index(), asked)) for run in runs]
    if newest:
        found = [(run, columns[:, ::-1]) for run, columns in reversed(found)]
    page = paged(sum(columns.shape[1] for _, columns in found), number)
    begin, made = (number - 1) * PAGE_ROWS, list[EpisodeRow]()
    for run, columns in found:
        part = columns[:, begin : begin + PAGE_ROWS - len(made)]
        made += [_row(run, run.index(), *each) for each in part.T.tolist()]
        begin = max(0, begin - columns.shape[1])
    return page, made


def _found(index: Index, asked: Filters) -> IntArray:
    """(3, F): episodes with a decision that the filters leave, the first such row, and how many."""
    rows = matching(index, asked)
    episodes, first, counts = np.unique(index.episode[rows], return_index=True, return_counts=True)
    return np.stack([episodes, rows[first], counts])


def failure_rows(
    runs: Sequence[ShownRun], find: str, number: int
) -> tuple[ListPart, list[FailureRow]]:
    """A page of the failed episodes. Raises ConfigError if there is no such page."""
    every = [
        FailureRow(
            key=run.found.key,
            run=run.found.path,
            policy=run.header.policy,
            situation=failure.situation or failure.identity[:12],
            repetition=failure.repetition,
            error=failure.error,
            message=failure.message,
            step=failure.step,
            attempt=failure.attempt,
        )
        for run in runs
        for failure in run.failures()
        if find in (failure.situation or "") or find in failure.identity
    ]
    page = paged(len(every), number)
    return page, every[(number - 1) * PAGE_ROWS :][:PAGE_ROWS]


def _row(run: ShownRun, index: Index, episode: int, row: int, matches: int) -> EpisodeRow:
    identity = index.identity[episode].as_py()
    p = float(index.p[row])
    sides = zip(index.axes, index.sides[row].tolist(), strict=True)
    marks = [(axis, bits) for axis, bits in sides if bits]
    return EpisodeRow(
        key=run.found.key,
        run=run.found.path,
        policy=run.header.policy,
        name=address_name(identity),
        situation=index.situation[episode].as_py() or f"episode {identity[:12]}",
        repetition=int(index.repetition[episode]),
        outcome=index.outcome[episode].as_py(),
        decisions=index.length(episode),
        matches=matches,
        step=int(index.step[row]),
        chosen=index.chosen[row].as_py(),
        p=None if np.isnan(p) else p,
        reading=index.readings[int(index.reading_code[row])],
        refused=bool(index.refused[row]),
        serves=[axis for axis, bits in marks if bits & CHOSEN_SERVES],
        violates=[axis for axis, bits in marks if bits & CHOSEN_VIOLATES],
    )
