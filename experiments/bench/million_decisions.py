"""How long does it take to score a million decisions, and how much memory?

The run is synthetic: 25,000 episodes of 40 decisions, menus of 6 options on 20 axes, choices by a softmax over known
weights with its probabilities. Two kinds of annotation: sparse as real ones are (15 % of amounts are not 0), and dense
(all are, in tenths). Its decisions.parquet is written once for each kind, as compaction would; then a fresh process
scores it by the public `score` and reports its own clock, CPU time and peak memory (ru_maxrss).
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from valueagents.identity import content_hash
from valueagents.running.store import RunHeader, RunStore
from valueagents.running.table import TABLE_SCHEMA, write_decisions
from valueagents.taxonomy import load_taxonomy

EPISODES, STEPS, OPTIONS = 25_000, 40, 6
EPISODES_A_GROUP = 500
FILLED = {"sparse": 0.15, "dense": 1.0}
_SCORING = """
import resource, sys, time
from valueagents.measuring.scores import score
wall, cpu = time.perf_counter(), time.process_time()
scores = score(sys.argv[1])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
print(f"{scores.counts.decisions:,} decisions: {wall:.1f} s (bar: 10), {cpu:.1f} s of CPU, {peak:.2f} GB (bar: 2)")
print(f"first axis: E3 {scores.axes[0].propensity}, E4 {scores.axes[0].weight}")
print(f"uniform choices: p = {scores.null_test.p:.4f}")
"""


def tables(kind: str) -> Iterator[pa.Table]:
    """The decisions, some hundred episodes at a time, episodes in no order."""
    rng = np.random.default_rng(1)
    axes = len(load_taxonomy("schwartz20").axes)
    weights = rng.normal(0, 0.6, axes)
    rows = EPISODES_A_GROUP * STEPS
    for first in range(0, EPISODES, EPISODES_A_GROUP):
        x = rng.integers(-10, 11, size=(rows, OPTIONS, axes)) / 10
        x *= rng.random(x.shape) < FILLED[kind]
        odds = np.exp(x @ weights)
        p = odds / odds.sum(axis=1, keepdims=True)
        chosen = (p.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1).clip(max=OPTIONS - 1)
        names = [content_hash(kind, first + i) for i in range(EPISODES_A_GROUP) for _ in range(STEPS)]
        shown = [content_hash(kind, first, i) for i in range(rows)]
        filled: dict[str, object] = {
            "episode": names,
            "cluster": names,
            "step": np.tile(np.arange(STEPS), EPISODES_A_GROUP),
            "shown": shown,
            "menu": shown,
            "option_ids": _lists(np.tile(np.array(["a", "b", "c", "d", "e", "f"]), rows), OPTIONS),
            "option_characters": _lists(rng.integers(20, 120, rows * OPTIONS), OPTIONS),
            "annotated": np.ones(rows, dtype=bool),
            "x": _lists(x.ravel(), OPTIONS * axes),
            "chosen": chosen,
            "probabilities": _lists(p.ravel(), OPTIONS),
            "attempt": np.ones(rows, dtype=np.int64),
            "outcome": ["terminated"] * rows,
            "reading": ["drawn"] * rows,
        }
        columns = [
            pa.array(filled.get(name, pa.nulls(rows)), TABLE_SCHEMA.field(name).type) for name in TABLE_SCHEMA.names
        ]
        yield pa.Table.from_arrays(columns, schema=TABLE_SCHEMA)


def _lists(values: "np.ndarray[tuple[int], np.dtype[np.generic]]", length: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(np.arange(0, len(values) + 1, length, dtype=np.int32), pa.array(values))


def synthetic_run(folder: Path, kind: str) -> Path:
    """The run is at folder/kind, made if it was not there."""
    header = RunHeader(
        env=f"synthetic/{kind}",
        env_options={},
        policy="synthetic",
        seed=1,
        task="",
        env_identity={},
        policy_identity={},
        taxonomy=load_taxonomy("schwartz20"),
        independent_menus=True,
        informed=True,
    )
    made = (folder / kind / "decisions.parquet").exists()
    store = RunStore.create(folder / kind, header)
    if not made:
        write_decisions(store, tables(kind))
    return store.path


def main() -> None:
    """Print seconds, CPU seconds and peak memory for both kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/score_speed"), help="where the two runs are kept")
    folder = parser.parse_args().folder
    for kind in FILLED:
        path = synthetic_run(folder, kind)
        print(f"{kind} annotations, {(path / 'decisions.parquet').stat().st_size / 1e6:.0f} MB of Parquet")
        subprocess.run([sys.executable, "-c", _SCORING, str(path)], check=True)


if __name__ == "__main__":
    main()
