"""Engines: what runs a language model. An engine answers `score` and `generate`; the policy decides what to ask."""

from valueagents.policies.engines.engine import (
    Capability,
    Chat,
    Engine,
    GenerateReply,
    GenerateRequest,
    Message,
    Sampling,
    ScoreReply,
    ScoreRequest,
)

__all__ = [
    "Capability",
    "Chat",
    "Engine",
    "GenerateReply",
    "GenerateRequest",
    "Message",
    "Sampling",
    "ScoreReply",
    "ScoreRequest",
]
