"""`valueagents replay`: freeze decisions of several runs, and put them to every policy (E7)."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from valueagents.cli.options import Json, seed_option
from valueagents.cli.tables import print_json
from valueagents.errors import ConfigError

_REPLAY = "valueagents/Replay-v0"


def replay(
    policy: Annotated[list[str], typer.Option(help="Policy spec; may be repeated.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the pool and a run directory for each policy.")
    ],
    pool: Annotated[
        list[Path] | None,
        typer.Option(help="Run to pool; may be repeated. Left out: the frozen pool."),
    ] = None,
    decisions: Annotated[int, typer.Option(min=1, help="Distinct situations in the pool.")] = 1000,
    seed: Annotated[int, seed_option("the sample and of the runs")] = 0,
    live: Annotated[
        int | None, typer.Option(min=1, help="Episodes in flight; default: the policy's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask policies the same questions: stored decisions of several runs."""
    from valueagents.contracts.plugins import make_policy
    from valueagents.running.execution import RunConfig, execute
    from valueagents.running.pool import freeze_pool
    from valueagents.running.progress import show_progress
    from valueagents.running.runs import Run

    folders = {spec: out / run_folder(spec) for spec in policy}
    if len(set(folders.values())) < len(policy):
        raise ConfigError(
            "two policies would share a run directory; replay them into different --out folders"
        )
    for spec in policy:
        make_policy(
            spec
        ).identity()  # a wrong spec or adapter is said before the first policy plays
    for path in pool or []:
        for problem in Run(path).problems():
            print(f"warning: {path}: {problem}", file=sys.stderr)
    file = freeze_pool(out, pool or [], decisions=decisions, seed=seed)
    done: list[Run] = []
    for spec, folder in folders.items():
        config = RunConfig(
            env=_REPLAY, env_options={"pool": str(file)}, policy=spec, seed=seed, live=live
        )
        with show_progress(f"{spec} on {file}") as progress:
            done.append(execute(config, folder, progress=progress))
    failed = {str(each.path): len(each.failed()) for each in done}
    if as_json:
        print_json(
            {
                "pool": str(file),
                "runs": [{"run": run, "failed_episodes": n} for run, n in failed.items()],
            }
        )
    else:
        for each in done:
            print(f"{each.path}: {each.decisions().num_rows} decisions")
    if any(failed.values()):
        print(
            f"{sum(failed.values())} episodes failed; the same command tries them again",
            file=sys.stderr,
        )
        raise typer.Exit(3)


def run_folder(spec: str) -> str:
    """The name of a policy's run directory: its spec, but for what folders are not named with."""
    return re.sub(r"[^\w.=,+-]", "_", spec)
