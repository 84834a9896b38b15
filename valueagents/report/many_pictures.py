"""Pictures of how values hang together over policies: the map on the circle, the
multitrait-multimethod matrix.
"""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from valueagents.arrays import FloatArray
from valueagents.measuring.many.circle import CircleCheck
from valueagents.measuring.many.multimethod import MultiMethod
from valueagents.report.palette import FAINT, INK, PAPER, SERIES, SOFT
from valueagents.report.pictures import STYLE, as_svg, axis_colours, bare, plain_label
from valueagents.taxonomy import Taxonomy

_HUMAN = SERIES[1]


def circle_picture(check: CircleCheck, taxonomy: Taxonomy) -> str:
    """An SVG: the map of the policies beside the theoretical circle, and correlation by distance
    beside people's.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 4.9))
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.05])
        _map(left, check, dict(zip(taxonomy.axis_ids, axis_colours(taxonomy), strict=True)))
        _distances(right, check)
        figure.tight_layout()
        return as_svg(figure)


def _map(axes: Axes, check: CircleCheck, colours: dict[str, str]) -> None:
    """Dots: the values by the policies' correlations.

    Rings: where the circle puts them, with their names outside.
    """
    places = np.array(check.places)
    theta = np.radians(check.angles)
    radii = np.sqrt((places**2).sum(axis=1))
    radius = float(radii.mean()) or 1.0
    outside = 1.12 * max(radius, float(radii.max()))
    ideal = radius * np.stack([np.sin(theta), np.cos(theta)], axis=1)
    around = np.linspace(0, 2 * np.pi, 200)
    axes.plot(
        radius * np.sin(around), radius * np.cos(around), color=FAINT, linewidth=1.0, zorder=0
    )
    for name, place, target in zip(check.axes, places, ideal, strict=True):
        colour = colours[name]
        axes.plot(*zip(place, target, strict=True), color=colour, linewidth=0.7, alpha=0.6)
        axes.plot(*target, marker="o", markersize=5, markerfacecolor=PAPER, color=colour, alpha=0.6)
        axes.plot(*place, marker="o", markersize=6, color=colour)
        right, up = (target * outside / radius).tolist()
        label = plain_label(name)
        axes.text(right, up, label, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xlim(-1.1 * outside, 1.1 * outside)
    axes.set_ylim(-1.1 * outside, 1.1 * outside)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title("Map of the values (dots), the circle's places (rings)", fontsize=9.5)


def _distances(axes: Axes, check: CircleCheck) -> None:
    """Each pair of values: their angle and their correlation; people's means beside it."""
    correlations, theta = np.array(check.correlations), np.array(check.angles)
    first, second = np.triu_indices(len(theta), 1)
    apart = np.abs(theta[first] - theta[second])
    apart = np.minimum(apart, 360 - apart)
    r = correlations[first, second]
    axes.axhline(0, color=SOFT, linewidth=0.8)
    axes.plot(
        apart, r, marker="o", markersize=3, linestyle="none", color=SOFT, label="a pair of values"
    )
    slope, level = np.polyfit(np.cos(np.radians(apart)), r, 1)
    line = np.linspace(0, 180, 100)
    fitted = level + slope * np.cos(np.radians(line))
    axes.plot(line, fitted, color=INK, linewidth=1.6, label="these policies: fit on cos(angle)")
    people = check.people
    if people is not None:
        steps = 360 / people.places * np.arange(1, len(people.by_distance) + 1)
        label = f"{people.people} people, {people.places} values, mean by distance"
        axes.plot(
            steps,
            people.by_distance,
            marker="s",
            markersize=5,
            color=_HUMAN,
            linewidth=1.2,
            label=label,
        )
    axes.set_xlabel("angle between two values on the circle (degrees)")
    axes.set_ylabel("correlation over policies")
    axes.set_xlim(0, 185)
    axes.set_ylim(-1.05, 1.05)
    axes.set_xticks(range(0, 181, 36))
    bare(axes)
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def matrix_picture(found: MultiMethod) -> str:
    """An SVG of the multitrait-multimethod matrix: a block for each pair of methods, values in
    circle order.
    """
    matrix: FloatArray = np.array(found.matrix)
    count = len(found.axes)
    with mpl.rc_context(STYLE):
        size = min(11.0, 2.2 + 0.16 * len(matrix))
        figure = Figure(figsize=(size + 0.8, size))
        axes = figure.add_subplot()
        image = axes.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
        for edge in range(count, len(matrix), count):
            axes.axhline(edge - 0.5, color=INK, linewidth=1.2)
            axes.axvline(edge - 0.5, color=INK, linewidth=1.2)
        ticks = [plain_label(name) for name in found.axes] * len(found.methods)
        axes.set_xticks(range(len(ticks)), ticks, rotation=90, fontsize=7.5)
        axes.set_yticks(range(len(ticks)), ticks, fontsize=7.5)
        axes.tick_params(length=0)
        for place, method in enumerate(found.methods):
            name = plain_label(method.rpartition("/")[2])
            axes.text(count * (place + 0.5) - 0.5, -1.2, name, ha="center", va="bottom", fontsize=9)
        figure.colorbar(image, ax=axes, shrink=0.6, label="correlation over policies")
        return as_svg(figure)
