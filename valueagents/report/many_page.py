"""Pages on many policies at once: the circle of their values, the agreement of methods about
them.
"""

from collections.abc import Sequence

from valueagents.measuring.many.circle import CircleCheck
from valueagents.measuring.many.multimethod import MultiMethod
from valueagents.measuring.many.profiles import Profiles
from valueagents.report.many_pictures import circle_picture, matrix_picture
from valueagents.report.template import drawn, template


def circle_page(check: CircleCheck, profiles: Profiles, envs: Sequence[str]) -> str:
    """A self-contained page with the circle check of the profiles of policies in these envs."""
    return template("circle.html.j2").render(
        check=check,
        taxonomy=profiles.taxonomy,
        svg=drawn(circle_picture(check, profiles.taxonomy)) if check.places else None,
        envs=envs,
        labels=profiles.labels,
        form=profiles.form,
        situations=profiles.situations,
    )


def validity_page(found: MultiMethod) -> str:
    """A self-contained page with the validity and reliability of policies by several methods."""
    svg = drawn(matrix_picture(found)) if found.matrix is not None else None
    return template("validity.html.j2").render(found=found, svg=svg)
