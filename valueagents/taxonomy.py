"""Taxonomies: the axes on which decisions are measured.

A taxonomy is data: one TOML file, in `taxonomies/` or a user's own, named with its version in every
file that the framework writes. A run holds it whole, so scores need no file. Nothing in scoring
assumes a number of axes or a circle: those that lie on one carry angles, the others do not.
"""

import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from valueagents.errors import ConfigError, DataError, unknown_name
from valueagents.identity import content_hash

_SUFFIX = ".toml"
_IDENTIFIER = re.compile(r"[A-Za-z]\w*", re.ASCII)
_FILES_KEPT = 8
_HASHED = ("id", "version", "source", "axes", "circular", "off_circle", "groupings")
"""What decides the meaning of annotations.

Other fields are about reports: they may come and go, and no run is owed.
"""


class Axis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value: `id` as in annotations, a readable `name`, what it `wants`, and its finer `facets`
    if published.

    `angle` is its place on the circle in degrees, [0, 360), where the places are not even.
    """

    id: str
    name: str
    wants: str
    facets: tuple[str, ...] = ()
    angle: float | None = None


class People(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people gave on the circle, to set beside policies.

    `by_distance`: mean correlation of values 1, 2, … places apart on a circle of `places`. `r_cos`:
    the fit of the correlations on the cosine of the angle, with its 95 % interval. `oppositions`:
    their correlations, in the taxonomy's order.
    """

    source: str
    people: int
    places: int
    by_distance: tuple[float, ...]
    r_cos: tuple[float, float, float]
    oppositions: tuple[float, ...]


class Taxonomy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An ordered set of axes with its published groupings.

    `groupings` maps a grouping's name to {group: axis ids}; an axis may belong to several groups or
    to none. `main_grouping` names the one that pictures are coloured by, `oppositions` pairs of its
    groups that should exclude each other. `circular` says that the axes, in this order, run evenly
    round a motivational circle; else each axis may carry its angle. `off_circle` lists axes that an
    analysis of the circle should leave out, `people` what people gave there.

    Raises DataError for what contradicts itself.
    """

    id: str
    version: int
    source: str
    axes: tuple[Axis, ...]
    circular: bool = False
    off_circle: tuple[str, ...] = ()
    groupings: dict[str, dict[str, tuple[str, ...]]] = {}
    main_grouping: str | None = None
    oppositions: tuple[tuple[str, str], ...] = ()
    people: People | None = None

    def __post_init__(self) -> None:
        problem = next(_problems(self), None)
        if problem is not None:
            raise DataError(f"taxonomy {self.id!r}{problem}")

    @property
    def name(self) -> str:
        """Id and version, e.g. `schwartz20/1`: the form used in result files."""
        return f"{self.id}/{self.version}"

    @property
    def axis_ids(self) -> tuple[str, ...]:
        """The ids in order: the columns of every (K, V) annotation array."""
        return tuple(axis.id for axis in self.axes)

    @property
    def main_groups(self) -> dict[str, tuple[str, ...]]:
        """The groups of the main grouping and their axes; empty if there is none."""
        return self.groupings[self.main_grouping] if self.main_grouping is not None else {}

    @property
    def angles(self) -> dict[str, float] | None:
        """Degrees on the circle by axis, `off_circle` left out: those that the axes carry, or where
        it is circular even ones in list order; None if there is no circle.
        """
        if self.circular:
            on_circle = [axis for axis in self.axis_ids if axis not in self.off_circle]
            return {axis: 360.0 * i / len(on_circle) for i, axis in enumerate(on_circle)}
        return {axis.id: axis.angle for axis in self.axes if axis.angle is not None} or None

    @property
    def content(self) -> dict[str, Any]:
        """All that decides the meaning of annotations, as JSON-like data, for content hashes."""
        whole: dict[str, Any] = msgspec.to_builtins(self)
        for axis in whole["axes"]:
            if axis["angle"] is None:
                del axis["angle"]  # older than the field are the identities of axes without it
        return {name: whole[name] for name in _HASHED}

    @property
    def identity(self) -> str:
        """The name of a bundled taxonomy; of any other its name and a hash of its content, so that
        two files under one name are not taken for the same axes.
        """
        if self.id in taxonomy_ids():
            return self.name
        return f"{self.name}-{content_hash(self.content)[:8]}"

    def index(self, axis: str) -> int:
        """The column of an axis. Raises ConfigError with the nearest name if there is none."""
        try:
            return self.axis_ids.index(axis)
        except ValueError:
            raise ConfigError(unknown_name(f"axis of {self.id}", axis, self.axis_ids)) from None


@cache
def taxonomy_ids() -> tuple[str, ...]:
    """The ids of the bundled taxonomies, sorted."""
    return tuple(
        sorted(
            entry.name.removesuffix(_SUFFIX)
            for entry in files("valueagents").joinpath("taxonomies").iterdir()
        )
    )


def is_taxonomy_file(name: str) -> bool:
    """True if the name of a taxonomy is a path, False if it is an id."""
    return name.endswith(_SUFFIX)


def load_taxonomy(taxonomy: str | Path, folder: Path | None = None) -> Taxonomy:
    """The bundled taxonomy of that id, or the one in a `.toml` file of the user's.

    The path of a file is relative to `folder`, that of the file which names it; None = the working
    directory. Raises ConfigError for an unknown id or a file that is not there, DataError for a
    malformed file.
    """
    taxonomy = str(taxonomy)
    if is_taxonomy_file(taxonomy):
        path = (folder or Path()) / taxonomy
        if not path.is_file():
            raise ConfigError(_no_file(path))
        status = path.stat()
        return _own(path.resolve(), status.st_mtime_ns, status.st_size)
    if taxonomy not in taxonomy_ids():
        remedy = f"Known: {', '.join(taxonomy_ids())}; or give a file of yours, NAME{_SUFFIX}."
        raise ConfigError(unknown_name("taxonomy", taxonomy, taxonomy_ids(), remedy=remedy))
    return _bundled(taxonomy)


@cache
def _bundled(taxonomy_id: str) -> Taxonomy:
    file = files("valueagents").joinpath("taxonomies", taxonomy_id + _SUFFIX)
    return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Taxonomy)


@lru_cache(maxsize=_FILES_KEPT)
def _own(path: Path, _modified_ns: int, _size_bytes: int) -> Taxonomy:
    """The taxonomy in a user's file; a changed file is read again."""
    where = f"taxonomy file {path.name}"
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        taxonomy = msgspec.convert(table, Taxonomy)
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except msgspec.ValidationError as error:
        raise DataError(f"{where}: {error}; see envs/reference.md") from error
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except (ValueError, RecursionError) as error:  # TOML's errors are ValueErrors
        raise DataError(f"{where} is not TOML: {error}") from error
    problem = _unfit(taxonomy)
    if problem is not None:
        raise DataError(f"{where}: {problem}")
    return taxonomy


def _no_file(path: Path) -> str:
    near = path.parent.glob("*" + _SUFFIX) if path.parent.is_dir() else ()
    known = [str(path.parent / entry.name) for entry in near]
    remedy = "Give the path of a file, relative to the one that names it, or a bundled id."
    return unknown_name("taxonomy file", str(path), known, remedy=remedy)


def _problems(taxonomy: Taxonomy) -> Iterator[str]:
    """Whatever contradicts itself, each to be put after the taxonomy's id."""
    known = set(taxonomy.axis_ids)
    twice = _repeated(taxonomy.axis_ids)
    if twice is not None:
        yield f" names an axis twice ({twice!r}); axis ids must be unique"
    for grouping, groups in taxonomy.groupings.items():
        for group, members in groups.items():
            place = f", grouping {grouping!r}"
            for axis in members:
                if axis not in known:
                    yield f"{place}: " + unknown_name("axis", axis, known)
            twice = _repeated(members)
            if twice is not None:
                yield f"{place}: group {group!r} names {twice!r} twice; name it once"
            if not members:
                yield f"{place}: group {group!r} has no axis; give it one or leave it out"
    if taxonomy.main_grouping is not None and taxonomy.main_grouping not in taxonomy.groupings:
        yield ": " + unknown_name("grouping", taxonomy.main_grouping, taxonomy.groupings)
        return
    for group in (group for pair in taxonomy.oppositions for group in pair):
        if group not in taxonomy.main_groups:
            remedy = "" if taxonomy.main_groups else "Name the main_grouping that has it."
            yield ": " + unknown_name("group", group, taxonomy.main_groups, remedy=remedy)
    yield from _circle_problems(taxonomy)


def _circle_problems(taxonomy: Taxonomy) -> Iterator[str]:
    for axis in taxonomy.off_circle:
        if axis not in taxonomy.axis_ids:
            yield ", off_circle: " + unknown_name("axis", axis, taxonomy.axis_ids)
    placed = {axis.id: axis.angle for axis in taxonomy.axes if axis.angle is not None}
    if taxonomy.circular and placed:
        yield (
            " is circular, which puts its axes at even angles, and gives angles too; keep one of"
            " the two"
        )
    if len(placed) > 1 and len(set(placed.values())) == 1:
        angle = next(iter(placed.values()))
        yield f" puts all axes at angle {angle:g}; give different angles or none"
    for name, angle in placed.items():
        if not (math.isfinite(angle) and 0 <= angle < 360):
            yield f": axis {name!r} has angle {angle}; degrees from 0 to under 360 are possible"
        if name in taxonomy.off_circle:
            yield f": axis {name!r} is off_circle and has an angle; drop one of the two"
    without = [a for a in taxonomy.axis_ids if a not in placed and a not in taxonomy.off_circle]
    if placed and without:
        yield (
            f" gives angles to some of its axes and none to {', '.join(without)}; give every axis"
            " one, or list those that lie on no circle in off_circle"
        )


def _unfit(taxonomy: Taxonomy) -> str | None:
    """What would make a file's taxonomy hard to use or to tell from others; None = nothing."""
    if taxonomy.id in taxonomy_ids():
        return f"id {taxonomy.id!r} is that of a bundled taxonomy; give yours another"
    if taxonomy.version < 1:
        return f"version {taxonomy.version}; count versions from 1"
    if not taxonomy.axes:
        return "it has no axes; give at least one [[axes]]"
    for what, name in [("id", taxonomy.id), *(("axis id", axis) for axis in taxonomy.axis_ids)]:
        if not _IDENTIFIER.fullmatch(name):
            return (
                f"{what} {name!r}: letters (A to Z), digits and underscores are possible, a letter"
                " first: ids stand in options such as known:ID=1"
            )
    empty = next((a.id for a in taxonomy.axes if not (a.name.strip() and a.wants.strip())), None)
    if empty is not None:
        return f"axis {empty!r} has an empty name or says not what it wants; fill it in"
    twice = _repeated(axis.name for axis in taxonomy.axes)
    return f"two axes are named {twice!r}; tables tell them by name" if twice else None


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
