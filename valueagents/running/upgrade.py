"""What schema 1 lacked, added in reading: the one place that knows the ids in which schema 1 hid
facts.

Schema 2 has `factors`: a run's header declares them, a decision holds the levels of its menu.
Schema 1 had neither, but the bundled item envs built their situations from such facts. Functions
here take and give decoded JSON and leave whatever they do not know as it is.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from valueagents.taxonomy import load_taxonomy, taxonomy_ids

Raw = dict[str, Any]

_ITEM = {"name": "item", "meaning": "The id of the item that was met."}
_SURVEY = (
    {"name": "item", "meaning": "The pair of statements, which speak for and against one value."},
    {
        "name": "pole",
        "meaning": "Whether the statement speaks for its value or against it.",
        "levels": ["affirm", "oppose"],
    },
    {
        "name": "variant",
        "meaning": "The prompt variant: a way of asking and a template of the answer.",
    },
)
_DECLARED: dict[str, tuple[Raw, ...]] = {
    "valueagents/Dilemma-v0": (_ITEM,),
    "valueagents/Judgement-v0": (_ITEM,),
    "valueagents/Sanity-v0": (_ITEM,),
    "valueagents/Survey-v0": _SURVEY,
}


def upgraded_header(raw: Raw) -> Raw:
    """The header of a run in schema 2: with its factors, and its taxonomy as it is bundled now.

    A header that is not of schema 1 is given back as it is.
    """
    if raw.get("schema") != 1:
        return raw
    added = {"schema": 2, "factors": list(_DECLARED.get(str(raw.get("env")), ()))}
    return {**raw, **added, "taxonomy": bundled_taxonomy(raw.get("taxonomy"))}


def upgraded_episode(raw: Raw, header: Mapping[str, Any]) -> Raw:
    """An episode in schema 2, its decisions with the levels that its situation names; `header` is
    that of its run.

    An episode that is not of schema 1 is given back as it is.
    """
    if raw.get("schema") != 1:
        return raw
    levels = _levels(str(header["env"]), raw.get("situation"))
    decisions = raw["decisions"]
    if levels:
        decisions = [{**decision, "factors": levels} for decision in decisions]
    return {**raw, "schema": 2, "decisions": decisions}


def bundled_taxonomy(stored: Any) -> Any:
    """The bundled taxonomy where the stored one is the same but for fields added since; else what
    is stored.
    """
    if not isinstance(stored, dict) or stored.get("id") not in taxonomy_ids():
        return stored
    bundled: Raw = msgspec.json.decode(msgspec.json.encode(load_taxonomy(stored["id"])))
    same = stored.get("version") == bundled["version"] and _same_axes(
        stored.get("axes"), bundled["axes"]
    )
    return bundled if same else stored


def _levels(env: str, situation: str | None) -> dict[str, str]:
    """Factor -> level, as schema 1 wrote it into the id of a situation."""
    if situation is None or env not in _DECLARED:
        return {}
    names = [factor["name"] for factor in _DECLARED[env]]
    parts = situation.rsplit(
        "/", len(names) - 1
    )  # a survey's is pair/pole/variant, and a pair may hold a "/"
    return dict(zip(names, parts, strict=True)) if len(parts) == len(names) else {}


def _same_axes(stored: Any, bundled: list[Raw]) -> bool:
    """True if the axes are the same in the same order, in all fields that are stored."""
    if not isinstance(stored, list) or len(stored) != len(bundled):
        return False
    pairs = zip(stored, bundled, strict=True)
    return all(isinstance(then, dict) and then.items() <= now.items() for then, now in pairs)
