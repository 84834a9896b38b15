"""`valueagents study adapters`: policies that somebody has already, compared with their base in all
envs. Nothing is trained.

Two questions. Where makers say what an adapter was meant to move: the contrast of a study
(`measuring/studies/contrast.py`), every adapter against the base. And always, all pairs of policies
on all values, adjusted together (max-T over the same flips of the same clusters): what is said to
differ is said of these policies, as a family of one env.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
import numpy as np

from valueagents.arrays import BoolArray, FloatArray, IntArray
from valueagents.contracts.plugins import make_env
from valueagents.errors import ConfigError
from valueagents.experiments.studies.design import Name, StudyEnv, read_table
from valueagents.measuring.flips import sign_flip_test
from valueagents.measuring.many.profiles import Profiles, profiles
from valueagents.measuring.reading import read_answers
from valueagents.measuring.studies.study_contrasts import StudyContrasts, study_contrasts
from valueagents.measuring.studies.study_shifts import study_shifts
from valueagents.measuring.sums import cluster_sums, known_mean
from valueagents.measuring.targets import Direction
from valueagents.report.numbers import interval, p_value, signed
from valueagents.running.execution import RunConfig, execute
from valueagents.running.progress import show_progress
from valueagents.running.runs import Run
from valueagents.running.store import write_atomically

LEVEL = 0.05
BASE = "base"


class GivenPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A policy as `valueagents run` takes it. One of `policy` (a whole spec), `adapter` (a folder,
    a hub id, a name on a server) and `persona` (an id), the latter two on the base.

    `target`: the value that its maker meant to move, in `direction`; several with one target are
    its seeds.
    """

    name: Name
    policy: str | None = None
    adapter: str | None = None
    persona: str | None = None
    target: str | None = None
    direction: Direction = "up"


class GivenStudy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Policies and their base, a spec, in envs."""

    base: str
    policies: Annotated[tuple[GivenPolicy, ...], msgspec.Meta(min_length=1)]
    envs: Annotated[tuple[StudyEnv, ...], msgspec.Meta(min_length=1)]
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class PairDifference(msgspec.Struct, frozen=True):
    """Two policies on a value: first minus second in x; p is adjusted over all pairs and values."""

    first: str
    second: str
    axis: str
    difference: float
    p_max_t: float

    @property
    def differs(self) -> bool:
        """What may be said of these two policies."""
        return self.p_max_t <= LEVEL


class GivenEnv(msgspec.Struct, frozen=True):
    """What an env tells. `profiles`: policy -> value -> mean propensity (None: not enough)."""

    env: str
    situations: int
    profiles: dict[str, dict[str, float | None]]
    differences: list[PairDifference]
    contrasts: list[StudyContrasts]
    test: str


def read_given(design: str) -> GivenStudy:
    """A bundled design or a TOML file. Raises ConfigError if it is none."""
    try:
        study = msgspec.convert(read_table(design), GivenStudy)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{design} names no policies to compare: {error}") from error
    names = [BASE, *(each.name for each in study.policies)]
    if len(set(names)) < len(names):
        raise ConfigError(f"{design} names a policy twice, or one {BASE!r}; name each once")
    for each in study.policies:
        spec_of(study, each, {})
    for env in study.envs:
        make_env(env.env, **env.env_options)
    return study


def spec_of(study: GivenStudy, policy: GivenPolicy, asked: Mapping[str, Any]) -> str:
    """The policy as `valueagents run --policy` takes it; `asked`: how an env has base, adapters and
    personas asked. A whole spec says that itself.

    Raises ConfigError unless it is given in one way.
    """
    given = {
        name: value
        for name in ("policy", "adapter", "persona")
        if (value := getattr(policy, name)) is not None
    }
    if len(given) != 1:
        raise ConfigError(
            f"policy {policy.name!r}: give one of policy, adapter and persona, not"
            f" {', '.join(given) or 'none'}"
        )
    [(way, value)] = given.items()
    if way == "policy":
        return str(value)
    return _with(study.base, {**asked, way: value})


def _with(spec: str, options: Mapping[str, Any]) -> str:
    """The spec with further options."""
    if not options:
        return spec
    return f"{spec}{'&' if '?' in spec else '?'}{urlencode(options)}"


def run_given(design: str, out: Path) -> str:
    """All policies in all envs, or what is missing of that; `adapters.json` is in `out`. Gives what
    may be said.
    """
    study = read_given(design)
    found = []
    for env in study.envs:
        specs = {BASE: _with(study.base, env.elicitation)}
        specs |= {each.name: spec_of(study, each, env.elicitation) for each in study.policies}
        runs = {name: _run(study, env, name, spec, out) for name, spec in specs.items()}
        found.append(of_env(study, env, runs))
    said = sentences(found)
    record = {"format": "valueagents-adapters 1", "study": study, "answer": said, "envs": found}
    encoded = msgspec.json.format(msgspec.json.encode(record), indent=1)
    write_atomically(out / "adapters.json", encoded + b"\n")
    return said


def _run(study: GivenStudy, env: StudyEnv, name: str, spec: str, out: Path) -> Run:
    config = RunConfig(
        env=env.env,
        env_options=env.env_options,
        policy=spec,
        episodes=env.episodes,
        seed=study.seed,
    )
    with show_progress(f"{name} in {env.name}") as progress:
        return execute(config, out / "runs" / env.name / name, progress=progress)


def of_env(study: GivenStudy, env: StudyEnv, runs: dict[str, Run]) -> GivenEnv:
    """Profiles, all pairs, and the contrasts of what makers named."""
    table = profiles(list(runs.values()), labels=list(runs))
    enough = _enough(table, runs[BASE].header.min_contested)
    means = np.where(enough, table.of(), np.nan)
    axes = table.taxonomy.axis_ids
    known = [axis for axis, held in zip(axes, enough, strict=True) if held]
    cells = table.cells[..., enough]
    differences, test = pairwise(cells, table.cluster, table.labels, known, seed=study.seed)
    return GivenEnv(
        env=env.name,
        situations=table.situations,
        profiles={
            label: {
                axis: None if np.isnan(x) else float(x) for axis, x in zip(axes, row, strict=True)
            }
            for label, row in zip(table.labels, means, strict=True)
        },
        differences=differences,
        contrasts=_contrasts(study, runs, axes),
        test=test,
    )


def _enough(table: Profiles, needed: int) -> BoolArray:
    """(V,) values with as many contested situations that all answered as the env asks for."""
    counted = (~np.isnan(table.cells).any(axis=0)).sum(axis=0)
    return np.asarray(counted >= max(1, needed))


def pairwise(
    cells: FloatArray, cluster: IntArray, names: Sequence[str], axes: Sequence[str], *, seed: int
) -> tuple[list[PairDifference], str]:
    """All pairs of (U, I, V) propensities on all values, adjusted together, the surest first; and
    the test in words.
    """
    known = ~np.isnan(cells).any(axis=0)  # (I, V)
    held = np.where(known, cells, 0.0)
    pairs = list(combinations(range(len(names)), 2))
    columns = [cluster_sums(held[a] - held[b], cluster, int(cluster.max()) + 1) for a, b in pairs]
    flips = sign_flip_test(np.hstack(columns), seed=seed)
    means = known_mean(np.where(known, cells, np.nan), axis=1)  # (U, V)
    found = []
    for k, (a, b) in enumerate(pairs):
        for v, axis in enumerate(axes):
            p = flips.p_max_t[k * len(axes) + v]
            if p is not None:
                difference = float(means[a, v] - means[b, v])
                found.append(PairDifference(names[a], names[b], axis, difference, p))
    surest = sorted(found, key=lambda each: (each.p_max_t, -abs(each.difference)))
    return surest, f"{flips.method}; max-T over {len(found)} pairs and values"


def _contrasts(
    study: GivenStudy, runs: dict[str, Run], axes: Sequence[str]
) -> list[StudyContrasts]:
    """One a direction in which makers named targets, each with as many adapters."""
    found = []
    base = read_answers(runs[BASE].path)
    for direction in ("down", "up"):
        by_target: dict[str, list[str]] = {}
        for each in study.policies:
            if each.target in axes and each.direction == direction:
                by_target.setdefault(str(each.target), []).append(each.name)
        counts = {len(names) for names in by_target.values()}
        if len(by_target) < 2 or len(counts) != 1:
            continue
        [seeds] = counts
        adapters = [[read_answers(runs[n].path) for n in names] for names in by_target.values()]
        shifts = study_shifts(adapters, [base] * seeds, direction=direction)
        found.append(study_contrasts(shifts, tuple(by_target), direction=direction))
    return found


def sentences(envs: Sequence[GivenEnv]) -> str:
    """What may be said: of these policies what max-T carries, of their makers' targets the contrast
    with its interval; a claim needs two adapters a target.
    """
    said = []
    for env in envs:
        held = [each for each in env.differences if each.differs]
        text = f"In {env.env!r} {len(held)} of {len(env.differences)} differences hold ({env.test})"
        if held:
            told = "; ".join(
                f"{e.first} {'above' if e.difference > 0 else 'below'} {e.second} on {e.axis} by"
                f" {signed(abs(e.difference), 3)}, p = {p_value(e.p_max_t)}"
                for e in held[:3]
            )
            text += f", first {told}"
        said.append(f"{text}.")
        for contrast in env.contrasts:
            found = contrast.these_values
            number = f"{signed(found.estimate.value, 3)} {interval(found.estimate, 3)}".strip()
            told = f"p = {p_value(found.p)}" if found.p is not None else "these adapters only"
            said.append(
                f"Their makers' targets {', '.join(contrast.targets)} moved {contrast.direction} by"
                f" {number} ({told}, the contrast of the targets in x)."
            )
    return " ".join(said)
