"""How far a page's numbers can be trusted, as two tables: what was counted beside the scores, and
competence. A column in which nothing happened anywhere is left out, and named.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from valueagents.measuring.sheet import Sheet
from valueagents.measuring.summary import PolicyResults, Results
from valueagents.report.numbers import NOTHING, p_value, percent, signed


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and why it says no more."""

    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class QualityTable:
    """`rows`: policy, env and the cells of the `columns`; `unseen` are columns that were left out
    because nothing of the kind happened.
    """

    columns: list[str]
    rows: list[tuple[str, str, list[Cell]]]
    unseen: list[str]


_Read = Callable[[PolicyResults, Sheet], Cell]


def quality(results: Results) -> QualityTable:
    """A row a run: what was counted, mass, position bias, reliability, the test against chance."""
    return _table(results, _COUNTED, skip=("0", NOTHING))


def competence(results: Results) -> QualityTable:
    """A row a run: reward, endings, refusals by the env, right answers beside guessing."""
    return _table(results, _COMPETENCE, skip=("0.00", "0 %", NOTHING))


def _table(results: Results, every: dict[str, _Read], skip: Sequence[str]) -> QualityTable:
    runs = list(_runs(results))
    cells = {
        name: [read(policy, sheet) for _, policy, sheet in runs] for name, read in every.items()
    }
    columns = [
        name for name, found in cells.items() if any(each.text not in skip for each in found)
    ]
    rows = [
        (policy.policy, where, [cells[name][k] for name in columns])
        for k, (where, policy, _) in enumerate(runs)
    ]
    told = [row for row in rows if any(cell.text != NOTHING for cell in row[2])]
    return QualityTable(columns, told, [name for name in every if name not in columns])


def _runs(results: Results) -> Iterator[tuple[str, PolicyResults, Sheet]]:
    for env in results.envs:
        for policy in env.policies:
            for sheet in policy.sheets:
                seed = f", seed {sheet.header.seed}" if len(policy.sheets) > 1 else ""
                yield f"{env.env}{seed}", policy, sheet


def _first_place(_: PolicyResults, sheet: Sheet) -> Cell:
    places = sheet.scores.position_probabilities.items()
    return Cell(", ".join(f"{percent(each[0])} of {size}" for size, each in places) or NOTHING)


def _share(part: int, whole: int) -> Cell:
    return Cell(percent(part / whole) if whole else NOTHING)


def _right(policy: PolicyResults, sheet: Sheet) -> Cell:
    if policy.competence is None:
        return Cell(NOTHING)
    rate = sheet.scores.axes[0]["E2"]
    if rate.value is None or rate.low is None or rate.high is None:
        return Cell(NOTHING, rate.reason or "")
    return Cell(
        f"{percent(rate.value / 100)} [{percent(rate.low / 100)}, {percent(rate.high / 100)}]"
    )


def _guessing(policy: PolicyResults, _: Sheet) -> Cell:
    return Cell(NOTHING if policy.competence is None else percent(policy.competence.guessing))


_COUNTED: dict[str, _Read] = {
    "Decisions": lambda _, s: Cell(str(s.scores.counts.decisions)),
    "Unread": lambda _, s: Cell(str(s.scores.counts.unread)),
    "Cut": lambda _, s: Cell(str(s.scores.counts.prompts_cut + s.scores.counts.answers_cut)),
    "Withheld": lambda _, s: Cell(str(s.scores.counts.withheld)),
    "Retried": lambda _, s: Cell(str(s.scores.counts.retried_decisions)),
    "Failed": lambda _, s: Cell(str(s.scores.counts.failed_episodes)),
    "Lost workers": lambda _, s: Cell(str(s.scores.counts.lost_workers)),
    "Mass": lambda _, s: Cell(percent(s.scores.mass.mean if s.scores.mass else None)),
    "First place": _first_place,
    "Split half": lambda p, _: Cell(signed(p.reliability.value), p.reliability.reason or ""),
    "Φ(0)": lambda p, _: Cell(signed(p.dependability)),
    "p, uniform": lambda _, s: Cell(p_value(s.scores.chance.p), s.scores.chance.reason or ""),
}
_COMPETENCE: dict[str, _Read] = {
    "Reward an episode": lambda _, s: Cell(
        signed(s.scores.counts.reward / s.scores.counts.episodes)
        if s.scores.counts.reward
        else NOTHING
    ),
    "Episodes cut off": lambda _, s: _share(
        s.scores.counts.truncated_episodes, s.scores.counts.episodes
    ),
    "Answers the env refused": lambda _, s: _share(
        s.scores.counts.refused_by_env, s.scores.counts.decisions
    ),
    "Right answers": _right,
    "By guessing": _guessing,
}
