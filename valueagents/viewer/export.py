"""The same pages as files, which open without a server.

Files have no forms. What can be filtered by a link has a page each: runs by env and by policy (the
first `MOST_NAMED` of each), a run's decisions by value, chosen or refused (the first page of
episodes each: at most four pages a value). Side by side is each run with the first of its env, as
far as the first page of episodes in which they part.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from valueagents.errors import ConfigError, DataError
from valueagents.viewer import addresses
from valueagents.viewer.filters import side_counts
from valueagents.viewer.partings import why_not
from valueagents.viewer.rows import PAGE_ROWS
from valueagents.viewer.shelf import Shelf, ShownRun, address_name
from valueagents.viewer.site import MOST_NAMED, Site


def export(folder: Path, out: Path, progress: Callable[[int, int, int], None]) -> Path:
    """The pages of a folder's runs are under `out`; the first page. `progress` is told as
    `recorder.Progress` says, of pages.

    Raises ConfigError if something is at `out` already.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{str(out)!r} exists; give a folder that does not, or an empty one")
    site = Site(Shelf(folder), static=True)
    paths = list(_paths(site))
    for done, path in enumerate(paths, 1):
        made = site.page(path, {})
        if made.status != 200:
            raise DataError(f"{path} cannot be written: a run changed meanwhile; export again")
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(made.html, encoding="utf-8")
        progress(done, 0, len(paths))
    return out / addresses.FRONT


def _paths(site: Site) -> Iterator[str]:
    """The addresses of all pages."""
    yield addresses.FRONT
    runs = site.shelf.inventory().runs
    for field in ("env", "policy"):
        names = sorted({getattr(run, field) for run in runs})
        if len(names) > 1:
            yield from (addresses.runs_of(field, name) for name in names[:MOST_NAMED])
    for found in runs:
        run = site.shelf.run(found.key)
        if run is None:
            continue
        yield from _of_run(run)
        for other in site.beside_of(found, runs):
            second = site.shelf.run(other.key)
            if second is not None:
                yield from _of_pair(site, run, second)


def _of_run(run: ShownRun) -> Iterator[str]:
    index, key = run.index(), run.found.key
    for page in range(max(1, -(-index.episodes // PAGE_ROWS))):
        yield addresses.run(key, page + 1)
    for place, counts in side_counts(index).items():
        yield from (addresses.by_value(key, place, side) for side, n in counts.items() if n)
    for episode, identity in enumerate(index.identity.to_pylist()):
        name = address_name(identity)
        yield addresses.episode(key, name)
        for step in range(index.length(episode)):
            yield addresses.decision(key, name, step)


def _of_pair(site: Site, first: ShownRun, second: ShownRun) -> Iterator[str]:
    yield addresses.beside(first.found.key, second.found.key)
    if why_not(first.header, second.header) is None:
        found = site.partings(first, second)
        for episode in found.first[found.parted][:PAGE_ROWS].tolist():
            name = address_name(first.index().identity[episode].as_py())
            yield addresses.both(first.found.key, second.found.key, name)
