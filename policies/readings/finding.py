"""Reading modes by name: registered under `valueagents.readings`, ours exactly as anybody's."""

from typing import cast

from valueagents.contracts.entry_points import warn_once
from valueagents.contracts.options import declared
from valueagents.contracts.plugins import load, loadable
from valueagents.policies.readings.mode import ReadingMode

READINGS = "valueagents.readings"


def load_reading(name: str) -> type[ReadingMode]:
    """The reading mode of that name.

    Raises ConfigError if it is unknown, broken or not a reading mode.
    """
    return cast(type[ReadingMode], load(READINGS, name, ReadingMode))


def known_readings() -> dict[str, type[ReadingMode]]:
    """All reading modes by name, sorted; one that cannot be imported, or its options read, is a
    warning.
    """
    return {
        name: kind
        for name, kind in loadable(READINGS, ReadingMode).items()
        if _options_can_be_read(name, kind)
    }


def _options_can_be_read(name: str, kind: type[ReadingMode]) -> bool:
    try:
        declared(kind.Options)
    except (
        Exception
    ) as error:  # its annotations are a third party's code, evaluated here for the first time
        warn_once(
            f"left out: the options of reading {name!r} cannot be read: {type(error).__name__}:"
            f" {error}"
        )
        return False
    return True
