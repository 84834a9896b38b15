"""Workers of the parser game are killed or stopped, and sometimes the run with all of them."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from valueagents.experiments.validity.durability_count import Wrong, compare_with_truth
from valueagents.experiments.validity.processes import (
    Player,
    child_processes,
    count_orphans,
    lives,
)
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

PARSER = RunConfig(
    env="valueagents/Jericho-v0",
    policy="random",
    episodes=4,
    seed=1,
    env_options={"max_steps": 2, "tries": 1, "hang_s": 2},
)
_RUNS_KILLED = 4
"""Every so many hits are of the run: alone, and the next time together with its workers."""


def hit_workers(folder: Path, hits: int, wrong: Wrong, rng: random.Random) -> None:
    """Workers are killed or stopped at random moments, every fourth time the run instead; then it
    goes on to its end, and is what it is where nothing happens.
    """
    scratch, out = folder / "scratch", folder / "run"
    scratch.mkdir()
    truth = execute(PARSER, folder / "truth")
    hit = _Hits(rng)
    told: Counter[str] = Counter()
    while hit.done < hits:
        player = Player(scratch)
        player.start(PARSER, out)
        last = hit.while_it_plays(player, hits)
        player.kill()
        if last == "end":
            _compare(out, truth, wrong, told)
            shutil.rmtree(out)
    player = Player(scratch)  # it removes what the last one left
    player.start(PARSER, out)
    player.until("end")
    player.close()
    _compare(out, truth, wrong, told)
    wrong.orphans["workers"] += count_orphans(hit.workers)
    wrong.folders["workers"] += len(list(scratch.iterdir()))
    done = f"{hit.done} hits ({_in_words(hit.kinds)}), {told['workers']} told as lost"
    wrong.print_row("workers", done)


def _compare(out: Path, truth: Run, wrong: Wrong, told: Counter[str]) -> None:
    compare_with_truth("workers", out, truth, wrong)
    lost = sum(Run(out).decisions(["lost_workers"])["lost_workers"].to_pylist())
    told["workers"] += lost
    wrong.silent["workers"] += (lost > 0) != bool(Run(out).remarks())


def _in_words(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


class _Hits:
    """What was done to the workers until now."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._hit: set[int] = set()
        self.done = 0
        self.workers: set[int] = set()
        self.kinds: Counter[str] = Counter()

    def while_it_plays(self, player: Player, most: int) -> str:
        """Hit after some of its words; the last word that it said."""
        last = ""
        for last in player.words():
            found = [pid for pid in child_processes(player.process.pid) if lives(pid)]
            self.workers |= set(found)
            new = [pid for pid in found if pid not in self._hit]
            if self.done >= most or not new or last == "end":
                continue
            time.sleep(self._rng.random() * 0.5)
            self.done += 1
            if self.done % _RUNS_KILLED == 0:
                self._kill_run(player, found)
                return last
            self._hit_one(self._rng.choice(new))
        return last

    def _hit_one(self, pid: int) -> None:
        self._hit.add(pid)
        number = self._rng.choice([signal.SIGKILL, signal.SIGSTOP])
        self.kinds["killed" if number == signal.SIGKILL else "stopped"] += 1
        _signal_all([pid], number)

    def _kill_run(self, player: Player, workers: list[int]) -> None:
        everybody = self.done % (2 * _RUNS_KILLED) == 0
        self.kinds["run and workers" if everybody else "run alone"] += 1
        if everybody:
            _signal_all(workers, signal.SIGSTOP)  # none of them can clean up
        player.process.send_signal(signal.SIGKILL)
        # What a machine stops it lets go on, and then it must end.
        _signal_all(workers, signal.SIGKILL if everybody else signal.SIGCONT)


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
