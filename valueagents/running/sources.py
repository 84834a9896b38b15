"""What a user holds – an id, a file, a class, a function, an object – as an env or a policy that a
run can use.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, cast
from uuid import uuid4

import gymnasium

from valueagents.contracts.code import Unhashable, code_hash, value_hash
from valueagents.contracts.environment import ValueEnv
from valueagents.contracts.options import build, declared
from valueagents.contracts.plugins import ENVS, make_env, make_policy, names
from valueagents.contracts.policy import Policy
from valueagents.errors import ConfigError, first_line, unknown_name
from valueagents.identity import content_hash, file_hash
from valueagents.running.function_policy import FunctionPolicy

EnvLike = str | type[ValueEnv] | gymnasium.Env[Any, Any] | Callable[[], Any]
"""An id (ours or Gymnasium's), `file.py:Class`, a class, a callable without arguments, or an env,
wrapped or not.
"""
PolicyLike = str | Policy | type[Policy] | Callable[..., Any]
"""A spec, `file.py:name`, a policy, its class, or a function of a view."""


@dataclass(frozen=True, slots=True)
class EnvSource:
    """Where the envs of a run come from.

    `name` is what headers and messages call it, `options` what it was made with. `identity` has
    what decides its content beyond the env's own `version` and `content()`; `unrepeatable` says why
    two of it cannot be told to be the same (None: they can). `one`: it is one object, for one
    episode at a time.
    """

    name: str
    make: Callable[[], ValueEnv]
    options: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    unrepeatable: str | None = None
    one: bool = False


def env_source(env: EnvLike, options: Mapping[str, Any] | None = None) -> EnvSource:
    """The source of envs that the user's object means; `options` go to its constructor.

    Raises ConfigError for what is not a ValueEnv, an unknown id, or options that go nowhere.
    """
    options = dict(options or {})
    if isinstance(env, str):
        return _named(env, options)
    if inspect.isclass(env):
        return _of_class(env, options, f"python:{env.__qualname__}")
    if options:
        raise ConfigError(
            f"env options {', '.join(options)} go to a class or an id; this env is made already"
        )
    if isinstance(env, gymnasium.Env):
        return _of_object(env)
    if callable(env):
        return _of_callable(env)
    raise ConfigError(
        f"an env is an id, a class, a callable or a ValueEnv, not a {type(env).__name__}"
    )


def policy_of(policy: PolicyLike) -> tuple[Policy, str]:
    """The policy that the user's object means, and what it is called.

    Raises ConfigError for anything else.
    """
    if isinstance(policy, str):
        if not _is_file_reference(policy):
            return make_policy(policy), policy
        found, name = from_file(policy), policy
        policy_object: Any = found
    else:
        policy_object, name = policy, _python_name(policy)
    if isinstance(policy_object, Policy):
        return policy_object, name
    if inspect.isclass(policy_object):
        if not issubclass(policy_object, Policy):
            raise ConfigError(
                f"class {policy_object.__qualname__} is not a Policy; subclass valueagents.Policy"
            )
        return build(policy_object, name, {}), name
    if callable(policy_object):
        return FunctionPolicy(policy_object, name), name
    raise ConfigError(
        "a policy is a spec, a Policy, its class or a function of a view, not a"
        f" {_kind(policy_object)}"
    )


def from_file(reference: str) -> Any:
    """What `file.py:name` names, the file imported.

    Raises ConfigError if there is no such file or name.
    """
    file, _, name = reference.rpartition(":")
    path = Path(file).resolve()
    if not path.is_file():
        raise ConfigError(f"{reference!r}: there is no file {file!r}; write FILE.py:NAME")
    module_name = f"valueagents_file_{content_hash(str(path))[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{reference!r}: {file!r} cannot be imported; give a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # pickling and `inspect` look classes up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code may fail in any way
        raise ConfigError(
            f"{reference!r} cannot be imported: {type(error).__name__}: {first_line(error)}"
        ) from error
    known = [each for each in vars(module) if not each.startswith("_")]
    if name not in vars(module):
        raise ConfigError(f"{reference!r}: " + unknown_name(f"name of {path.name}", name, known))
    return vars(module)[name]


def _named(env: str, options: dict[str, Any]) -> EnvSource:
    if _is_file_reference(env):
        found = from_file(env)
        source = env_source(found, options) if inspect.isclass(found) else env_source(found)
        code = {"file": file_hash(Path(env.rpartition(":")[0]))}
        return EnvSource(env, source.make, options, code, None, source.one)
    if env not in names(ENVS) and env in gymnasium.registry:
        make = partial(_made, lambda: gymnasium.make(env, **options), env)
        return EnvSource(env, make, options)
    return EnvSource(env, partial(make_env, env, **options), options)


def _of_class(kind: type, options: dict[str, Any], name: str) -> EnvSource:
    if not issubclass(kind, ValueEnv):
        raise ConfigError(
            f"class {kind.__qualname__} is not a ValueEnv; subclass valueagents.ValueEnv"
        )
    if missing := sorted(kind.__abstractmethods__):
        raise ConfigError(
            f"class {kind.__qualname__} lacks {', '.join(missing)}; a ValueEnv has to write them"
        )
    identity, unrepeatable = _identified(
        {"code": lambda: code_hash(kind), "options": lambda: value_hash(options)}
    )
    make = partial(_constructed, kind, name, options)
    return EnvSource(name, make, options, identity, unrepeatable)


def _constructed(kind: type[ValueEnv], name: str, options: Mapping[str, Any]) -> ValueEnv:
    """An env of a class. Options that it declares by keyword are converted from texts, others
    passed as they are.
    """
    if options.keys() <= {each.name for each in declared(kind)}:
        return cast(ValueEnv, build(kind, name, options))
    try:
        return kind(**options)
    except TypeError as error:
        raise ConfigError(
            f"env {name!r} cannot be made with {', '.join(options)}: {error}"
        ) from error


def _of_callable(make: Callable[[], Any]) -> EnvSource:
    name = _python_name(make)
    made = partial(_made, make, name)
    env = cast(ValueEnv, made().unwrapped)
    parts = {"code": lambda: code_hash(type(env)), "maker": lambda: value_hash(make)}
    identity, unrepeatable = _identified({**parts, "arguments": lambda: value_hash(env.made_with)})
    return EnvSource(name, made, {}, identity, unrepeatable)


def _of_object(env: gymnasium.Env[Any, Any]) -> EnvSource:
    inner = env.unwrapped
    name = f"python:{type(inner).__qualname__}"
    made = _made(lambda: env, name)
    wrappers = []
    layer: Any = env
    while layer is not inner:
        wrappers.append(type(layer))
        layer = layer.env
    parts: dict[str, Callable[[], str]] = {
        "code": lambda: code_hash(type(inner)),
        "arguments": lambda: value_hash(env.get_wrapper_attr("made_with")),
        "wrappers": lambda: content_hash([code_hash(each) for each in wrappers]),
    }
    identity, unrepeatable = _identified(parts)
    return EnvSource(name, lambda: made, {}, identity, unrepeatable, one=True)


def _made(make: Callable[[], Any], name: str) -> ValueEnv:
    """What a callable made, as an env that the rollout can drive.

    Raises ConfigError if it is not a ValueEnv.
    """
    try:
        env = make()
    except TypeError as error:
        raise ConfigError(
            f"env {name!r} cannot be made: {error}; give a callable without arguments"
        ) from error
    if not isinstance(env, gymnasium.Env) or not isinstance(env.unwrapped, ValueEnv):
        raise ConfigError(
            f"env {name!r} is a {_kind(env)}, not a ValueEnv; subclass valueagents.ValueEnv"
        )
    return env if isinstance(env, ValueEnv) else cast(ValueEnv, WrappedEnv(env))


class WrappedEnv:
    """An env inside Gymnasium's wrappers: reset, step and close go through them, all else is the
    env's own.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._env = env

    @property
    def unwrapped(self) -> ValueEnv:
        """The env itself."""
        return cast(ValueEnv, self._env.unwrapped)

    def reset(self, **settings: Any) -> Any:
        """As the wrappers reset it."""
        return self._env.reset(**settings)

    def step(self, action: Any) -> Any:
        """As the wrappers step it."""
        return self._env.step(action)

    def close(self) -> None:
        """Close the wrappers and the env."""
        self._env.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env.unwrapped, name)


def _identified(parts: Mapping[str, Callable[[], str]]) -> tuple[dict[str, str], str | None]:
    """The hashes of the parts; where one has none a token that no other run has, and why."""
    try:
        return {name: hashed() for name, hashed in parts.items()}, None
    except Unhashable as value:
        return {"unrepeatable": uuid4().hex}, f"it depends on {value}, which cannot be hashed"


def _is_file_reference(text: str) -> bool:
    file, colon, name = text.rpartition(":")
    return bool(colon) and file.endswith(".py") and name.isidentifier()


def _python_name(held: Any) -> str:
    named = held if inspect.isclass(held) or isinstance(held, FunctionType) else type(held)
    return f"python:{named.__qualname__}"


def _kind(value: object) -> str:
    return f"class {value.__qualname__}" if inspect.isclass(value) else type(value).__name__
