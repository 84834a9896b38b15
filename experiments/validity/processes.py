"""Processes that play runs, to be killed, and the processes that they start."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from valueagents.running.execution import RunConfig

END_WITHIN_S = 20
"""One that was just starting must first load what it needs to see that nobody is left."""

PLAYER = """
import json, sys
import msgspec
from valueagents.errors import ValueAgentsError
from valueagents.running.execution import RunConfig, execute

for line in sys.stdin:
    config, out = json.loads(line)
    print("start", flush=True)
    try:
        configured = msgspec.convert(config, RunConfig)
        execute(configured, out, progress=lambda done, *_: print(done, flush=True))
        print("end", flush=True)
    except ValueAgentsError as error:
        print(f"error: {error}", flush=True)
"""


class Player:
    """A process that plays runs, one after another, and says how far it is."""

    def __init__(self, scratch: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLAYER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(scratch)},
        )

    def start(self, config: RunConfig, out: Path) -> None:
        """Begin to play, without waiting."""
        assert self.process.stdin is not None  # noqa: S101 – it is a pipe
        self.process.stdin.write(json.dumps([msgspec.to_builtins(config), str(out)]) + "\n")
        self.process.stdin.flush()

    def words(self) -> Iterator[str]:
        """What it says until the run ends, "end" or "error: …" last."""
        assert self.process.stdout is not None  # noqa: S101 – it is a pipe
        for line in self.process.stdout:
            yield line.strip()
            if line.startswith(("end", "error")):
                return

    def until(self, word: str) -> str:
        """The last that it said, when it has said the word or the run has ended."""
        last = ""
        for last in self.words():
            if last == word:
                break
        return last

    def kill(self) -> None:
        """End it as a power cut or the kernel would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()

    def close(self) -> None:
        """Let it end when it has played what it was given."""
        self.process.communicate(timeout=600)


@contextmanager
def playing(scratch: Path) -> Iterator[Player]:
    """A player that is ended with the block."""
    player = Player(scratch)
    try:
        yield player
    finally:
        player.kill()


def child_processes(pid: int) -> list[int]:
    """The processes that a process has started and that still run; none where there is no /proc."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for each in lists for child in _read(each).split())


def descendants(pid: int) -> set[int]:
    """The processes that a process has started, those that they have started, and so on."""
    found = {pid}
    while more := {child for parent in found for child in child_processes(parent)} - found:
        found |= more
    return found - {pid}


def count_orphans(pids: Iterable[int]) -> int:
    """How many of the processes still run after a time in which all should have ended."""
    deadline, left = time.monotonic() + END_WITHIN_S, set(pids)
    while left := {pid for pid in left if lives(pid)}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return len(left)


def lives(pid: int) -> bool:
    """True if a process runs, one that has ended and is not yet waited for excluded."""
    state = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return bool(state) and state[0] != "Z"


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
