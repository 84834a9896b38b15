"""What is counted beside every score: episodes, unread and refused decisions, prompts,
positions.
"""

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from valueagents.running.runs import Run

_COLUMNS = [
    "step",
    "attempt",
    "outcome",
    "chosen",
    "invalid",
    "annotated",
    "reading",
    "dropped_turns",
]
_COLUMNS += [
    "prompt_tokens",
    "cached_tokens",
    "output_tokens",
    "replayed",
    "attempts",
    "finish_reason",
    "reward",
    "lost_workers",
]

_WITHHELD = (
    "refusal",
    "content_filter",
)  # finish reasons of what a server says in place of an answer


class Counts(msgspec.Struct, frozen=True):
    """What is counted beside every score. `readings` counts decisions by how the reply was read.

    `answers_cut` were ended by the limit of tokens, `withheld` are refusals and content filters
    that a server told apart, `retried_decisions` took more than one attempt. `reward` is the sum
    over all steps, `lost_workers` those of the env whose work was done again.
    """

    episodes: int
    failed_episodes: int
    retried_episodes: int
    truncated_episodes: int
    decisions: int
    unread: int
    refused_by_env: int
    unannotated: int
    prompts_cut: int
    answers_cut: int
    withheld: int
    retried_decisions: int
    replayed: int
    readings: dict[str, int]
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    reward: float = 0.0
    lost_workers: int = 0


def count(run: Run, *, annotated: int | None = None) -> Counts:
    """The counts of a run; `annotated` decisions of it carry the annotations that are scored (None:
    its own).
    """
    table = run.decisions(_COLUMNS)
    first = table.filter(pc.equal(table["step"], 0))
    readings = {
        pair["values"]: pair["counts"] for pair in pc.value_counts(table["reading"]).to_pylist()
    }
    return Counts(
        episodes=first.num_rows,
        failed_episodes=len(run.failed()),
        retried_episodes=_total(pc.greater(first["attempt"], 1)),
        truncated_episodes=_total(pc.equal(first["outcome"], "truncated")),
        decisions=table.num_rows,
        unread=table["chosen"].null_count,
        refused_by_env=_total(table["invalid"].is_valid()),
        unannotated=(
            _total(pc.invert(table["annotated"]))
            if annotated is None
            else table.num_rows - annotated
        ),
        prompts_cut=_total(pc.greater(table["dropped_turns"], 0)),
        answers_cut=_total(pc.equal(table["finish_reason"], "length")),
        withheld=_total(pc.is_in(table["finish_reason"], pa.array(_WITHHELD))),
        retried_decisions=_total(pc.greater(table["attempts"], 1)),
        replayed=_total(table["replayed"]),
        readings=dict(sorted(readings.items())),
        prompt_tokens=_total(table["prompt_tokens"]),
        cached_tokens=_total(table["cached_tokens"]),
        output_tokens=_total(table["output_tokens"]),
        reward=float(pc.sum(table["reward"]).as_py() or 0.0),
        lost_workers=_total(table["lost_workers"]),
    )


def position_probabilities(run: Run) -> dict[str, list[float]]:
    """By number of options: the mean probability of each listed place.

    Without position bias all are 1/K.
    """
    if (
        not run.decisions(["position_probabilities"])["position_probabilities"]
        .is_valid()
        .to_numpy()
        .any()
    ):
        return {}
    table = run.decisions(["episode", "step", "position_probabilities"])
    known = table.filter(pc.is_valid(table["position_probabilities"]))
    known = known.sort_by([("episode", "ascending"), ("step", "ascending")])[
        "position_probabilities"
    ]
    sizes = pc.list_value_length(known).to_numpy()
    flat, row_of = pc.list_flatten(known).to_numpy(), np.repeat(np.arange(len(sizes)), sizes)
    return {
        str(size): flat[sizes[row_of] == size].reshape(-1, size).mean(axis=0).tolist()
        for size in np.unique(sizes).tolist()
        if size
    }


def _total(numbers: pa.ChunkedArray) -> int:
    return int(pc.sum(numbers).as_py() or 0)
