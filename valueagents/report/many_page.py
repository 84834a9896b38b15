"""Pages on several policies at once: do their values run round the circle, and do the worlds agree about them?"""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from markupsafe import Markup

from valueagents.measuring.many.circle import circle_check
from valueagents.measuring.many.multimethod import validity
from valueagents.measuring.many.profiles import profiles
from valueagents.report.many_pictures import circle_picture, matrix_picture
from valueagents.report.page import template
from valueagents.running.runs import Run
from valueagents.running.store import write_atomically


def write_circle_page(runs: Sequence[Run], out: Path | str) -> Path:
    """A self-contained page with the circle check of these policies is at `out`; a run is one policy."""
    table = profiles(runs)
    check = circle_check(table.of(), table.taxonomy, menus=table.menus)
    return _write(
        out,
        "circle.html.j2",
        check=check,
        taxonomy=table.taxonomy,
        svg=_drawn(circle_picture(check, table.taxonomy)) if check.places else None,
        envs=sorted({run.header.env for run in runs}),
        labels=table.labels,
        form=table.form,
        situations=len(table.item),
    )


def write_validity_page(runs: Sequence[Run], out: Path | str) -> Path:
    """A self-contained page with the validity and reliability of these policies by these worlds is at `out`."""
    found = validity(runs)
    return _write(
        out, "validity.html.j2", found=found, svg=_drawn(matrix_picture(found)) if found.matrix is not None else None
    )


def _drawn(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 – drawn by us; matplotlib escapes labels


def _write(out: Path | str, name: str, **shown: object) -> Path:
    stamp = {"written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "version": version("valueagents")}
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, template(name).render(**shown, **stamp).encode())
    return path
