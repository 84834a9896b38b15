"""The page on one policy's run, or on two policies compared."""

from valueagents.measuring.summary import Summary
from valueagents.report.pictures import axis_colours, picture
from valueagents.report.template import drawn, template


def page(summary: Summary) -> str:
    """A self-contained HTML page with the results of a summary."""
    taxonomy = summary.taxonomy
    labels = [sheet.header.policy for sheet in summary.sheets]
    svg = picture(taxonomy, [sheet.scores for sheet in summary.sheets], labels)
    return template("page.html.j2").render(
        taxonomy=taxonomy,
        colours=dict(zip(taxonomy.axis_ids, axis_colours(taxonomy), strict=True)),
        svg=drawn(svg),
        sheets=summary.sheets,
        comparison=summary.comparison,
        seeds=summary.seeds,
    )
