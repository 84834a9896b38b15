"""Measure what language-model agents value from what they do.

Everything an agent does here is a decision over a menu, and every option of the menu carries its
value annotation. The names below are the public interface; they are imported when first used, so
that `import valueagents` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from valueagents.contracts.gymnasium_ids import register_with_gymnasium

if TYPE_CHECKING:
    from valueagents.contracts.conformance import check_value_env
    from valueagents.contracts.decision import (
        Annotation,
        Choice,
        Covariate,
        Decision,
        Episode,
        Event,
        Factor,
        Option,
    )
    from valueagents.contracts.environment import Turn, ValueEnv
    from valueagents.contracts.plugins import make_env, make_policy
    from valueagents.contracts.policy import InformedPolicy, Policy, View
    from valueagents.errors import (
        ConfigError,
        DataError,
        EnvError,
        PolicyError,
        StoreError,
        ValueAgentsError,
    )
    from valueagents.measuring.comparison import compare
    from valueagents.measuring.scores import score
    from valueagents.report import write_report
    from valueagents.running.runs import Run
    from valueagents.running.start import run
    from valueagents.taxonomy import Taxonomy, load_taxonomy

_HOME = {
    "Annotation": "contracts.decision",
    "Choice": "contracts.decision",
    "ConfigError": "errors",
    "DataError": "errors",
    "Decision": "contracts.decision",
    "EnvError": "errors",
    "Episode": "contracts.decision",
    "Event": "contracts.decision",
    "Covariate": "contracts.decision",
    "Factor": "contracts.decision",
    "InformedPolicy": "contracts.policy",
    "Option": "contracts.decision",
    "Policy": "contracts.policy",
    "PolicyError": "errors",
    "Run": "running.runs",
    "StoreError": "errors",
    "Taxonomy": "taxonomy",
    "Turn": "contracts.environment",
    "ValueAgentsError": "errors",
    "ValueEnv": "contracts.environment",
    "View": "contracts.policy",
    "check_value_env": "contracts.conformance",
    "compare": "measuring.comparison",
    "load_taxonomy": "taxonomy",
    "make_env": "contracts.plugins",
    "make_policy": "contracts.plugins",
    "run": "running.start",
    "score": "measuring.scores",
    "write_report": "report",
}

__all__ = [
    "Annotation",
    "Choice",
    "ConfigError",
    "Covariate",
    "DataError",
    "Decision",
    "EnvError",
    "Episode",
    "Event",
    "Factor",
    "InformedPolicy",
    "Option",
    "Policy",
    "PolicyError",
    "Run",
    "StoreError",
    "Taxonomy",
    "Turn",
    "ValueAgentsError",
    "ValueEnv",
    "View",
    "check_value_env",
    "compare",
    "load_taxonomy",
    "make_env",
    "make_policy",
    "run",
    "score",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'valueagents' has no attribute {name!r}")
    return getattr(import_module(f"valueagents.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)


register_with_gymnasium()
