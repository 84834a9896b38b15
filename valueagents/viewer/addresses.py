"""Where each page is, from the root of the site: one form for the server and for written files.

Keys of runs and names of episodes hold letters, digits, `_` and `-` only, so no address can leave
the site or hold what a browser would read otherwise.
"""

import re

from valueagents.identity import content_hash

KEY = r"(?P<key>[0-9a-f]{12})"
OTHER = r"(?P<other>[0-9a-f]{12})"
NAME = r"(?P<name>[A-Za-z0-9_-]{1,64})"
STEP = r"(?P<step>\d{1,9})"
PAGE = r"(?:-(?P<page>\d{1,9}))?"
FRONT = "index.html"


def _numbered(stem: str, page: int) -> str:
    return f"{stem}.html" if page == 1 else f"{stem}-{page}.html"


def find(page: int = 1) -> str:
    """Episodes of all runs."""
    return _numbered("find", page)


def run(key: str, page: int = 1) -> str:
    """The episodes of a run."""
    return _numbered(f"run/{key}", page)


def by_value(key: str, place: int, side: str) -> str:
    """The episodes of a run with a decision on this side of the value at that place of the
    taxonomy.
    """
    return f"run/{key}/{place}-{side}.html"


def runs_of(field: str, name: str) -> str:
    """The runs of an env or of a policy, as `field` says."""
    return f"{field}/{content_hash(name)[:12]}.html"


def episode(key: str, name: str) -> str:
    """The transcript of an episode; `#d3` is its fourth decision."""
    return f"episode/{key}/{name}.html"


def decision(key: str, name: str, step: int) -> str:
    """A decision, with all that was shown before it."""
    return f"episode/{key}/{name}/{step}.html"


def beside(key: str, other: str, page: int = 1) -> str:
    """The episodes of two runs, and where they part."""
    return _numbered(f"beside/{key}/{other}", page)


def both(key: str, other: str, name: str) -> str:
    """An episode of the first run beside that of the second; `#part` is where they part."""
    return f"beside/{key}/{other}/{name}.html"


FORMS = {
    "overview": re.compile(r"(?:index\.html)?"),
    "find": re.compile(rf"find{PAGE}\.html"),
    "run": re.compile(rf"run/{KEY}{PAGE}\.html"),
    "by_value": re.compile(rf"run/{KEY}/(?P<place>\d{{1,4}})-(?P<side>[a-z]+-[a-z]+)\.html"),
    "runs_of": re.compile(r"(?P<field>env|policy)/(?P<digest>[0-9a-f]{12})\.html"),
    "episode": re.compile(rf"episode/{KEY}/{NAME}\.html"),
    "decision": re.compile(rf"episode/{KEY}/{NAME}/{STEP}\.html"),
    "beside": re.compile(rf"beside/{KEY}/{OTHER}{PAGE}\.html"),
    "both": re.compile(rf"beside/{KEY}/{OTHER}/{NAME}\.html"),
}
"""Kind of page -> the form of its address."""
