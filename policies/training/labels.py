"""Baseline labels: the frozen model's own ratings, in the words of training, which no evaluation
uses.

A rating's probability is the full likelihood of its text, softmax over the six, averaged over the
prompt variants; the label is the most probable one (arXiv 2508.11414 and its re-study), or what
`labels` says. Replies are
kept on disk by the hash of model and question, so every training on the same base and survey gets
the same labels, and only the first pays for them.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from urllib.parse import urlencode

import numpy as np

from valueagents.arrays import FloatArray
from valueagents.contracts.decision import Choice
from valueagents.errors import PolicyError
from valueagents.identity import seed_from
from valueagents.policies.elicitation import read_elicitation
from valueagents.policies.engines import make_engine
from valueagents.policies.language import LanguagePolicy, language_policy
from valueagents.policies.models import cache_folder
from valueagents.policies.training.settings import Settings
from valueagents.policies.training.statements import PromptedStatement
from valueagents.running.execution import Progress

PROMPT = "rate-1"
_ELICITATION = {"reading": "likelihood", "normaliser": "sum", "beside": "free", "prompt": PROMPT}
READING = urlencode(_ELICITATION)
_DRAWS, _TEMPERATURE = 3, 0.5  # [P]: three runs at T 0.5, majority vote


def survey_spec(base: str, adapter: str | None = None) -> str:
    """The policy that a survey is to be met by: asked in the env's own question and held-out
    prompts, none of which training has seen.
    """
    return f"transformers:{base}" + (f"?adapter={adapter}" if adapter is not None else "")


def survey_policy(base: str) -> LanguagePolicy:
    """The frozen base model as training asks it, with its replies kept on disk."""
    kept = cache_folder() / "baseline-labels.sqlite"
    elicitation = read_elicitation({**_ELICITATION, "cache": str(kept)})
    return language_policy(make_engine("transformers", base), elicitation)


def baseline_labels(
    policy: LanguagePolicy,
    asked: Sequence[PromptedStatement],
    settings: Settings,
    progress: Progress,
) -> dict[str, int]:
    """The place on the menu of the rating that the model gives to each statement, over all its
    variants.
    """
    choices = asyncio.run(_rate(policy, asked, progress))
    by_statement: dict[str, list[tuple[PromptedStatement, Choice]]] = defaultdict(list)
    for each, choice in zip(asked, choices, strict=True):
        by_statement[each.statement].append((each, choice))
    label = {"argmax": _most_probable, "sampled": _majority, "expected": _nearest}[settings.labels]
    return {statement: label(rated) for statement, rated in by_statement.items()}


async def _rate(
    policy: LanguagePolicy, asked: Sequence[PromptedStatement], progress: Progress
) -> list[Choice]:
    """A choice for each, in order; variant by variant, because a variant's questions share their
    beginning.
    """
    order = sorted(range(len(asked)), key=lambda i: asked[i].variant)
    found: dict[int, Choice] = {}
    async with policy:
        for first in range(0, len(order), policy.live):
            part = order[first : first + policy.live]
            for i, choice in zip(
                part,
                await asyncio.gather(*(policy.decide(asked[i].view()) for i in part)),
                strict=True,
            ):
                found[i] = choice
            progress(len(found), 0, len(asked))
    return [found[i] for i in range(len(asked))]


def _mean(rated: Sequence[tuple[PromptedStatement, Choice]]) -> FloatArray:
    """Of the ratings' probabilities over the variants, (6,)."""
    mean: FloatArray = np.mean([_probabilities(choice) for _, choice in rated], axis=0)
    return mean


def _most_probable(rated: Sequence[tuple[PromptedStatement, Choice]]) -> int:
    return int(np.argmax(_mean(rated)))


def _nearest(rated: Sequence[tuple[PromptedStatement, Choice]]) -> int:
    """The rating nearest to the expected one."""
    mean = _mean(rated)
    return round(float(mean @ np.arange(len(mean))))


def _majority(rated: Sequence[tuple[PromptedStatement, Choice]]) -> int:
    """The rating drawn most often; of equals the more probable one."""
    draws: Counter[int] = Counter()
    for each, choice in rated:
        sharp = np.array(_probabilities(choice)) ** (1 / _TEMPERATURE)
        for k in range(_DRAWS):
            rng = np.random.default_rng(
                seed_from("baseline label", each.statement, each.variant, k)
            )
            draws[int(rng.choice(len(sharp), p=sharp / sharp.sum()))] += 1
    mean = _mean(rated)
    return max(draws, key=lambda rating: (draws[rating], mean[rating]))


def _probabilities(choice: Choice) -> tuple[float, ...]:
    if choice.probabilities is None:
        raise PolicyError(
            "the base model gave no probabilities to label with; use an engine that scores"
        )
    return choice.probabilities
