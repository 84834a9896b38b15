"""Policies by their specs, of which those on one model share it, adapters and all."""

from collections.abc import Iterable
from dataclasses import dataclass

from valueagents.contracts.plugins import make_policy, read_spec
from valueagents.contracts.policy import Policy
from valueagents.policies.engines.kept import KeptEngine
from valueagents.policies.language import LanguagePolicy, LanguagePolicyMaker


@dataclass(frozen=True, slots=True)
class _Model:
    """A model and its policies by spec; `place` is its place among the models."""

    place: int
    engine: KeptEngine
    policies: dict[str, LanguagePolicy]


class SharedModels:
    """Makes the policies of specs so that those with the same engine, target and engine options
    share one loaded engine.

    One model at a time is loaded: two seldom fit into a GPU. Identities are those of the policies
    that `make_policy` makes. All within one event loop; `close` frees what is loaded.

    Raises ConfigError for a wrong spec; nothing is loaded before a policy is entered.
    """

    def __init__(self, specs: Iterable[str]) -> None:
        self._models = _models(specs)
        self._of = {spec: model for model in self._models for spec in model.policies}

    def place(self, spec: str) -> int:
        """Which model a spec is on, to sort by: what is asked in this order loads each once."""
        return self._of[spec].place if spec in self._of else -1

    async def policy(self, spec: str) -> Policy:
        """The policy of one of the specs; the model of others, if loaded, is freed for it."""
        own = self._of.get(spec)
        if own is None:
            return make_policy(spec)
        for model in self._models:
            if model is not own:
                await model.engine.close()
        return own.policies[spec]

    async def close(self) -> None:
        """Free what is loaded."""
        for model in self._models:
            await model.engine.close()


def _models(specs: Iterable[str]) -> list[_Model]:
    """The models of those specs that are of language models, in the order of their first specs."""
    asked_on: dict[tuple[str, str, frozenset[tuple[str, str]]], dict[str, dict[str, str]]] = {}
    for spec in specs:
        read = read_spec(spec)
        if isinstance(read.maker, LanguagePolicyMaker):
            of_engine, asked = read.maker.parted(read.options)
            model = read.name, read.target or "", frozenset(of_engine.items())
            asked_on.setdefault(model, {})[spec] = asked
    models: list[_Model] = []
    for (name, target, options), by_spec in asked_on.items():
        maker = LanguagePolicyMaker(name)
        engine, made = maker.make_sharing(target, dict(options), list(by_spec.values()))
        policies = dict(zip(by_spec, made, strict=True))
        models.append(_Model(len(models), engine, policies))
    return models
