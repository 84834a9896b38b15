"""Two processes begin one run at the same moment, again and again."""

from pathlib import Path

from valueagents.experiments.validity.durability_count import Wrong, compare_with_truth
from valueagents.experiments.validity.processes import playing
from valueagents.running.execution import RunConfig, execute


def two_writers(folder: Path, times: int, wrong: Wrong) -> None:
    """Two processes begin one run at the same moment: one plays it, or one after the other, and no
    episode twice.
    """
    config = RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=20, seed=1)
    truth, refused = execute(config, folder / "truth"), 0
    with playing(folder) as one, playing(folder) as other:
        for player in (one, other):  # both have loaded everything
            player.start(config, folder / f"warm-{player.process.pid}")
            player.until("end")
        for number in range(times):
            out = folder / str(number)
            for player in (one, other):
                player.start(config, out)
            ends = [player.until("end") for player in (one, other)]
            refused += sum("another process is writing" in end for end in ends)
            wrong.silent["writers"] += sum(
                "another process" not in end for end in ends if end != "end"
            )
            compare_with_truth("writers", out, truth, wrong)
    wrong.print_row("writers", f"{times} times two at once, one refused in {refused}")
