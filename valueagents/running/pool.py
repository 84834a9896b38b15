"""A pool: decisions of several runs, frozen, so that any policy can be asked the same questions
(E7, common states).

A pooled decision holds all that the policy met: what came before in the episode, the last text, the
menu in the order shown – and the annotation, for the record. What was answered is left out. Each
situation (`shown_hash`) is there once; the sample takes them from the runs in turn, so that each
run contributes as many as it has, up to its share. A pool is a JSON-lines file: a header, then a
line a decision, each with its checksum.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.compute as pc

from valueagents.contracts.decision import (
    Annotation,
    Asks,
    Choice,
    Covariate,
    Decision,
    Factor,
    Menu,
    menu_hash,
    shown_hash,
)
from valueagents.errors import ConfigError, DataError, StoreError
from valueagents.files.covariates import covariate_problem, covariates_of_all
from valueagents.files.factors import level_problem
from valueagents.files.text import decode_json, read_lines
from valueagents.identity import content_hash
from valueagents.running.runs import Run
from valueagents.running.sealed import seal, unseal
from valueagents.running.store import write_atomically
from valueagents.running.upgrade import bundled_taxonomy
from valueagents.taxonomy import Taxonomy

FORMAT = "valueagents-pool"
VERSION = 3
WITHOUT_FACTORS = 2
"""The version before: its files are read, their decisions have no factors."""
POOL_FILE = "pool.jsonl"
POOLED_EPISODE = Factor(
    "pooled_episode", "The episode of a pooled run of a game in which the decision was met."
)
"""What decisions of one episode share beside their menus: intervals are clustered by both."""


class PoolSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that the pool was drawn from: what it was, and how many of the pool's decisions are
    its.
    """

    env: str
    policy: str
    seed: int
    decisions: int


class PooledDecision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A question, as it was met. `before` are the episode's earlier decisions: text, menu
    and the option taken.

    `cluster` is the run's; of a game it is the menu, since there one menu comes again in many
    states and episodes, and `factors` say which episode it was. `factors` are the levels of the
    menu; where there are none they are left out of the file and of its hashed content, which is
    then that of a file of the version before.
    """

    shown: str
    cluster: str
    before: tuple[Decision, ...]
    observation: str
    menu: Menu
    annotation: Annotation
    factors: dict[str, str] = {}


class PoolHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for all decisions of a pool.

    `asked` and `seed` repeat the sampling, `factors`, `covariates`, `asks` (the env's question) and
    its `language` are the runs'.
    """

    format: str
    version: int
    task: str
    taxonomy: Taxonomy
    min_contested: int
    asked: int
    seed: int
    sources: tuple[PoolSource, ...]
    factors: tuple[Factor, ...] = ()
    asks: Asks = "choose"
    language: str = "en"
    covariates: tuple[Covariate, ...] = ()


class Pool(msgspec.Struct, frozen=True):
    """A header and its decisions, sorted by situation."""

    header: PoolHeader
    decisions: tuple[PooledDecision, ...]


def sample_pool(runs: Sequence[Run | Path | str], *, decisions: int, seed: int) -> Pool:
    """At most that many distinct situations, taken from the runs in turn, each run's in an order
    drawn from the seed.

    Does not depend on the order of the runs. Raises ConfigError if the runs differ in task,
    taxonomy or the levels of a factor, are of free text, or hold no annotated menu of two or more
    options.
    """
    if not runs:
        raise ConfigError("a pool needs at least one run: --pool RUN")
    opened = [run if isinstance(run, Run) else Run(run) for run in runs]
    opened.sort(
        key=lambda run: content_hash(
            run.header.env_identity, run.header.policy_identity, run.header.seed
        )
    )
    first = opened[0].header
    for run in opened[1:]:
        if run.header.task != first.task or run.header.taxonomy != first.taxonomy:
            raise ConfigError(
                f"{str(run.path)!r} ({run.header.env}, {run.header.taxonomy.name}) and"
                f" {str(opened[0].path)!r} ({first.env}, {first.taxonomy.name}) differ in task or"
                " taxonomy; pool runs of one kind of env"
            )
    taken = _in_turn([_situations(run, seed) for run in opened], decisions)
    if not any(taken):
        raise ConfigError(
            f"{str(opened[0].path)!r}: no annotated menu of two or more options to pool"
        )
    pooled = [
        question
        for run, wanted in zip(opened, taken, strict=True)
        for question in _questions(run, wanted)
    ]
    sources = tuple(
        PoolSource(run.header.env, run.header.policy, run.header.seed, len(wanted))
        for run, wanted in zip(opened, taken, strict=True)
    )
    needed = max(run.header.min_contested for run in opened)
    header = PoolHeader(
        FORMAT,
        VERSION,
        first.task,
        first.taxonomy,
        needed,
        decisions,
        seed,
        sources,
        _declared(opened),
        first.asks,
        first.language,
        covariates_of_all({str(run.path): run.header.covariates for run in opened}),
    )
    return Pool(header, tuple(sorted(pooled, key=lambda question: question.shown)))


def freeze_pool(
    folder: Path, runs: Sequence[Run | Path | str], *, decisions: int, seed: int
) -> Path:
    """The pool file of a folder: sampled and written if there is none; without `runs` the one that
    is there.

    Raises ConfigError if another pool is there, or none and no runs are given.
    """
    file = folder / POOL_FILE
    if not runs:
        if not file.exists():
            raise ConfigError(
                f"{str(folder)!r} holds no pool yet: say with --pool which runs to draw it from"
            )
        return file
    if (folder / "run.json").exists():
        raise ConfigError(
            f"{str(folder)!r} is a run; give a folder of its own for the pool and its runs"
        )
    drawn = sample_pool(runs, decisions=decisions, seed=seed)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_pool(file, drawn)
    elif not _is_same(read_pool(file), drawn):
        raise ConfigError(
            f"{file} is another pool (other runs, more episodes, --decisions or --seed); leave out"
            " --pool to ask on what is frozen there, or give another --out"
        )
    return file


def read_pool(path: Path) -> Pool:
    """The pool in a file. Raises DataError with the line if it is malformed."""
    first, *rest = _lines(path)
    header = _header(path.name, first)
    questions = []
    for number, line in enumerate(rest, 2):
        question = decode_json(f"{path.name}, line {number}", line, PooledDecision)
        try:
            options = len(question.annotation.array(header.taxonomy))
        except StoreError as error:
            raise DataError(f"{path.name}, line {number}: {error}") from error
        if options != len(question.menu):
            raise DataError(
                f"{path.name}, line {number}: {options} annotated options, {len(question.menu)}"
                " shown"
            )
        problem = level_problem(question.factors, header.factors) or covariate_problem(
            question.annotation.covariates, options, header.covariates
        )
        if problem is not None:
            raise DataError(f"{path.name}, line {number}: {problem}")
        questions.append(question)
    wanted = sum(source.decisions for source in header.sources)
    if not len(questions) == len({question.shown for question in questions}) == wanted:
        raise DataError(
            f"{path.name} is damaged: {wanted} distinct decisions are wanted; freeze the pool again"
        )
    return Pool(header, tuple(questions))


def read_pool_header(path: Path) -> PoolHeader:
    """The header of a pool; of its file nothing else is read. Raises DataError or OSError."""
    with path.open("rb") as file:
        content = unseal(file.readline().rstrip(b"\n"))
    if content is None:
        raise DataError(f"{path.name}, line 1 is damaged; freeze the pool again")
    return _header(path.name, content.decode(errors="replace"))


def _header(name: str, line: str) -> PoolHeader:
    raw = decode_json(f"{name}, line 1", line, dict[str, Any])
    try:
        header = msgspec.convert(
            {**raw, "taxonomy": bundled_taxonomy(raw.get("taxonomy"))}, PoolHeader
        )
    except msgspec.MsgspecError as error:
        raise DataError(f"{name}, line 1 is not the header of a pool: {error}") from error
    if header.format != FORMAT or header.version not in (WITHOUT_FACTORS, VERSION):
        known = f"{FORMAT} {WITHOUT_FACTORS} and {VERSION}"
        raise DataError(f"{name}: {header.format!r} version {header.version}; this reads {known}")
    return header


def _lines(path: Path) -> list[str]:
    """The lines without their checksums.

    Raises DataError, naming the first that was changed since it was written.
    """
    lines = []
    for number, line in enumerate(read_lines(path), 1):
        content = unseal(line.encode())
        if content is None:
            raise DataError(f"{path.name}, line {number} is damaged; freeze the pool again")
        lines.append(content.decode())
    return lines


def _is_same(there: Pool, drawn: Pool) -> bool:
    """True if a frozen pool is the one that was drawn again."""
    if POOLED_EPISODE not in there.header.factors:
        drawn = _without_episodes(drawn)
    if there.header.version == WITHOUT_FACTORS:
        bare = tuple(msgspec.structs.replace(question, factors={}) for question in drawn.decisions)
        header = msgspec.structs.replace(drawn.header, version=WITHOUT_FACTORS, factors=())
        drawn = Pool(header, bare)
    return there == drawn


def _without_episodes(pool: Pool) -> Pool:
    """The pool as it was drawn before decisions of games said from which episode they are."""
    kept = tuple(factor for factor in pool.header.factors if factor != POOLED_EPISODE)
    bare = tuple(
        msgspec.structs.replace(
            question,
            factors={k: v for k, v in question.factors.items() if k != POOLED_EPISODE.name},
        )
        for question in pool.decisions
    )
    return Pool(msgspec.structs.replace(pool.header, factors=kept), bare)


def _declared(runs: Sequence[Run]) -> tuple[Factor, ...]:
    """The factors of all runs, each once.

    Raises ConfigError if two runs declare other levels for one of them.
    """
    found: dict[str, Factor] = {}
    for run in runs:
        for factor in run.header.factors:
            known = found.setdefault(factor.name, factor)
            if known.levels != factor.levels:
                raise ConfigError(
                    f"{str(run.path)!r} declares factor {factor.name!r} with other levels than the"
                    f" runs before it: {', '.join(factor.levels) or 'open'}, not"
                    f" {', '.join(known.levels) or 'open'}; pool them apart"
                )
    if not all(run.header.independent_menus for run in runs):
        found[POOLED_EPISODE.name] = POOLED_EPISODE
    return tuple(found.values())


def write_pool(file: Path, pool: Pool) -> None:
    """Write a pool's file, or replace it as a whole."""
    lines = [seal(msgspec.json.encode(part)) + b"\n" for part in (pool.header, *pool.decisions)]
    write_atomically(file, b"".join(lines))


def _situations(run: Run, seed: int) -> dict[str, tuple[str, int]]:
    """Situation -> an episode and step that met it, in the drawn order.

    Equal situations: the first by episode.
    """
    table = run.decisions()
    table = table.filter(
        pc.and_(pc.is_valid(table["x"]), pc.greater(pc.list_value_length(table["option_ids"]), 1))
    ).sort_by([("episode", "ascending"), ("step", "ascending")])
    places: dict[str, tuple[str, int]] = {}
    rows = (table[name].to_pylist() for name in ("shown", "episode", "step"))
    for shown, episode, step in zip(*rows, strict=True):
        places.setdefault(shown, (episode, step))
    return dict(sorted(places.items(), key=lambda place: content_hash("pool", seed, place[0])))


def _in_turn(
    offers: Sequence[Mapping[str, tuple[str, int]]], count: int
) -> list[dict[tuple[str, int], str]]:
    """For each run the places that it contributes, (episode, step) -> situation; no situation
    twice.
    """
    queues, seen = [iter(offer.items()) for offer in offers], set[str]()
    taken: list[dict[tuple[str, int], str]] = [{} for _ in offers]
    live = list(range(len(offers)))
    while live and len(seen) < count:
        for number in list(live):
            if len(seen) == count:
                break
            fresh = next(
                ((shown, place) for shown, place in queues[number] if shown not in seen), None
            )
            if fresh is None:
                live.remove(number)
                continue
            seen.add(fresh[0])
            taken[number][fresh[1]] = fresh[0]
    return taken


def _questions(run: Run, wanted: Mapping[tuple[str, int], str]) -> list[PooledDecision]:
    steps: dict[str, list[int]] = {}
    for identity, step in wanted:
        steps.setdefault(identity, []).append(step)
    found = []
    for episode in run.store.episodes():
        for step in steps.get(episode.identity, ()):
            if any(decision.choice.text is not None for decision in episode.decisions):
                raise ConfigError(
                    f"{str(run.path)!r} is of free text: its menus were hidden and cannot be"
                    " replayed"
                )
            if episode.shown is not None:
                raise ConfigError(
                    f"{str(run.path)!r} is itself a replay; pool the runs that it was drawn from"
                )
            decision = episode.decisions[step]
            assert decision.annotation is not None  # noqa: S101 – `_situations` left the others out
            before = tuple(_bare(earlier) for earlier in episode.decisions[:step])
            shown = shown_hash(run.header.task, episode.decisions[: step + 1])
            cluster, factors = episode.cluster, decision.factors
            if not run.header.independent_menus:
                cluster = menu_hash(decision.menu)
                factors = {**factors, POOLED_EPISODE.name: episode.identity}
            found.append(
                PooledDecision(
                    shown=shown,
                    cluster=cluster,
                    before=before,
                    observation=decision.observation,
                    menu=decision.menu,
                    annotation=decision.annotation,
                    factors=factors,
                )
            )
    if len(found) < len(wanted):  # the table was made before the damage
        raise DataError(
            f"{str(run.path)!r}: {len(wanted) - len(found)} of {len(wanted)} decisions drawn cannot"
            " be read any more, since a segment is damaged; repeat the run's command, which plays"
            " what was lost"
        )
    return found


def _bare(decision: Decision) -> Decision:
    """What later decisions are shown of this one: the text, the menu and the option taken."""
    choice = Choice(decision.choice.option, decision.choice.reading)
    return Decision(decision.observation, decision.menu, choice)
