"""Reports: self-contained HTML pages made from results; `write_report` goes from runs to a page in
one call.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valueagents.measuring.reading import Source

__all__ = ["write_report"]


def write_report(
    runs: "Sequence[Source]",
    out: Path | str,
    *,
    primary: str | None = None,
    low_mass: bool = False,
    tables: Path | str | None = None,
    figures: Path | str | None = None,
) -> Path:
    """A self-contained HTML page on runs of any policies in any envs with any seeds is at `out`.

    Args:
        runs: each once; their headers say what belongs together.
        out: the page.
        primary: the one axis named before looking; its differences are tested apart.
        low_mass: as in `score` and `compare`.
        tables: a folder for every number of the page, as CSV and Parquet.
        figures: a folder for its pictures, as SVG and PNG.

    Raises ConfigError for an axis that no env has, and for a run given twice.
    """
    # imported when first used: pages without numbers need neither estimators nor pictures
    from valueagents.measuring.summary import summarise
    from valueagents.report.figures import write_figures
    from valueagents.report.page import page
    from valueagents.report.results_tables import write_tables
    from valueagents.report.template import write_page

    results = summarise(runs, primary=primary, low_mass=low_mass)
    if tables is not None:
        write_tables(results, Path(tables))
    if figures is not None:
        write_figures(results, Path(figures))
    return write_page(page(results), out)
