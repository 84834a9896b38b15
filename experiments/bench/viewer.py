"""Is `valueagents view` quick over a run of 100,000 episodes, beside pyarrow reading the same rows?

Two runs are made up: one-decision episodes with menus of 4 options on 20 axes, 2 to 6 marks each,
some hundred words a decision, readings in turn. A fresh process then opens the pages as the server
does, in turn with pyarrow, and tells its peak memory:

- the first page of a run, of which nothing is in memory yet, beside `pyarrow.parquet.read_table` of
  the columns that the page filters and lists by;
- a page of filtered episodes, the run being in memory, beside `read_table` of the same columns with
  the same filter;
- a transcript for the first time (the run's lines are looked through) and again; and two policies
  side by side for the first time.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pyarrow.parquet as pq

from valueagents.contracts.decision import Annotation, Choice, Decision, Episode, HowRead, Option
from valueagents.experiments.bench.million_decisions import peak_bytes
from valueagents.experiments.bench.timing import (
    Rounds,
    make_parser,
    print_figure,
    read_options,
    require_work,
)
from valueagents.identity import content_hash
from valueagents.running.store import RunHeader, RunStore
from valueagents.running.table import TABLE_FILE, decisions_file
from valueagents.taxonomy import load_taxonomy
from valueagents.viewer import addresses
from valueagents.viewer.index import COLUMNS
from valueagents.viewer.rows import PAGE_ROWS
from valueagents.viewer.shelf import Shelf
from valueagents.viewer.site import Site

SIZES = {"episodes": (100_000, 1_000), "rounds": (5, 2)}
OPTIONS, WORDS = 4, 100
READINGS: tuple[HowRead, ...] = ("parsed", "repaired", "drawn", "argmax")
MEGABYTE = 1_000_000
MEASURING = (
    "import sys; from valueagents.experiments.bench.viewer import measure_here;"
    " measure_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
)


def made_up_run(path: Path, policy: str, episodes: int) -> None:
    """A run of that many episodes is at the path, with its table."""
    taxonomy = load_taxonomy("schwartz20")
    rng = np.random.default_rng(len(policy))
    words = np.array(["river", "market", "promise", "neighbour", "winter", "harvest", "letter"])
    header = RunHeader(
        env="made-up/Episodes-v0",
        env_options={},
        policy=policy,
        seed=1,
        task="Decide.",
        env_identity={},
        policy_identity={"policy": policy},
        taxonomy=taxonomy,
        independent_menus=True,
        informed=False,
    )
    store = RunStore.create(path, header)
    with store.writing() as writer:
        writer.session({"start": "made up", "planned": episodes, "stored": 0, "owed": episodes})
        for number in range(episodes):
            marks = rng.choice(len(taxonomy.axes), (OPTIONS, 3))
            values: tuple[dict[str, float | None], ...] = tuple(
                {taxonomy.axis_ids[axis]: float(rng.choice([-1, 1])) for axis in row}
                for row in marks
            )
            p = rng.dirichlet(np.ones(OPTIONS))
            menu = tuple(Option(f"o{k}", " ".join(rng.choice(words, 8))) for k in range(OPTIONS))
            taken = int(rng.choice(OPTIONS, p=p))
            choice = Choice(f"o{taken}", READINGS[number % len(READINGS)], tuple(p.tolist()))
            text = " ".join(rng.choice(words, WORDS))
            annotation = Annotation(taxonomy.name, values, "made up", "sign")
            decision = Decision(text, menu, choice, annotation)
            identity, situation = content_hash(policy, number), f"situation-{number:06d}"
            writer.episode(
                Episode(identity, situation, 0, number, situation, (decision,), "terminated")
            )
        writer.session({"end": "made up", "finished": episodes, "failed": 0})
    decisions_file(store)


def measure_here(folder: str, episodes: int, rounds: int) -> None:
    """The figures were printed, measured in this process."""
    measured, place = Rounds(), Path(folder)
    site = Site(Shelf(place))
    first, second = site.shelf.known()
    file = place / first.path / TABLE_FILE
    _opened(site, addresses.run(first.key), PAGE_ROWS)
    _opened(site, addresses.episode(first.key, content_hash(first.policy, 0)), 1, "decision")
    _opened(site, addresses.beside(first.key, second.key), PAGE_ROWS)
    peak = peak_bytes()  # before pyarrow has read anything for its own sake
    for number in range(rounds + 1):
        kept = measured if number else Rounds()  # the first does not count
        site = Site(Shelf(place))
        filters = f"reading={READINGS[number % len(READINGS)]}"
        name, where = parse_qsl(filters)[0], addresses.run(first.key)
        with kept.timed("columns"):
            pq.read_table(file, columns=list(COLUMNS))
        with kept.timed("first page"):
            _opened(site, where, PAGE_ROWS)
        with kept.timed("rows"):
            rows = pq.read_table(file, columns=list(COLUMNS), filters=[(name[0], "==", name[1])])
            listed = rows.slice(0, PAGE_ROWS).to_pylist()
        require_work("rows listed by pyarrow", done=len(listed), needed=PAGE_ROWS)
        with kept.timed("filtered page"):
            _opened(site, f"{where}?{filters}", PAGE_ROWS)
        for way, at in (("transcript", number), ("transcript again", number + episodes // 2)):
            with kept.timed(way):
                told = content_hash(first.policy, at)
                _opened(site, addresses.episode(first.key, told), 1, "decision")
        with kept.timed("side by side"):
            _opened(site, addresses.beside(first.key, second.key), PAGE_ROWS)
    _print(measured, episodes, peak)


def _opened(site: Site, address: str, needed: int, mark: str = "id") -> None:
    """The page at an address was made, with that many of its rows or decisions."""
    path, _, query = address.partition("?")
    html = site.page(path, dict(parse_qsl(query))).html
    done = html.count(f'class="{mark}"')
    require_work(f"shown at {address}", done=done, needed=needed)


def _print(measured: Rounds, episodes: int, peak: int) -> None:
    print(f"two runs of {episodes:,} episodes")
    for way in ("columns", "first page", "rows", "filtered page"):
        print_figure(way, [1000 * each for each in measured.seconds(way)], "ms")
    print_figure(
        "first page ÷ pyarrow, the same columns", measured.ratios("first page", "columns"), most=3
    )
    print_figure(
        "filtered page ÷ pyarrow, the same rows", measured.ratios("filtered page", "rows"), most=3
    )
    for way in ("transcript", "transcript again", "side by side"):
        print_figure(way, [1000 * each for each in measured.seconds(way)], "ms")
    print_figure("peak memory of the pages", [peak / MEGABYTE], "MB", most=500)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures."""
    options = read_options(make_parser(__doc__), SIZES, argv)
    with tempfile.TemporaryDirectory() as folder:
        for policy in ("one", "another"):
            made_up_run(Path(folder) / policy, policy, options.episodes)
        words = MEASURING, folder, str(options.episodes), str(options.rounds)
        done = subprocess.run(
            [sys.executable, "-c", *words], check=True, stdout=subprocess.PIPE, text=True
        )
    print(done.stdout, end="")


if __name__ == "__main__":
    main()
