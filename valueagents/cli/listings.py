"""`valueagents envs`, `policies`, `taxonomies`, `estimators`: what is installed, and what its
options are.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from valueagents.cli.options import Json
from valueagents.cli.tables import print_json, print_table, table

if TYPE_CHECKING:
    from valueagents.contracts.plugins import PluginDoc
    from valueagents.taxonomy import Taxonomy


PluginName = Annotated[str | None, typer.Argument(help="Explain this one and every option of it.")]


def envs(name: PluginName = None, as_json: Json = False) -> None:
    """List the envs, or explain the options of one."""
    _show("valueagents.envs", name, as_json=as_json)


def policies(name: PluginName = None, as_json: Json = False) -> None:
    """List the policies, or explain the options of one."""
    _show("valueagents.policies", name, as_json=as_json)


def estimators(as_json: Json = False) -> None:
    """List the estimators: formula, what they need, unit, source."""
    from valueagents.measuring.estimators.registry import estimators as every

    rows = [
        {
            "id": each.id,
            "name": each.name,
            "meaning": each.meaning,
            "formula": each.formula,
            "needs": each.needs,
            "unit": each.unit,
            "source": each.source,
            "command": (
                each.command or ("valueagents score" if each.of_one_run else "valueagents compare")
            ),
        }
        for each in every()
    ]
    if as_json:
        print_json(rows)
        return
    listing = table("id", "name", "meaning", "needs", "unit", "command")
    for row in rows:
        listing.add_row(
            *(row[name] for name in ("id", "name", "meaning", "needs", "unit", "command"))
        )
    print_table(listing)


def taxonomies(
    taxonomy: Annotated[
        str | None, typer.Argument(help="Show the axes of this one: an id, or a .toml file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the taxonomies, or the axes and groups of one, perhaps in a file of yours."""
    from valueagents.taxonomy import load_taxonomy, taxonomy_ids

    if taxonomy is not None:
        shown = load_taxonomy(taxonomy)
        if as_json:
            print_json(shown)
        else:
            _print_taxonomy(shown)
        return
    known = [load_taxonomy(name) for name in taxonomy_ids()]
    if as_json:
        print_json(
            [
                {"id": t.id, "version": t.version, "axes": len(t.axes), "source": t.source}
                for t in known
            ]
        )
        return
    listing = table("taxonomy", "axes", "source")
    for each in known:
        listing.add_row(each.name, str(len(each.axes)), each.source)
    print_table(listing)


def _print_taxonomy(shown: "Taxonomy") -> None:
    """The axes, with their angles if there is a circle, and the members of every group."""
    angles = shown.angles
    listing = table("axis", *(["angle"] if angles is not None else []), "name", "wants")
    for axis in shown.axes:
        angle = [] if angles is None else [f"{angles[axis.id]:.0f}°" if axis.id in angles else "–"]
        listing.add_row(axis.id, *angle, axis.name, axis.wants)
    print_table(listing)
    for grouping, groups in shown.groupings.items():
        held = "; ".join(f"{group} {', '.join(members)}" for group, members in groups.items())
        print(f"grouping {grouping}: {held}")


def _show(group: str, name: str | None, *, as_json: bool) -> None:
    from valueagents.contracts.plugins import explain, listing

    if name is not None:
        doc = explain(group, name)
        if as_json:
            print_json(doc)
        else:
            _explain(doc)
        return
    found = listing(group)
    if as_json:
        print_json(found)
        return
    rows = table("name", "what it is", "options")
    for each in found:
        rows.add_row(each.name, each.summary, ", ".join(option.name for option in each.options))
    print_table(rows)


def _explain(doc: "PluginDoc") -> None:
    """What it is, what its target is, and a line for every option."""
    print(f"{doc.name}: {doc.summary}")
    if doc.target is not None:
        print(f"target: {doc.target or 'what comes after the colon of the spec'}")
    rows = table("option", "type", "default", "what it does")
    for option in doc.options:
        rows.add_row(option.name, option.type, option.default, option.does)
    if doc.options:
        print_table(rows)
    else:
        print("It has no options.")
