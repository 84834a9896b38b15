"""`valueagents merge`: the shards of a run as one run directory."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from valueagents.cli.options import Json, RunFolders
from valueagents.cli.tables import print_json


def merge(
    runs: RunFolders,
    out: Annotated[Path, typer.Option(help="Run directory to make; nothing may be there.")],
    as_json: Json = False,
) -> None:
    """Join the shards of a run, or parts of it from several machines, to one run directory."""
    from valueagents.running.inventory import count_episodes
    from valueagents.running.merging import merge as join

    merged = join(runs, out)
    finished, failed = count_episodes(merged.store)
    if as_json:
        print_json({"run": str(out), "finished": finished, "failed": failed})
    else:
        print(f"{out}: {finished} episodes. Next: valueagents score {out}")
    for problem in merged.problems():
        print(f"warning: {problem}", file=sys.stderr)
