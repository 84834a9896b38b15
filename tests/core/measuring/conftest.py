"""Runs of one-decision episodes, made from rows: what the tests of studies and interventions are
about.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from valueagents.contracts.decision import Annotation, Choice, Decision, Episode, Factor, Option
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import Taxonomy, load_taxonomy


class Row(NamedTuple):
    """A decision: `options` are {option id: {axis: x}}, `answer` the probabilities or the id chosen
    (None: unread).

    `extra` may hold the text shown (else the situation), factors, reward, invalid and outcome.
    """

    situation: str
    cluster: str
    options: dict[str, dict[str, float | None]]
    answer: tuple[float, ...] | str | None
    extra: dict[str, Any]


RunOf = Callable[..., Run]


@pytest.fixture
def run_of() -> RunOf:
    """Writes rows as a run and opens it: `run_of(path, rows)`."""
    return _made_run


def _made_run(
    path: Path,
    rows: Sequence[Row],
    *,
    taxonomy: Taxonomy | None = None,
    seed: int = 0,
    min_contested: int = 1,
    factors: tuple[Factor, ...] = (),
    policy: str = "test",
) -> Run:
    taxonomy = taxonomy or load_taxonomy("schwartz20")
    header = RunHeader(
        env="test/T-v0",
        env_options={},
        policy=policy,
        seed=seed,
        task="Choose.",
        env_identity={},
        policy_identity={"policy": policy},
        taxonomy=taxonomy,
        independent_menus=True,
        informed=False,
        min_contested=min_contested,
        factors=factors,
    )
    store = RunStore.create(path, header)
    met: dict[str, int] = {}
    with store.writing() as writer:
        for i, row in enumerate(rows):
            met[row[0]] = met.get(row[0], -1) + 1
            writer.episode(_episode(i, Row(*row), met[row[0]], taxonomy))
    return Run(path)


def _episode(i: int, row: Row, repetition: int, taxonomy: Taxonomy) -> Episode:
    menu = tuple(Option(name, f"option {name}") for name in row.options)
    p = row.answer if isinstance(row.answer, tuple) else None
    chosen = menu[int(np.argmax(p))].id if p else row.answer
    decision = Decision(
        observation=row.extra.get("text", row.situation),
        menu=menu,
        choice=Choice(chosen, "drawn" if chosen else "failed", p),
        annotation=Annotation(taxonomy.name, tuple(row.options.values()), "tests", "tests"),
        invalid=row.extra.get("invalid"),
        reward=row.extra.get("reward", 0.0),
        factors=row.extra.get("factors", {}),
    )
    outcome = row.extra.get("outcome", "terminated")
    return Episode(f"{i:06d}", row.situation, repetition, 0, row.cluster, (decision,), outcome)
