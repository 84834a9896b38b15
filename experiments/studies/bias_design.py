"""What `study bias` compares, as its TOML says it: policies with the languages that they speak, and
benchmarks in these languages.
"""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec

from valueagents.contracts.plugins import make_env, read_spec
from valueagents.errors import ConfigError
from valueagents.experiments.studies.design import Name, StudyEnv, naming_env, read_table
from valueagents.measuring.deviations import Form
from valueagents.policies.language import LanguagePolicyMaker
from valueagents.policies.training.lm_settings import lm_settings

ENV = "valueagents/Stereotype-v0"
_REHEARSED = ("en", "de", "fr", "it", "es")
"""The languages of the rehearsal's sentences."""

Language = Annotated[str, msgspec.Meta(pattern="^[a-z]{2,3}$")]


class BiasPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A policy as `valueagents run` takes it, or with `train` a decoder that the study trains on an
    equal share of each of its languages. One language is monolingual, several are multilingual;
    policies of one kind and language are each other's seeds.
    """

    name: Name
    policy: str = ""
    train: bool = False
    languages: Annotated[tuple[Language, ...], msgspec.Meta(min_length=1)]

    @property
    def multilingual(self) -> bool:
        """Whether it speaks several languages."""
        return len(self.languages) > 1

    @property
    def group(self) -> str:
        """What it is one of: the multilingual ones, or the monolingual ones of its language."""
        return "multilingual" if self.multilingual else f"monolingual {self.languages[0]}"


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A set of questions, or of pairs, in several languages.

    `data`: a file or folder by language; without, the bundled probe set. `env_options` hold for all
    languages, `elicitation` says how language models are asked; what a policy's spec says itself
    goes first.
    """

    name: Name
    languages: Annotated[tuple[Language, ...], msgspec.Meta(min_length=1)]
    data: dict[str, str] = {}
    env_options: dict[str, Any] = {}
    elicitation: dict[str, Any] = {}

    def env(self, language: str) -> StudyEnv:
        """The env of a language."""
        data = {"data": self.data[language]} if self.data else {}
        return StudyEnv(
            name=f"{self.name} {language}",
            role="behaviour",
            env=ENV,
            env_options={"language": language, **data, **self.env_options},
            elicitation=self.elicitation,
        )


class LmTraining(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Decoders that the study trains itself (`valueagents train lm`).

    `text`: a file or folder by language; without, sentences of the rehearsal.
    """

    preset: str
    overrides: dict[str, Any] = {}
    text: dict[str, str] = {}
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class BiasStudy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Policies on benchmarks. `form` "choice": by the likeliest or said answer, as published; left
    out: by probabilities where there are any.
    """

    policies: Annotated[tuple[BiasPolicy, ...], msgspec.Meta(min_length=2)]
    benchmarks: Annotated[tuple[Benchmark, ...], msgspec.Meta(min_length=1)]
    training: LmTraining | None = None
    form: Form | None = None
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    note: str = ""

    def speaking(self, language: str) -> tuple[BiasPolicy, ...]:
        """The policies that speak a language."""
        return tuple(policy for policy in self.policies if language in policy.languages)

    def asked(self) -> list[tuple[Benchmark, str, BiasPolicy]]:
        """Whom is asked what in which language."""
        return [
            (benchmark, language, policy)
            for benchmark in self.benchmarks
            for language in benchmark.languages
            for policy in self.speaking(language)
        ]


def read_bias_study(design: str, *, at_hand: bool = True) -> BiasStudy:
    """A bundled design (`bias-NAME.toml`, by its name) or a TOML file; `at_hand`: its data and
    engines have to be.

    Raises ConfigError, naming file and field, if it is none.
    """
    name = design if design.endswith(".toml") else f"bias-{design}"
    try:
        study = msgspec.convert(read_table(name), BiasStudy)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{design} is not a study of bias: {error}") from error
    for what, names in (
        ("policy", [policy.name for policy in study.policies]),
        ("benchmark", [benchmark.name for benchmark in study.benchmarks]),
    ):
        if len(set(names)) < len(names):
            raise ConfigError(f"{design} names a {what} twice; name each once")
    spoken = {f"policy {each.name!r}": each.languages for each in study.policies}
    asked = {f"benchmark {each.name!r}": each.languages for each in study.benchmarks}
    for named, languages in (spoken | asked).items():
        if len(set(languages)) < len(languages):
            raise ConfigError(f"{design}: {named} names a language twice; name each once")
    for benchmark in study.benchmarks:
        lacking = [each for each in benchmark.languages if each not in benchmark.data]
        if benchmark.data and lacking:
            raise ConfigError(
                f"{design}, benchmark {benchmark.name!r}: data names no file for {lacking[0]!r}"
            )
    _check_training(study, design)
    if not study.asked():
        raise ConfigError(f"{design}: no policy speaks a language of a benchmark")
    if at_hand:
        for benchmark, language, policy in study.asked():
            if not policy.train:
                spec_in(policy, benchmark)
            env = benchmark.env(language)
            with naming_env(design, benchmark.name):
                make_env(env.env, **env.env_options)
    return study


def _check_training(study: BiasStudy, design: str) -> None:
    """Raise ConfigError for a policy that is neither named nor trained, or a text that is not
    there.
    """
    for policy in study.policies:
        if bool(policy.policy) == policy.train:
            raise ConfigError(f"{design}, policy {policy.name!r}: give policy, or train = true")
        if policy.train and study.training is None:
            raise ConfigError(f"{design}: {policy.name!r} is to be trained; add [training]")
    if study.training is not None:
        lm_settings(study.training.preset, study.training.overrides)
        known = study.training.text or dict.fromkeys(_REHEARSED)
        for policy in study.policies:
            for language in policy.languages if policy.train else ():
                if language not in known:
                    raise ConfigError(f"{design}: [training] has no text in {language!r}")


def spec_in(policy: BiasPolicy, benchmark: Benchmark) -> str:
    """The policy's spec on a benchmark: asked as the benchmark says, unless its spec says it or it
    is not a language model. Raises ConfigError for a wrong spec.
    """
    read = read_spec(policy.policy)
    if not isinstance(read.maker, LanguagePolicyMaker):
        return policy.policy
    added: Mapping[str, Any] = {
        name: value for name, value in benchmark.elicitation.items() if name not in read.options
    }
    if not added:
        return policy.policy
    return f"{policy.policy}{'&' if '?' in policy.policy else '?'}{urlencode(added)}"
