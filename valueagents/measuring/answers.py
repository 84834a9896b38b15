"""A run's answers, read once: its annotated decisions as numpy arrays, sorted by episode and step.

Sorted, so that no sum depends on the order of writing. The annotations are the bulk (a million
decisions × 6 options × 20 axes are 0.96 GB): they are read from the file part by part into one
array (`reading.py`), and what is derived from them (`deviations`) is derived part by part: see
`parts`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.contracts.environment import MIN_CONTESTED
from valueagents.errors import ConfigError, unknown_name
from valueagents.measuring.columns import Columns, codes_of
from valueagents.measuring.deviations import Deviations, Form, Terms
from valueagents.measuring.sums import Clustering, Units, crossed, run_sums
from valueagents.running.pool import POOLED_EPISODE
from valueagents.running.runs import Run
from valueagents.taxonomy import Taxonomy

PROMPT = "prompt"
_DECISIONS_A_PART = (
    1_024  # with 6 options and 20 axes 1 MB: the temporaries stay near the processor
)


@dataclass(frozen=True, slots=True)
class Answers:
    """T annotated decisions with N options in all, on V axes.

    Options of a decision lie together, in shown order.

    x: (N, V) annotation, NaN not annotated.
    start: (T,) first row of each menu.
    size: (T,) options on it.
    chosen: (T,) row of the chosen option, -1 = unread.
    p: (N,) the policy's probabilities, NaN = unknown.
    characters: (N,) length of each option's text.
    cluster: (T,) codes of `cluster_names`, the units of independence.
    menu: (T,) hashes, equal where the same options were offered.
    shown: (T,) situation hashes.
    columns: further columns.
    run: where they were read from (None: made in memory, as a simulation does).
    independent_menus, min_contested: as the env declares them.
    covariates: by name (N,) numbers of the options, NaN = unknown.
    """

    taxonomy: Taxonomy
    x: FloatArray
    start: IntArray
    size: IntArray
    chosen: IntArray
    p: FloatArray
    characters: FloatArray
    cluster: IntArray
    cluster_names: pa.StringArray
    menu: pa.StringArray
    shown: pa.StringArray
    columns: Columns
    run: Run | None = None
    independent_menus: bool = True
    min_contested: int = MIN_CONTESTED
    covariates: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What messages call it: the run's name, which is its path."""
        return repr(self.run.name) if self.run is not None else "the answers"

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return len(self.cluster_names)

    @property
    def clustering(self) -> Clustering:
        """The units of independence: items, or in games episodes, and menus where these recur."""
        [clustering] = joint_clustering([self])
        return clustering

    @property
    def menu_of(self) -> IntArray:
        """(N,) the decision that each option row belongs to."""
        return np.repeat(np.arange(len(self.size)), self.size)

    @property
    def position(self) -> FloatArray:
        """(N,) the place of each option on its menu, from 0."""
        return (np.arange(self.size.sum()) - np.repeat(self.start, self.size)).astype(np.float64)

    @property
    def knows_p(self) -> BoolArray:
        """(T,) decisions with probabilities."""
        if not len(self.start):
            return np.zeros(0, dtype=np.bool_)
        known: BoolArray = ~np.isnan(np.add.reduceat(self.p, self.start))
        return known

    def answered(self, form: Form) -> BoolArray:
        """(T,) decisions that have an answer in that form."""
        return self.knows_p if form == "probability" else self.chosen >= 0

    def weights(self, form: Form) -> FloatArray:
        """(N,) an answer as weights on the options: the probabilities, or 1 on the chosen one; NaN
        without answer.
        """
        if form == "probability":
            return self.p
        read = self.chosen >= 0
        weights = np.where(read[self.menu_of], 0.0, np.nan)
        weights[self.chosen[read]] = 1.0
        return weights

    def factor(self, name: str) -> npt.NDArray[np.str_]:
        """(T,) levels of a declared factor ("" where a decision has none); `prompt`, if the env
        declares none of that name, is the prompt that a language model was asked in.

        Raises ConfigError, naming the factors that there are and what to do, if the env did not
        declare it.
        """
        known = self.columns.factors()
        if name == PROMPT and name not in known and name in self.columns.names():
            return self.columns.texts(name)
        if name not in known:
            declared = f"declared: {', '.join(known) or 'none'}"
            remedy = (
                f"({declared}). The env has to declare it: see `ValueEnv.factors` in envs/guide.md."
            )
            raise ConfigError(f"{self.name}: " + unknown_name("factor", name, known, remedy=remedy))
        return self.columns.factor(name)

    def detached(self) -> Self:
        """The same without the run behind it and its further columns: what another process can be
        sent.
        """
        return replace(self, run=None, columns=Columns(None, self.columns.rows))

    def per_menu(self, options: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """Sums over each menu, (N, …) to (T, …), each option weighted by its (N,) weight."""
        return run_sums(options, self.start, weights)

    def extremes(self, options: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The lowest and the highest of each menu, (N, V) to (T, V) each."""
        lowest, highest = options[self.start], options[self.start]
        longest = int(self.size.max(initial=0))
        if len(options) == longest * len(
            self.size
        ):  # menus of one size: no need to gather their rows
            for place in range(1, longest):
                np.minimum(lowest, options[place::longest], out=lowest)
                np.maximum(highest, options[place::longest], out=highest)
            return lowest, highest
        for place in range(1, longest):
            there = np.flatnonzero(self.size > place)
            values = options[self.start[there] + place]
            lowest[there] = np.minimum(lowest[there], values)
            highest[there] = np.maximum(highest[there], values)
        return lowest, highest

    def part(self, first: int, last: int) -> Self:
        """The decisions first, …, last - 1 on their own (views, not copies)."""
        begin = int(self.start[first]) if first < last else 0
        end = int(self.start[last - 1] + self.size[last - 1]) if first < last else 0
        chosen = self.chosen[first:last]
        return replace(
            self,
            x=self.x[begin:end],
            start=self.start[first:last] - begin,
            size=self.size[first:last],
            chosen=np.where(chosen >= 0, chosen - begin, -1),
            p=self.p[begin:end],
            characters=self.characters[begin:end],
            covariates={name: z[begin:end] for name, z in self.covariates.items()},
            cluster=self.cluster[first:last],
            menu=self.menu[first:last],
            shown=self.shown[first:last],
            columns=self.columns.take(slice(first, last)),
        )

    def select(self, decisions: IntArray) -> Self:
        """Some decisions, copied, in the given order."""
        size = self.size[decisions]
        start = np.cumsum(size) - size
        rows = np.repeat(self.start[decisions] - start, size) + np.arange(size.sum())
        chosen = self.chosen[decisions]
        return replace(
            self,
            x=self.x[rows],
            start=start,
            size=size,
            chosen=np.where(chosen >= 0, chosen - self.start[decisions] + start, -1),
            p=self.p[rows],
            characters=self.characters[rows],
            covariates={name: z[rows] for name, z in self.covariates.items()},
            cluster=self.cluster[decisions],
            menu=self.menu.take(pa.array(decisions)),
            shown=self.shown.take(pa.array(decisions)),
            columns=self.columns.take(decisions),
        )

    def parts(self) -> Iterator[tuple[slice, Self]]:
        """The decisions, some at a time, each with its place: what is derived from a part needs
        little memory.
        """
        count = len(self.size)
        for first in range(0, count, _DECISIONS_A_PART):
            last = min(count, first + _DECISIONS_A_PART)
            yield slice(first, last), self.part(first, last)

    def per_decision(self, terms: Callable[[Deviations], Terms]) -> FloatArray:
        """(T, V) values of a mean's terms, NaN where a decision does not count."""
        values = np.full((len(self.size), len(self.taxonomy.axes)), np.nan)
        for place, part in self.parts():
            found = terms(part.deviations())
            values[place] = np.where(found.counted, found.values, np.nan)
        return values

    def judged(self) -> tuple[FloatArray, BoolArray]:
        """(N, V) x and (T, V) where it counts: an axis that any option of a menu lacks is 0 and
        left out of it.
        """
        if not np.isnan(self.x.sum()):
            return self.x, np.ones((len(self.size), self.x.shape[1]), dtype=np.bool_)
        annotated = ~np.isnan(self.per_menu(self.x))
        return np.where(np.repeat(annotated, self.size, axis=0), self.x, 0.0), annotated

    def deviations(self) -> Deviations:
        """What every decision says about every axis, before any averaging."""
        x, annotated = self.judged()
        lowest, highest = self.extremes(x)
        contested = highest > lowest
        sums = self.per_menu(x)
        mean = np.where(
            contested, sums / self.size[:, None], lowest
        )  # where not contested x - m is 0
        centred = x - np.repeat(mean, self.size, axis=0)
        read, knows_p = self.chosen >= 0, self.knows_p
        rows = np.where(read, self.chosen, self.start)
        p = np.where(np.repeat(knows_p, self.size), self.p, 0.0)
        return Deviations(
            annotated=annotated,
            contested=contested,
            read=read,
            knows_p=knows_p,
            taken=x[rows] * read[:, None],
            chosen=centred[rows] * read[:, None],
            expected=self.per_menu(centred, p),
            lowest=lowest - mean,
            highest=highest - mean,
            centred=centred,
        )


def common_form(*runs: Answers) -> Form:
    """Probabilities if every annotated decision of all runs has them, else choices."""
    return "probability" if all(answers.knows_p.all() for answers in runs) else "choice"


def require_comparable(first: Answers, second: Answers) -> None:
    """Raise ConfigError unless both are on one taxonomy, in content as in name."""
    one, other = first.taxonomy, second.taxonomy
    if one.name != other.name:
        raise ConfigError(
            f"{first.name} is on taxonomy {one.name}, {second.name} on {other.name}: they cannot be"
            " compared"
        )
    if one.identity != other.identity:
        raise ConfigError(
            f"{first.name} and {second.name} are both on taxonomy {one.name}, but its content was"
            " changed in between: run one of them again, and raise `version` in the file with every"
            " change"
        )


def joint_clustering(runs: Sequence[Answers]) -> list[Clustering]:
    """For each run the clustering of its decisions, equal codes meaning equal units in all of them.

    By item where no choice changes a later menu in any of them; in games by episode, and by menu
    too where the same options are offered in several episodes. Decisions of games that were pooled
    and asked again are clustered as there: by the episode they were met in, and by menu.
    """
    splits = np.cumsum([len(answers.size) for answers in runs])[:-1]
    names = pa.concat_arrays(
        [answers.cluster_names.take(pa.array(answers.cluster)) for answers in runs]
    )
    codes, known = codes_of(names)
    whole = Clustering("item", (Units(codes, len(known)),))
    if not all(answers.independent_menus for answers in runs):
        menus, kinds = codes_of(pa.concat_arrays([answers.menu for answers in runs]))
        whole = crossed("episode", whole.ways[0], Units(menus, len(kinds)))
    elif all(POOLED_EPISODE.name in answers.columns.factors() for answers in runs):
        met_in = np.concatenate([answers.factor(POOLED_EPISODE.name) for answers in runs])
        episodes, there = np.unique(met_in, return_inverse=True)
        whole = crossed("episode", Units(there.astype(np.int64), len(episodes)), whole.ways[0])
    codes_by_run = zip(*(np.split(way.codes, splits) for way in whole.ways), strict=True)
    return [
        Clustering(
            whole.unit, tuple(Units(c, way.count) for c, way in zip(codes, whole.ways, strict=True))
        )
        for codes in codes_by_run
    ]
