"""The picture of a benchmark of `study bias`: each policy's bias within its bound, and accuracy, by
language.
"""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from valueagents.experiments.studies.bias_effects import PolicyBias
from valueagents.measuring.inference import Estimate
from valueagents.report.pictures import STYLE, as_svg, plain_label

_MONO, _MULTI, _BOUND = "#b5651d", "#1f6f8b", "#d9dde3"
_ROW = 0.3


def bias_picture(policies: Sequence[PolicyBias]) -> str:
    """An SVG with a row a policy and language; two panels for questions, one for pairs."""
    rows = sorted(policies, key=lambda each: (each.language, each.multilingual, each.policy))
    questions = rows[0].questions is not None
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, _ROW * len(rows) + 1.3), layout="constrained")
        panels = figure.subplots(1, 2 if questions else 1, sharey=True, squeeze=False)[0]
        for place, each in enumerate(rows):
            _draw(panels, place, each)
        labels = [f"{each.language}  {plain_label(each.policy)}" for each in rows]
        panels[0].set_yticks(range(len(rows)), labels)
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
        _name(panels[0], "bias, ambiguous" if questions else "share − 1/2", zero=0.0)
        if questions:
            _name(panels[1], "accuracy, disambiguated", zero=1 / 3)
            panels[1].set_xlim(0, 1)
        return as_svg(figure)


def _draw(panels: Sequence[Axes], place: int, each: PolicyBias) -> None:
    colour = _MULTI if each.multilingual else _MONO
    if each.questions is not None:
        bound = each.questions.bound_ambiguous.value or 0.0
        panels[0].barh(place, 2 * bound, left=-bound, height=0.8, color=_BOUND, linewidth=0)
        _mark(panels[0], place, each.questions.bias_ambiguous, colour)
        _mark(panels[1], place, each.questions.accuracy_disambiguated, colour)
    if each.pairs is not None:
        _mark(panels[0], place, each.pairs.share, colour, less=0.5)


def _mark(panel: Axes, place: int, estimate: Estimate, colour: str, *, less: float = 0.0) -> None:
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        panel.hlines(place, estimate.low - less, estimate.high - less, color=colour, linewidth=1.8)
    panel.plot(estimate.value - less, place, "o", color=colour, markersize=5)


def _name(panel: Axes, text: str, *, zero: float) -> None:
    panel.axvline(zero, color="#999999", linewidth=0.8)
    panel.set_title(text, fontsize=9.5)
    panel.tick_params(length=0)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
