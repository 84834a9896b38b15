"""The decoders that a study of bias trains for itself, and the text of its rehearsal."""

import tomllib
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np

from valueagents.experiments.studies.bias_design import BiasPolicy, BiasStudy, LmTraining
from valueagents.policies.training.lm import lm_spec, texts_in, train_lm
from valueagents.policies.training.lm_settings import lm_cost, lm_settings
from valueagents.running.progress import show_progress

_SENTENCES, _A_PARAGRAPH = 6_000, 4


def with_models(study: BiasStudy, out: Path) -> BiasStudy:
    """The study with its own decoders trained, and in place of what was to be trained."""
    training = study.training
    if training is None:
        return study
    settings = lm_settings(training.preset, training.overrides)
    policies = []
    for policy in study.policies:
        if policy.train:
            folder, texts = out / "models" / policy.name, _texts(training, policy)
            train_lm(texts, settings, folder, seed=training.seed, show=show_progress)
            policies.append(msgspec.structs.replace(policy, policy=lm_spec(folder)))
        else:
            policies.append(policy)
    return msgspec.structs.replace(study, policies=tuple(policies))


def training_cost(study: BiasStudy) -> str | None:
    """What the study's own decoders take, by arithmetic; None if it trains none."""
    if study.training is None:
        return None
    settings = lm_settings(study.training.preset, study.training.overrides)
    return lm_cost(settings, models=sum(1 for each in study.policies if each.train))


def _texts(training: LmTraining, policy: BiasPolicy) -> dict[str, str]:
    if training.text:
        return texts_in({language: training.text[language] for language in policy.languages})
    return {language: rehearsal_text(language) for language in policy.languages}


def rehearsal_text(language: str, *, sentences: int = _SENTENCES, seed: int = 0) -> str:
    """Sentences of a language by a rule, the same for a seed."""
    source = files(__package__).joinpath("rehearsal_text.toml").read_text(encoding="utf-8")
    words = tomllib.loads(source)[language]
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(sentences):
        parts = [str(rng.choice(words[place])) for place in words["order"]]
        made.append(f"{' '.join(parts)}.")
    paragraphs = (made[k : k + _A_PARAGRAPH] for k in range(0, sentences, _A_PARAGRAPH))
    return "\n\n".join(" ".join(paragraph) for paragraph in paragraphs)
