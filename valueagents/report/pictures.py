"""Pictures of scores as SVG text: a circle for a taxonomy that runs round one, bars for any
other.
"""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from valueagents.arrays import FloatArray
from valueagents.measuring.inference import Estimate
from valueagents.measuring.scores import Scores
from valueagents.screen import visible
from valueagents.taxonomy import Taxonomy

_GROUP_COLOURS = ("#2a7f62", "#b5474b", "#c98a1b", "#3b6ea5")
_OTHER_COLOUR = "#777777"
_RUN_COLOURS = ("#1f2a44", "#d1651e")
_ROUNDING = 1e-9  # a uniform policy's E3p is 0 but for rounding
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "valueagents",
    "text.parse_math": False,  # names are text: "$x$" is no formula
    "text.usetex": False,
}


def picture(taxonomy: Taxonomy, scores: Sequence[Scores], labels: Sequence[str]) -> str:
    """An SVG of the propensities of one or two runs with their intervals."""
    with mpl.rc_context(STYLE):
        figure = (
            _circle(taxonomy, scores, labels)
            if taxonomy.angles is not None
            else _bars(taxonomy, scores, labels)
        )
        return as_svg(figure)


def plain_label(text: str) -> str:
    """A name as matplotlib shows it: on one line, visible, and in the legend too, which leaves out
    what begins with an underscore.
    """
    shown = visible(text.replace("\n", " "))
    return f" {shown}" if shown.startswith("_") else shown


def as_svg(figure: Figure) -> str:
    """The figure in the house style, the same bytes each time; call it within
    `mpl.rc_context(STYLE)`.
    """
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None}
    )
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _circle(taxonomy: Taxonomy, scores: Sequence[Scores], labels: Sequence[str]) -> Figure:
    """One spoke an axis in circle order: outside the ring of 0 is promoted, inside is violated.

    The spokes are even whatever the taxonomy's angles, so that no name covers another.
    """
    count = len(taxonomy.axes)
    around = circle_order(taxonomy)
    angles: FloatArray = 2 * np.pi * np.argsort(around) / count
    reach = _reach(scores)
    figure = Figure(figsize=(7.6, 7.6))
    axes = figure.add_subplot(projection="polar")
    axes.set_theta_zero_location("N")  # type: ignore[attr-defined]
    axes.set_theta_direction(-1)  # type: ignore[attr-defined]
    axes.set_ylim(-1.6 * reach, 1.15 * reach)
    axes.set_yticks([-reach, -reach / 2, 0, reach / 2, reach])
    axes.set_yticklabels(
        [f"{tick:+.2g}" if tick else "0" for tick in axes.get_yticks()], color="#888888", size=7
    )
    axes.set_rlabel_position(360 / count / 2)  # type: ignore[attr-defined]
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.spines["polar"].set_visible(False)
    axes.plot(np.linspace(0, 2 * np.pi, 200), np.zeros(200), color="#555555", linewidth=1.0)
    axes.set_xticks(angles)
    axes.set_xticklabels([])
    colours = axis_colours(taxonomy)
    for angle, axis, colour in zip(angles, taxonomy.axes, colours, strict=True):
        side = "center" if abs(np.sin(angle)) < 0.1 else ("left" if np.sin(angle) > 0 else "right")
        axes.text(
            angle,
            1.25 * reach,
            plain_label(axis.name).replace(": ", ":\n"),
            ha=side,
            va="center",
            color=colour,
            size=8.5,
        )
    for number, (sheet, label) in enumerate(zip(scores, labels, strict=True)):
        shift = (number - (len(scores) - 1) / 2) * 0.09
        _marks(axes, angles + shift, sheet, _RUN_COLOURS[number], label, reach, polar=True)
    _legend(axes, -0.09)
    return figure


def _bars(taxonomy: Taxonomy, scores: Sequence[Scores], labels: Sequence[str]) -> Figure:
    """One row an axis: right of 0 is promoted, left is violated."""
    count, reach = len(taxonomy.axes), _reach(scores)
    figure = Figure(figsize=(7.6, 0.42 * count + 1.2))
    axes = figure.add_subplot()
    axes.axvline(0, color="#555555", linewidth=1.0)
    axes.set_xlim(-1.15 * reach, 1.15 * reach)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_yticks(range(count), [plain_label(axis.name) for axis in taxonomy.axes])
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_xlabel("propensity: violated  ←  0 as by chance  →  promoted")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    for number, (sheet, label) in enumerate(zip(scores, labels, strict=True)):
        shift = (number - (len(scores) - 1) / 2) * 0.25
        _marks(
            axes,
            np.arange(count, dtype=np.float64) + shift,
            sheet,
            _RUN_COLOURS[number],
            label,
            reach,
            polar=False,
        )
    _legend(axes, -0.16 - 0.5 / count)
    return figure


def _marks(
    axes: "mpl.axes.Axes",
    places: FloatArray,
    scores: Scores,
    colour: str,
    label: str,
    reach: float,
    *,
    polar: bool,
) -> None:
    """A dot and an interval for each axis, filled where the interval leaves out 0; a cross where
    there is no number.
    """
    if polar:
        profile = [
            (place, axis.propensity.value)
            for place, axis in sorted(
                zip(places, scores.axes, strict=True), key=lambda spoke: float(spoke[0])
            )
        ]
        closed = [(place, value) for place, value in [*profile, profile[0]] if value is not None]
        if closed:
            axes.plot(*zip(*closed, strict=True), color=colour, linewidth=0.9, alpha=0.35)
    named = False
    for place, axis in zip(places, scores.axes, strict=True):
        estimate = axis.propensity
        if estimate.value is None:
            where = (place, 0.0) if polar else (0.0, place)
            axes.plot(*where, marker="x", markersize=4, color="#aaaaaa", linestyle="none")
            continue
        if estimate.low is not None and estimate.high is not None:
            low, high = max(estimate.low, -1.5 * reach), min(estimate.high, 1.15 * reach)
            span = ([place, place], [low, high]) if polar else ([low, high], [place, place])
            axes.plot(*span, color=colour, linewidth=1.6, solid_capstyle="round", alpha=0.75)
        clear = (
            estimate.low is not None
            and estimate.high is not None
            and max(estimate.low, -estimate.high) > _ROUNDING
        )
        spot = (place, estimate.value) if polar else (estimate.value, place)
        axes.plot(
            *spot,
            marker="o",
            markersize=6,
            color=colour,
            markerfacecolor=colour if clear else "white",
            linestyle="none",
            label=None if named else plain_label(label),
        )
        named = True


def _legend(axes: "mpl.axes.Axes", below: float) -> None:
    """A legend under the picture, if anything in it has a number."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, below), frameon=False, ncols=2)


def circle_order(taxonomy: Taxonomy) -> list[int]:
    """The columns of the axes by their angles, those that lie on no circle where the list has them
    if the angles follow the list, else at the end.
    """
    angles = taxonomy.angles or {}
    columns = range(len(taxonomy.axes))
    if taxonomy.circular:
        return list(columns)
    return sorted(columns, key=lambda v: angles.get(taxonomy.axis_ids[v], 360.0))


def axis_colours(taxonomy: Taxonomy) -> list[str]:
    """A colour for each axis: that of its group in the main grouping, grey for those that belong to
    none.
    """
    groups = list(taxonomy.main_groups.values())
    colour = {
        axis: _GROUP_COLOURS[g % len(_GROUP_COLOURS)]
        for g, members in enumerate(groups)
        for axis in members
    }
    return [colour.get(axis.id, _OTHER_COLOUR) for axis in taxonomy.axes]


def _reach(scores: Sequence[Scores]) -> float:
    """The largest end of an interval, rounded up to a twentieth."""
    ends = [abs(end) for sheet in scores for axis in sheet.axes for end in _ends(axis.propensity)]
    return float(np.ceil(max([*ends, 0.05]) * 20) / 20)


def _ends(estimate: Estimate) -> list[float]:
    return [end for end in (estimate.value, estimate.low, estimate.high) if end is not None]
