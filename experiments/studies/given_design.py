"""What `study adapters` compares, as its TOML says it: a base, policies that somebody has, envs."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec

from valueagents.contracts.plugins import make_env
from valueagents.errors import ConfigError, unknown_name
from valueagents.experiments.studies.design import Name, StudyEnv, naming_env, read_table
from valueagents.measuring.targets import Direction

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


def read_given(design: str) -> GivenStudy:
    """A bundled design or a TOML file. Raises ConfigError if it is none."""
    try:
        study = msgspec.convert(read_table(design), GivenStudy)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{design} names no policies to compare: {error}") from error
    names = [BASE, *(each.name for each in study.policies)]
    if len(set(names)) < len(names):
        raise ConfigError(f"{design} names a policy twice, or one {BASE!r}; name each once")
    envs = [env.name for env in study.envs]
    if len(set(envs)) < len(envs):
        raise ConfigError(f"{design} names an env twice; name each once")
    specs: dict[str, str] = {BASE: study.base}
    for each in study.policies:
        try:
            spec = spec_of(study, each, {})
        except ConfigError as error:
            raise ConfigError(f"{design}, {error}") from error
        if spec in specs.values():
            known = next(name for name, other in specs.items() if other == spec)
            raise ConfigError(f"{design}: {each.name!r} is the same policy as {known!r}")
        specs[each.name] = spec
    _check_envs(study, design)
    return study


def _check_envs(study: GivenStudy, design: str) -> None:
    """Raise ConfigError for an env that cannot be made, a game that would be compared on what is
    not common, or a target that no env knows.
    """
    axes: set[str] = set()
    for env in study.envs:
        with naming_env(design, env.name):
            made = make_env(env.env, **env.env_options)
        axes |= set(made.taxonomy.axis_ids)
        if not made.independent_menus and env.replay is None:
            raise ConfigError(
                f"{design}: env {env.name!r} is a game, in which policies soon part; say with"
                " replay = NUMBER how many of the decisions met are put to all of them"
            )
    for each in study.policies:
        if each.target is not None and each.target not in axes:
            raise ConfigError(
                f"{design}, policy {each.name!r}: "
                + unknown_name("target", each.target, sorted(axes))
            )


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


def specs_in(study: GivenStudy, env: StudyEnv) -> dict[str, str]:
    """The specs of base and policies in an env, by name."""
    own = {each.name: spec_of(study, each, env.elicitation) for each in study.policies}
    return {BASE: _with(study.base, env.elicitation), **own}


def _with(spec: str, options: Mapping[str, Any]) -> str:
    """The spec with further options."""
    if not options:
        return spec
    return f"{spec}{'&' if '?' in spec else '?'}{urlencode(options)}"
