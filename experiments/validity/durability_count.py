"""What is counted as wrong after something happened to a run: lost, double, silent, left over."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valueagents.running.durable import is_draft
from valueagents.running.records import episode_records
from valueagents.running.runs import Run


@dataclass
class Wrong:
    """What was found wrong, counted by part; all of it should be 0."""

    lost: Counter[str] = field(default_factory=Counter)
    double: Counter[str] = field(default_factory=Counter)
    silent: Counter[str] = field(default_factory=Counter)
    orphans: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)

    def kinds(self) -> dict[str, Counter[str]]:
        """The counts by what is wrong."""
        return {
            "lost": self.lost,
            "double": self.double,
            "silent": self.silent,
            "orphans": self.orphans,
            "left-over folders": self.folders,
        }

    def print_row(self, part: str, done: str) -> None:
        """Print the counts of a part."""
        counts = ", ".join(f"{name} {count[part]}" for name, count in self.kinds().items())
        print(f"{part:<10} {done}: {counts}", flush=True)

    def print_sum(self) -> None:
        """Print the counts of all parts."""
        sums = (f"{name} {count.total()}" for name, count in self.kinds().items())
        print(", ".join(sums), flush=True)

    def total(self) -> int:
        """All of it."""
        return sum(count.total() for count in self.kinds().values())


def lines_of(run: Run) -> list[str]:
    """The identity of every readable line of the segments, those that are there twice included."""
    damages: list[Any] = []
    return [
        episode.identity
        for segment in run.store.segments()
        for _, episode in episode_records(segment, run.header, damages)
    ]


def answers(run: Run) -> list[tuple[str, list[object]]]:
    """What was offered, how it was annotated and what was chosen, episode by episode."""
    return [
        (
            episode.identity,
            [
                (each.menu, each.annotation, each.choice.option, each.invalid)
                for each in episode.decisions
            ],
        )
        for episode in run.episodes()
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
    wrong.folders[part] += count_drafts(out.iterdir())


def count_drafts(paths: Iterable[Path]) -> int:
    """How many files are what a killed process was going to replace another with."""
    return sum(is_draft(path) or path.suffix == ".draft" for path in paths)
