"""Prompts are versioned data: one TOML file each, named in the policy's identity by id and by
hash.
"""

from valueagents.policies.prompts.finding import (
    PROMPTS,
    bundled_prompts,
    load_prompt,
    prompt_names,
    prompt_ranges,
    read_prompt,
)
from valueagents.policies.prompts.personas import Persona, load_persona, personas
from valueagents.policies.prompts.prompt import AnswerForms, Prompt, Use

__all__ = [
    "PROMPTS",
    "AnswerForms",
    "Persona",
    "Prompt",
    "Use",
    "bundled_prompts",
    "load_persona",
    "load_prompt",
    "personas",
    "prompt_names",
    "prompt_ranges",
    "read_prompt",
]
