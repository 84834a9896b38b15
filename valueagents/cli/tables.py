"""What the command line prints: tables, and below them why a cell is empty or is to be read with
care.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from valueagents.screen import console, visible_json

if TYPE_CHECKING:
    from rich.table import Table

    from valueagents.measuring.comparison import Comparison
    from valueagents.measuring.elicited import Elicited
    from valueagents.measuring.estimators.declaration import Difference
    from valueagents.measuring.inference import Estimate
    from valueagents.measuring.retries import Retries
    from valueagents.measuring.scores import Scores

_WIDTH_ELSEWHERE = 190  # in a file or a pipe, where no line ends by itself


def print_json(value: object) -> None:
    """Print a record as indented JSON."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    print(visible_json(text, sys.stdout.encoding))


def table(*columns: str) -> "Table":
    """An empty table with these columns."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column)
    return made


def print_table(made: "Table") -> None:
    """Print it as wide as the terminal."""
    width = None if sys.stdout.isatty() else _WIDTH_ELSEWHERE
    console(sys.stdout, width).print(made)


def print_scores(scores: "Scores") -> None:
    """The estimators of every axis, those that have a number somewhere, and what is counted beside
    them.
    """
    from valueagents.measuring.wholly import told_of_all
    from valueagents.report.numbers import in_brackets

    held = [name for name in scores.columns if name in scores.held or name == "E3"]
    made = table("value", "contested", *(f"{scores.columns[name].name} {name}" for name in held))
    notes = Notes(len(scores.axes))
    for axis in scores.axes:
        cells = []
        for name in held:
            column = scores.columns[name]
            details = in_brackets(axis.shown_details(name, column), column.digits)
            cells.append(notes.cell(axis.axis, name, axis[name], column.digits) + details)
        made.add_row(axis.name, str(axis.contested), *cells)
    for axis in scores.axes:
        for name in (name for name in scores.columns if name not in held):
            notes.add(axis.axis, name, axis[name])
    print_table(made)
    notes.print()
    _print_counts(scores)
    _print_nuisances(scores)
    _print_elicited(scores.elicited)
    _warn(scores.warnings)
    told = told_of_all(scores.counts)
    if told is not None:
        print(f"warning: {told}")


def _print_counts(scores: "Scores") -> None:
    from valueagents.measuring.mass import WARNING
    from valueagents.report.numbers import p_value

    counts, test = scores.counts, scores.chance
    print(f"{counts.decisions} decisions in {counts.episodes} episodes;", end=" ")
    print(f"intervals clustered by {scores.unit}, {scores.clusters} clusters")
    print(
        f"{counts.unread} unread, {counts.refused_by_env} refused, {counts.prompts_cut} prompts"
        " cut;",
        end=" ",
    )
    print(
        f"{counts.failed_episodes} episodes failed; {counts.unannotated} decisions not annotated",
        end="",
    )
    print(f"; {counts.answers_cut} answers cut, {counts.withheld} withheld by the server", end="")
    partly = {axis.axis: axis.partly_annotated for axis in scores.axes if axis.partly_annotated}
    print(
        f"; without the axis: {', '.join(f'{axis} {n}' for axis, n in partly.items())}"
        if partly
        else ""
    )
    _print_unread(scores)
    print(
        f"against uniform choices: {f'p {p_value(test.p)}' if test.p is not None else test.reason}"
        f" ({test.method})"
    )

    if scores.mass is not None:
        mass = scores.mass
        print(f"probability of the offered answers: {mass.mean:.2g} on average; ", end="")
        print(f"under {WARNING} in {mass.low} of {mass.decisions} decisions")
    if scores.partial is not None:
        print(scores.partial.told)
    if scores.retries is not None:
        _print_retries(scores.retries)


def _print_nuisances(scores: "Scores") -> None:
    """Where an env gives covariates: what the choice weights hold constant, and its own weight."""
    from valueagents.report.numbers import sentence

    declared = {each.name for each in scores.covariates}
    for estimator, effects in scores.effects.items():
        if not declared & set(effects):
            continue
        weights = (f"{scores.nuisance(name)} {sentence(each)}" for name, each in effects.items())
        print(f"{estimator} holds constant, with these weights: {'; '.join(weights)}")


def _print_unread(scores: "Scores") -> None:
    """Of the decisions on which each axis was at stake, the share that is unread."""
    shares = [
        f"{axis.axis} {axis.unread} of {axis.contested + axis.unread} ({axis.unread_share:.0%})"
        for axis in scores.axes
        if axis.unread
    ]
    if shares:
        print(f"unread by axis, of the decisions on which it was at stake: {', '.join(shares)}")


def _print_elicited(asked: "Elicited") -> None:
    from valueagents.cli.elicited import components_table, elicited_lines, spread_line

    print(spread_line(asked.spread))
    made = components_table(asked.spread)
    if made is not None:
        print_table(made)
    for line in elicited_lines(asked):
        print(line)


def _print_retries(retries: "Retries") -> None:
    """How many decisions took more than one attempt, by place on the menu and by axis, and how far
    E3 could be off.
    """
    chosen = [f"{k + 1}: {again} of {count}" for k, (count, again) in enumerate(retries.places)]
    print(
        f"{retries.retried} of {retries.decisions} decisions took more than one attempt; ", end=""
    )
    print(f"by the place of the option chosen {', '.join(chosen)}")
    bounds = []
    for name, axis in retries.axes.items():
        if axis.retried and axis.lowest is not None:
            bounds.append(
                f"{name} {axis.retried} of {axis.contested}, from {axis.lowest:+.3f} to"
                f" {axis.highest:+.3f}"
            )
    if bounds:
        print(f"E3 with each of them at its worst and its best option: {'; '.join(bounds)}")


def print_comparison(comparison: "Comparison") -> None:
    """Every estimator that compares, the headline first."""
    for name, difference in comparison.differences.items():
        print(
            f"\n{name} {difference.name}, {comparison.first_policy} minus"
            f" {comparison.second_policy}"
        )
        _print_difference(difference)
    print(f"\n{comparison.paired_situations} situations were met by both", end=", ")
    print(f"{comparison.only_first} and {comparison.only_second} by one only")
    _warn(comparison.warnings)


def _print_difference(difference: "Difference") -> None:
    from valueagents.measuring.estimators.registry import digits_of
    from valueagents.report.numbers import p_value, sentence

    tested = any(axis.p is not None for axis in difference.axes)
    parts = list(difference.axes[0].parts)
    digits = digits_of(difference.estimator)
    max_t = any(axis.p_max_t is not None for axis in difference.axes)
    paired = any(axis.situations is not None for axis in difference.axes)
    columns = ["difference", *parts]
    columns += ["p", "p family", *(["p max-T"] if max_t else []), "differs"] if tested else []
    columns += ["situations"] if paired else []
    made, notes = table("value", *columns), Notes(len(difference.axes))
    for axis in difference.axes:
        cells = [notes.cell(axis.axis, "difference", axis.difference, digits)]
        cells += [notes.cell(axis.axis, part, axis.parts[part], digits) for part in parts]
        if tested:
            cells += [
                p_value(p) for p in (axis.p, axis.p_family, *([axis.p_max_t] if max_t else []))
            ]
            cells.append("yes" if axis.differs else "")
        made.add_row(axis.name, *cells, *([str(axis.situations)] if paired else []))
    if any(axis.difference.value is not None for axis in difference.axes):
        print_table(made)
    notes.print()
    for effect_name, effect in difference.effects.items():
        p = "" if effect.p is None else f", p {p_value(effect.p)}"
        print(f"{effect_name}: {sentence(effect.estimate, digits)}{p}")
    test = f"{difference.test}; {difference.family}; " if difference.test != "none" else ""
    print(f"{test}unit: {difference.unit}, {difference.clusters} clusters")
    _warn(difference.warnings)


class Notes:
    """Reasons met in the cells of a table, to be printed once each, whatever their first number.

    Args:
        axes: how many axes the table has.
    """

    def __init__(self, axes: int) -> None:
        self.axes = axes
        self._met: dict[
            str, dict[str, tuple[str, list[str]]]
        ] = {}  # reason -> axis -> number, estimators

    def cell(self, axis: str, estimator: str, estimate: "Estimate", digits: int) -> str:
        """A number with its interval, `*` where there is a caution, a dash where there is no
        number.
        """
        from valueagents.report.numbers import number

        self.add(axis, estimator, estimate)
        return number(estimate, digits)

    def add(self, axis: str, estimator: str, estimate: "Estimate") -> None:
        """The reason or caution of an estimate, if it has one, is among those to be printed."""
        if not estimate.reason:
            return
        found = re.search(r"\d+", estimate.reason)
        reason = re.sub(r"\d+", "N", estimate.reason, count=1)
        _, estimators = self._met.setdefault(reason, {}).setdefault(
            axis, (found.group() if found else "", [])
        )
        if estimator not in estimators:
            estimators.append(estimator)

    def print(self) -> None:
        """A line for each reason: what of which axes it holds for."""
        for reason, axes in self._met.items():
            of: dict[str, list[tuple[str, str]]] = {}
            for axis, (found, estimators) in axes.items():
                of.setdefault(", ".join(estimators), []).append((axis, found))
            print(
                f"  {reason}: "
                + "; ".join(f"{each} of {self._named(names)}" for each, names in of.items())
            )

    def _named(self, axes: "Sequence[tuple[str, str]]") -> str:
        numbers = {number for _, number in axes}
        if len(axes) == self.axes and len(numbers) == 1:
            return f"all (N = {numbers.pop()})" if numbers != {""} else "all"
        return ", ".join(f"{axis} {number}".rstrip() for axis, number in axes)


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}")
