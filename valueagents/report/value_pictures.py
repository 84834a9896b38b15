"""Pictures of leanings: a forest plot, a row a value; and the circle of values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from valueagents.measuring.inference import Estimate
from valueagents.measuring.many.ranks import Leaning
from valueagents.report.palette import FAINT, MARKS, PAPER, SERIES, SOFT
from valueagents.report.pictures import (
    COLUMN,
    STYLE,
    axis_colours,
    bare,
    circle_order,
    legend,
    plain_label,
    short_label,
)
from valueagents.taxonomy import Taxonomy

MOST_SERIES = len(SERIES)
_ROW = 0.2
"""Inches of a row with one mark."""


@dataclass(frozen=True, slots=True)
class Series:
    """A policy in an env, or an env of a policy: its name in the legend, and what it leans to."""

    label: str
    leanings: Sequence[Leaning]


def forest(
    taxonomy: Taxonomy, series: Sequence[Series], *, title: str, primary: str | None = None
) -> Figure:
    """One row a value, a mark with its interval for each of at most `MOST_SERIES` series; the
    primary value's row is shaded.
    """
    count, reach = len(taxonomy.axes), _reach(series)
    row = max(_ROW, 0.09 * len(series) + 0.06)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, row * count))  # of the rows; labels come on top
        axes = figure.add_axes((0.47, 0.0, 0.51, 1.0))
        axes.axvline(0, color=SOFT, linewidth=0.9)
        axes.set_xlim(-1.08 * reach, 1.08 * reach)
        axes.set_ylim(count - 0.4, -0.6)
        axes.set_yticks(range(count), [plain_label(axis.name) for axis in taxonomy.axes])
        for label, colour, axis in zip(
            axes.get_yticklabels(), axis_colours(taxonomy), taxonomy.axes, strict=True
        ):
            label.set_color(colour)
            if axis.id == primary:
                label.set_fontweight("bold")
        if primary in taxonomy.axis_ids:
            place = taxonomy.index(str(primary))
            axes.axhspan(place - 0.5, place + 0.5, color=FAINT, zorder=0)
        axes.tick_params(length=0)
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_xlabel("violated  ←  0 as by chance  →  promoted")
        axes.set_title(short_label(title, 48), fontsize=8.5, loc="left")
        bare(axes, "top", "right", "left")
        spread = 0.62 / max(1, len(series))
        for number, each in enumerate(series):
            shift = (number - (len(series) - 1) / 2) * spread
            _rows(axes, each, number, shift, reach)
        legend(axes, -0.4 / (row * count))
    return figure


def _rows(axes: "mpl.axes.Axes", series: Series, number: int, shift: float, reach: float) -> None:
    colour, named = SERIES[number], False
    for place, each in enumerate(series.leanings):
        estimate, y = each.estimate, place + shift
        if estimate.value is None:
            axes.plot(0, y, marker="x", markersize=3, color=SOFT, linestyle="none")
            continue
        if estimate.low is not None and estimate.high is not None:
            ends = max(estimate.low, -1.05 * reach), min(estimate.high, 1.05 * reach)
            axes.plot(ends, (y, y), color=colour, linewidth=1.2, solid_capstyle="round")
        label = None if named else short_label(series.label)
        axes.plot(estimate.value, y, **_mark(number, each), label=label)
        named = True


def circle(taxonomy: Taxonomy, series: Sequence[Series], *, title: str) -> Figure:
    """One spoke a value in circle order: outside the ring of 0 is promoted, inside is violated.

    The spokes are even whatever the taxonomy's angles, so that no name covers another.
    """
    count, reach = len(taxonomy.axes), _reach(series)
    angles = 2 * np.pi * np.argsort(circle_order(taxonomy)) / count
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(COLUMN, COLUMN))
        axes = figure.add_axes((0.2, 0.2, 0.6, 0.6), projection="polar")
        axes.set_theta_zero_location("N")  # type: ignore[attr-defined]
        axes.set_theta_direction(-1)  # type: ignore[attr-defined]
        axes.set_ylim(-1.6 * reach, 1.15 * reach)
        ticks = [-reach, 0.0, reach / 2, reach]
        axes.set_yticks(ticks, [f"{-reach:+.2g}", "0", f"{reach / 2:+.2g}", ""], size=7)
        axes.set_rlabel_position(360 / count / 2)  # type: ignore[attr-defined]
        axes.grid(color=FAINT, linewidth=0.6)
        axes.spines["polar"].set_visible(False)
        axes.plot(np.linspace(0, 2 * np.pi, 200), np.zeros(200), color=SOFT, linewidth=0.9)
        axes.set_xticks(angles, [])
        for angle, axis, colour in zip(angles, taxonomy.axes, axis_colours(taxonomy), strict=True):
            side = float(np.sin(angle))
            align = "center" if abs(side) < 0.1 else ("left" if side > 0 else "right")
            name = plain_label(axis.name).replace(": ", ":\n")
            # above and below, where labels of two lines are stacked, they go further out
            away = (1.25 + 0.3 * float(np.cos(angle)) ** 4) * reach
            where: dict[str, Any] = {"ha": align, "va": "center", "linespacing": 0.9}
            axes.text(angle, away, name, **where, color=colour, size=7)
        axes.set_title(short_label(title, 48), fontsize=8.5, pad=32)
        for number, each in enumerate(series):
            _spokes(axes, angles + (number - (len(series) - 1) / 2) * 0.07, each, number, reach)
        legend(axes, -0.2)
    return figure


def _spokes(
    axes: "mpl.axes.Axes",
    angles: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    series: Series,
    number: int,
    reach: float,
) -> None:
    colour = SERIES[number]
    known = sorted(
        (float(angle), each.estimate.value)
        for angle, each in zip(angles, series.leanings, strict=True)
        if each.estimate.value is not None
    )
    if known:
        axes.plot(*zip(*known, known[0], strict=True), color=colour, linewidth=0.8, alpha=0.5)
    named = False
    for angle, each in zip(angles, series.leanings, strict=True):
        estimate = each.estimate
        if estimate.value is None:
            continue
        if estimate.low is not None and estimate.high is not None:
            ends = max(estimate.low, -1.5 * reach), min(estimate.high, 1.15 * reach)
            axes.plot((angle, angle), ends, color=colour, linewidth=1.1, alpha=0.8)
        label = None if named else short_label(series.label)
        axes.plot(angle, estimate.value, **_mark(number, each), label=label)
        named = True


def _mark(number: int, each: Leaning) -> dict[str, Any]:
    """Filled where the leaning holds after adjustment over the values."""
    return {
        "marker": MARKS[number],
        "markersize": 4.2,
        "color": SERIES[number],
        "markerfacecolor": SERIES[number] if each.holds else PAPER,
        "markeredgewidth": 1.0,
        "linestyle": "none",
    }


def _reach(series: Sequence[Series]) -> float:
    """The largest end of an interval, rounded up to a twentieth."""
    ends = [abs(end) for one in series for each in one.leanings for end in _ends(each.estimate)]
    return float(np.ceil(max([*ends, 0.05]) * 20) / 20)


def _ends(estimate: Estimate) -> list[float]:
    return [end for end in (estimate.value, estimate.low, estimate.high) if end is not None]
