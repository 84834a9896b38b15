"""Which runs belong together: one env, one policy, its seeds, by what their headers say."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from valueagents.errors import ConfigError
from valueagents.identity import content_hash
from valueagents.measuring.elicited import answerer
from valueagents.running.runs import Run
from valueagents.running.store import RunHeader

Grouped = dict[str, dict[str, list[Run]]]
"""Env -> policy -> its runs by seed."""


def group_runs(runs: Sequence[Run], names: Sequence[tuple[str, str]] | None = None) -> Grouped:
    """The runs by env and policy, each in the order in which it came first; those of one policy in
    one env by seed. `names` has env and policy of each run for one who knows them, else the headers
    say it.

    Raises ConfigError for two runs of one policy with one seed in one env: they would count twice.
    """
    if names is None:
        envs = env_names(runs)
        policies = policy_names([run.header for run in runs])
        names = [
            (envs[content_hash(run.header.env_identity)], policy)
            for run, policy in zip(runs, policies, strict=True)
        ]
    found: Grouped = {}
    for run, (env, policy) in zip(runs, names, strict=True):
        found.setdefault(env, {}).setdefault(policy, []).append(run)
    for by_policy in found.values():
        for policy, several in by_policy.items():
            several.sort(key=lambda run: run.header.seed)
            _require_seeds(policy, several)
    return found


def env_names(runs: Sequence[Run]) -> dict[str, str]:
    """Hash of an env's identity -> its name: the id; of several of one id, the options too, or its
    hash if these are alike.
    """
    met: dict[str, dict[str, str]] = {}
    for run in sorted(runs, key=lambda run: run.name):
        options = ", ".join(
            f"{name}={Path(str(value)).name}"
            for name, value in sorted(run.header.env_options.items())
        )
        met.setdefault(run.header.env, {}).setdefault(
            content_hash(run.header.env_identity), options
        )
    names = {}
    for env, each in met.items():
        told_apart = len(set(each.values())) == len(each)
        for identity, options in each.items():
            name = f"{env} ({options or 'no options'})" if told_apart else f"{env} ({identity[:8]})"
            names[identity] = name if len(each) > 1 else env
    return names


def policy_names(headers: Sequence[RunHeader]) -> list[str]:
    """The name of each run's policy: its spec, with a hash where one spec means several.

    Runs are of one policy where the same model answers, and in every env in one way: how it is
    asked depends on the env's question. A model that was asked in several ways in one env is as
    many policies, by their specs.
    """
    answerers = [answerer(header.policy_identity) for header in headers]
    ways: dict[tuple[str, str], set[str]] = {}
    for header, who in zip(headers, answerers, strict=True):
        env = content_hash(header.env_identity)
        ways.setdefault((env, who), set()).add(content_hash(header.policy_identity))
    several = {who for (_, who), asked in ways.items() if len(asked) > 1}
    keys = [
        (who, header.policy if who in several else "")
        for header, who in zip(headers, answerers, strict=True)
    ]
    specs: dict[tuple[str, str], str] = {}
    for key, header in zip(keys, headers, strict=True):
        specs.setdefault(key, header.policy)
    taken = list(specs.values())
    names = {
        key: spec if taken.count(spec) == 1 else f"{spec} [{key[0][:8]}]"
        for key, spec in specs.items()
    }
    return [names[key] for key in keys]


def _require_seeds(policy: str, runs: Sequence[Run]) -> None:
    for one, other in pairwise(runs):
        if one.header.seed == other.header.seed:
            raise ConfigError(
                f"{one.name!r} and {other.name!r} are of one policy, {policy}, with seed"
                f" {one.header.seed}: give each once"
            )
