"""Pages: one autoescaping template engine, one way of writing a file."""

import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from valueagents.report.numbers import (
    in_brackets,
    interval,
    merged,
    number,
    p_value,
    percent,
    sentence,
    signed,
    size,
)
from valueagents.report.palette import THEME
from valueagents.running.store import write_atomically
from valueagents.screen import visible

_COLOUR = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")


def template(name: str, package: str = "valueagents.report") -> jinja2.Template:
    """A page's template in a package, which may extend ours; whatever is put into it is escaped,
    and visible.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(each, "") for each in (package, "valueagents.report")]
        ),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"signed": signed, "interval": interval, "number": number, "sentence": sentence}
    environment.filters.update(filters, percent=percent, p=p_value, in_brackets=in_brackets)
    environment.filters.update(digits_of=_digits_of, size=size, merged=merged)
    environment.globals.update(
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), version=version("valueagents")
    )
    return environment.get_template(name)


def _digits_of(estimator: str) -> int:
    """Imported when first used: not every page has estimators."""
    from valueagents.measuring.estimators.registry import digits_of

    return digits_of(estimator)


def _visible(value: object) -> object:
    """What is put into a page, with control and direction characters as code points."""
    if isinstance(value, Markup):
        return Markup(visible(value))  # noqa: S704 – as safe as it was
    return visible(value) if isinstance(value, str) else value


def drawn(svg: str, label: str | None = None) -> Markup:
    """A picture of ours, to be put into a page as it is; matplotlib escapes its labels.

    Its colours become the page's, which has a light and a dark one of each. `label` is what a
    screen reader says of it.
    """
    themed = _COLOUR.sub(
        lambda found: f"{found[1]}: var(--{THEME[found[2]]})" if found[2] in THEME else found[0],
        svg,
    )
    named = "" if label is None else f' role="img" aria-label="{escape(visible(label))}"'
    picture = themed.replace("<svg", f"<svg{named}", 1)
    return Markup(picture)  # noqa: S704 – the one place where a text becomes markup


def write_page(html: str, out: Path | str) -> Path:
    """The page is at `out`, whose folder is made where it is missing."""
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, html.encode())
    return path
