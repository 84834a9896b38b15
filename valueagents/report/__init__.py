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
) -> Path:
    """A self-contained HTML page on one run, or on two policies with their comparison, is at `out`.

    More than two runs are training seeds, those of the first policy and as many of the second: all
    are compared, the first of each is shown. `low_mass` as in `score` and `compare`. Raises
    ConfigError for runs that cannot be compared.
    """
    # imported when first used: pages without numbers need neither estimators nor pictures
    from valueagents.measuring.summary import summarise
    from valueagents.report.page import page
    from valueagents.report.template import write_page

    return write_page(page(summarise(runs, primary=primary, low_mass=low_mass)), out)
