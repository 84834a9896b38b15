"""Shards: one run that several processes play, each into a folder of its own.

    runs/a/shard-1-of-3/   a run directory, written by one process
    runs/a/shard-2-of-3/   another
    runs/a/                the run: `Run` opens it and reads all of them

An episode belongs to the shard that its identity, a hash, falls to. A shard owes what it owns and
what no folder of the run holds, so processes share no lock, and a run may go on with another number
of shards, or with none. An episode that two processes played at once counts once: the first in the
order of folders.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from valueagents.errors import ConfigError
from valueagents.running.header import is_run

AUTO = "auto"
_SHARD = re.compile(r"([1-9]\d{0,6})/([1-9]\d{0,6})", re.ASCII)
_FOLDER = re.compile(r"shard-([1-9]\d{0,6})-of-([1-9]\d{0,6})", re.ASCII)
_RANKS = (
    ("RANK", "WORLD_SIZE", "torchrun"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "srun"),
    ("SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES", "SkyPilot"),
)
"""Variables of a process's number, from 0, and of how many there are, the finest first. sbatch sets
SLURM_PROCID in its script, too, where one process runs; the step's count is there under srun alone.
"""


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`-th, from 1, of `count` shards."""

    number: int
    count: int

    @property
    def folder(self) -> str:
        """The name of its folder in that of the run."""
        return f"shard-{self.number}-of-{self.count}"

    def owns(self, identity: str) -> bool:
        """True if the episode of this identity falls to it: to one shard of each count."""
        return int(identity, 16) % self.count == self.number - 1

    def __str__(self) -> str:
        """As `parse_shard` reads it."""
        return f"{self.number}/{self.count}"


def parse_shard(text: str, environ: Mapping[str, str] = os.environ) -> Shard:
    """The shard of `K/N`, or of `auto`: what torchrun, srun, SkyPilot and SLURM's arrays say of
    this process.

    Raises ConfigError.
    """
    if text == AUTO:
        return _shard_of_process(environ)
    match = _SHARD.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise ConfigError(
            f"shard {text!r}: write K/N, the K-th of N, K from 1 to N, or {AUTO!r} where torchrun,"
            " srun, SkyPilot or an array of SLURM says which process this is"
        )
    return Shard(int(match[1]), int(match[2]))


def shard_folders(run: Path) -> list[Path]:
    """The folders of a run's shards, in the order of their names."""
    if not run.is_dir():
        return []
    return sorted(folder for folder in run.iterdir() if is_shard_folder(folder) and is_run(folder))


def run_folders(run: Path) -> list[Path]:
    """The folders that hold a run's files: its own, if it has a header, then those of its shards;
    none if there is no run.
    """
    return [*([run] if is_run(run) else []), *shard_folders(run)]


def is_shard_folder(path: Path) -> bool:
    """True for the name of a shard's folder."""
    return _FOLDER.fullmatch(path.name) is not None


def _shard_of_process(environ: Mapping[str, str]) -> Shard:
    """Each process of each task of an array has a shard of its own."""
    place, count, found = 0, 1, False
    if "SLURM_ARRAY_TASK_COUNT" in environ:
        first, step = _number(environ, "SLURM_ARRAY_TASK_MIN"), _array_step(environ)
        place = (_number(environ, "SLURM_ARRAY_TASK_ID") - first) // step
        count, found = _number(environ, "SLURM_ARRAY_TASK_COUNT"), True
    for rank, size, _ in _RANKS:
        if rank in environ and size in environ:
            place = place * _number(environ, size) + _number(environ, rank)
            count, found = count * _number(environ, size), True
            break
    if not found:
        names = ", ".join(f"{rank} and {size} ({whose})" for rank, size, whose in _RANKS)
        raise ConfigError(
            f"shard {AUTO!r} needs {names}, or SLURM_ARRAY_TASK_ID of an array; none is set: write"
            " K/N"
        )
    if not 0 <= place < count:
        raise ConfigError(
            f"shard {AUTO!r}: the variables say shard {place + 1} of {count}, as an array with gaps"
            " does; write K/N"
        )
    return Shard(place + 1, count)


def _array_step(environ: Mapping[str, str]) -> int:
    return (
        max(1, _number(environ, "SLURM_ARRAY_TASK_STEP"))
        if "SLURM_ARRAY_TASK_STEP" in environ
        else 1
    )


def _number(environ: Mapping[str, str], name: str) -> int:
    try:
        return int(environ[name])
    except (KeyError, ValueError) as error:
        said = environ.get(name)
        raise ConfigError(f"shard {AUTO!r}: {name} is {said!r}, not a number; write K/N") from error
