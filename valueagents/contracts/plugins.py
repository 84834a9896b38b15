"""Envs, policies and commands are found by entry point, our own exactly as anybody's.

An entry point's name is what users type (`valueagents/Dilemma-v0`, `random`), its value the class or function that
makes it. The options that it takes are the keyword parameters of that callable, their types its annotations: texts
from the command line are converted to them, and an unknown option is answered with the nearest name. A parameter that
takes a `msgspec.Struct` is a group of options: its fields are options like the others.
"""

import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from valueagents.contracts.environment import ValueEnv
from valueagents.contracts.policy import Policy
from valueagents.errors import ConfigError, unknown_name

ENVS = "valueagents.envs"
POLICIES = "valueagents.policies"

Maker = Callable[..., Any]


def names(group: str) -> tuple[str, ...]:
    """The registered names of a group, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def load(group: str, name: str) -> Maker:
    """The callable registered under a name. Raises ConfigError for an unknown name, or where its import fails."""
    found = {point.name: point for point in entry_points(group=group)}
    kind = group.removeprefix("valueagents.").removesuffix("s").replace("policie", "policy")
    if name not in found:
        raise ConfigError(unknown_name(kind, name, found))
    return _import(found[name], kind)


def _import(point: EntryPoint, kind: str) -> Maker:
    try:
        return cast(Maker, point.load())
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{kind} {point.name!r} ({point.value}) cannot be imported: {error}") from error


def option_names(maker: Maker) -> dict[str, Any]:
    """The options of a maker and their defaults (`inspect.Parameter.empty` = required), those of groups last."""
    groups = _groups(maker)
    parameters = inspect.signature(maker).parameters.values()
    own = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "render_mode" and p.name not in groups]
    found = {p.name: p.default for p in own}
    for group in groups.values():
        for field in msgspec.structs.fields(group):
            found[field.name] = inspect.Parameter.empty if field.required else field.default
    return found


def _hints(maker: Maker) -> dict[str, Any]:
    return get_type_hints(maker.__init__ if inspect.isclass(maker) else maker, include_extras=True)


def _groups(maker: Maker) -> dict[str, type[msgspec.Struct]]:
    """Parameter -> the struct whose fields are options."""
    return {n: k for n, k in _hints(maker).items() if inspect.isclass(k) and issubclass(k, msgspec.Struct)}


def build(maker: Maker, name: str, options: Mapping[str, object], *args: object) -> Any:
    """Call a maker with options that may be texts. Raises ConfigError for an unknown, missing or ill-typed option."""
    known = option_names(maker)
    hints, groups = _hints(maker), _groups(maker)
    for group in groups.values():
        hints |= get_type_hints(group, include_extras=True)
    converted: dict[str, object] = {}
    for option, value in options.items():
        if option not in known:
            raise ConfigError(unknown_name(f"option of {name}", option, known))
        converted[option] = _convert(f"option {option}={value} of {name}", value, hints.get(option, Any))
    for option, default in known.items():
        if default is inspect.Parameter.empty and option not in converted:
            raise ConfigError(f"{name} needs the option {option}")
    for parameter, group in groups.items():
        fields = {field.name for field in msgspec.structs.fields(group)} & converted.keys()
        converted[parameter] = group(**{field: converted.pop(field) for field in fields})
    return maker(*args, **converted)


def _convert(what: str, value: object, kind: Any) -> object:
    """The value as that type. Raises ConfigError; for a choice of names with the nearest one."""
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise ConfigError(f"{what}: " + unknown_name("value", str(value), map(str, get_args(kind))))
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{what}: {error}") from error


def make_env(env_id: str, **options: object) -> ValueEnv:
    """A new env of a registered id. Raises ConfigError for an unknown id or option, DataError for malformed data."""
    env = build(load(ENVS, env_id), env_id, options)
    if not isinstance(env, ValueEnv):
        raise ConfigError(f"env {env_id!r} is a {type(env).__name__}, not a ValueEnv; subclass valueagents.ValueEnv")
    return env


def make_policy(spec: str) -> Policy:
    """A new policy from a spec `name[:target][?option=value&…]`, e.g. `transformers:smollm2-135m?reading=likelihood`.

    Nothing is loaded yet. Raises ConfigError for an unknown name or option.
    """
    head, _, query = spec.partition("?")
    name, colon, target = head.partition(":")
    maker = load(POLICIES, name)
    try:
        pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
    except ValueError as error:
        raise ConfigError(f"policy spec {spec!r}: options are written ?name=value&name=value ({error})") from error
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigError(f"policy spec {spec!r} gives an option twice; give each once")
    takes_target = any(p.kind is p.POSITIONAL_OR_KEYWORD for p in inspect.signature(maker).parameters.values())
    if colon and not takes_target:
        raise ConfigError(f"policy {name!r} takes no target; write {name!r} instead of {head!r}")
    if takes_target and not target:
        raise ConfigError(f"policy {name!r} needs a target: {name}:TARGET")
    policy = build(maker, name, options, *([target] if takes_target else []))
    if not isinstance(policy, Policy):
        raise ConfigError(f"policy {name!r} made a {type(policy).__name__}, not a Policy; subclass valueagents.Policy")
    return policy
