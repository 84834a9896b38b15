"""The page on the results of any number of runs."""

from collections.abc import Sequence

from valueagents.measuring.summary import Results
from valueagents.report.answer import CHANCE, answer, cautions
from valueagents.report.figures import pictures, svg_of
from valueagents.report.pictures import axis_colours
from valueagents.report.quality import competence, quality
from valueagents.report.template import drawn, template


def page(results: Results, *, title: str | None = None, notes: Sequence[str] = ()) -> str:
    """A self-contained HTML page with the results; `notes` stand under the answer."""
    shown = [(each, drawn(svg_of(each), each.title)) for each in pictures(results)]
    colours = {
        axis: colour
        for env in results.envs
        for axis, colour in zip(env.taxonomy.axis_ids, axis_colours(env.taxonomy), strict=True)
    }
    return template("page.html.j2").render(
        results=results,
        title=title or "What did it value, from what it did?",
        answer=answer(results),
        cautions=cautions(results),
        notes=notes,
        pictures=shown,
        colours=colours,
        names={a.id: a.name for env in results.envs for a in env.taxonomy.axes},
        quality=quality(results),
        competence=competence(results),
        chance_bar=CHANCE,
    )
