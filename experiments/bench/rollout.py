"""How many decisions a second does the framework itself allow? An instant policy plays the bundled dilemmas, recorded.

Printed beside it, in the same process: the same episodes by a bare loop over the env, nothing asked and nothing kept.
"""

import tempfile
import time
from pathlib import Path

from valueagents.contracts.plugins import make_env
from valueagents.running.runs import RunConfig, run

ENV = "valueagents/Dilemma-v0"
DECISIONS = 20_000
ROUNDS = 3


def bare_loop() -> float:
    """Seconds of a loop over reset and step."""
    env = make_env(ENV)
    known = env.situations()
    started = time.perf_counter()
    for i in range(DECISIONS):
        env.reset(seed=i, options={"situation": known[i % len(known)]})
        env.step(0)
    return time.perf_counter() - started


def recorded_run() -> float:
    """Seconds of a whole run: plan, rollout, recording, compaction to Parquet."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run(RunConfig(env=ENV, policy="random", episodes=DECISIONS, seed=1), Path(folder) / "run")
        return time.perf_counter() - started


def main() -> None:
    """Print both rates and their ratio, median of the rounds, taken in turn."""
    rounds = [(bare_loop(), recorded_run()) for _ in range(ROUNDS)]
    bare, recorded = (sorted(times)[ROUNDS // 2] for times in zip(*rounds, strict=True))
    print(f"bare env loop     {DECISIONS / bare:9,.0f} decisions/s")
    print(f"run, recorded     {DECISIONS / recorded:9,.0f} decisions/s  (bar: 3,000)")
    print(f"ratio             {bare / recorded:9.2f}")


if __name__ == "__main__":
    main()
