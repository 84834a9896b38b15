"""Language-model policies: an engine × a prompt × a reading mode × an adapter, all in the spec
string.

transformers:smollm2-135m?reading=likelihood&normaliser=pmi&adapter=runs/hed-down

Every engine that is installed, a third party's included, is a policy of its name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import numpy as np

from valueagents.contracts.decision import Asks, Choice
from valueagents.contracts.options import OptionDoc, argument_texts, declared, option_docs
from valueagents.contracts.plugins import PolicyFamily, PolicyMaker, names
from valueagents.contracts.policy import AskedChats, DesignPlace, Policy, View
from valueagents.errors import ConfigError
from valueagents.identity import content_hash, seed_from
from valueagents.policies.asked import POLICY_VERSION, asked_chats
from valueagents.policies.elicitation import (
    ELICITATION_OPTIONS,
    Elicitation,
    describe_elicitation,
    read_elicitation,
)
from valueagents.policies.engines import Engine, load_engine, make_engine
from valueagents.policies.engines.kept import KeptEngine
from valueagents.policies.engines.making import ENGINES
from valueagents.policies.engines.reply_cache import CachingEngine
from valueagents.policies.prompts import Prompt
from valueagents.policies.readings import Question, ReadingMode

_Given = TypeVar("_Given")  # of an option: text in a spec


class LanguagePolicy(Policy):
    """Puts a view to a language model and reads a choice from its answer.

    Args:
        engine: the model; it may be shared with other policies.
        prompts: how a view is put: one prompt for every item, or paraphrases that are assigned to
            items in a balanced design (`prompt_of`).
        reading: how the answer is read. Raises ConfigError if the engine cannot do what it needs.
        adapter: gives the name of the engine's adapter; asked when the files may be read.
        preamble: a text before the task.
        history: at most this many earlier turns are shown.
        elicitation: what prompts and reading are when an env asks another question.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: Prompt | Sequence[Prompt],
        reading: ReadingMode,
        *,
        adapter: Callable[[], str] | None = None,
        preamble: str | None = None,
        history: int | None = None,
        elicitation: Elicitation | None = None,
    ) -> None:
        engine.require(*reading.needs, *(("adapters",) if adapter is not None else ()))
        self.prompts = (prompts,) if isinstance(prompts, Prompt) else tuple(prompts)
        self.engine, self.reading, self.live = engine, reading, engine.live
        self._adapter, self._preamble, self._history = adapter, preamble, history
        self._elicitation = elicitation

    def identity(self) -> dict[str, str]:
        """Everything that decides an answer, by content."""
        return {
            "policy": POLICY_VERSION,
            **self.engine.identity(),
            "adapter": self._adapter() if self._adapter is not None else "none",
            "prompt": ", ".join(f"{prompt.id} {prompt.hash()}" for prompt in self._used()),
            "preamble": content_hash(self._preamble) if self._preamble is not None else "none",
            "history": str(self._history or "all"),
            **self.reading.identity(),
        }

    def _used(self) -> Sequence[Prompt]:
        """The prompts that decide an answer: none where only the options are read."""
        return self.prompts if self.reading.prompted else ()

    def for_question(self, asks: Asks, language: str = "en") -> "LanguagePolicy":
        """The policy on the same engine, asked in the prompts and by the reading of a question, in
        its language where there are bundled prompts in it; one that was made of a prompt and a
        reading keeps them.
        """
        if self._elicitation is None:
            return self
        return _policy(self.engine, self._elicitation, self._adapter, asks, language)

    async def __aenter__(self) -> Self:
        """Load the model."""
        await self.engine.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free it."""
        await self.engine.__aexit__(kind, error, trace)

    async def decide(self, view: View) -> Choice:
        """The option that the model's answer comes to."""
        dropped = dropped_turns(len(view.transcript), self._history)
        task = view.task if self._preamble is None else f"{self._preamble}\n\n{view.task}"
        shown = msgspec.structs.replace(view, task=task, transcript=view.transcript[dropped:])
        adapter = self._adapter() if self._adapter is not None else None
        prompt = prompt_of(self.prompts, view.design)
        choice = await self.reading.choose(self.engine, Question(shown, prompt, adapter))
        named = prompt.id if self.reading.prompted else None
        return msgspec.structs.replace(choice, dropped_turns=dropped, prompt=named)

    def estimate_s(self, decisions: int, characters: int | None) -> float | None:
        """From the engine's rough speed: text at four characters a token, a third computed again
        for each listing.
        """
        if characters is None or self.engine.tokens_per_s is None:
            return None
        return characters / 4 * 2 / self.engine.tokens_per_s


def dropped_turns(turns: int, history: int | None) -> int:
    """How many of the oldest turns are left out: half a budget at a time, so that most prompts only
    grow at the end.
    """
    if history is None or turns <= history:
        return 0
    block = max(1, history // 2)
    return -(-(turns - history) // block) * block


def prompt_of(prompts: Sequence[Prompt], design: DesignPlace) -> Prompt:
    """The prompt of an item: of P prompts, each once in every block of P items that follow one
    another in the env, in an order drawn from the seed and the block; each repetition of an item
    takes the next one.

    A randomised block design, repetitions in a Latin square (Cochran & Cox 1957, ch. 4): it depends
    on item, repetition and seed alone, so all policies meet an item in the same words.
    """
    count = len(prompts)
    block, place = divmod(design.place, count)
    order = np.random.default_rng(seed_from("prompts", design.seed, block)).permutation(count)
    return prompts[int(order[(place + design.repetition) % count])]


def language_policy(
    engine: Engine, elicitation: Elicitation, adapter: Callable[[], str] | None = None
) -> LanguagePolicy:
    """The policy on an engine that is asked like that; nothing is loaded.

    `adapter` gives the name of one of the engine's adapters (`engine.adapters`), asked for when
    files may be read; None = the base model. Raises ConfigError if the engine cannot do what the
    reading or an adapter needs.
    """
    cached = engine if elicitation.cache is None else CachingEngine(engine, elicitation.cache)
    return _policy(cached, elicitation, adapter, "choose")


def _policy(
    engine: Engine,
    elicitation: Elicitation,
    adapter: Callable[[], str] | None,
    asks: Asks,
    language: str = "en",
) -> LanguagePolicy:
    return LanguagePolicy(
        engine,
        elicitation.prompts(asks, language),
        elicitation.readings[asks],
        adapter=adapter,
        preamble=elicitation.preamble,
        history=elicitation.history,
        elicitation=elicitation,
    )


class LanguagePolicyMaker(PolicyMaker):
    """Makes the language-model policies on one engine.

    Its options are the engine's, the elicitation's, the reading's.

    Raises ConfigError if the engine cannot be imported, or has an option that is the elicitation's.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind = load_engine(name)
        self._engine_options = {each.name for each in declared(self.kind.Options)}
        taken = self._engine_options & ELICITATION_OPTIONS
        if taken:
            raise ConfigError(
                f"engine {name!r} has an option {sorted(taken)[0]!r}, which every policy has;"
                " rename it"
            )
        self.summary = (self.kind.__doc__ or "").strip().partition("\n")[0]
        self.target = argument_texts(self.kind).get("target", "the model")

    def describe(self) -> list[OptionDoc]:
        """The engine's options, then those that all language-model policies have."""
        return [*option_docs(self.kind.Options), *describe_elicitation(self.kind.default_reading)]

    def make(self, target: str, options: Mapping[str, object]) -> LanguagePolicy:
        """The policy, nothing loaded.

        An option that the engine and the reading mode both have is refused.
        """
        of_engine, asked = self.parted(options)
        elicitation = self._elicitation(asked)
        adapters = () if elicitation.adapter is None else (elicitation.adapter,)
        engine = make_engine(self.name, target, of_engine, adapters)
        return _with_its_adapter(engine, elicitation, adapters)

    def make_sharing(
        self,
        target: str,
        of_engine: Mapping[str, object],
        asked: Sequence[Mapping[str, object]],
    ) -> tuple[KeptEngine, list[LanguagePolicy]]:
        """Policies that share one engine and its adapters, by how each is asked (every option that
        is not the engine's), in this order; the engine is for the caller to close.

        Nothing is loaded. Raises ConfigError as `make`.
        """
        elicitations = [self._elicitation(each) for each in asked]
        named = (each.adapter for each in elicitations if each.adapter is not None)
        adapters = tuple(dict.fromkeys(named))
        engine = KeptEngine(make_engine(self.name, target, of_engine, adapters))
        return engine, [_with_its_adapter(engine, each, adapters) for each in elicitations]

    def parted(self, options: Mapping[str, _Given]) -> tuple[dict[str, _Given], dict[str, _Given]]:
        """The options that are the engine's, and those that say how the policy is asked."""
        of_engine = {name: value for name, value in options.items() if name in self._engine_options}
        asked = {name: value for name, value in options.items() if name not in of_engine}
        return of_engine, asked

    def _elicitation(self, asked: Mapping[str, object]) -> Elicitation:
        elicitation = read_elicitation(
            asked,
            default_reading=self.kind.default_reading,
            name=self.name,
            also_known=self._engine_options,
        )
        of_readings = {
            each.name
            for reading in elicitation.readings.values()
            for each in declared(reading.Options)
        }
        both = sorted(self._engine_options & of_readings)
        if both:
            raise ConfigError(
                f"engine {self.name!r} and reading mode both have an option {both[0]!r}; rename one"
            )
        return elicitation


def _with_its_adapter(
    engine: Engine, elicitation: Elicitation, adapters: Sequence[str]
) -> LanguagePolicy:
    """The policy on an engine that was made with these adapters, one of which may be its own."""
    if elicitation.adapter is None:
        return language_policy(engine, elicitation)
    place = adapters.index(elicitation.adapter)
    return language_policy(engine, elicitation, lambda: engine.adapters[place].name)


class LanguagePolicies(PolicyFamily):
    """A policy for every engine."""

    def names(self) -> Iterable[str]:
        """The names of the engines."""
        return names(ENGINES)

    def maker(self, name: str) -> LanguagePolicyMaker:
        """The maker of the policies on one engine."""
        return LanguagePolicyMaker(name)

    def asked(self, identity: Mapping[str, str], view: View, choice: Choice) -> AskedChats | None:
        """As `asked_chats`."""
        return asked_chats(identity, view, choice)
