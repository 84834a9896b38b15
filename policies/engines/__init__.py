"""Engines: what runs a language model.

An engine answers `score` and `generate`; the policy decides what to ask.
"""

from valueagents.policies.engines.engine import (
    WITHHELD,
    Capability,
    Chat,
    Engine,
    EngineAdapter,
    GenerateReply,
    GenerateRequest,
    Message,
    Sampling,
    ScoreReply,
    ScoreRequest,
    TopReply,
    TopRequest,
)
from valueagents.policies.engines.making import load_engine, make_engine

__all__ = [
    "WITHHELD",
    "Capability",
    "Chat",
    "Engine",
    "EngineAdapter",
    "GenerateReply",
    "GenerateRequest",
    "Message",
    "Sampling",
    "ScoreReply",
    "ScoreRequest",
    "TopReply",
    "TopRequest",
    "load_engine",
    "make_engine",
]
