"""Reading modes by name: registered under `valueagents.readings`, ours exactly as anybody's."""

from typing import cast

from valueagents.contracts.plugins import load, loadable
from valueagents.policies.readings.mode import ReadingMode

READINGS = "valueagents.readings"


def load_reading(name: str) -> type[ReadingMode]:
    """The reading mode of that name. Raises ConfigError if it is unknown, broken or not a reading mode."""
    return cast(type[ReadingMode], load(READINGS, name, ReadingMode))


def known_readings() -> dict[str, type[ReadingMode]]:
    """All reading modes by name, sorted; one that cannot be imported is a warning."""
    return loadable(READINGS, ReadingMode)
