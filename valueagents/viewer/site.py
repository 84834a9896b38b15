"""The pages: from an address to HTML. What is shown is escaped by the one engine of the reports."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import msgspec
import numpy as np
import pyarrow.compute as pc

from valueagents.errors import StoreError, ValueAgentsError
from valueagents.report.template import template
from valueagents.running.inventory import FoundRun
from valueagents.viewer import addresses
from valueagents.viewer.filters import SIDES, STATUSES, BadAddress, Filters, side_counts
from valueagents.viewer.partings import NEVER, Partings, partings, why_not
from valueagents.viewer.prompts import asked_at
from valueagents.viewer.rows import PAGE_ROWS, episode_rows, failure_rows, paged
from valueagents.viewer.shelf import Shelf, ShownRun, address_name
from valueagents.viewer.transcript import ShownDecision

MOST_BESIDE = 30
"""Other runs that a page offers to lay beside."""
MOST_NAMED = 50
"""Envs, and policies, of which written files have a page each."""
_TEMPLATES = {
    "run": "listing",
    "find": "listing",
    "by_value": "listing",
    "runs_of": "overview",
}
"""Kinds of pages that share one."""


class Answer(msgspec.Struct, frozen=True):
    """A page with its status as HTTP has it: 200, 400 for a field that no form sends, 404."""

    status: int
    html: str


class Site:
    """The pages of a folder.

    Args:
        shelf: the folder.
        static: the pages are written as files: without forms, and with side-by-side pages only for
            `beside_of`.
    """

    def __init__(self, shelf: Shelf, *, static: bool = False) -> None:
        self.shelf, self.static = shelf, static
        self._parted: tuple[tuple[object, ...], Partings] | None = None

    def page(self, path: str, query: Mapping[str, str]) -> Answer:
        """The page at an address below the root, never an exception for what an address or a run
        holds.
        """
        root = "../" * path.count("/")
        for kind, form in addresses.FORMS.items():
            found = form.fullmatch(path)
            if found is None:
                continue
            try:
                asked = Filters.of(query)
                parts = {name: part for name, part in found.groupdict().items() if part is not None}
                shown = getattr(self, f"_{kind}")(asked, **parts)
            except BadAddress as error:
                return self._problem(root, 400, str(error))
            except ValueAgentsError as error:
                return self._problem(root, 404, str(error))
            except OSError as error:  # a run that was moved away just now
                return self._problem(root, 404, f"{error.filename}: {error.strerror}")
            finally:
                self.shelf.make_room()
            if shown is None:
                break
            return Answer(200, self._render(kind, root, **{"asked": asked, **shown}))
        return self._problem(root, 404, "There is no such page: the run may have been moved.")

    def beside_of(self, run: FoundRun, every: Sequence[FoundRun]) -> list[FoundRun]:
        """The runs that are offered beside one: others of its env; in files, the first of them or,
        for the first, all.
        """
        same = [each for each in every if each.env == run.env]
        others = [each for each in same if each.key != run.key]
        return same[:1] if self.static and same[0].key != run.key else others

    def partings(self, first: ShownRun, second: ShownRun) -> Partings:
        """The pairs of two runs' episodes; those of the last two runs are kept."""
        indices = first.index(), second.index()
        if self._parted is None or self._parted[0] != indices:
            same = first.header.seed == second.header.seed
            self._parted = indices, partings(*indices, same_seed=same)
        return self._parted[1]

    def _overview(self, asked: Filters) -> dict[str, Any]:
        found = self.shelf.inventory()
        shown = [run for run in found.runs if _is_asked(run, asked)]
        return {"asked": asked, "found": found, "runs": shown, **_choices(found.runs)}

    def _runs_of(self, asked: Filters, field: str, digest: str) -> dict[str, Any] | None:
        for run in self.shelf.inventory().runs:
            name = getattr(run, field)
            if addresses.runs_of(field, name) == f"{field}/{digest}.html":
                return self._overview(Filters(**{field: name}))
        return None

    def _find(self, asked: Filters, page: str = "1") -> dict[str, Any]:
        every = self.shelf.inventory().runs
        runs = self._opened(run.key for run in every if _is_asked(run, asked))
        listed = self._listed(runs, asked, int(page))
        return {"run": None, "beside": [], "address": addresses.find, **listed, **_choices(every)}

    def _run(self, asked: Filters, key: str, page: str = "1") -> dict[str, Any] | None:
        run = self.shelf.run(key)
        if run is None:
            return None
        about = {
            "run": run,
            "index": run.index(),
            "beside": self.beside_of(run.found, self.shelf.known()),
            "address": lambda number=1: addresses.run(key, number),
            "counts": side_counts(run.index()),
        }
        listed = self._listed([run], asked, int(page))
        return {"asked": asked, **about, **listed, **_choices([])}

    def _by_value(self, asked: Filters, key: str, place: str, side: str) -> dict[str, Any] | None:
        run = self.shelf.run(key)
        if run is None or side not in SIDES or int(place) >= len(run.index().axes):
            return None
        return self._run(Filters(value=run.index().axes[int(place)], side=side), key)

    def _listed(self, runs: Sequence[ShownRun], asked: Filters, number: int) -> dict[str, Any]:
        failed = asked.status == "failed"
        page, rows = (
            failure_rows(runs, asked.find, number) if failed else episode_rows(runs, asked, number)
        )
        axes = {axis.id: axis.name for run in runs for axis in run.header.taxonomy.axes}
        readings = _twice({name for run in runs for name in run.index().readings})
        fields = {"axes": axes, "readings": readings, "sides": SIDES, "statuses": STATUSES}
        return {"page": page, "rows": rows, "failed": failed, **fields}

    def _opened(self, keys: Any) -> list[ShownRun]:
        return [run for run in map(self.shelf.run, keys) if run is not None]

    def _episode(self, asked: Filters, key: str, name: str) -> dict[str, Any] | None:
        run = self.shelf.run(key)
        told = run.transcript(name) if run is not None else None
        if run is None or told is None:
            return None
        beside = [] if self.static else self.beside_of(run.found, self.shelf.known())
        about = {"run": run, "name": name, "beside": beside}
        return {**about, "episode": told[0], "decisions": told[1]}

    def _decision(self, asked: Filters, key: str, name: str, step: str) -> dict[str, Any] | None:
        shown = self._episode(asked, key, name)
        if shown is None or int(step) >= len(shown["decisions"]):
            return None
        asked_then = asked_at(shown["run"].header, shown["episode"], int(step))
        return {**shown, "decision": shown["decisions"][int(step)], "prompt": asked_then}

    def _beside(
        self, asked: Filters, key: str, other: str, page: str = "1"
    ) -> dict[str, Any] | None:
        first, second = self.shelf.run(key), self.shelf.run(other)
        if first is None or second is None:
            return None
        shown: dict[str, Any] = {
            "first": first,
            "second": second,
            "rows": [],
            "pairs": 0,
            "parted": 0,
            "address": lambda number=1: addresses.beside(key, other, number),
        }
        why = why_not(first.header, second.header)
        if why is not None:
            return {**shown, "why": why, "page": paged(0, 1)}
        found = self.partings(first, second)
        kept = np.flatnonzero(found.parted) if asked.pairs != "all" else np.arange(len(found.step))
        part = paged(len(kept), int(page))
        rows = [
            self._pair(first, found, pair)
            for pair in kept[(part.number - 1) * PAGE_ROWS :][:PAGE_ROWS].tolist()
        ]
        parted = np.flatnonzero(found.parted)
        counts = {"pairs": len(found.step), "parted": len(parted)}
        begin = self._pair(first, found, int(parted[0])) if len(parted) else None
        return {**shown, **counts, "why": None, "page": part, "rows": rows, "begin": begin}

    def _pair(self, first: ShownRun, found: Partings, pair: int) -> dict[str, Any]:
        index, episode = first.index(), int(found.first[pair])
        identity, step = index.identity[episode].as_py(), int(found.step[pair])
        return {
            "name": address_name(identity),
            "situation": index.situation[episode].as_py() or f"episode {identity[:12]}",
            "repetition": int(index.repetition[episode]),
            "step": None if step == NEVER else step,
        }

    def _both(self, asked: Filters, key: str, other: str, name: str) -> dict[str, Any] | None:
        first, second = self.shelf.run(key), self.shelf.run(other)
        if first is None or second is None or why_not(first.header, second.header) is not None:
            return None
        side, found = _side(first, name), self.partings(first, second)
        place = pc.index(first.index().identity, side["episode"].identity).as_py()
        pairs = np.flatnonzero(found.first == place)
        if not len(pairs):
            raise StoreError("The second run has no episode that began like this one.")
        partner, step = int(found.second[pairs[0]]), int(found.step[pairs[0]])
        other_side = _side(second, address_name(second.index().identity[partner].as_py()))
        same = _same(side, other_side)
        return {"sides": (side, other_side), "same": same, "step": None if step == NEVER else step}

    def _problem(self, root: str, status: int, message: str) -> Answer:
        return Answer(status, self._render("problem", root, asked=Filters(), message=message))

    def _render(self, kind: str, root: str, **shown: Any) -> str:
        of_all = {"at": addresses, "style": _style(), "policy": policy(in_a_page=True)}
        of_site = {"static": self.static, "folder": str(self.shelf.folder)}
        limits = {"most_beside": MOST_BESIDE, "most_named": MOST_NAMED}
        return _template(kind).render(root=root, **of_all, **of_site, **limits, **shown)


def style_hash() -> str:
    """The hash by which a content security policy knows our style sheet."""
    digest = hashlib.sha256(_style().encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def policy(*, in_a_page: bool = False) -> str:
    """The content security policy: our own style sheet, our own forms, and nothing else; a page
    cannot say by whom it may be framed.
    """
    rules = f"default-src 'none'; style-src '{style_hash()}'; base-uri 'none'; form-action 'self'"
    return rules if in_a_page else f"{rules}; frame-ancestors 'none'"


@cache
def _style() -> str:
    text = files("valueagents.viewer").joinpath("viewer.css").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", text).strip()


@cache
def _template(kind: str) -> jinja2.Template:
    return template(f"{_TEMPLATES.get(kind, kind)}.html.j2", "valueagents.viewer")


def _side(run: ShownRun, name: str) -> dict[str, Any]:
    told = run.transcript(name)
    if told is None:
        raise StoreError("There is no such episode in the run.")
    return {"run": run, "name": name, "episode": told[0], "decisions": told[1]}


def _same(first: dict[str, Any], second: dict[str, Any]) -> list[bool]:
    """At which steps of two episodes text and options are the same, whatever their order."""

    def met(decision: ShownDecision) -> tuple[str, list[tuple[str, str]]]:
        return decision.text, sorted((option.id, option.text) for option in decision.options)

    shown = first["decisions"], second["decisions"]
    both = [met(mine) == met(theirs) for mine, theirs in zip(*shown, strict=False)]
    return both + [False] * (max(map(len, shown)) - len(both))


def _is_asked(run: FoundRun, asked: Filters) -> bool:
    return asked.env in ("", run.env) and asked.policy in ("", run.policy)


def _choices(runs: Sequence[FoundRun]) -> dict[str, list[tuple[str, str]]]:
    """What the lists of envs and policies offer."""
    return {
        "envs": _twice({run.env for run in runs}),
        "policies": _twice({run.policy for run in runs}),
    }


def _twice(names: Iterable[str]) -> list[tuple[str, str]]:
    """As value and as text of a list's entries, sorted."""
    return [(name, name) for name in sorted(names)]
