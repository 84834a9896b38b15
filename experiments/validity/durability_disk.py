"""A disk fills while a run writes to it, is given room, and the same command goes on."""

import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from valueagents.experiments.validity.durability_count import (
    Wrong,
    compare_with_truth,
    lines_of,
)
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

DISK_BYTES = 1 << 20


def full_disks(
    folder: Path, config: RunConfig, fills: int, wrong: Wrong, rng: random.Random
) -> str:
    """A disk fills while a run writes to it, is given room, and the same command goes on.

    What kind of disk it was.
    """
    truth, disk = execute(config, folder / "truth"), folder / "disk"
    disk.mkdir()
    mounted = _mount(disk)
    try:
        for _ in range(fills):
            room = rng.randrange(1 << 12, 100 << 10)
            errors = _play_with_little_room(disk, config, room, mounted=mounted)
            if len(errors.splitlines()) != 1 or not errors.startswith("error: "):
                wrong.silent["disk"] += 1
                print(f"  with {room} bytes of room it said: {errors!r}", flush=True)
            if (disk / "run").exists():
                before = (
                    set(lines_of(Run(disk / "run")))
                    if (disk / "run" / "run.json").exists()
                    else set()
                )
                execute(config, disk / "run")
                compare_with_truth("disk", disk / "run", truth, wrong)
                wrong.lost["disk"] += len(before - set(lines_of(Run(disk / "run"))))
                shutil.rmtree(disk / "run")
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=False)  # noqa: S607
    kind = (
        f"tmpfs of {DISK_BYTES >> 20} MiB"
        if mounted
        else "limit on the size of a file (mounting needs root)"
    )
    wrong.print_row("disk", f"{fills} times full, a {kind}")
    return kind


def _mount(disk: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    return (
        shutil.which("mount") is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


def _play_with_little_room(disk: Path, config: RunConfig, room: int, *, mounted: bool) -> str:
    """What `valueagents run` said on standard error when the disk had so many bytes of room."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    filler = disk / "filler"
    if mounted:
        filler.write_bytes(bytes(DISK_BYTES - room))
    words = [
        "--env",
        config.env,
        "--policy",
        config.policy,
        "--episodes",
        str(config.episodes),
        "--seed",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "valueagents", "run", *words, "--out", str(disk / "run")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=None if mounted else limit,
    )
    filler.unlink(missing_ok=True)
    lines = [
        line for line in done.stderr.splitlines() if " episodes, about " not in line
    ]  # progress
    return "\n".join(lines)
