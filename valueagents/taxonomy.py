"""Taxonomies: the axes on which decisions are measured.

A taxonomy is data (one TOML file in `taxonomies/`), named with its version in every file that the
framework writes. Nothing in scoring assumes a number of axes or a circle: those that lie on one
carry angles, the others do not.
"""

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from valueagents.errors import ConfigError, DataError, unknown_name


class Axis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value: `id` as in annotations, a readable `name`, what it `wants`, and its finer `facets`
    if published.
    """

    id: str
    name: str
    wants: str
    facets: tuple[str, ...] = ()


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
    groups that should exclude each other. `circular` says that the axes, in this order, run round a
    motivational circle; `off_circle` lists axes that an analysis of the circle should leave out,
    `people` what people gave there.
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
        known = set(self.axis_ids)
        if len(known) != len(self.axes):
            raise DataError(f"taxonomy {self.id!r} names an axis twice; axis ids must be unique")
        for grouping, groups in self.groupings.items():
            for axis in (axis for members in groups.values() for axis in members):
                if axis not in known:
                    raise DataError(
                        f"taxonomy {self.id!r}, grouping {grouping!r}: "
                        + unknown_name("axis", axis, known)
                    )
        if self.main_grouping is not None and self.main_grouping not in self.groupings:
            raise DataError(
                f"taxonomy {self.id!r}: "
                + unknown_name("grouping", self.main_grouping, self.groupings)
            )
        for group in (group for pair in self.oppositions for group in pair):
            if group not in self.main_groups:
                raise DataError(
                    f"taxonomy {self.id!r}: " + unknown_name("group", group, self.main_groups)
                )

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
        """Degrees on the circle by axis, evenly spaced in list order, `off_circle` left out; None
        if not circular.
        """
        if not self.circular:
            return None
        on_circle = [axis for axis in self.axis_ids if axis not in self.off_circle]
        return {axis: 360.0 * i / len(on_circle) for i, axis in enumerate(on_circle)}

    def index(self, axis: str) -> int:
        """The column of an axis. Raises ConfigError with the nearest name if there is none."""
        try:
            return self.axis_ids.index(axis)
        except ValueError:
            raise ConfigError(unknown_name(f"axis of {self.id}", axis, self.axis_ids)) from None


def taxonomy_ids() -> tuple[str, ...]:
    """The ids of the bundled taxonomies, sorted."""
    return tuple(
        sorted(
            entry.name.removesuffix(".toml")
            for entry in files("valueagents").joinpath("taxonomies").iterdir()
        )
    )


@cache
def load_taxonomy(taxonomy_id: str) -> Taxonomy:
    """The bundled taxonomy of that id. Raises ConfigError for an unknown id."""
    if taxonomy_id not in taxonomy_ids():
        raise ConfigError(unknown_name("taxonomy", taxonomy_id, taxonomy_ids()))
    text = (
        files("valueagents")
        .joinpath("taxonomies", f"{taxonomy_id}.toml")
        .read_text(encoding="utf-8")
    )
    return msgspec.convert(tomllib.loads(text), Taxonomy)
