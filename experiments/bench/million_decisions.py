"""How long does it take to score a million decisions, and how much memory?

The run is synthetic: 25,000 episodes of 40 decisions, menus of 6 options on 20 axes, choices by a
softmax over known weights with its probabilities. Two kinds of annotation: sparse as real ones are
(15 % of amounts are not 0), and dense (all are, in tenths). Its decisions.parquet is written anew
each time, as compaction would; then fresh processes, one a round and kind in turn, score it by the
public `score` and report their own clock, CPU time and peak memory, and what one bare read of the
columns that scoring needs takes pyarrow, before it and in the same process. The file is small
beside memory and has just been written, so reading it from a slow disk is not part of the figure.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from valueagents.experiments.bench.timing import (
    make_parser,
    print_figure,
    read_options,
    require_work,
)
from valueagents.identity import content_hash
from valueagents.running.store import RunHeader, RunStore
from valueagents.running.table import TABLE_FILE, TABLE_SCHEMA, write_decisions
from valueagents.taxonomy import load_taxonomy

SIZES = {"episodes": (25_000, 250), "rounds": (3, 1)}
STEPS, OPTIONS = 40, 6
COLUMNS = (
    "episode",
    "step",
    "cluster",
    "menu",
    "shown",
    "annotated",
    "chosen",
    "option_characters",
    "probabilities",
    "x",
)
"""What scoring reads of the table."""
EPISODES_A_GROUP = 500
FILLED = {"sparse": 0.15, "dense": 1.0}
SCORING = (
    "import sys; from valueagents.experiments.bench.million_decisions import score_here;"
    " score_here(sys.argv[1])"
)
SPREAD = 0.6  # standard deviation of the weights


class Report(msgspec.Struct, frozen=True):
    """What a process that scored a run says: times in seconds, bytes, and some of the scores."""

    decisions: int
    wall_s: float
    cpu_s: float
    bare_read_s: float
    peak_bytes: int
    first_axis: dict[str, float | None]
    chance_p: float | None


def tables(kind: str, episodes: int) -> Iterator[pa.Table]:
    """The decisions, some hundred episodes at a time, episodes in no order."""
    rng = np.random.default_rng(1)
    weights = rng.normal(0, SPREAD, len(load_taxonomy("schwartz20").axes))
    for first in range(0, episodes, EPISODES_A_GROUP):
        numbers = range(first, min(first + EPISODES_A_GROUP, episodes))
        yield _table(kind, numbers, weights, rng)


def _table(
    kind: str,
    numbers: range,
    weights: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    rng: np.random.Generator,
) -> pa.Table:
    """The decisions of the episodes of these numbers."""
    rows, axes = len(numbers) * STEPS, len(weights)
    x = rng.integers(-10, 11, size=(rows, OPTIONS, axes)) / 10
    x *= rng.random(x.shape) < FILLED[kind]
    odds = np.exp(x @ weights)
    p = odds / odds.sum(axis=1, keepdims=True)
    chosen = (p.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1).clip(max=OPTIONS - 1)
    names = [content_hash(kind, number) for number in numbers for _ in range(STEPS)]
    shown = [content_hash(kind, numbers.start, row) for row in range(rows)]
    filled: dict[str, object] = {
        "episode": names,
        "cluster": names,
        "step": np.tile(np.arange(STEPS), len(numbers)),
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
        pa.array(filled.get(field.name, pa.nulls(rows)), field.type) for field in TABLE_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=TABLE_SCHEMA)


def _lists(values: "np.ndarray[tuple[int], np.dtype[np.generic]]", length: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(
        np.arange(0, len(values) + 1, length, dtype=np.int32), pa.array(values)
    )


def synthetic_run(path: Path, kind: str, episodes: int) -> None:
    """The run is at the path, which did not exist."""
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
    write_decisions(RunStore.create(path, header), tables(kind, episodes))


def score_here(path: str) -> None:
    """The run at a path was scored by this process, and its report printed as JSON."""
    from valueagents.measuring.scores import score

    wall, cpu = time.perf_counter(), time.process_time()
    scores = score(path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_bytes()  # before the bare read, whose memory is not scoring's
    bare = time.perf_counter()
    with pq.ParquetFile(Path(path) / TABLE_FILE) as file:  # a part at a time, as scoring reads
        for batch in file.iter_batches(columns=list(COLUMNS)):
            del batch
    bare = time.perf_counter() - bare
    first = {name: scores.axes[0].estimates[name].value for name in ("E3", "E4")}
    report = Report(scores.counts.decisions, wall, cpu, bare, peak, first, scores.chance.p)
    print(msgspec.json.encode(report).decode())


def peak_bytes() -> int:
    """The most memory that this process held at once.

    On Linux from /proc: the ru_maxrss of a child begins at the peak of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def scored_by_a_fresh_process(path: Path, decisions: int) -> Report:
    """The report of a new process. Raises NotMeasured if it scored fewer decisions."""
    done = subprocess.run(
        [sys.executable, "-c", SCORING, str(path)], check=True, stdout=subprocess.PIPE
    )
    report = msgspec.json.decode(done.stdout, type=Report)
    require_work("decisions scored", done=report.decisions, needed=decisions)
    return report


def main(argv: Sequence[str] | None = None) -> None:
    """Print seconds, CPU seconds and peak memory for both kinds."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    decisions = options.episodes * STEPS
    reports: dict[str, list[Report]] = {kind: [] for kind in FILLED}
    with tempfile.TemporaryDirectory() as folder:
        for kind in FILLED:
            synthetic_run(Path(folder) / kind, kind, options.episodes)
        for _ in range(options.rounds):
            for kind, found in reports.items():
                found.append(scored_by_a_fresh_process(Path(folder) / kind, decisions))
    print(f"{decisions:,} decisions of {OPTIONS} options, {options.rounds} rounds")
    for kind, found in reports.items():
        print_figure(
            f"{kind} annotations, scored in", [report.wall_s for report in found], "s", most=10
        )
        print_figure("  ÷ one bare read of its columns", [r.wall_s / r.bare_read_s for r in found])
        print_figure("  seconds of CPU", [report.cpu_s for report in found], "s")
        print_figure("  peak memory", [report.peak_bytes / 1e9 for report in found], "GB", most=2)
        print(f"  p of choices by chance {found[0].chance_p}, first axis {found[0].first_axis}")


if __name__ == "__main__":
    main()
