"""What tests of exports share: runs that are odd, and what two results say apart from names."""

from pathlib import Path

import msgspec
import pyarrow as pa

from valueagents.contracts.decision import (
    Annotation,
    Choice,
    Covariate,
    Decision,
    Episode,
    Failure,
    Option,
)
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import Axis, Taxonomy


def rows(table: pa.Table) -> str:
    """All that a table holds, NaN alike and 0.0 apart from -0.0."""
    return repr(table.to_pylist())


def numbers(result) -> dict:
    """What scores or a comparison say, but for the names of the runs."""
    told = msgspec.to_builtins(result)
    return {name: value for name, value in told.items() if name not in ("run", "first", "second")}


def odd_run(folder: Path, text: str, number: float) -> Run:
    """A run of two decisions, one bare, whose texts and numbers are odd."""
    axes = Axis("A", "Alpha", "a"), Axis("B", "Beta", "b")
    taxonomy = Taxonomy(id="two", version=1, source="", axes=axes)
    header = RunHeader(
        "env", {}, "p", 0, "", {"e": "e"}, {"p": "p"}, taxonomy, True, False,
        covariates=(Covariate("length", "Its length.", "points"),),
    )  # fmt: skip
    menu = Option("a" + text, text), Option("b", "")
    values = ({"A": number, "B": None}, {})
    choice = Choice(
        menu[0].id, "parsed", (0.1 + 0.2, 1 - (0.1 + 0.2)), mass=number, finish_reason=text,
        prompt="", beside={text: (1 / 3, 2 / 3)},
    )  # fmt: skip
    annotation = Annotation("two/1", values, "", "", covariates={"length": (number, None)})
    decisions = (
        Decision(text, menu, choice, annotation, reward=number),
        Decision("", (), Choice(None, "failed")),
    )
    store = RunStore.create(folder, header)
    with store.writing() as writer:
        writer.episode(Episode("e", text, 0, 0, text, decisions, "terminated"))
        writer.failure(Failure("f", None, 0, "", text, 0, 2))
    return Run(folder)
