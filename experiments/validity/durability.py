"""Does a run survive what machines do to it: kills, lost workers, damaged bytes, a full disk, two
processes at once?

Each part does that to real runs in other processes and counts what is wrong afterwards: episodes
lost that the damage did not hit, episodes written twice, numbers that differ from the truth without
a word, processes and folders left over. Then the price: what checksums and syncing add to the
fastest run there is, and to reading it, side by side.
"""

import argparse
import logging
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from valueagents.experiments.bench.timing import make_parser, print_figure, read_options
from valueagents.experiments.validity.durability_count import Wrong
from valueagents.experiments.validity.durability_damage import damaged_files, damaged_replies
from valueagents.experiments.validity.durability_disk import full_disks
from valueagents.experiments.validity.durability_kills import (
    killed_runs,
    killed_studies,
    killed_trainings,
)
from valueagents.experiments.validity.durability_price import price_of_reading, price_of_recording
from valueagents.experiments.validity.durability_workers import hit_workers
from valueagents.experiments.validity.durability_writers import two_writers
from valueagents.policies.models import EMBEDDED
from valueagents.running.execution import RunConfig

DILEMMAS = RunConfig(env="valueagents/Dilemma-v0", policy="random", episodes=600, seed=1)
SCRIPTED = (
    DILEMMAS,
    RunConfig(env="valueagents/Survey-v0", policy="random", episodes=600, seed=1),
    RunConfig(env="valueagents/ChoiceScript-v0", policy="random", episodes=60, seed=1),
)
ASKED = RunConfig(
    env="valueagents/Dilemma-v0", policy=f"transformers:{EMBEDDED}", episodes=40, seed=1
)
SIZES = {
    "kills": (100, 6),
    "commands": (20, 2),
    "workers": (40, 4),
    "damages": (200, 12),
    "writers": (150, 6),
    "fills": (12, 2),
    "rounds": (9, 3),
}
EMBEDDED_SHARE = 0.1  # of the kills: a model takes seconds to load
STUDIES_SHARE = 0.25  # of the kills of commands: a study trains two adapters and plays with them
MOST_SLOWER = 0.03
PARTS = (
    "kills",
    "embedded",
    "trainings",
    "studies",
    "workers",
    "damages",
    "replies",
    "disk",
    "writers",
    "price",
)


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
    # every damage is warned of, hundreds of times
    logging.getLogger("valueagents").setLevel(logging.ERROR)
    wrong, rng = Wrong(), random.Random(1)  # noqa: S311 – which byte and when, no secret
    with tempfile.TemporaryDirectory() as name:
        for part in options.parts:
            folder = Path(name) / part
            folder.mkdir()
            _do(part, folder, options, wrong, rng)
    if len(options.parts) > 1:
        wrong.print_sum()
    if wrong.total():
        sys.exit(1)


def _studies(commands: int) -> int:
    return max(1, round(commands * STUDIES_SHARE))


def _do(
    part: str, folder: Path, options: argparse.Namespace, wrong: Wrong, rng: random.Random
) -> None:
    if part == "kills":
        for config in SCRIPTED:
            place = folder / config.env.split("/")[1]
            place.mkdir()
            killed_runs(place, config, -(-options.kills // len(SCRIPTED)), wrong, rng)
    elif part == "embedded":
        killed_runs(folder, ASKED, max(1, round(options.kills * EMBEDDED_SHARE)), wrong, rng)
    elif part == "trainings":
        studies = _studies(options.commands)
        killed_trainings(folder, options.commands - studies, wrong, rng)
    elif part == "studies":
        killed_studies(folder, _studies(options.commands), wrong, rng)
    elif part == "workers":
        hit_workers(folder, options.workers, wrong, rng)
    elif part == "damages":
        damaged_files(folder, DILEMMAS, options.damages, wrong, rng)
    elif part == "replies":
        damaged_replies(folder, options.damages, wrong, rng)
    elif part == "disk":
        full_disks(folder, DILEMMAS, options.fills, wrong, rng)
    elif part == "writers":
        two_writers(folder, options.writers, wrong)
    else:
        print_price(options.rounds)


if __name__ == "__main__":
    main()
