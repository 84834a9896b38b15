"""What given policies do in an env, by every pair, against the base, and by what their makers meant
to move; and what of that may be said.

Everything said is one family over all envs: Holm over pairs, values and envs, and apart from it
over the contrasts of the makers' targets. Where there are both, each family gets half of the level.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from scipy import stats

from valueagents.experiments.studies.design import StudyEnv
from valueagents.experiments.studies.effects import Role
from valueagents.experiments.studies.given_design import BASE, GivenStudy
from valueagents.measuring.answers import Answers, common_form
from valueagents.measuring.counts import Counts, count
from valueagents.measuring.deviations import Form
from valueagents.measuring.estimators.mean import not_enough
from valueagents.measuring.inference import Estimate, ratio_estimates
from valueagents.measuring.many.differences import TEST, PairDifference, pair_differences
from valueagents.measuring.many.profiles import Profiles, profiles
from valueagents.measuring.mass import Mass, mass_of
from valueagents.measuring.reading import Source, read_answers
from valueagents.measuring.sheet import command_of
from valueagents.measuring.studies.competence import CompetenceChange, competence_change
from valueagents.measuring.studies.contrast import holm
from valueagents.measuring.studies.study_contrasts import StudyContrasts, study_contrasts
from valueagents.measuring.studies.study_shifts import study_shifts
from valueagents.measuring.sums import cluster_sums
from valueagents.running.runs import Run
from valueagents.taxonomy import Taxonomy

LEVEL = 0.05
_AT_STAKE = "contested situations"


class MetEnv(msgspec.Struct, frozen=True):
    """The runs of base and policies in an env; `played`: those of the game whose states were put
    to all.
    """

    env: StudyEnv
    runs: dict[str, Run]
    played: dict[str, Run]


class GivenValue(msgspec.Struct, frozen=True):
    """A value in an env: on how many situations, of how many clusters, it is at stake; `reason`:
    why nothing is said of it.
    """

    axis: str
    name: str
    situations: int
    clusters: int
    reason: str | None


class MakersContrast(msgspec.Struct, frozen=True):
    """The contrast of the targets that makers named in one direction; `p_adjusted` over all of
    them.
    """

    contrasts: StudyContrasts
    p_adjusted: float | None = None


class GivenRun(msgspec.Struct, frozen=True):
    """How a policy met an env. `unread`: by value, decisions without an answer and decisions at
    stake. `competence`: against the base, None for the base itself. `informed`: it saw the
    annotations, which makes it a calibration.
    """

    policy: str
    spec: str
    path: str
    command: str
    informed: bool
    counts: Counts
    mass: Mass | None
    unread: dict[str, tuple[int, int]]
    competence: CompetenceChange | None


class GivenEnv(msgspec.Struct, frozen=True):
    """What an env tells. `profiles`: policy -> value -> propensity.

    `left_out`: policies whose answers cannot be used here, and why. `detectable`: a difference of
    this size holds on the median pair and value. `no_contrast`: why makers' targets have none.
    """

    env: str
    role: Role
    env_id: str
    env_options: dict[str, object]
    asked: dict[str, object]
    taxonomy: Taxonomy
    situations: int
    unit: str
    form: Form
    test: str
    values: list[GivenValue]
    profiles: dict[str, dict[str, Estimate]]
    differences: list[PairDifference]
    detectable: float | None
    contrasts: list[MakersContrast]
    no_contrast: list[str]
    left_out: dict[str, str]
    runs: list[GivenRun]

    @property
    def policies(self) -> list[str]:
        """Those that are compared, the base first."""
        return list(self.profiles)

    @property
    def tested(self) -> list[PairDifference]:
        """Differences with a test, the surest first."""
        known = [each for each in self.differences if each.p is not None]
        return sorted(known, key=lambda each: (each.p or 0.0, -abs(each.difference.value or 0.0)))

    @property
    def held(self) -> list[PairDifference]:
        """Differences that may be claimed, the surest first."""
        return [each for each in self.tested if holds(each)]


def holds(each: PairDifference | MakersContrast) -> bool:
    """What may be claimed."""
    return each.p_adjusted is not None and each.p_adjusted <= LEVEL


def compared_given(study: GivenStudy, met: Sequence[MetEnv]) -> list[GivenEnv]:
    """What every env tells, adjusted together."""
    return adjusted([of_env(study, each.env, each.runs, each.played) for each in met])


def of_env(
    study: GivenStudy,
    env: StudyEnv,
    met: Mapping[str, Source],
    played: Mapping[str, Source] | None = None,
) -> GivenEnv:
    """Profiles, all pairs, and the contrasts of what makers named, not adjusted yet. `met`: runs or
    answers of base and policies; `played`: of the game whose common states these are.
    """
    read = {name: read_answers(each) for name, each in met.items()}
    left_out = {name: why for name, each in read.items() if (why := _unusable(each)) is not None}
    kept = {name: each for name, each in read.items() if name not in left_out}
    first = next(iter(read.values()))
    taxonomy, needed = first.taxonomy, first.min_contested
    table = profiles(list(kept.values()), labels=list(kept)) if len(kept) > 1 else None
    differences = [] if table is None else pair_differences(table, needed=needed)
    contrasts, no_contrast = _contrasts(study, kept, left_out, taxonomy)
    return GivenEnv(
        env=env.name,
        role=env.role,
        env_id=env.env,
        env_options=env.env_options,
        asked=env.elicitation,
        taxonomy=taxonomy,
        situations=0 if table is None else table.situations,
        unit="item" if table is None else table.unit,
        form=common_form(*kept.values()) if kept else "choice",
        test=TEST.format(unit="item" if table is None else table.unit),
        values=_values(taxonomy, differences),
        profiles={} if table is None else _profiles(table, needed),
        differences=differences,
        detectable=None,
        contrasts=contrasts,
        no_contrast=no_contrast,
        left_out=left_out,
        runs=_runs(read, {} if played is None else played),
    )


def adjusted(envs: Sequence[GivenEnv]) -> list[GivenEnv]:
    """The same with the p of all that is said together."""
    pairs = [each.p for env in envs for each in env.differences]
    targets = [each.contrasts.these_values.p for env in envs for each in env.contrasts]
    families = [any(p is not None for p in family) for family in (pairs, targets)]
    shared = max(1, sum(families))

    def family(p: Sequence[float | None]) -> list[float | None]:
        return [None if each is None else min(1.0, shared * each) for each in holm(p)]

    of_pair, of_contrast = iter(family(pairs)), iter(family(targets))
    tests = shared * sum(p is not None for p in pairs)
    replace = msgspec.structs.replace
    return [
        replace(
            env,
            differences=[replace(each, p_adjusted=next(of_pair)) for each in env.differences],
            contrasts=[replace(each, p_adjusted=next(of_contrast)) for each in env.contrasts],
            detectable=_detectable(env.differences, tests),
        )
        for env in envs
    ]


def _detectable(differences: Sequence[PairDifference], tests: int) -> float | None:
    """The median over pairs and values of what a difference had to be to hold as the first of so
    many.
    """
    known = [(each.error, each.df) for each in differences if each.error is not None]
    if not known:
        return None
    error, df = np.array(known, dtype=np.float64).T
    return float(np.median(error * stats.t.isf(LEVEL / tests / 2, df)))


def _unusable(answers: Answers) -> str | None:
    """Why a policy's answers tell nothing here; None if they do."""
    mass = mass_of(answers)
    if mass is not None and mass.refusal is not None:
        return f"the offered answers had {mass.mean:.2g} of its probability on average"
    if not (answers.knows_p | (answers.chosen >= 0)).any():
        return "none of its answers could be read"
    return None


def _values(taxonomy: Taxonomy, differences: Sequence[PairDifference]) -> list[GivenValue]:
    """For each value the pair that knows it best."""
    found = []
    for axis in taxonomy.axes:
        own = [each for each in differences if each.axis == axis.id]
        best = max(own, key=lambda each: (each.p is not None, each.situations), default=None)
        found.append(
            GivenValue(
                axis=axis.id,
                name=axis.name,
                situations=0 if best is None else best.situations,
                clusters=0 if best is None else best.clusters,
                reason=(
                    "fewer than two policies to compare"
                    if best is None
                    else None
                    if best.p is not None
                    else best.difference.reason
                ),
            )
        )
    return found


def _profiles(table: Profiles, needed: int) -> dict[str, dict[str, Estimate]]:
    """Each policy's mean propensity on what it answered, with its interval over items."""
    cells = np.hstack(list(table.cells))  # (I, U V)
    known = ~np.isnan(cells)
    parts = (np.where(known, cells, 0.0), known.astype(np.float64))
    above, below = (
        [cluster_sums(part, way.codes, way.count) for way in table.ways] for part in parts
    )
    axes, counts = table.taxonomy.axis_ids, known.sum(axis=0).tolist()
    estimates = [
        estimate if counted >= max(1, needed) else not_enough(counted, needed, _AT_STAKE)
        for estimate, counted in zip(ratio_estimates(above, below, seed=0), counts, strict=True)
    ]
    return {
        label: dict(zip(axes, estimates[u * len(axes) : (u + 1) * len(axes)], strict=True))
        for u, label in enumerate(table.labels)
    }


def _contrasts(
    study: GivenStudy, kept: Mapping[str, Answers], left_out: Mapping[str, str], taxonomy: Taxonomy
) -> tuple[list[MakersContrast], list[str]]:
    """One a direction in which makers named targets, each with as many adapters; and why others
    have none.
    """
    found, without = [], []
    for direction in ("down", "up"):
        by_target: dict[str, list[str]] = {}
        for each in study.policies:
            known = each.target in taxonomy.axis_ids and each.name not in left_out
            if known and each.direction == direction:
                by_target.setdefault(str(each.target), []).append(each.name)
        counts = {target: len(names) for target, names in by_target.items()}
        if not counts:
            continue
        if BASE in left_out:
            without.append(f"{direction}: the base's answers cannot be used")
        elif len(counts) < 2:
            without.append(f"{direction}: one target, {next(iter(counts))}, has no contrast")
        elif len(set(counts.values())) > 1:
            told = ", ".join(f"{target} {many}" for target, many in counts.items())
            without.append(f"{direction}: as many adapters are needed for each target ({told})")
        else:
            seeds = len(next(iter(by_target.values())))
            adapters = [[kept[name] for name in names] for names in by_target.values()]
            shifts = study_shifts(adapters, [kept[BASE]] * seeds, direction=direction)
            contrasts = study_contrasts(shifts, tuple(by_target), direction=direction)
            found.append(MakersContrast(contrasts))
    return found, without


def _runs(read: Mapping[str, Answers], played: Mapping[str, Source]) -> list[GivenRun]:
    """How each policy met the env; nothing of simulated answers, which have no run."""
    found = []
    games = {name: read_answers(each) for name, each in played.items()}
    for name, answers in read.items():
        if answers.run is None:
            continue
        counts = count(answers.run)
        found.append(
            GivenRun(
                policy=name,
                spec=answers.run.header.policy,
                path=str(answers.run.path),
                command=command_of(answers.run, counts),
                informed=answers.run.header.informed,
                counts=counts,
                mass=mass_of(answers),
                unread=_unread(answers),
                competence=(
                    competence_change(games[name], games[BASE])
                    if name != BASE and name in games
                    else None
                ),
            )
        )
    return found


def _unread(answers: Answers) -> dict[str, tuple[int, int]]:
    """By value, how many of the decisions at stake have no answer, where there are any."""
    contested = answers.deviations().contested
    answered = answers.knows_p | (answers.chosen >= 0)
    lost, at_stake = contested[~answered].sum(axis=0), contested.sum(axis=0)
    return {
        axis: (int(without), int(offered))
        for axis, without, offered in zip(answers.taxonomy.axis_ids, lost, at_stake, strict=True)
        if without
    }
