"""The engines that benchmarks ask, by the spec of a policy: loaded as a run loads them."""

from valueagents.contracts.plugins import make_policy
from valueagents.errors import ConfigError
from valueagents.policies.engines import Engine
from valueagents.policies.language import LanguagePolicy
from valueagents.policies.models import EMBEDDED

EMBEDDED_FLOAT32 = f"transformers:{EMBEDDED}?dtype=float32&device=cpu"


def make_engine(spec: str) -> Engine:
    """The engine of a language model's policy, made as a run makes it and not loaded yet. Raises ConfigError."""
    policy = make_policy(spec)
    if not isinstance(policy, LanguagePolicy):
        raise ConfigError(f"{spec!r} names a policy without an engine; name a language model, e.g. {EMBEDDED_FLOAT32}")
    return policy.engine
