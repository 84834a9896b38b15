"""Envs, policies, commands and what they are made of are found by entry point, our own exactly as
anybody's.

An entry point's name is what users type (`valueagents/Dilemma-v0`, `random`), its value the class
or function that makes it; `options.py` says how a maker declares its options. Where one package
brings policies under many names – a language-model policy for every engine that is installed – it
registers a `PolicyFamily` instead.

A plug-in that cannot be imported is a warning that names it, once. It is an error only for whoever
asks for it.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from valueagents.contracts.entry_points import Registered, registered, warn_once
from valueagents.contracts.options import OptionDoc, argument_texts, build, option_docs
from valueagents.errors import ConfigError, first_line, unknown_name

# imported when first used: the command line looks for commands before it knows what it will need
if TYPE_CHECKING:
    from valueagents.contracts.decision import Choice
    from valueagents.contracts.environment import ValueEnv
    from valueagents.contracts.policy import AskedChats, Policy, View

__all__ = [
    "COMMANDS",
    "ENVS",
    "POLICIES",
    "POLICY_FAMILIES",
    "Maker",
    "OptionDoc",
    "PluginDoc",
    "PolicyFamily",
    "PolicyMaker",
    "PolicySpec",
    "commands",
    "describe",
    "explain",
    "listing",
    "load",
    "loadable",
    "make_env",
    "make_policy",
    "names",
    "read_spec",
    "walk",
]

ENVS = "valueagents.envs"
POLICIES = "valueagents.policies"
POLICY_FAMILIES = "valueagents.policy_families"
COMMANDS = "valueagents.commands"

_IRREGULAR = {POLICIES: "policy", POLICY_FAMILIES: "policy family"}


class PolicyMaker(ABC):
    """Makes the policies of one name.

    For those whose options depend on one another; others are plain callables.

    `summary` says in a line what the policies are, `target` what stands after the colon of a spec.
    """

    summary: str
    target: str

    @abstractmethod
    def describe(self) -> list[OptionDoc]:
        """Every option in words."""

    @abstractmethod
    def make(self, target: str, options: Mapping[str, object]) -> "Policy":
        """A new policy, nothing loaded. Values may be texts.

        Raises ConfigError for an unknown or ill-typed option.
        """


class PolicyFamily(ABC):
    """Policies under names that are found elsewhere.

    The class is registered under `valueagents.policy_families`.
    """

    @abstractmethod
    def names(self) -> Iterable[str]:
        """The names; nothing is imported for them."""

    @abstractmethod
    def maker(self, name: str) -> PolicyMaker:
        """The maker of one name. Raises ConfigError where its import fails."""

    def asked(
        self, identity: Mapping[str, str], view: "View", choice: "Choice"
    ) -> "AskedChats | None":
        """What a model was asked at a decision of a stored run, from the policy's identity there;
        None for a policy of another family. Nothing that the run names may be loaded or executed.
        """
        return None


Maker = Callable[..., Any] | PolicyMaker
"""What makes an env or a policy."""


class PolicySpec(NamedTuple):
    """A policy's spec in parts: who makes it, of what target (None: it takes none), with which
    options, values as texts.
    """

    name: str
    maker: Maker
    target: str | None
    options: Mapping[str, str]


class PluginDoc(msgspec.Struct, frozen=True):
    """A plug-in in words: what it is, what its target is (None: it takes none), and its options."""

    name: str
    summary: str
    target: str | None
    options: list[OptionDoc]


def names(group: str) -> tuple[str, ...]:
    """The registered names of a group, sorted. Of plug-ins only policy families are imported."""
    return tuple(sorted(_registered(group)))


def load(group: str, name: str, base: type | None = None) -> Any:
    """What is registered under a name of a group.

    Raises ConfigError for an unknown name, where its import fails, or if it is not a subclass of
    `base`.
    """
    found = registered(
        group, _kind(group)
    )  # what has an entry point of its own is found without any family
    found = found if name in found else _registered(group)
    if name not in found:
        raise ConfigError(unknown_name(_kind(group), name, found))
    return found[name].load(base)


def walk(group: str, base: type | None = None) -> Iterator[tuple[str, Any]]:
    """Every name of a group, sorted, with what is registered under it, or the ConfigError that its
    import ended in.

    Each error is logged as a warning, once a process.
    """
    for name, each in sorted(_registered(group).items()):
        try:
            yield name, each.load(base)
        except ConfigError as error:
            warn_once(f"left out: {error}")
            yield name, error


def loadable(group: str, base: type | None = None) -> dict[str, Any]:
    """What can be imported of a group, by name. Of the rest each is a warning."""
    return {name: found for name, found in walk(group, base) if not isinstance(found, ConfigError)}


def commands() -> dict[str, Any]:
    """The commands that can be imported, by name: functions, or typer apps with commands of their
    own.
    """
    return loadable(COMMANDS)


def describe(maker: Maker) -> list[OptionDoc]:
    """Every option of a maker of envs or policies in words: type, default, and what its docstring
    says that it does.
    """
    return maker.describe() if isinstance(maker, PolicyMaker) else option_docs(maker)


def listing(group: str) -> list[PluginDoc]:
    """Envs or policies in words, sorted by name.

    One that cannot be imported or read is a warning.
    """
    found = []
    for name, maker in loadable(group).items():
        try:
            found.append(_doc(name, maker))
        # Annotations and defaults are a third party's code too, evaluated here for the first time.
        except Exception as error:
            warn_once(
                f"left out: {_kind(group)} {name!r} cannot be described: {type(error).__name__}:"
                f" {error}"
            )
    return found


def explain(group: str, name: str) -> PluginDoc:
    """An env or policy in words. Raises ConfigError for an unknown name, or where its import
    fails.
    """
    return _doc(name, load(group, name))


def make_env(env_id: str, **options: object) -> "ValueEnv":
    """A new env of a registered id.

    Raises ConfigError for an unknown id or option, DataError for malformed data.
    """
    from valueagents.contracts.environment import ValueEnv

    env = build(load(ENVS, env_id), env_id, options)
    if not isinstance(env, ValueEnv):
        raise ConfigError(
            f"env {env_id!r} is a {type(env).__name__}, not a ValueEnv; subclass"
            " valueagents.ValueEnv"
        )
    return env


def read_spec(spec: str) -> PolicySpec:
    """The parts of a spec `name[:target][?option=value&…]`, e.g.

    `transformers:smollm2-135m?reading=likelihood`.

    Raises ConfigError for an unknown name, a target that is missing or not taken, or malformed
    options.
    """
    head, _, query = spec.partition("?")
    name, colon, target = head.partition(":")
    maker = load(POLICIES, name)
    options = _spec_options(spec, query)
    takes_target = _target(maker) is not None
    if colon and not takes_target:
        raise ConfigError(f"policy {name!r} takes no target; write {name!r} instead of {head!r}")
    if takes_target and not target:
        raise ConfigError(f"policy {name!r} needs a target: {name}:TARGET")
    return PolicySpec(name, maker, target if takes_target else None, options)


def make_policy(spec: str) -> "Policy":
    """A new policy from a spec (`read_spec`).

    Nothing is loaded yet. Raises ConfigError for an unknown name or option.
    """
    from valueagents.contracts.policy import Policy

    name, maker, target, options = read_spec(spec)
    if isinstance(maker, PolicyMaker):
        policy: Any = maker.make(target or "", options)
    else:
        policy = build(maker, name, options, *([] if target is None else [target]))
    if not isinstance(policy, Policy):
        raise ConfigError(
            f"policy {name!r} made a {type(policy).__name__}, not a Policy; subclass"
            " valueagents.Policy"
        )
    return policy


def _spec_options(spec: str, query: str) -> dict[str, str]:
    """The options of a spec. Raises ConfigError if they are malformed, or one is given twice."""
    try:
        pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
    except ValueError as error:
        raise ConfigError(
            f"policy spec {spec!r}: options are written ?name=value&name=value ({error})"
        ) from error
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigError(f"policy spec {spec!r} gives an option twice; give each once")
    return options


def _target(maker: Maker) -> str | None:
    """What a maker's target is, in words (perhaps none); None where it takes none."""
    if isinstance(maker, PolicyMaker):
        return maker.target
    parameters = inspect.signature(maker).parameters.values()
    positional = next(
        (each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD), None
    )
    return None if positional is None else argument_texts(maker).get(positional, "")


def _doc(name: str, maker: Maker) -> PluginDoc:
    summary = (
        maker.summary
        if isinstance(maker, PolicyMaker)
        else (inspect.getdoc(maker) or "").partition("\n")[0]
    )
    return PluginDoc(name, summary, _target(maker), describe(maker))


def _registered(group: str) -> dict[str, Registered]:
    """All plug-ins of a group by name; of policies those of families too, which come after all
    others.
    """
    found = registered(group, _kind(group))
    if group == POLICIES:
        for each in _of_families():
            found.setdefault(each.name, each)
    return found


def _of_families() -> Iterator[Registered]:
    for family_name, family in loadable(POLICY_FAMILIES, PolicyFamily).items():
        try:
            made = family()
            names_of_family = list(made.names())
        except Exception as error:  # a third party's code
            warn_once(
                f"left out: policy family {family_name!r}: {type(error).__name__}:"
                f" {first_line(error)}"
            )
            continue
        for name in names_of_family:
            where = f"of the family {family_name}"
            yield Registered("policy", name, where, family.__module__, partial(made.maker, name))


def _kind(group: str) -> str:
    """What one plug-in of a group is called: `env`, `policy`, `command`."""
    return _IRREGULAR.get(group, group.removeprefix("valueagents.").removesuffix("s"))
