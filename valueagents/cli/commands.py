"""Further commands of the core, found by entry point; each imports what it needs when it runs."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from valueagents.errors import ConfigError

if TYPE_CHECKING:
    from valueagents.measuring.inference import Estimate
    from valueagents.running.runs import Run

Direction = Literal["down", "up"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Runs = Annotated[list[Path], typer.Argument(help="Run directories.")]
Page = Annotated[Path | None, typer.Option(help="HTML page to write.")]


_REPLAY = "valueagents/Replay-v0"


def replay(
    policy: Annotated[list[str], typer.Option(help="Policy spec; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Folder for the pool and a run directory for each policy.")],
    pool: Annotated[
        list[Path] | None, typer.Option(help="Run to pool; may be repeated. Left out: the frozen pool.")
    ] = None,
    decisions: Annotated[int, typer.Option(min=1, help="Distinct situations in the pool.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample and of the runs.")] = 0,
    live: Annotated[int | None, typer.Option(min=1, help="Episodes in flight; default: the policy's.")] = None,
    as_json: Json = False,
) -> None:
    """Ask policies the same questions: stored decisions of several runs."""
    from valueagents.contracts.plugins import make_policy
    from valueagents.running.pool import freeze_pool
    from valueagents.running.progress import show_progress
    from valueagents.running.runs import RunConfig, run

    folders = {spec: out / run_folder(spec) for spec in policy}
    if len(set(folders.values())) < len(policy):
        raise ConfigError("two policies would share a run directory; replay them into different --out folders")
    for spec in policy:
        make_policy(spec).identity()  # a wrong spec or adapter is said before the first policy plays
    file = freeze_pool(out, pool or [], decisions=decisions, seed=seed)
    done: list[Run] = []
    for spec, folder in folders.items():
        config = RunConfig(env=_REPLAY, env_options={"pool": str(file)}, policy=spec, seed=seed, live=live)
        with show_progress(f"{spec} on {file}") as progress:
            done.append(run(config, folder, progress=progress))
    failed = {str(each.path): len(each.failed()) for each in done}
    if as_json:
        print_json({"pool": str(file), "runs": [{"run": run, "failed_episodes": n} for run, n in failed.items()]})
    else:
        for each in done:
            print(f"{each.path}: {each.decisions().num_rows} decisions")
    if any(failed.values()):
        print(f"{sum(failed.values())} episodes failed; the same command tries them again", file=sys.stderr)
        raise typer.Exit(3)


def run_folder(spec: str) -> str:
    """The name of a policy's run directory: its spec, but for what folders are not named with."""
    return re.sub(r"[^\w.=,+-]", "_", spec)


def print_json(value: object) -> None:
    """Print a record as indented JSON."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def intervention(
    moved: Annotated[Path, typer.Argument(help="Run of the adapter that was meant to move a value.")],
    control: Annotated[
        Path, typer.Argument(help="Run of its control adapter, same method and seed, in the same world.")
    ],
    target: Annotated[list[str], typer.Option(help="Axis that was to move; may be repeated.")],
    direction: Annotated[Direction, typer.Option(help="down or up.")] = "down",
    control_repeat: Annotated[
        Path | None, typer.Option(help="Run of a control of another seed: the noise floor.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What did an adapter do (E8)? Target shift, drift, selectivity, circle slope, competence, against its control."""
    from valueagents.measuring.studies import intervention_metrics
    from valueagents.running.runs import Run

    repeat = None if control_repeat is None else Run(control_repeat)
    found = intervention_metrics(Run(moved), Run(control), tuple(target), control_repeat=repeat, direction=direction)
    if as_json:
        print_json(found)
        return
    said = f"{found.situations} situations met by both, {found.clusters} clusters"
    print(f"{', '.join(target)} {direction}, from the {found.form} form: {said}")
    for name, estimate in (
        ("target shift", found.target_shift),
        ("drift of the other values", found.drift),
        ("drift between two controls", found.noise_drift),
        ("net drift", found.net_drift),
        ("selectivity", found.selectivity),
        ("circle slope", found.circle_slope),
        ("reward an episode", found.score_change),
        ("episodes that ended by themselves", found.completion_change),
        ("invalid answers", found.invalid_change),
    ):
        print(f"{name:34}{shown(estimate, 3)}")


def circle(runs: Runs, out: Page = None, as_json: Json = False) -> None:
    """Do the values of many policies run round the circle? One run a policy."""
    from valueagents.measuring.many.circle import circle_check
    from valueagents.measuring.many.profiles import profiles
    from valueagents.report import write_circle_page
    from valueagents.running.runs import Run

    opened = [Run(path) for path in runs]
    table = profiles(opened)
    check = circle_check(table.of(), table.taxonomy, menus=table.menus)
    if as_json:
        print_json(check)
    elif check.r_cos.value is None:
        print(f"no circle: {check.r_cos.reason}")
    else:
        print(f"r(cos) {shown(check.r_cos)}, p = {check.p:.4f} ({check.units} policies, {len(check.axes)} values)")
        if check.menus_alone is not None:
            print(f"these menus alone would give r(cos) {check.menus_alone:+.2f} to policies with independent values")
        for each in check.oppositions:
            print(f"{each.first} - {each.second} {shown(each.correlation)}")
        print(
            f"people: r(cos) {shown(check.humans.r_cos)}, {check.humans.oppositions[0]}, {check.humans.oppositions[1]}"
        )
    if out is not None:
        print(write_circle_page(opened, out), file=sys.stderr if as_json else sys.stdout)


def validity(runs: Runs, out: Page = None, as_json: Json = False) -> None:
    """Do several worlds say the same of the same policies, and each the same again?"""
    from valueagents.measuring.many.multimethod import validity as validity_of
    from valueagents.report import write_validity_page
    from valueagents.running.runs import Run

    opened = [Run(path) for path in runs]
    found = validity_of(opened)
    if as_json:
        print_json(found)
    else:
        for pair in found.pairs:
            print(f"{pair.first} - {pair.second}: same value {shown(pair.convergent)},", end=" ")
            print(f"other values {shown(pair.discriminant)}, profile of a policy {shown(pair.profile)}")
        for each in found.reliabilities:
            print(f"{each.method}, {each.kind}: {shown(each.value)}")
    if out is not None:
        print(write_validity_page(opened, out), file=sys.stderr if as_json else sys.stdout)


def shown(estimate: "Estimate", digits: int = 2) -> str:
    """A number with its interval and caution, or why there is none."""
    from valueagents.cli.terminal import with_interval

    if estimate.value is None:
        return f"- ({estimate.reason})"
    return with_interval(estimate, digits) + (f" ({estimate.reason})" if estimate.reason else "")
