"""A study as its TOML says it: a bundled design (`designs/`) or a user's file, checked before a
model is loaded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from valueagents.contracts.plugins import make_env
from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.experiments.studies.effects import Role
from valueagents.files.text import decode_text, decode_toml
from valueagents.policies.elicitation import Elicitation, read_elicitation
from valueagents.policies.engines import load_engine, make_engine

REPLAYED = ", same states"
Name = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ,_-]*$")]


class StudyEnv(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An env that base and adapters meet.

    `elicitation`: how a model is asked there (`policies/elicitation.py`).

    `replay`: for games, where policies soon part: this many of all the decisions met are put to
    every policy again (E7), and the effect is measured there. `random_episodes` of a random policy
    add states to be drawn from, in an env with `random_options` on top of the others (longer
    episodes, say: they cost no model).
    """

    name: Name
    role: Role
    env: str
    env_options: dict[str, Any] = {}
    elicitation: dict[str, Any] = {}
    episodes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    replay: Annotated[int, msgspec.Meta(ge=1)] | None = None
    random_episodes: Annotated[int, msgspec.Meta(ge=0)] = 0
    random_options: dict[str, Any] = {}

    def __hash__(self) -> int:
        return hash(self.name)


class PositiveControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Adapters that are trained on choices: to take what serves (up) or violates (down) the target.

    Args:
        env: the env of the study whose menus are split; there they are measured on what was held
            out, elsewhere on everything.
        shares: of its items for train and eval.
        seed: of the split.
        preset, overrides: settings of the training.
    """

    env: str
    shares: tuple[float, float] = (0.4, 0.1)
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    preset: str = "choices"
    overrides: dict[str, Any] = {}


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A study as its TOML says it.

    `primary`: the env whose target shift answers the question; it is named before looking.
    `base_envs`: the envs that the untrained model meets too, for the record. `placebo`: beside each
    adapter one that moves as many statements of the other values; a study of one target has no
    contrast without. `choices`: a positive control; if it does not move, nothing that stays
    unmoved says anything.
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
    envs: Annotated[tuple[StudyEnv, ...], msgspec.Meta(min_length=1)]
    primary: str
    base_envs: tuple[str, ...] = ()
    placebo: bool = False
    choices: PositiveControl | None = None

    @property
    def primary_survey(self) -> str:
        """The first env of role survey: what the answer says the training moved."""
        return next(study_env.name for study_env in self.envs if study_env.role == "survey")

    @property
    def primary_behaviour(self) -> str:
        """The env named `primary`, as effects call it."""
        found = next(study_env for study_env in self.envs if study_env.name == self.primary)
        return f"{found.name}{REPLAYED}" if found.replay else found.name


def read_study(design: str, *, installed: bool = True) -> Study:
    """A bundled design by name, or a TOML file. `installed`: its engine has to be.

    Raises ConfigError, naming file and field, if it is not a study.

    A file may begin with `like = "PROFILE"`: what it does not say is as there.
    """
    try:
        study = msgspec.convert(read_table(design), Study)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{design} is not a study: {error}") from error
    _check(study, design, installed=installed)
    return study


def read_table(design: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a bundled design or a TOML file says, on top of what it is like.

    Raises ConfigError for a file that cannot be read, or one that is like itself.
    """
    bundled = {
        entry.name.removesuffix(".toml"): entry
        for entry in files(__package__).joinpath("designs").iterdir()
    }
    if design in above:
        raise ConfigError(
            f"{' is like '.join((*above, design))}: a circle; say the settings in one of them"
        )
    if design not in bundled and not design.endswith(".toml"):
        raise ConfigError(unknown_name("design", design, bundled, remedy="Or give a .toml file."))
    source = bundled[design] if design in bundled else Path(design)
    try:
        table = decode_toml(design, decode_text(design, source.read_bytes()))
    except OSError as error:
        raise ConfigError(f"{design} cannot be read: {error}") from error
    except DataError as error:
        raise ConfigError(str(error)) from error
    like = table.pop("like", None)
    return table if like is None else {**read_table(str(like), (*above, design)), **table}


def _check(study: Study, design: str, *, installed: bool) -> None:
    """Raise ConfigError for whatever can be known to be wrong before a model is loaded."""
    names = [study_env.name for study_env in study.envs]
    for what, values in (("env", names), ("target", study.targets), ("seed", study.seeds)):
        if len(set(values)) < len(values):
            raise ConfigError(f"{design} names a {what} twice; name each once")
    shown = [] if study.choices is None else [study.choices.env]
    for name in (study.primary, *study.base_envs, *shown):
        if name not in names:
            raise ConfigError(unknown_name(f"env of {design}", name, names))
    if not any(study_env.role == "survey" for study_env in study.envs):
        raise ConfigError(
            f"{design} has no env of role survey; without one nothing says that the training worked"
        )
    for study_env in study.envs:
        with naming_env(design, study_env.name):
            make_env(study_env.env, **study_env.env_options)
        if installed:
            asked_with(study, study_env)
    if installed:
        engine = make_engine(study.engine, study.base, study.engine_options)
        engine.require("score", "adapters")


@contextmanager
def naming_env(design: str, name: str) -> Iterator[None]:
    """What is wrong with an env's options is said with the design and the env's name in it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{design}, env {name!r}: {error}") from error


def asked_with(study: Study, study_env: StudyEnv) -> Elicitation:
    """How the study's model is asked in an env.

    Raises ConfigError for a wrong option, naming the env.
    """
    default = load_engine(study.engine).default_reading
    return read_elicitation(
        study_env.elicitation, default_reading=default, name=f"env {study_env.name!r} of the study"
    )
