"""What does a report over many runs cost beside scoring each of them?

Ten `known` policies × two seeds on the bundled dilemmas: twenty runs, each of which the report
scores, too; what it adds is leanings, ranks, reliability, all pairs of policies by max-T, pictures
and the page. Both ways take turns on the same runs.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from valueagents.experiments.bench.timing import (
    make_parser,
    print_figure,
    read_options,
    require_work,
    take_turns,
)
from valueagents.measuring.scores import score
from valueagents.report import write_report
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

SIZES = {"policies": (10, 2), "decisions": (6_000, 200), "rounds": (3, 1)}
SEEDS = (1, 2)


def played(folder: Path, policies: int, decisions: int) -> list[Run]:
    """The runs: each policy with each seed."""
    return [
        execute(
            RunConfig(
                env="valueagents/Dilemma-v0",
                policy=f"known:normal?seed={policy}",
                episodes=decisions,
                seed=seed,
            ),
            folder / f"{policy}-{seed}",
        )
        for policy in range(policies)
        for seed in SEEDS
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print seconds of both ways and their ratio."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    with tempfile.TemporaryDirectory() as folder:
        runs = played(Path(folder), options.policies, options.decisions)
        stored = sum(run.decisions(["step"]).num_rows for run in runs)
        require_work("decisions", done=stored, needed=len(runs) * options.decisions)
        ways = {
            "score": lambda: [score(run.path) for run in runs],
            "report": lambda: write_report([run.path for run in runs], Path(folder) / "r.html"),
        }
        rounds = take_turns(ways, options.rounds)
    print(f"{len(runs)} runs of {options.decisions:,} decisions, {options.rounds} rounds")
    print_figure("scoring every run", rounds.seconds("score"), "s")
    print_figure("one report over all of them", rounds.seconds("report"), "s")
    print_figure("report ÷ scoring", rounds.ratios("report", "score"), most=1.5)


if __name__ == "__main__":
    main()
