"""What the command line prints: tables, and below them why a cell is empty or is to be read with care."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from valueagents.measuring.comparison import Comparison
    from valueagents.measuring.estimators.exposure import ExposureSplit
    from valueagents.measuring.estimators.weight_comparison import WeightComparison
    from valueagents.measuring.inference import Estimate
    from valueagents.measuring.scores import Scores

_WIDTH_ELSEWHERE = 190  # in a file or a pipe, where no line ends by itself


def table(*columns: str) -> Table:
    """An empty table with these columns."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column)
    return made


def print_table(made: Table) -> None:
    """Print it as wide as the terminal."""
    console = Console()
    Console(width=console.width if console.is_terminal else _WIDTH_ELSEWHERE, highlight=False, markup=False).print(made)


def print_scores(scores: "Scores") -> None:
    """The estimators of every axis, E5 where there is one, and what stands beside them."""
    columns = ["value", "contested", "tally + / -", "rate E2", "propensity E3", "from p E3p", "weight E4"]
    ranked = any(axis.strength.value is not None for axis in scores.axes)
    made, notes = table(*columns, *(["strength E5"] if ranked else [])), _Notes(len(scores.axes))
    for axis in scores.axes:
        estimates = [("E2", axis.rate, 1), ("E3", axis.propensity, 2), ("E3p", axis.probability_propensity, 3)]
        estimates += [("E4", axis.weight, 2)] + ([("E5", axis.strength, 2)] if ranked else [])
        made.add_row(
            axis.name,
            str(axis.contested),
            f"{axis.promotions:+g} / {axis.violations:g}",
            *(notes.cell(axis.axis, *each) for each in estimates),
        )
    print_table(made)
    notes.print()
    counts, test = scores.counts, scores.null_test
    print(f"{counts.decisions} decisions in {counts.episodes} episodes;", end=" ")
    print(f"intervals clustered by {scores.unit}, {scores.clusters} clusters")
    print(f"{counts.unread} unread, {counts.refused_by_env} refused, {counts.prompts_cut} prompts cut;", end=" ")
    print(f"{counts.failed_episodes} episodes failed; {counts.unannotated} decisions not annotated", end="")
    partly = {axis.axis: axis.partly_annotated for axis in scores.axes if axis.partly_annotated}
    print(f"; without the axis: {', '.join(f'{axis} {n}' for axis, n in partly.items())}" if partly else "")
    print(f"against uniform choices: {f'p = {test.p:.4f}' if test.p is not None else test.reason} ({test.method})")
    _warn(scores.warnings)


def print_comparison(comparison: "Comparison") -> None:
    """The paired differences; of two runs also the choice weights compared (E4) and the split of the rates (E6)."""
    made, notes = (
        table("value", "situations", "difference", "p", "p family", "p max-T", "differs"),
        _Notes(len(comparison.axes)),
    )
    for axis in comparison.axes:
        marks = [_p(p) for p in (axis.p, axis.p_family, axis.p_max_t)]
        difference = notes.cell(axis.axis, comparison.estimator, axis.difference, 3)
        made.add_row(axis.name, str(axis.situations), difference, *marks, _yes(axis.differs))
    print_table(made)
    notes.print()
    print(f"{comparison.first_policy} minus {comparison.second_policy}, {comparison.estimator}, {comparison.test};")
    print(f"{comparison.family}; unit: {comparison.unit}; {comparison.paired_situations} situations met by both")
    _warn(comparison.warnings)
    if comparison.weights is not None and comparison.exposure is not None:
        _print_parts(comparison.weights, comparison.exposure)


def _print_parts(weights: "WeightComparison", split: "ExposureSplit") -> None:
    """E4 and E6 of two runs, an axis a line."""
    made = table("value", "weights / |w| E4", "p", "p family", "differs", "rate E2", "= exposure E6", "+ choice E6")
    notes = _Notes(len(split.axes))
    for weight, parts in zip(weights.axes, split.axes, strict=True):
        made.add_row(
            weight.name,
            notes.cell(weight.axis, "E4", weight.difference, 2),
            _p(weight.p),
            _p(weight.p_family),
            _yes(weight.differs),
            notes.cell(parts.axis, "E2", parts.difference, 1),
            notes.cell(parts.axis, "E6", parts.exposure, 1),
            notes.cell(parts.axis, "E6", parts.choice, 1),
        )
    print()
    if any(parts.exposure.value is not None for parts in split.axes) or weights.scale.value is not None:
        print_table(made)
    notes.print()
    scale = "scale log |w1| - log |w2|"
    if weights.scale.value is None:
        print(f"{scale}: {weights.scale.reason}")
    else:
        print(f"{scale} {with_interval(weights.scale, 2)}, p {_p(weights.scale_p)}: which of the two is more decisive")
    print(f"intervals clustered by {split.unit}: E4 {weights.clusters} clusters, E6 {split.clusters}")
    _warn(weights.warnings)


class _Notes:
    """Reasons met in the cells of a table of so many axes, to be printed once each, whatever their first number."""

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self._met: dict[str, dict[str, tuple[str, list[str]]]] = {}  # reason -> axis -> number, estimators

    def cell(self, axis: str, estimator: str, estimate: "Estimate", digits: int) -> str:
        """A number with its interval, `*` where there is a caution, `-` where there is no number."""
        if estimate.reason:
            number = re.search(r"\d+", estimate.reason)
            reason = re.sub(r"\d+", "N", estimate.reason, count=1)
            _, estimators = self._met.setdefault(reason, {}).setdefault(axis, (number.group() if number else "", []))
            if estimator not in estimators:
                estimators.append(estimator)
        if estimate.value is None:
            return "-"
        return with_interval(estimate, digits) + ("*" if estimate.reason else "")

    def print(self) -> None:
        """A line for each reason: what of which axes it holds for."""
        for reason, axes in self._met.items():
            of: dict[str, list[tuple[str, str]]] = {}
            for axis, (number, estimators) in axes.items():
                of.setdefault(", ".join(estimators), []).append((axis, number))
            print(f"  {reason}: " + "; ".join(f"{each} of {self._named(names)}" for each, names in of.items()))

    def _named(self, axes: "Sequence[tuple[str, str]]") -> str:
        numbers = {number for _, number in axes}
        if len(axes) == self.axes and len(numbers) == 1:
            return f"all (N = {numbers.pop()})" if numbers != {""} else "all"
        return ", ".join(f"{axis} {number}".rstrip() for axis, number in axes)


def with_interval(estimate: "Estimate", digits: int) -> str:
    """A number with its interval, if it has one."""
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f" [{estimate.low:+.{digits}f}, {estimate.high:+.{digits}f}]"
    return f"{estimate.value:+.{digits}f}{interval}"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if value >= 0.00005 else "<0.0001"


def _yes(differs: bool) -> str:
    return "yes" if differs else ""


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}")
