"""Compare two policies on the same env, paired by the situation that they were shown: every
estimator that compares.

A mean over decisions (E3p where all runs hold probabilities, else E3; a plug-in's) is compared on
the situations that both policies met; the units of its test are items, and where several training
seeds are given the seeds. Games are compared by the sums of episodes that began from the same env
seed (`episodes.py`), two-way by episode and menu; where none did, by situations, with menus as
units. E4 compares what the choices weigh, E6 splits the
difference of the rates.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from valueagents.errors import ConfigError
from valueagents.measuring.answers import Answers, require_comparable
from valueagents.measuring.estimators.declaration import (
    AxisDifference,
    Compared,
    Difference,
    Estimator,
)
from valueagents.measuring.estimators.mean import paired_difference
from valueagents.measuring.estimators.registry import estimators
from valueagents.measuring.inference import Estimate
from valueagents.measuring.mass import mass_cautions
from valueagents.measuring.pairing import Pairing, pair
from valueagents.measuring.reading import Source, read_answers
from valueagents.running.runs import Run, require_distinct

ENOUGH_SEEDS = 6
"""With 5 training seeds the smallest two-sided p of a sign-flip test is 2/32 = 0.06."""


class Comparison(msgspec.Struct, frozen=True):
    """Two policies compared, first minus second.

    `differences` go by the estimator's id, `headline` first.

    `paired_situations` were met by both (in games with several seeds: summed over the seeds).
    """

    first: str
    second: str
    first_policy: str
    second_policy: str
    taxonomy: str
    headline: str
    paired_situations: int
    only_first: int
    only_second: int
    primary: str | None
    differences: dict[str, Difference]
    warnings: list[str] = []

    def __getitem__(self, estimator: str) -> Difference:
        """The difference by an estimator's id."""
        return self.differences[estimator]


AnyRun = TypeVar("AnyRun", bound=Source)
OneOrMore = Source | Sequence[Source]


def two_sides(runs: Sequence[AnyRun]) -> tuple[list[AnyRun], list[AnyRun]]:
    """The runs of the first policy and as many of the second.

    Raises ConfigError for an odd number.
    """
    if not runs or len(runs) % 2:
        raise ConfigError(
            f"{len(runs)} runs: give two, or the seeds of the first policy and then as many of the"
            " second"
        )
    half = len(runs) // 2
    return list(runs[:half]), list(runs[half:])


def compare(
    first: OneOrMore,
    second: OneOrMore,
    *,
    primary: str | None = None,
    replayed: tuple[Source | None, Source | None] = (None, None),
    seed: int = 0,
    low_mass: bool = False,
) -> Comparison:
    """The differences, first minus second. `primary` is the one axis named before looking.

    Lists of runs are training seeds, the k-th of one paired with the k-th of the other; the seed is
    then the unit. `replayed`: for each policy a replay of states that it did not meet itself; E6
    then splits what it could not. `low_mass`: compare runs, too, whose offered answers had next to
    none of the model's probability (`mass.py`); else their differences are None with that reason.
    Raises ConfigError if the taxonomies differ, the primary axis is
    unknown, no situation was met by both, or the runs carry different annotations there (in a game,
    where hidden state may explain it: a warning).
    """
    sides = [_read(side) for side in (first, second)]
    if len(sides[0]) != len(sides[1]):
        raise ConfigError(
            f"{len(sides[0])} runs against {len(sides[1])}: give as many first as second, seed by"
            " seed"
        )
    runs = [[answers.run for answers in side if answers.run is not None] for side in sides]
    for side in runs:
        require_distinct(
            side, "training seed", lambda header: [header.policy_identity, header.seed]
        )
    for answers in (*sides[0], *sides[1]):
        require_comparable(sides[0][0], answers)
    taxonomy = sides[0][0].taxonomy
    if primary is not None:
        taxonomy.index(primary)
    pairs = [pair(a, b) for a, b in zip(*sides, strict=True)]
    replays = [None if each is None else read_answers(each) for each in replayed]
    compared = Compared(pairs, primary, seed, (replays[0], replays[1]))
    differences = {
        each.id: found
        for each in _comparing(sides)
        if (found := difference(each, compared)) is not None
    }
    read = [*sides[0], *sides[1], *(each for each in replays if each is not None)]
    refusal, low = mass_cautions(read)
    if refusal is not None and not low_mass:
        differences = {name: _refused(each, refusal) for name, each in differences.items()}
    return Comparison(
        first=_paths(runs[0]),
        second=_paths(runs[1]),
        first_policy=", ".join(dict.fromkeys(run.header.policy for run in runs[0])),
        second_policy=", ".join(dict.fromkeys(run.header.policy for run in runs[1])),
        taxonomy=taxonomy.name,
        headline=next(iter(differences)),
        paired_situations=sum(len(each.shown) for each in pairs),
        only_first=sum(each.only_first for each in pairs),
        only_second=sum(each.only_second for each in pairs),
        primary=primary,
        differences=differences,
        warnings=[*low, *_warnings(pairs)],
    )


def difference(estimator: Estimator, compared: Compared) -> Difference | None:
    """What an estimator says of two policies; None if it has nothing to say of these runs."""
    if estimator.difference is not None:
        return estimator.difference(compared)
    return paired_difference(estimator, compared)


def _refused(difference: Difference, reason: str) -> Difference:
    """The difference without its numbers."""
    refused = Estimate(reason=reason)
    axes = [
        AxisDifference(
            axis=axis.axis,
            name=axis.name,
            situations=axis.situations,
            clusters=axis.clusters,
            difference=refused,
            parts=dict.fromkeys(axis.parts, refused),
        )
        for axis in difference.axes
    ]
    return msgspec.structs.replace(difference, axes=axes, effects={})


def _comparing(sides: Sequence[Sequence[Answers]]) -> list[Estimator]:
    """The estimators that compare: the headline first, then the others, plug-ins' last."""
    known_p = all(answers.knows_p.all() for side in sides for answers in side)
    usable = [each for each in estimators() if known_p or each.needs != "probabilities"]
    replaced = {each.form_of for each in usable}
    means = [each for each in usable if each.terms and each.compared and each.id not in replaced]
    place = {each.id: k for k, each in enumerate(usable)}  # a form comes before what it is one of
    others = sorted(
        (each for each in usable if each.difference is not None),
        key=lambda each: (place.get(each.form_of or "", place[each.id]), each.form_of is None),
    )
    return [*means[:1], *others, *means[1:]]


def _read(runs: OneOrMore) -> list[Answers]:
    several: Sequence[Source] = [runs] if isinstance(runs, Answers | Run | Path | str) else runs
    return [read_answers(run) for run in several]


def _paths(runs: Sequence[Run]) -> str:
    return ", ".join(run.name for run in runs)


def _warnings(pairs: Sequence[Pairing]) -> list[str]:
    warnings = []
    if 1 < len(pairs) < ENOUGH_SEEDS:
        warnings.append(
            f"exploratory: {len(pairs)} seeds cannot reach p < 0.05, plan at least {ENOUGH_SEEDS}"
        )
    if conflicts := sum(each.annotation_conflicts for each in pairs):
        warnings.append(
            f"in {conflicts} shared situations the second run's annotations differ: hidden state of"
            " the game differs?"
        )
    return warnings
