"""Does a run survive what machines do to it: kills, damaged bytes, a full disk, two processes at
once?

Each part does that to real runs in other processes and counts what is wrong afterwards: episodes
lost that the damage did not hit, episodes written twice, numbers that differ from the truth without
a word, processes and folders left over. Then the price: what checksums and syncing add to the
fastest run there is, and to reading it, side by side.
"""

import logging
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valueagents.errors import StoreError
from valueagents.experiments.bench.timing import make_parser, print_figure, read_options
from valueagents.experiments.validity.durability_price import price_of_reading, price_of_recording
from valueagents.experiments.validity.processes import (
    Player,
    child_processes,
    end_process,
    lives,
    playing,
)
from valueagents.running.execution import RunConfig, execute
from valueagents.running.records import episode_records
from valueagents.running.runs import Run

DILEMMAS = RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=600, seed=1)
SCRIPTED = (
    DILEMMAS,
    RunConfig(env="valueagents/Survey-v0", policy="random", episodes=600, seed=1),
    RunConfig(env="valueagents/ChoiceScript-v0", policy="random", episodes=60, seed=1),
)
EMBEDDED = RunConfig(
    env="valueagents/Dilemma-v0", policy="transformers:smollm2-135m", episodes=40, seed=1
)
PARSER = RunConfig(
    env="valueagents/Jericho-v0",
    policy="random",
    episodes=6,
    seed=1,
    env_options={"max_steps": 3, "tries": 1},
)
SIZES = {
    "kills": (100, 6),
    "workers": (40, 2),
    "damages": (200, 12),
    "writers": (150, 6),
    "fills": (12, 2),
    "rounds": (9, 3),
}
EMBEDDED_SHARE = 0.1  # of the kills: a model takes seconds to load
DISK_BYTES = 1 << 20
END_WITHIN_S = 20
MOST_SLOWER = 0.03


@dataclass
class Wrong:
    """What was found wrong, counted by part; all of it should be 0."""

    lost: Counter[str] = field(default_factory=Counter)
    double: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    orphans: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)

    def print_row(self, part: str, done: str) -> None:
        """Print the counts of a part."""
        kinds = {
            "lost": self.lost,
            "double": self.double,
            "silent": self.silent,
            "orphans": self.orphans,
        }
        counts = ", ".join(f"{name} {count[part]}" for name, count in kinds.items())
        print(f"{part:<10} {done}: {counts}, left-over folders {self.folders[part]}", flush=True)

    def total(self) -> int:
        """All of it."""
        return sum(
            count.total()
            for count in (self.lost, self.double, self.silent, self.orphans, self.folders)
        )


def lines_of(run: Run) -> list[str]:
    """The identity of every readable line of the segments, those that are there twice included."""
    damages: list[Any] = []
    return [
        episode.identity
        for segment in run.store.segments()
        for _, episode in episode_records(segment, run.header, damages)
    ]


def answers(run: Run) -> list[tuple[str, list[str | None]]]:
    """What was chosen, episode by episode."""
    return [
        (one.identity, [each.choice.option for each in one.decisions]) for one in run.episodes()
    ]


def compare_with_truth(part: str, out: Path, truth: Run, wrong: Wrong) -> None:
    """Count what a run that went on to its end has less, or twice, or otherwise than one that
    nothing happened to.
    """
    run = Run(out)
    written, there = Counter(lines_of(run)), dict(answers(run))
    wanted = dict(answers(truth))
    wrong.lost[part] += len(wanted.keys() - there.keys())
    wrong.double[part] += sum(count - 1 for count in written.values())
    wrong.silent[part] += sum(there[one] != wanted[one] for one in there.keys() & wanted.keys())
    wrong.silent[part] += len(run.problems())  # it ended, so there is nothing to say
    wrong.folders[part] += len(
        [path for path in out.iterdir() if path.name.startswith(".") and path.name != ".lock"]
    )


def killed_runs(
    folder: Path, config: RunConfig, kills: int, wrong: Wrong, rng: random.Random
) -> None:
    """A run is killed at random until that many kills were survived; ended runs begin anew."""
    truth, part = execute(config, folder / "truth"), config.env.split("/")[1].removesuffix("-v0")
    part = "embedded" if config.policy.startswith("transformers") else part
    out, number = folder / "0", 0
    planned = config.episodes or 0
    for _ in range(kills):
        player = Player(folder)
        player.start(config, out)
        after = rng.choice(["start", *map(str, range(1, max(2, planned // 8)))])
        last = player.until(after)
        time.sleep(rng.random() * (0.1 if after == "start" else 0.004))
        player.kill()
        if last == "end":
            compare_with_truth(part, out, truth, wrong)
            number += 1
            out = folder / str(number)
    compare_with_truth(part, execute(config, out).path, truth, wrong)
    wrong.print_row(part, f"{kills} kills, {number + 1} runs")


def killed_workers(folder: Path, kills: int, wrong: Wrong, rng: random.Random) -> None:
    """Workers of the parser game are killed, every fourth time the run instead; then the run goes
    on to its end.

    Not both at the same moment: then nobody is left to remove the run's temporary folder.
    """
    scratch = folder / "scratch"
    scratch.mkdir()
    out, left = folder / "run", kills
    workers, killed = set[int](), set[int]()
    while left > 0:
        player = Player(scratch)
        player.start(PARSER, out)
        for word in player.words():
            found = [
                pid
                for pid in child_processes(player.process.pid)
                if lives(pid) and pid not in killed
            ]
            workers |= set(found)
            if word == "end":
                _count_run_of_workers(out, wrong)
                shutil.rmtree(out)
                player.close()  # its worker may have been killed at the last episode
            elif left > 0 and found:
                time.sleep(rng.random() * 0.05)
                left -= 1
                if left % 4 == 0:
                    break
                hit = rng.choice(found)
                killed.add(hit)
                end_process(hit)
        player.kill()
    execute(PARSER, out)
    _count_run_of_workers(out, wrong)
    deadline = (
        time.monotonic() + END_WITHIN_S
    )  # one that was just starting must first load what it needs
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    wrong.orphans["workers"] += sum(lives(pid) for pid in workers)
    wrong.folders["workers"] += len(list(scratch.iterdir()))
    wrong.print_row("workers", f"{kills} kills")


def _count_run_of_workers(out: Path, wrong: Wrong) -> None:
    """A refused decision is what a killed worker may cost; an episode is not."""
    run = Run(out)
    written = Counter(lines_of(run))
    wrong.lost["workers"] += (PARSER.episodes or 0) - len(written)
    wrong.double["workers"] += sum(count - 1 for count in written.values())
    wrong.silent["workers"] += len(run.problems())


def damaged_files(folder: Path, damages: int, wrong: Wrong, rng: random.Random) -> None:
    """Every file of a run has a byte changed, many times: what is read then is the truth, or
    something is said.
    """
    whole = folder / "whole"
    with playing(folder) as player:  # a segment that was killed, then one that ended
        player.start(DILEMMAS, whole)
        player.until("200")
    truth = execute(DILEMMAS, whole)
    expected, hit = _all_that_is_read(truth), folder / "hit"
    for file in sorted(path.name for path in whole.iterdir() if path.stat().st_size):
        said = 0
        for _ in range(damages):
            shutil.copytree(whole, hit)
            _change_a_byte(hit / file, rng)
            if file.startswith("episodes"):
                (hit / "decisions.parquet").unlink()  # it has what the segment lost
            outcome = _outcome(hit, expected)
            said += outcome == "said"
            wrong.silent["damages"] += outcome == "silent"
            shutil.rmtree(hit)
        print(
            f"  {file}: of {damages} damages {said} were said, the others changed nothing that is"
            " read",
            flush=True,
        )
    _salvage(whole, hit, truth, wrong, rng)
    wrong.print_row("damages", f"{damages} of every file")


def _all_that_is_read(run: Run) -> list[object]:
    sessions = [
        {name: value for name, value in one.items() if name in _SESSION}
        for one in run.store.sessions()
    ]
    table = run.decisions().sort_by([("episode", "ascending"), ("step", "ascending")])
    return [run.header, answers(run), table.to_pylist(), list(run.store.failures()), sessions]


_SESSION = ("start", "end", "planned", "stored", "finished", "failed", "owed", "config", "software")


def _change_a_byte(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    file.write_bytes(content)


def _outcome(folder: Path, expected: list[object]) -> str:
    try:
        run = Run(folder)
        same, problems = _all_that_is_read(run) == expected, run.problems()
    except StoreError:
        return "said"
    return "said" if problems else "same" if same else "silent"


def _salvage(whole: Path, hit: Path, truth: Run, wrong: Wrong, rng: random.Random) -> None:
    """The same command plays what damages of every file hit."""
    for segment in truth.store.segments():
        shutil.copytree(whole, hit)
        for name in (segment.name, "run.json", "decisions.parquet"):
            _change_a_byte(hit / name, rng)
        execute(DILEMMAS, hit)
        compare_with_truth("damages", hit, truth, wrong)
        shutil.rmtree(hit)


def full_disks(folder: Path, fills: int, wrong: Wrong, rng: random.Random) -> str:
    """A disk fills while a run writes to it, is given room, and the same command goes on.

    What kind of disk it was.
    """
    truth, disk = execute(DILEMMAS, folder / "truth"), folder / "disk"
    disk.mkdir()
    mounted = _mount(disk)
    try:
        for _ in range(fills):
            room = rng.randrange(1 << 12, 100 << 10)
            errors = _play_with_little_room(disk, room, mounted=mounted)
            wrong.silent["disk"] += len(errors.splitlines()) != 1 or not errors.startswith(
                "error: "
            )
            if (disk / "run").exists():
                before = (
                    set(lines_of(Run(disk / "run")))
                    if (disk / "run" / "run.json").exists()
                    else set()
                )
                execute(DILEMMAS, disk / "run")
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


def _play_with_little_room(disk: Path, room: int, *, mounted: bool) -> str:
    """What `valueagents run` said on standard error when the disk had so many bytes of room."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    filler = disk / "filler"
    if mounted:
        filler.write_bytes(bytes(DISK_BYTES - room))
    words = [
        "--env",
        DILEMMAS.env,
        "--policy",
        DILEMMAS.policy,
        "--episodes",
        str(DILEMMAS.episodes),
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


def two_writers(folder: Path, times: int, wrong: Wrong) -> None:
    """Two processes begin one run at the same moment: one plays it, or one after the other, and no
    episode twice.
    """
    config = RunConfig(env=DILEMMAS.env, policy="random", episodes=20, seed=1)
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


def print_price(rounds: int) -> None:
    """Print how much slower the fastest run is, and reading it, by checksums and syncing."""
    recording = price_of_recording(rounds)
    print_figure("recording an instant policy: slower by (share)", recording, most=MOST_SLOWER)
    reading, size = price_of_reading(rounds)
    print_figure("reading a run into its table: slower by (share)", reading, most=MOST_SLOWER)
    print_figure("bytes of a segment: more by (share)", [size])


def main(argv: Sequence[str] | None = None) -> None:
    """Print what was done to runs and what was wrong afterwards; exit with 1 if anything was."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--parts", nargs="+", default=list(PARTS), choices=PARTS, help="by default all"
    )
    options = read_options(parser, SIZES, argv)
    logging.getLogger("valueagents").setLevel(
        logging.ERROR
    )  # every damage is warned of, hundreds of times
    wrong, rng = Wrong(), random.Random(1)  # noqa: S311 – which byte and when, no secret
    with tempfile.TemporaryDirectory() as name:
        for part in options.parts:
            folder = Path(name) / part
            folder.mkdir()
            _do(part, folder, options, wrong, rng)
    if {"kills", "damages"} <= set(options.parts):
        kinds = {
            "lost": wrong.lost,
            "double": wrong.double,
            "silent": wrong.silent,
            "orphans": wrong.orphans,
        }
        print(", ".join(f"{kind} {count.total()}" for kind, count in kinds.items()), end="")
        print(f", left-over folders {wrong.folders.total()}")
    if wrong.total():
        sys.exit(1)


PARTS = ("kills", "embedded", "workers", "damages", "disk", "writers", "price")


def _do(part: str, folder: Path, options: Any, wrong: Wrong, rng: random.Random) -> None:
    if part == "kills":
        for config in SCRIPTED:
            (folder / config.env.split("/")[1]).mkdir()
            killed_runs(
                folder / config.env.split("/")[1],
                config,
                -(-options.kills // len(SCRIPTED)),
                wrong,
                rng,
            )
    elif part == "embedded":
        killed_runs(folder, EMBEDDED, max(1, round(options.kills * EMBEDDED_SHARE)), wrong, rng)
    elif part == "workers":
        killed_workers(folder, options.workers, wrong, rng)
    elif part == "damages":
        damaged_files(folder, options.damages, wrong, rng)
    elif part == "disk":
        full_disks(folder, options.fills, wrong, rng)
    elif part == "writers":
        two_writers(folder, options.writers, wrong)
    else:
        print_price(options.rounds)


if __name__ == "__main__":
    main()
