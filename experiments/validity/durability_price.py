"""What checksums and syncing cost: the store beside one that writes the same lines as it did
without them.

Both write and read the same episodes in turn. The difference is given as a share of what a whole
run takes with an instant policy on the bundled dilemmas, the fastest there is, and of making its
table; other runs take longer.
"""

import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from valueagents.contracts.decision import Episode, episode_from_json, to_json
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run
from valueagents.running.store import RunStore

EPISODES = 4_000
_GZIP, _LEVEL, _READ_BYTES = 31, 3, 1 << 20


def price_of_recording(rounds: int) -> list[float]:
    """Each round's seconds of recording more than without checksums and syncing ÷ seconds of the
    whole run.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shares = []
        for number in range(rounds + 1):
            run, seconds = _run(folder / f"run-{number}")
            episodes = list(run.store.episodes())
            plain = _seconds_of_plain_recording(folder / "plain.gz", episodes)
            now = _seconds_of_recording(folder / "now", run, episodes)
            shares.append((now - plain) / seconds)
            shutil.rmtree(run.path)
    return shares[1:]


def price_of_reading(rounds: int) -> tuple[list[float], float]:
    """Each round's seconds of reading more ÷ seconds of making the table; bytes that a segment has
    more, as a share.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, _ = _run(folder / "run")
        _seconds_of_plain_recording(folder / "plain.gz", list(run.store.episodes()))
        shares = []
        for _ in range(rounds + 1):
            started = time.perf_counter()
            for _ in _plain_episodes(folder / "plain.gz"):
                pass
            plain = time.perf_counter() - started
            started = time.perf_counter()
            for _ in run.store.episodes():
                pass
            now = time.perf_counter() - started
            (run.path / "decisions.parquet").unlink()
            started = time.perf_counter()
            Run(run.path).decisions_file()
            shares.append((now - plain) / (time.perf_counter() - started))
        sizes = [file.stat().st_size for file in (run.store.segments()[0], folder / "plain.gz")]
    return shares[1:], sizes[0] / sizes[1] - 1


def _run(path: Path) -> tuple[Run, float]:
    config = RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=EPISODES, seed=1)
    started = time.perf_counter()
    return execute(config, path), time.perf_counter() - started


def _seconds_of_recording(path: Path, run: Run, episodes: list[Episode]) -> float:
    store = RunStore.create(
        path, run.header
    )  # some milliseconds once a run, on the disk before it begins
    started = time.perf_counter()
    with store.writing() as writer:
        for episode in episodes:
            writer.episode(episode)
    seconds = time.perf_counter() - started
    shutil.rmtree(path)
    return seconds


def _seconds_of_plain_recording(file: Path, episodes: list[Episode]) -> float:
    """As the store did it before lines had checksums: one gzip stream, flushed after each line,
    never synced.
    """
    started = time.perf_counter()
    pack = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    with file.open("wb", buffering=0) as opened:
        for episode in episodes:
            opened.write(pack.compress(to_json(episode) + b"\n") + pack.flush(zlib.Z_SYNC_FLUSH))
        opened.write(pack.flush(zlib.Z_FINISH))
    return time.perf_counter() - started


def _plain_episodes(file: Path) -> Iterator[Episode]:
    """As the store read them before, each identity once."""
    seen: set[str] = set()
    for line in _plain_lines(file):
        episode = episode_from_json(line)
        if episode.identity not in seen:
            seen.add(episode.identity)
            yield episode


def _plain_lines(file: Path) -> Iterator[bytes]:
    unpack, rest = zlib.decompressobj(_GZIP), b""
    with file.open("rb") as opened:
        while chunk := opened.read(_READ_BYTES):
            *lines, rest = (rest + unpack.decompress(chunk)).split(b"\n")
            yield from lines
