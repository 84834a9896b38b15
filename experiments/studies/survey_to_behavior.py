"""`valueagents study`: train a model on value-survey answers, see whether its behaviour follows.

The study of arXiv 2508.11414 from one TOML (`profiles/`): label every survey item with the frozen model's own rating,
train an adapter for each target, direction and seed and a control on the same prompts, let base and adapters meet every
world, and compare each adapter with the control of its seed. Training sees the survey's splits train and eval; the
test split and all the other worlds are met only by finished adapters.

Every stage is kept under names that hash what went into it: a repeated command goes on where it was stopped, and what
has other inputs goes to another folder.
"""

import asyncio
import logging
import time
import tomllib
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec

from valueagents.contracts.plugins import build, make_env
from valueagents.contracts.policy import Policy
from valueagents.errors import ConfigError, PolicyError, PromptTooLong, unknown_name
from valueagents.experiments.studies.effects import Effect, Role, effect, with_family
from valueagents.identity import content_hash
from valueagents.policies.adapters import Adapter
from valueagents.policies.engines.kept import KeptEngine
from valueagents.policies.engines.local import LocalEngine
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.engines.vllm.engine import VllmEngine
from valueagents.policies.language import Mind, language_policy
from valueagents.policies.training.settings import load_settings
from valueagents.policies.training.survey import Training, plan_training, train_survey
from valueagents.running.pool import freeze_pool
from valueagents.running.progress import show_progress
from valueagents.running.rollout import env_identity
from valueagents.running.runs import Run, RunConfig, run_async

if TYPE_CHECKING:
    from valueagents.experiments.studies.page import StudyReport

log = logging.getLogger("valueagents")

REPLAYED = ", same states"
Runs = dict[str, Run]
Name = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ,_-]*$")]


class World(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A world that base and adapters meet. `mind`: how a model is asked there (`valueagents.policies.language.Mind`).

    `replay`: for games, where policies soon part: so many of all the decisions met are put to everybody again (E7), and
    the effect is measured there.
    """

    name: Name
    role: Role
    env: str
    env_options: dict[str, Any] = {}
    mind: dict[str, Any] = {}
    episodes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    replay: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def __hash__(self) -> int:
        return hash(self.name)


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A study as its TOML says it.

    `primary`: the world whose target shift answers the question; it is named before looking. `profile_base`: the worlds
    that the untrained model meets too, for the record.
    """

    base: str
    engine: Literal["transformers", "vllm"] = "transformers"
    engine_options: dict[str, Any] = {}
    preset: str
    overrides: dict[str, Any] = {}
    targets: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    directions: Annotated[tuple[Literal["down", "up"], ...], msgspec.Meta(min_length=1)] = ("down",)
    seeds: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0)], ...], msgspec.Meta(min_length=1)]
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    worlds: Annotated[tuple[World, ...], msgspec.Meta(min_length=1)]
    primary: str
    profile_base: tuple[str, ...] = ()

    @property
    def primary_survey(self) -> str:
        """The first world of role survey: what the answer says the training moved."""
        return next(world.name for world in self.worlds if world.role == "survey")

    @property
    def primary_behaviour(self) -> str:
        """The world named `primary`, as effects call it."""
        world = next(world for world in self.worlds if world.name == self.primary)
        return f"{world.name}{REPLAYED}" if world.replay else world.name


class Mindset(msgspec.Struct, frozen=True):
    """A policy of the study: the base (no adapter), a control, or an intervention, in the words of the report."""

    name: str
    training: Training | None


def read_study(profile: str) -> Study:
    """A bundled profile by name, or a TOML file. Raises ConfigError, naming file and field, if it is not a study.

    A file may begin with `like = "PROFILE"`: what it does not say is as there.
    """
    try:
        study = msgspec.convert(_table(profile, ()), Study)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{profile} is no study: {error}") from error
    _check(study, profile)
    return study


def _table(profile: str, above: tuple[str, ...]) -> dict[str, Any]:
    bundled = {entry.name.removesuffix(".toml"): entry for entry in files(__package__).joinpath("designs").iterdir()}
    if profile in above:
        raise ConfigError(f"{' is like '.join((*above, profile))}: a circle; say the settings in one of them")
    if profile not in bundled and not profile.endswith(".toml"):
        raise ConfigError(unknown_name("profile", profile, bundled, remedy="Or give a .toml file."))
    source = bundled[profile] if profile in bundled else Path(profile)
    try:
        table = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{profile} cannot be read: {error}") from error
    like = table.pop("like", None)
    return table if like is None else {**_table(str(like), (*above, profile)), **table}


def _check(study: Study, profile: str) -> None:
    """Raise ConfigError for whatever can be known to be wrong before a model is loaded."""
    names = [world.name for world in study.worlds]
    for what, values in (("world", names), ("target", study.targets), ("seed", study.seeds)):
        if len(set(values)) < len(values):
            raise ConfigError(f"{profile} names a {what} twice; name each once")
    for name in (study.primary, *study.profile_base):
        if name not in names:
            raise ConfigError(unknown_name(f"world of {profile}", name, names))
    if not any(world.role == "survey" for world in study.worlds):
        raise ConfigError(f"{profile} has no world of role survey; without one nothing says that the training worked")
    for world in study.worlds:
        make_env(world.env, **world.env_options)
        _mind(world).mode()


def _mind(world: World) -> Mind:
    try:
        return msgspec.convert(world.mind, Mind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"mind of world {world.name!r}: {error}") from error


def mindsets(study: Study) -> list[Mindset]:
    """The base, the controls, and an intervention for each target, direction and seed."""

    def training(target: str, direction: str, seed: int) -> Training:
        return plan_training(
            base=study.base,
            target=target,
            direction=direction,
            seed=seed,
            preset=study.preset,
            overrides=study.overrides,
        )

    controls: dict[str, Training] = {}
    for target in study.targets:
        for seed in study.seeds:
            controls.setdefault(control_name(study, target, seed), training(target, "control", seed))
    moved = [
        Mindset(f"{target}-{direction}-{seed}", training(target, direction, seed))
        for target in study.targets
        for direction in study.directions
        for seed in study.seeds
    ]
    return [Mindset("base", None), *(Mindset(name, control) for name, control in controls.items()), *moved]


def control_name(study: Study, target: str, seed: int) -> str:
    """The control that a target is held against: trained on the same prompts.

    A preset that trains only a share of the statements of other values gives every target prompts of its own, and so a
    control of its own; where all are trained, one control of a seed serves every target.
    """
    shared = load_settings(study.preset, study.overrides).others == 1
    return f"control-{seed}" if shared else f"control-{target}-{seed}"


def train_all(study: Study, sets: Sequence[Mindset], out: Path) -> dict[str, Path]:
    """The folder of every adapter by name, each trained unless it is there already."""
    folders = {}
    for mindset in sets:
        if mindset.training is not None:
            folder = out / "adapters" / f"{mindset.name}-{content_hash(msgspec.to_builtins(mindset.training))[:8]}"
            train_survey(mindset.training, folder, show=show_progress)
            folders[mindset.name] = folder
    return folders


def make_engine(study: Study, folders: Sequence[Path]) -> LocalEngine:
    """The engine of the study with all its adapters, nothing loaded yet."""
    options = {**study.engine_options, "adapters": tuple(str(folder) for folder in folders)}
    maker = {"transformers": TransformersEngine, "vllm": VllmEngine}[study.engine]
    engine: LocalEngine = build(maker, study.engine, options, study.base)
    return engine


async def meet_all(study: Study, sets: Sequence[Mindset], folders: dict[str, Path], out: Path) -> dict[World, Runs]:
    """The run of every mindset in every world, then on a common pool of what they met in each game (E7)."""
    engine = make_engine(study, list(folders.values()))
    adapters = dict(zip(folders, engine.adapters, strict=True))
    kept = KeptEngine(engine)

    async def meet(worlds: Sequence[World]) -> dict[World, Runs]:
        runs: dict[World, Runs] = {world: {} for world in worlds}
        for mindset in sets:  # one adapter's questions come together
            for world in worlds:
                if mindset.training is not None or world.name in study.profile_base:
                    adapter = adapters.get(mindset.name)
                    policy = language_policy(kept, _mind(world), partial(_name, adapter) if adapter else None)
                    spec = _spec(study, world, folders.get(mindset.name))
                    runs[world][mindset.name] = await _meet(study, mindset, world, policy, spec, out)
        return runs

    try:
        met = await meet(study.worlds)
        return met | await meet([_replayed(study, world, runs, out) for world, runs in met.items() if world.replay])
    finally:
        await kept.close()


def _name(adapter: Adapter) -> str:
    return adapter.name


async def _meet(study: Study, mindset: Mindset, world: World, policy: Policy, spec: str, out: Path) -> Run:
    met = env_identity(world.env, make_env(world.env, **world.env_options)), world.episodes, study.seed
    folder = out / "runs" / world.name / f"{mindset.name}-{content_hash(policy.identity(), *met)[:8]}"
    config = RunConfig(
        env=world.env, env_options=world.env_options, policy=spec, episodes=world.episodes, seed=study.seed
    )
    with show_progress(f"{mindset.name} in {world.name}") as progress:
        run = await run_async(config, folder, policy=policy, progress=progress)
    failed = [failure for failure in run.failed() if failure.error != PromptTooLong.__name__]
    if failed:
        raise PolicyError(f"{len(failed)} episodes of {folder} failed ({failed[0].error}); run the command again")
    return run


def _replayed(study: Study, world: World, runs: Runs, out: Path) -> World:
    """The world of a game's common states: everybody is asked what some of them met."""
    identity = content_hash([run.header.policy_identity for run in runs.values()], world.replay)[:8]
    pool = freeze_pool(
        out / "pools" / f"{world.name}-{identity}", list(runs.values()), decisions=world.replay or 0, seed=study.seed
    )
    return World(
        name=world.name + REPLAYED,
        role=world.role,
        env="valueagents/Replay-v0",
        env_options={"pool": str(pool)},
        mind=world.mind,
    )


def _spec(study: Study, world: World, adapter: Path | None) -> str:
    """The spec of the policy that a world is met by, for `valueagents run`."""
    options = {**study.engine_options, **world.mind, **({"adapter": str(adapter)} if adapter is not None else {})}
    return f"{study.engine}:{study.base}?{urlencode(options)}" if options else f"{study.engine}:{study.base}"


def effects(study: Study, runs: dict[World, Runs]) -> list[Effect]:
    """Every target against the controls, in every world; where a game was replayed, on the common states."""
    found = []
    replayed = {world.name for world in runs if world.replay}
    for target in study.targets:
        for direction in study.directions:
            for world, met in runs.items():
                if world.name not in replayed:
                    pairs = [
                        (
                            seed,
                            met[f"{target}-{direction}-{seed}"],
                            met[control_name(study, target, seed)],
                            _other_control(study, met, target, seed),
                        )
                        for seed in study.seeds
                    ]
                    found.append(effect(world.name, world.role, target, direction, pairs))
    return with_family(found)


def _other_control(study: Study, met: Runs, target: str, seed: int) -> Run | None:
    """The control of the next seed, for the noise floor; None if there is but one."""
    place = study.seeds.index(seed)
    other = study.seeds[(place + 1) % len(study.seeds)]
    return met[control_name(study, target, other)] if other != seed else None


def run_study(profile: str, out: Path) -> "StudyReport":
    """The whole study, or what is missing of it. Raises ConfigError for whatever can be known to be wrong at once."""
    from valueagents.experiments.studies.page import write_study

    started = time.monotonic()
    study = read_study(profile)
    sets = mindsets(study)
    folders = train_all(study, sets, out)
    runs = asyncio.run(meet_all(study, sets, folders, out))
    log.info("comparing, drawing …")
    return write_study(study, effects(study, runs), runs, folders, out, wall_s=time.monotonic() - started)
