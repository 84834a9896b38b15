"""Profiles of several policies on the same values: what circle checks and validity are computed
from.

A profile is a policy's mean propensity on each axis (E3p where all runs hold probabilities, else
E3), over the situations that *all* policies met. On common situations the choice of items does not
tell policies apart, so here a profile needs no minimum of contested decisions, as a score does: it
is only ever compared with the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.errors import ConfigError
from valueagents.measuring.answers import Answers, common_form, require_comparable
from valueagents.measuring.deviations import Form, propensity_terms
from valueagents.measuring.pairing import by_situation, last_meetings, situation_units
from valueagents.measuring.reading import Source, read_answers
from valueagents.measuring.sums import Units, known_mean
from valueagents.running.runs import require_distinct
from valueagents.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Profiles:
    """U policies on S common situations.

    `cells` (U, S, V): propensity, NaN where not contested or not answered.

    `contested` (S, V): the options differ on a value, answered or not. `cluster` (S,) codes; `ways`
    and `unit`: how situations are clustered, by item or menu, or, for pooled decisions of games, by
    episode and menu. `factors` (S,) levels by name. `menus` (V, V): to first order, what each
    weight does to each propensity (Σ of the covariances of x within menus, by row over the
    contested ones).
    """

    taxonomy: Taxonomy
    labels: list[str]
    form: Form
    cells: FloatArray
    contested: BoolArray
    cluster: IntArray
    ways: tuple[Units, ...]
    unit: str
    factors: dict[str, npt.NDArray[np.str_]]
    menus: FloatArray

    @property
    def situations(self) -> int:
        """How many situations all policies met."""
        return int(self.cells.shape[1])

    def of(self, situations: BoolArray | None = None) -> FloatArray:
        """(U, V) profiles over all or some situations; NaN where a policy has none."""
        return known_mean(self.cells if situations is None else self.cells[:, situations], axis=1)

    def axis(self, v: int, situations: BoolArray) -> FloatArray:
        """(U,) the column of one axis over some situations."""
        return known_mean(self.cells[:, situations, v], axis=1)


def centred(x: FloatArray) -> FloatArray:
    """(…, V) profiles minus each one's own mean over the axes it has (Schwartz 2021: centre, never
    divide).
    """
    means: FloatArray = x - known_mean(x)[..., None]
    return means


def profiles(runs: Sequence[Source], labels: Sequence[str] | None = None) -> Profiles:
    """The profiles of runs on one taxonomy, one a policy.

    Raises ConfigError if no situation is common to all, or a policy comes twice, be it with another
    seed.
    """
    if not runs:
        raise ConfigError("profiles need at least one run")
    read = [read_answers(run) for run in runs]
    opened = [answers.run for answers in read if answers.run is not None]
    require_distinct(opened, "policy", lambda header: header.policy_identity)
    form = common_form(*read)
    met = []
    for answers in read:
        require_comparable(read[0], answers)
        met.append(
            by_situation(answers, answers.per_decision(lambda each: propensity_terms(each, form)))
        )
    common = met[0][0]
    for names, _ in met[1:]:
        common = np.intersect1d(common, names, assume_unique=True)
    if not len(common):
        raise ConfigError(
            "the runs have no situation in common; run all policies on the same env with the same"
            " --seed"
        )
    at = last_meetings(read[0], common)
    _, clustering = situation_units(
        read[0], at, independent=all(answers.independent_menus for answers in read)
    )
    first = read[0].select(at)
    return Profiles(
        taxonomy=first.taxonomy,
        labels=list(labels) if labels is not None else [run.header.policy for run in opened],
        form=form,
        cells=np.stack([means[np.searchsorted(names, common)] for names, means in met]),
        contested=first.deviations().contested,
        cluster=np.unique(first.cluster, return_inverse=True)[1].astype(np.int64),
        ways=clustering.ways,
        unit=clustering.unit,
        factors={name: first.columns.factor(name) for name in first.columns.factors()},
        menus=_first_order(first),
    )


def _first_order(met: Answers) -> FloatArray:
    """(V, V) what each weight does to each propensity: the covariances of x within menus,
    summed.
    """
    deviations = met.deviations()
    spread = deviations.centred / np.sqrt(np.repeat(met.size, met.size))[:, None]
    effects: FloatArray = (
        spread.T @ spread / np.maximum(1, deviations.contested.sum(axis=0))[:, None]
    )
    return effects
