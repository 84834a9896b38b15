"""A study as its TOML says it: a bundled design (`designs/`) or a user's file, checked before a model is loaded."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from valueagents.contracts.plugins import make_env
from valueagents.errors import ConfigError, unknown_name
from valueagents.experiments.studies.effects import Role
from valueagents.policies.elicitation import Elicitation, read_elicitation
from valueagents.policies.engines import load_engine, make_engine

REPLAYED = ", same states"
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
    engine: str = "transformers"
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


def read_study(design: str) -> Study:
    """A bundled design by name, or a TOML file. Raises ConfigError, naming file and field, if it is not a study.

    A file may begin with `like = "PROFILE"`: what it does not say is as there.
    """
    try:
        study = msgspec.convert(_table(design, ()), Study)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{design} is no study: {error}") from error
    _check(study, design)
    return study


def _table(design: str, above: tuple[str, ...]) -> dict[str, Any]:
    bundled = {entry.name.removesuffix(".toml"): entry for entry in files(__package__).joinpath("designs").iterdir()}
    if design in above:
        raise ConfigError(f"{' is like '.join((*above, design))}: a circle; say the settings in one of them")
    if design not in bundled and not design.endswith(".toml"):
        raise ConfigError(unknown_name("design", design, bundled, remedy="Or give a .toml file."))
    source = bundled[design] if design in bundled else Path(design)
    try:
        table = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{design} cannot be read: {error}") from error
    like = table.pop("like", None)
    return table if like is None else {**_table(str(like), (*above, design)), **table}


def _check(study: Study, design: str) -> None:
    """Raise ConfigError for whatever can be known to be wrong before a model is loaded."""
    names = [world.name for world in study.worlds]
    for what, values in (("world", names), ("target", study.targets), ("seed", study.seeds)):
        if len(set(values)) < len(values):
            raise ConfigError(f"{design} names a {what} twice; name each once")
    for name in (study.primary, *study.profile_base):
        if name not in names:
            raise ConfigError(unknown_name(f"world of {design}", name, names))
    if not any(world.role == "survey" for world in study.worlds):
        raise ConfigError(f"{design} has no world of role survey; without one nothing says that the training worked")
    for world in study.worlds:
        make_env(world.env, **world.env_options)
        asked_with(study, world)
    make_engine(study.engine, study.base, study.engine_options).require("score", "adapters")


def asked_with(study: Study, world: World) -> Elicitation:
    """How the study's model is asked in an env. Raises ConfigError for a wrong option, naming the env."""
    default = load_engine(study.engine).default_reading
    return read_elicitation(world.mind, default_reading=default, name=f"env {world.name!r} of the study")
