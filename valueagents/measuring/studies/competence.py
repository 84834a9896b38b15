"""What an adapter does to what a policy can do: reward, completion, invalid answers, against its
control.
"""

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from valueagents.arrays import FloatArray
from valueagents.errors import ConfigError
from valueagents.measuring.answers import Answers
from valueagents.measuring.inference import Estimate, Totals, cluster_estimates
from valueagents.measuring.sums import cluster_sums

_COLUMNS = ["episode", "situation", "repetition", "cluster", "reward", "outcome", "invalid"]
_NUMBERS = ("reward", "completed", "invalid", "decisions")


class CompetenceChange(msgspec.Struct, frozen=True):
    """Intervention minus control.

    `score`: reward an episode. `completion`: share of episodes that ended by themselves. `invalid`:
    share of decisions that the env refused.
    """

    score: Estimate
    completion: Estimate
    invalid: Estimate


def competence_change(
    intervention: Answers, control: Answers, *, seed: int = 0
) -> CompetenceChange:
    """The change over the episodes (situation and repetition) that both runs played.

    Undefined with a reason where the runs' seeds differ. Raises ConfigError if they share no
    episode.
    """
    if intervention.run is None or control.run is None:
        return _undefined("simulated answers have no episodes")
    seeds = intervention.run.header.seed, control.run.header.seed
    if seeds[0] != seeds[1]:
        return _undefined(f"seeds {seeds[0]} and {seeds[1]}: the episodes are not paired")
    mine, theirs = _episodes(intervention), _episodes(control)
    paired = mine.join(
        theirs, ["situation", "repetition"], join_type="inner", right_suffix=" of control"
    )
    paired = paired.sort_by([("situation", "ascending"), ("repetition", "ascending")])
    if not paired.num_rows:
        raise ConfigError("the runs share no episode; run both on the same env with the same seed")
    units = paired["unit of control"].to_pylist()
    names, code = np.unique(units, return_inverse=True)
    columns = {
        name: _column(paired, name)
        for name in (*_NUMBERS, *(f"{name} of control" for name in _NUMBERS))
    }
    columns["episodes"] = np.ones((paired.num_rows, 1))
    sums = {name: cluster_sums(column, code, len(names)) for name, column in columns.items()}
    return CompetenceChange(**cluster_estimates(sums, _changes, seed=seed))


def _changes(totals: Totals) -> dict[str, FloatArray]:
    total = {name: column[:, 0] for name, column in totals.items()}
    control_share = total["invalid of control"] / total["decisions of control"]
    return {
        "score": (total["reward"] - total["reward of control"]) / total["episodes"],
        "completion": (total["completed"] - total["completed of control"]) / total["episodes"],
        "invalid": total["invalid"] / total["decisions"] - control_share,
    }


def _episodes(answers: Answers) -> pa.Table:
    """A row an episode: situation ("" in a game), repetition, unit of independence, and the
    numbers.
    """
    assert answers.run is not None  # noqa: S101 – asked before
    table = answers.run.decisions(_COLUMNS)
    situation = table["situation"].fill_null("")
    in_game = pc.equal(situation, "")
    unit = pc.if_else(
        in_game, table["repetition"].cast(pa.string()), table["cluster"].cast(pa.string())
    )
    rows = pa.table(
        {
            "episode": table["episode"],
            "situation": situation,
            "repetition": table["repetition"],
            "unit": unit,
            "reward": table["reward"],
            "completed": pc.equal(table["outcome"], "terminated").cast(pa.float64()),
            "invalid": table["invalid"].is_valid().cast(pa.float64()),
            "decisions": pa.array(np.ones(table.num_rows)),
        }
    )
    keys = ["episode", "situation", "repetition", "unit"]
    totals = rows.group_by(keys).aggregate(
        [(name, "mean" if name == "completed" else "sum") for name in _NUMBERS]
    )
    return totals.rename_columns(
        [name.removesuffix("_sum").removesuffix("_mean") for name in totals.column_names]
    )


def _column(table: pa.Table, name: str) -> FloatArray:
    column: FloatArray = table[name].to_numpy().astype(np.float64).reshape(-1, 1)
    return column


def _undefined(reason: str) -> CompetenceChange:
    return CompetenceChange(*[Estimate(reason=reason)] * 3)
