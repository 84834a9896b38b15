"""The report of `study adapters`: one HTML page, one JSON file with every number on it, and the
answer in sentences.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from valueagents.experiments.studies.given_design import BASE, GivenStudy
from valueagents.experiments.studies.given_effects import LEVEL, GivenEnv, holds
from valueagents.experiments.studies.given_picture import given_picture
from valueagents.experiments.studies.given_sentences import sentences
from valueagents.measuring.many.differences import PairDifference, above, turned
from valueagents.report.template import drawn, template, write_page
from valueagents.running.sealed import write_sealed

_MOST_PAIRS, _NEXT = 30, 10
"""Rows of the table of differences, and how many of them may not hold; `adapters.json` has all."""


class GivenReport(msgspec.Struct, frozen=True):
    """Where the page is, and what it answers, a paragraph each."""

    page: Path
    answer: list[str]


def write_given(
    study: GivenStudy, envs: Sequence[GivenEnv], out: Path, *, design: str
) -> GivenReport:
    """`report.html` and `adapters.json` are in `out`."""
    answer = sentences(study, envs)
    record = {
        "format": "valueagents-adapters 2",
        "valueagents": version("valueagents"),
        "study": study,
        "answer": answer,
        "envs": envs,
    }
    write_sealed(out / "adapters.json", record)
    page = template("given.html.j2", "valueagents.experiments.studies").render(
        study=study,
        answer=answer,
        envs=[(env, drawn(given_picture(env)) if env.tested else None) for env in envs],
        base=BASE,
        level=LEVEL,
        shown=shown,
        holds=holds,
        from_base=from_base,
        above=above,
        design=design,
        settings=msgspec.json.format(msgspec.json.encode(study), indent=1).decode(),
    )
    return GivenReport(write_page(page, out / "report.html"), answer)


def shown(env: GivenEnv) -> list[PairDifference]:
    """The differences of the table: those that hold, and the next ones."""
    return env.tested[: min(_MOST_PAIRS, len(env.held) + _NEXT)]


def from_base(env: GivenEnv, axis: str) -> list[PairDifference | None]:
    """A value's shift of each policy but the base, in their order: policy minus base; None where
    the base was left out.
    """
    own = {each.second: each for each in env.differences if (each.first, each.axis) == (BASE, axis)}
    return [turned(own[name]) if name in own else None for name in env.policies if name != BASE]
