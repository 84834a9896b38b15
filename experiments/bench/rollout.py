"""How many decisions a second does the framework itself allow? An instant policy plays the bundled
dilemmas, recorded.

Beside it, in turn, in the same process: the same episodes by a bare loop over the env, nothing
asked and nothing kept. Every run is in a folder of its own: one that is there already would play
nothing. Its decisions are counted.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from valueagents.contracts.plugins import make_env
from valueagents.experiments.bench.timing import (
    make_parser,
    print_figure,
    read_options,
    require_work,
    take_turns,
)
from valueagents.running.execution import RunConfig, execute

ENV = "valueagents/Dilemma-v0"
SIZES = {"decisions": (20_000, 500), "rounds": (5, 2)}


def bare_loop(decisions: int) -> None:
    """So many episodes were reset and stepped."""
    env = make_env(ENV)
    known = env.situations()
    for i in range(decisions):
        env.reset(seed=i, options={"situation": known[i % len(known)]})
        env.step(0)


def recorded_run(decisions: int) -> None:
    """A whole run was made and removed: plan, rollout, recording, compaction to Parquet."""
    with tempfile.TemporaryDirectory() as folder:
        played = execute(
            RunConfig(env=ENV, policy="random", episodes=decisions, seed=1), Path(folder) / "run"
        )
        sessions = played.store.sessions()
        recorded = played.decisions(["step"]).num_rows
    require_work("episodes played in this run", done=sessions[-1]["finished"], needed=decisions)
    require_work("decisions in the table", done=recorded, needed=decisions)


def main(argv: Sequence[str] | None = None) -> None:
    """Print both rates and their ratio."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    decisions: int = options.decisions
    ways = {"bare": lambda: bare_loop(decisions), "recorded": lambda: recorded_run(decisions)}
    measured = take_turns(ways, options.rounds)
    print(f"{decisions:,} decisions a round, {options.rounds} rounds")
    print_figure("bare env loop", measured.rates("bare", decisions), "decisions/s")
    print_figure("run, recorded", measured.rates("recorded", decisions), "decisions/s", least=3000)
    print_figure("bare env loop ÷ run, in seconds", measured.ratios("bare", "recorded"))


if __name__ == "__main__":
    main()
