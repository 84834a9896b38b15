"""What the package declares and what plug-ins add to it: estimators and metrics by their ids."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from valueagents.contracts.entry_points import warn_once
from valueagents.contracts.plugins import loadable


class _Declaration(Protocol):
    @property
    def id(self) -> str:
        """What it is called in results and on the command line."""


D = TypeVar("D", bound=_Declaration)


def with_plugins(bundled: Iterable[D], group: str, kind: type[D]) -> dict[str, D]:
    """The bundled declarations by id, then those of installed plug-ins in the order of their names.

    A plug-in that cannot be imported, names something else than a `kind`, or takes an id that
    exists is a warning.
    """
    found = {each.id: each for each in bundled}
    what = kind.__name__.lower()
    for name, made in loadable(group).items():
        if not isinstance(made, kind):
            warn_once(
                f"left out: {what} {name!r} is a {type(made).__name__}; "
                f"its entry point must name an instance of {kind.__name__}"
            )
        elif made.id in found:
            warn_once(
                f"left out: {what} {name!r} has the id {made.id!r}, which another has; give it one"
                " of its own"
            )
        else:
            found[made.id] = made
    return found
