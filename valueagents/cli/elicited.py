"""What `score` prints of the way of asking: variance components, normalisers, "none of these"."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from valueagents.measuring.alternatives import Neither, Normalisers
    from valueagents.measuring.elicited import Elicited, Spread

_SHOWN_PARTS = ("policy", "item", "prompt", "policy × prompt", "order", "seed", "reading")


def elicited_lines(asked: "Elicited") -> list[str]:
    """A line for each thing that there is to say, below the table of components."""
    lines = []
    if asked.normalisers is not None and asked.normalisers.turned:
        lines.append(_normalisers(asked.normalisers))
    if asked.neither is not None:
        lines.append(_neither(asked.neither))
    return lines


def components_table(spread: "Spread") -> "Table | None":
    """The variance of each facet, in shares of what a decision varies, and the coefficient of each
    value; None where there is no component.
    """
    from rich.table import Table

    known = {axis: each for axis, each in spread.axes.items() if each.rest is not None}
    if not known:
        return None
    parts = [name for name in _SHOWN_PARTS if any(name in each.facets for each in known.values())]
    made = Table(box=None, pad_edge=False)
    for column in ("value", "decisions", "variance, x²", *parts, "rest", "coefficient"):
        made.add_column(column)
    for axis, each in known.items():
        total = sum(each.facets.values()) + (each.rest or 0.0)
        shares = [f"{each.facets.get(name, 0.0) / total:.0%}" if total else "–" for name in parts]
        rest = f"{(each.rest or 0.0) / total:.0%}" if total else "–"
        held = "–" if each.coefficient is None else f"{each.coefficient:.2f}"
        made.add_row(axis, str(each.decisions), f"{total:.4f}", *shares, rest, held)
    return made


def spread_line(spread: "Spread") -> str:
    """What the table of components is of, and what it cannot tell."""
    if spread.reason is not None:
        return f"variance components: {spread.reason}"
    over = f"{spread.runs} run{'s' if spread.runs > 1 else ''}"
    if spread.policies > 1:
        over += f" of {spread.policies} policies"
    line = f"variance components over {over}; coefficient: {spread.coefficient}"
    if spread.not_varied:
        line += f"; not varied, so not known: {', '.join(spread.not_varied)}"
    undetermined = {each.reason for each in spread.axes.values() if each.reason is not None}
    told_apart = sorted(reason for reason in undetermined if "told apart" in reason)
    return "; ".join([line, *told_apart])


def _normalisers(normalisers: "Normalisers") -> str:
    turned = []
    for axis in normalisers.turned:
        by = normalisers.axes[axis]
        turned.append(f"{axis} {', '.join(f'{name} {value:+.3f}' for name, value in by.items())}")
    return f"E3p whose sign turns with the normaliser: {'; '.join(turned)}"


def _neither(neither: "Neither") -> str:
    bounds = [
        f"{axis} from {each.lowest:+.3f} to {each.highest:+.3f}"
        for axis, each in neither.axes.items()
        if each.lowest is not None and each.highest is not None
    ]
    line = (
        f"none of these was offered in {neither.decisions} decisions: {neither.mean:.2g} of the"
        f" probability on average, the likeliest answer in {neither.likeliest}"
    )
    held = ", ".join(bounds) or "none"
    return f"{line}; the propensity with it at its worst and its best option: {held}"
