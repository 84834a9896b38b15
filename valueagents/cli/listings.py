"""`valueagents envs`, `policies`, `taxonomies`, `estimators`: what is installed, and what its options are."""

from typing import Annotated, Any

import typer

from valueagents.cli.options import Json
from valueagents.cli.tables import print_json, print_table, table


def envs(as_json: Json = False) -> None:
    """List the envs and their options."""
    _list_plugins("valueagents.envs", as_json=as_json)


def policies(as_json: Json = False) -> None:
    """List the policies and their options."""
    _list_plugins("valueagents.policies", as_json=as_json)


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
            "command": each.command or ("valueagents score" if each.of_one_run else "valueagents compare"),
        }
        for each in every()
    ]
    if as_json:
        print_json(rows)
        return
    listing = table("id", "name", "meaning", "needs", "unit", "command")
    for row in rows:
        listing.add_row(*(row[name] for name in ("id", "name", "meaning", "needs", "unit", "command")))
    print_table(listing)


def taxonomies(
    taxonomy: Annotated[str | None, typer.Argument(help="Show the axes of this one.")] = None, as_json: Json = False
) -> None:
    """List the taxonomies, or the axes of one."""
    from valueagents.taxonomy import load_taxonomy, taxonomy_ids

    if taxonomy is not None:
        shown = load_taxonomy(taxonomy)
        if as_json:
            print_json(shown)
            return
        listing = table("axis", "name", "wants")
        for axis in shown.axes:
            listing.add_row(axis.id, axis.name, axis.wants)
    else:
        known = [load_taxonomy(name) for name in taxonomy_ids()]
        if as_json:
            print_json([{"id": t.id, "version": t.version, "axes": len(t.axes), "source": t.source} for t in known])
            return
        listing = table("taxonomy", "axes", "source")
        for each in known:
            listing.add_row(each.name, str(len(each.axes)), each.source)
    print_table(listing)


def _list_plugins(group: str, *, as_json: bool) -> None:
    import inspect

    from valueagents.contracts.plugins import load, names, option_names

    rows: list[dict[str, Any]] = []
    for name in names(group):
        maker = load(group, name)
        known = option_names(maker)
        options = {o: "required" if default is inspect.Parameter.empty else default for o, default in known.items()}
        rows.append({"name": name, "summary": (inspect.getdoc(maker) or "").split("\n")[0], "options": options})
    if as_json:
        print_json(rows)
        return
    listing = table("name", "what it is", "options")
    for row in rows:
        listing.add_row(
            row["name"], row["summary"], ", ".join(o if v is None else f"{o}={v}" for o, v in row["options"].items())
        )
    print_table(listing)
