"""What all pictures share: the style, colours that a page can turn dark, and how one becomes SVG or
PNG.

Pictures are drawn at the width of a paper's column with labels of 7 to 8 points, so that they can
be read there, and on a telephone.
"""

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from valueagents.report.palette import GROUPS, INK, OTHER, SOFT
from valueagents.screen import visible
from valueagents.taxonomy import Taxonomy

COLUMN = 3.5
"""Width of a picture in inches: a column of a paper of two."""
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "valueagents",
    "text.parse_math": False,  # names are text: "$x$" is no formula
    "text.usetex": False,
}
_DOTS_PER_INCH = 300


def plain_label(text: str) -> str:
    """A name as matplotlib shows it: on one line, visible, and in the legend too, which leaves out
    what begins with an underscore.
    """
    shown = visible(text.replace("\n", " "))
    return f" {shown}" if shown.startswith("_") else shown


def short_label(text: str, most: int = 42) -> str:
    """A plain label that fits a legend: the middle of a longer one is left out."""
    shown = plain_label(text)
    half = most // 2 - 1
    return shown if len(shown) <= most else f"{shown[:half]} … {shown[-half:]}"


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


def as_png(figure: Figure) -> bytes:
    """The same on white, at 300 dots an inch."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=_DOTS_PER_INCH,
        bbox_inches="tight",
        facecolor="white",
        metadata={"Software": None},
    )
    return buffer.getvalue()


def bare(axes: Axes, *sides: str) -> None:
    """No frame at these sides, by default above and to the right."""
    for side in sides or ("top", "right"):
        axes.spines[side].set_visible(False)


def legend(axes: Axes, below: float) -> None:
    """A legend under the picture, if anything in it has a number."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, below), frameon=False, ncols=1)


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
    colour = {axis: GROUPS[g % len(GROUPS)] for g, members in enumerate(groups) for axis in members}
    return [colour.get(axis.id, OTHER) for axis in taxonomy.axes]
