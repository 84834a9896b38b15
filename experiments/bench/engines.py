"""What benchmarks ask engines with: language-model policies by their spec, made as a run makes
them.
"""

from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError
from valueagents.policies.engines import Engine, ScoreRequest
from valueagents.policies.language import LanguagePolicy, prompt_of
from valueagents.policies.models import EMBEDDED
from valueagents.policies.readings import ScoreReading

EMBEDDED_FLOAT32 = f"transformers:{EMBEDDED}?dtype=float32&device=cpu"


def make_engine(spec: str) -> Engine:
    """The engine of a language model's policy, not loaded yet. Raises ConfigError."""
    return _language_policy(spec).engine


def questions(spec: str, view: View) -> tuple[ScoreRequest, ...]:
    """What a language model's policy asks its engine about a view.

    Raises ConfigError if the policy is another or reads no probabilities.
    """
    policy = _language_policy(spec).for_question(view.asks)
    if not isinstance(policy.reading, ScoreReading):
        raise ConfigError(
            f"{spec!r} reads no probabilities; use reading=label or reading=likelihood"
        )
    return policy.reading.requests(prompt_of(policy.prompts, view.design), view)


def _language_policy(spec: str) -> LanguagePolicy:
    policy = make_policy(spec)
    if not isinstance(policy, LanguagePolicy):
        raise ConfigError(
            f"{spec!r} names a policy without an engine; name a language model, e.g."
            f" {EMBEDDED_FLOAT32}"
        )
    return policy
