"""The picture of an env of `study adapters`: the policies' profiles beside their base's, each one's
shift from the base, and on which values how many pairs can be told apart.
"""

from collections import Counter
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from valueagents.arrays import FloatArray
from valueagents.experiments.studies.given_design import BASE
from valueagents.experiments.studies.given_effects import GivenEnv, holds
from valueagents.report.pictures import STYLE, as_svg, axis_colours, plain_label

_COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#3b6ea5", "#a6761d")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_INK = "#1f2a44"
_ROW, _COLUMN = 0.27, 0.36


def given_picture(env: GivenEnv) -> str:
    """An SVG with a row a value and three panels; the base comes first among the policies."""
    names = {value.axis: value.name for value in env.values}
    axes = list(names)
    others = [name for name in env.policies if name != BASE]
    with mpl.rc_context(STYLE):
        widths = [3.4, max(0.7, _COLUMN * len(others)), 1.1]
        longest = max(map(len, others), default=0)
        figure = Figure(
            figsize=(2.4 + sum(widths), _ROW * len(axes) + 1.2 + 0.07 * longest),
            layout="constrained",
        )
        left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=widths)
        _profiles(left, env, axes, others)
        _shifts(middle, env, axes, others)
        _told_apart(right, env, axes)
        left.set_yticks(range(len(axes)), [plain_label(names[axis]) for axis in axes])
        left.set_ylim(len(axes) - 0.5, -0.5)
        for panel in (left, middle, right):
            panel.tick_params(length=0)
            for side in ("top", "right", "left"):
                panel.spines[side].set_visible(False)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(4, len(labels)),
            frameon=False,
            fontsize=8.5,
        )
        return as_svg(figure)


def _profiles(panel: Axes, env: GivenEnv, axes: Sequence[str], others: Sequence[str]) -> None:
    panel.axvline(0, color="#999999", linewidth=0.8)
    panel.grid(axis="y", color="#f0f0f0", linewidth=0.6)
    panel.set_axisbelow(True)
    rows = np.arange(len(axes))
    for place, name in enumerate(others):
        panel.plot(
            _column(env, name, axes),
            rows,
            linestyle="none",
            marker=_MARKERS[place // len(_COLOURS) % len(_MARKERS)],
            markersize=5,
            color=_COLOURS[place % len(_COLOURS)],
            alpha=0.85,
            label=plain_label(name),
        )
    if BASE in env.policies:
        panel.plot(
            _column(env, BASE, axes),
            rows,
            linestyle="none",
            marker="|",
            markersize=12,
            markeredgewidth=2.2,
            color=_INK,
            label=BASE,
        )
    panel.set_title("Profiles", fontsize=9.5)
    panel.set_xlabel("propensity in x; 0 = as by chance", fontsize=8.5)


def _column(env: GivenEnv, name: str, axes: Sequence[str]) -> FloatArray:
    """(V,) a policy's profile, NaN where it has no number."""
    values = [env.profiles[name][axis].value for axis in axes]
    return np.array([np.nan if value is None else value for value in values])


def _shifts(panel: Axes, env: GivenEnv, axes: Sequence[str], others: Sequence[str]) -> None:
    """Cells are coloured by the shift from the base; a dot is in those that hold."""
    panel.set_title("Shift from base", fontsize=9.5)
    panel.set_xlim(-0.5, max(1, len(others)) - 0.5)
    panel.set_xticks(
        range(len(others)),
        [plain_label(name) for name in others],
        rotation=90,
        fontsize=8.5,
    )
    cells = np.full((len(axes), max(1, len(others))), np.nan)
    held = []
    for each in env.differences:
        value = each.difference.value
        if each.first == BASE and value is not None:
            place = axes.index(each.axis), others.index(each.second)
            cells[place] = -value
            if holds(each):
                held.append(place)
    reach = float(np.nanmax(np.abs(cells), initial=0.02))
    panel.pcolormesh(
        np.arange(cells.shape[1] + 1) - 0.5,
        np.arange(len(axes) + 1) - 0.5,
        np.ma.masked_invalid(cells),
        cmap="RdBu",
        norm=Normalize(-reach, reach),
        edgecolors="white",
        linewidth=0.8,
    )
    for row, column in held:
        panel.plot(
            column, row, "o", markersize=5, color=_INK, markeredgecolor="white", markeredgewidth=1
        )
    panel.set_xlabel(f"red −{reach:.2g}, blue +{reach:.2g}", fontsize=8.5)


def _told_apart(panel: Axes, env: GivenEnv, axes: Sequence[str]) -> None:
    """How many pairs of policies differ on each value."""
    counts = Counter(each.axis for each in env.held)
    numbers = [counts[axis] for axis in axes]
    panel.barh(range(len(axes)), numbers, height=0.6, color=axis_colours(env.taxonomy))
    for row, number in enumerate(numbers):
        if number:
            panel.text(number, row, f" {number}", va="center", fontsize=8)
    panel.set_xlim(0, 1.35 * max([*numbers, 1]))
    panel.set_xticks([])
    panel.spines["bottom"].set_visible(False)
    panel.set_title("Pairs told apart", fontsize=9.5)
