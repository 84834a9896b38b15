"""The pictures of a page: which there are, and as files for papers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from valueagents.identity import content_hash
from valueagents.measuring.summary import EnvResults, PolicyResults, Results
from valueagents.report.pictures import STYLE, as_png, as_svg
from valueagents.report.value_pictures import MOST_SERIES, Series, circle, forest
from valueagents.running.store import write_atomically

_MOST_ON_CIRCLE = 3


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with the name of its file, what it shows in words, and its numbers."""

    name: str
    title: str
    figure: Figure
    series: list[Series]


def pictures(results: Results) -> list[Picture]:
    """The pictures of a page, the one of the first screen first.

    Of one policy in several envs the circle with an env a line; then each env with its policies,
    at most six to a picture; then the envs' circles.
    """
    own = list(_own_circle(results))
    forests = [each for env in results.value_envs for each in _forests(env, results.primary)]
    circles = [] if own else [each for env in results.value_envs for each in _env_circles(env)]
    return [*own, *forests, *circles]


def _own_circle(results: Results) -> Iterator[Picture]:
    """One policy's envs on one circle of values."""
    if len(results.policies) != 1 or len(results.value_envs) < 2:
        return
    first = next(
        (env.taxonomy for env in results.value_envs if env.taxonomy.angles is not None), None
    )
    if first is None:
        return
    series = [
        Series(env.env, env.policies[0].leanings)
        for env in results.value_envs
        if env.taxonomy == first and _has_number(env.policies[0])
    ][:MOST_SERIES]
    if series:
        title = results.policies[0]
        figure = circle(first, series, title=title)
        where = f"{len(series)} envs" if len(series) > 1 else series[0].label
        yield Picture("circle", f"The values of {title} in {where}", figure, series)


def _forests(env: EnvResults, primary: str | None) -> Iterator[Picture]:
    """The policies in an env, a row a value."""
    if not _has_numbers(env):
        return
    series = _series(env)
    parts = [series[k : k + MOST_SERIES] for k in range(0, len(series), MOST_SERIES)]
    for number, part in enumerate(parts, 1):
        of = f", {number} of {len(parts)}" if len(parts) > 1 else ""
        title = f"{env.env}{of}"
        figure = forest(env.taxonomy, part, title=title, primary=primary)
        yield Picture(_file_name("forest", title), f"Leanings in {title}", figure, part)


def _env_circles(env: EnvResults) -> Iterator[Picture]:
    """A few policies in an env on the circle of values."""
    series = _series(env)
    if env.taxonomy.angles is None or len(series) > _MOST_ON_CIRCLE or not _has_numbers(env):
        return
    figure = circle(env.taxonomy, series, title=env.env)
    name = _file_name("circle", env.env)
    yield Picture(name, f"Leanings on the circle in {env.env}", figure, series)


def _series(env: EnvResults) -> list[Series]:
    return [Series(each.policy, each.leanings) for each in env.policies]


def _has_numbers(env: EnvResults) -> bool:
    return any(_has_number(each) for each in env.policies)


def _has_number(policy: PolicyResults) -> bool:
    return any(each.estimate.value is not None for each in policy.leanings)


def _file_name(kind: str, title: str) -> str:
    """A name of letters, digits and dashes, a hash where something was left out of it."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", title.removeprefix("valueagents/")).strip("-")
    whole = plain == title.removeprefix("valueagents/")
    return f"{kind}-{plain[:60]}" + ("" if whole else f"-{content_hash(title)[:6]}")


def svg_of(picture: Picture) -> str:
    """The picture as SVG text."""
    with mpl.rc_context(STYLE):
        return as_svg(picture.figure)


def write_figures(results: Results, folder: Path) -> list[Path]:
    """Each picture is in the folder as SVG and as PNG with 300 dots an inch."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for each in pictures(results):
        with mpl.rc_context(STYLE):
            contents = {".svg": as_svg(each.figure).encode(), ".png": as_png(each.figure)}
        for suffix, content in contents.items():
            path = folder / f"{each.name}{suffix}"
            write_atomically(path, content)
            written.append(path)
    return written
