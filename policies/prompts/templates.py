"""Templates of prompts: text with places such as {observation}, filled in and never evaluated.

`str.format` would follow attributes and indices of what it is given (`{observation.__class__}`),
and a prompt may come from anywhere: here a place is a bare name or an error.
"""

from collections.abc import Collection, Mapping
from string import Formatter
from typing import ClassVar

import msgspec

Places = Mapping[str, Collection[str]]
"""The places of each template, by its name."""


class Templates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Templates that are checked when they are read.

    `PLACES`: those that each must have; `MAY_HAVE`: those that it may have; it has no other.
    """

    PLACES: ClassVar[Places] = {}
    MAY_HAVE: ClassVar[Places] = {}

    def __post_init__(self) -> None:
        """Raise ValueError, naming field and place, if one is missing, unknown or more than a
        name.
        """
        for field, wanted in self.PLACES.items():
            check_places(field, getattr(self, field), wanted, self.MAY_HAVE.get(field, ()))


def check_places(
    field: str, template: str, wanted: Collection[str], allowed: Collection[str] = ()
) -> None:
    """Raise ValueError, naming field and place, unless a template has the wanted places, and no
    other but those that are allowed.
    """
    found = {place for _, place in _pieces(field, template) if place is not None}
    known = ", ".join(f"{{{name}}}" for name in (*wanted, *allowed)) or "no place"
    for place in sorted(found - {*wanted, *allowed}):
        raise ValueError(
            f"{field}: {{{place}}} cannot be filled in, only {known}; write {{{{ and }}}} for"
            " braces"
        )
    for name in wanted:
        if name not in found:
            raise ValueError(
                f"{field}: {{{name}}} is missing; without it the model does not see it"
            )


def fill(template: str, **texts: str) -> str:
    """The template with its places filled in.

    The texts are put in as they are, whatever braces they hold.
    """
    pieces = _pieces("template", template)
    return "".join(text if place is None else text + texts[place] for text, place in pieces)


def _pieces(field: str, template: str) -> list[tuple[str, str | None]]:
    """Plain text, each with the place after it (None at the end). Braces are written {{ and }}."""
    remedy = "a place is a name in braces; write {{ and }} for braces"
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{field}: {error}; {remedy}") from None
    for _, place, layout, conversion in parsed:
        if place is not None and (layout or conversion or not place.isidentifier()):
            raise ValueError(f"{field}: {{{place}}} is refused; {remedy}")
    return [(text, place) for text, place, _, _ in parsed]
