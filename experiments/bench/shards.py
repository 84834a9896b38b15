"""What does it cost to play a run in shards? An instant policy plays the dilemmas, recorded.

In turn, in the same process: the run as one; the same in shards, one after the other, each of which
reads what the others have finished; and the shards' folder, opened as one run. An instant policy is
the worst case: a shard plans the whole run, and nothing else takes time.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from valueagents.experiments.bench.timing import (
    Rounds,
    make_parser,
    print_figure,
    read_options,
    require_work,
)
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

ENV = "valueagents/Dilemma-v0"
SIZES = {"decisions": (20_000, 400), "shards": (4, 2), "rounds": (5, 2)}


def play(folder: Path, decisions: int, shard: str | None = None) -> Run:
    """Play a run of this many decisions, or one shard of it, into the folder."""
    return execute(
        RunConfig(env=ENV, policy="random", episodes=decisions, seed=1, shard=shard), folder
    )


def one_round(measured: Rounds, decisions: int, shards: int, folder: Path) -> None:
    """Each way once, the work of each counted."""
    with measured.timed("one process"):
        whole = play(folder / "one", decisions)
    with measured.timed("shards"):
        for number in range(1, shards + 1):
            play(folder / "many", decisions, f"{number}/{shards}")
    for way, path in (("one opened", whole.path), ("shards opened", folder / "many")):
        (path / "decisions.parquet").unlink(missing_ok=True)  # else there is nothing to make
        with measured.timed(way):
            rows = Run(path).decisions(["step"]).num_rows
        require_work(f"decisions of {way}", done=rows, needed=decisions)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the rates and the ratios."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    measured = Rounds()
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            one_round(measured, options.decisions, options.shards, Path(name))
    print(f"{options.decisions:,} decisions, {options.shards} shards, {options.rounds} rounds")
    rate = measured.rates("one process", options.decisions)
    print_figure("one process", rate, "decisions/s")
    name = "seconds of all shards together ÷ one process"
    print_figure(name, measured.ratios("shards", "one process"), most=1.5)
    name = "table made of all shards ÷ of one run"
    print_figure(name, measured.ratios("shards opened", "one opened"), most=1.5)


if __name__ == "__main__":
    main()
