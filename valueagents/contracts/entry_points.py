"""What packages have registered: read from their metadata, ours exactly as anybody's, and imported
one by one.

Metadata and modules are a third party's and may be broken in any way. A broken one is a warning
that names it, once a process; it is an error only for whoever asks for it by name.
"""

import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any

from valueagents.errors import ConfigError, first_line

log = logging.getLogger("valueagents")

_OURS = "valueagents"


@dataclass(frozen=True, slots=True)
class Registered:
    """A plug-in that has not been imported.

    `where` is its `module:name`, `package` the distribution that brings it.
    """

    kind: str
    name: str
    where: str
    package: str
    get: Callable[[], Any]

    def load(self, base: type | None = None) -> Any:
        """The plug-in, imported. Raises ConfigError if that fails, or if it is not a subclass of
        `base`.
        """
        who = f"{self.kind} {self.name!r} ({self.where}, package {self.package})"
        try:
            loaded = self.get()
        except ConfigError:  # of a policy family: it names the plug-in behind the name
            raise
        # Importing runs a third party's module, which may fail in any way: a syntax error, a
        # missing name, an exit.
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"{who} cannot be imported: {type(error).__name__}: {first_line(error)}"
            ) from error
        if base is not None and not (inspect.isclass(loaded) and issubclass(loaded, base)):
            raise ConfigError(
                f"{who} is not a subclass of {base.__module__}.{base.__qualname__}; make it one"
            )
        return loaded


def registered(group: str, kind: str) -> dict[str, Registered]:
    """The entry points of a group by name; `kind` says what one is called in messages.

    Of two packages with one name the first on the path counts, ours before all: a bundled name
    means one thing.
    """
    found: dict[str, Registered] = {}
    for point in sorted(_entry_points(group), key=lambda point: _package(point) != _OURS):
        each = Registered(kind, point.name, point.value, _package(point), point.load)
        first = found.setdefault(each.name, each)
        if first.where != each.where:
            warn_once(
                f"left out: {kind} {each.name!r} of the package {each.package}; {first.package} has"
                " one, too"
            )
    return found


@cache  # what was said is remembered by the argument
def warn_once(message: str) -> None:
    """The message is in the log, however often this is called."""
    log.warning("%s", message)


def _entry_points(group: str) -> list[EntryPoint]:
    try:
        return list(entry_points(group=group))
    # One malformed entry_points.txt fails the call for all packages; which one, only asking each of
    # them tells.
    except Exception:
        return list(_asked_one_by_one(group))


def _asked_one_by_one(group: str) -> Iterator[EntryPoint]:
    seen = set()
    for distribution in distributions():
        package = "?"
        try:
            package = distribution.name
            points = distribution.entry_points.select(group=group)
        except Exception as error:  # metadata that a third party wrote, damaged in whatever way
            warn_once(
                f"left out: all plug-ins of the package {package}: {type(error).__name__}:"
                f" {first_line(error)}"
            )
            continue
        if package not in seen:  # of two copies the one that comes first on the path counts
            yield from points
        seen.add(package)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"
