"""Personas: bundled texts put before the task, prompting as the baseline that adapters are compared
with.
"""

from importlib.resources import files

import msgspec

from valueagents.errors import ConfigError, unknown_name


class Persona(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system text about somebody who holds one value above others."""

    id: str
    value: str
    text: str


def personas() -> tuple[Persona, ...]:
    """The bundled personas, in their order."""
    lines = (
        files("valueagents.policies")
        .joinpath("prompts", "personas.jsonl")
        .read_bytes()
        .splitlines()
    )
    return tuple(msgspec.json.decode(line, type=Persona) for line in lines)


def load_persona(persona_id: str) -> str:
    """The text of a bundled persona. Raises ConfigError for an unknown id."""
    known = {persona.id: persona.text for persona in personas()}
    if persona_id not in known:
        raise ConfigError(
            unknown_name("persona", persona_id, known, remedy="They are named SDT-1 to UNO-5.")
        )
    return known[persona_id]
