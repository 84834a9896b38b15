"""Prompts are versioned data: one TOML file each, named in the policy's identity by id and by
hash.
"""

from valueagents.policies.prompts.finding import PROMPTS, load_prompt, prompt_names, read_prompt
from valueagents.policies.prompts.personas import Persona, load_persona, personas
from valueagents.policies.prompts.prompt import LabelText, LikelihoodText, Prompt, SayText

__all__ = [
    "PROMPTS",
    "LabelText",
    "LikelihoodText",
    "Persona",
    "Prompt",
    "SayText",
    "load_persona",
    "load_prompt",
    "personas",
    "prompt_names",
    "read_prompt",
]
