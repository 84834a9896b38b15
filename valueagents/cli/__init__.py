"""The command line: thin, imports what a command needs when it runs, so that `--help` stays instant.

Exit codes: 0 done; 1 a check failed; 2 bad input, said in one line; 3 a run ended with failed episodes (repeat the
command to try those again); 130 stopped by the keyboard.
"""

import logging
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from valueagents.cli.commands import print_json
from valueagents.errors import ConfigError, ValueAgentsError, unknown_name

if TYPE_CHECKING:
    from valueagents.running.runs import RunConfig

app = typer.Typer(
    name="valueagents",
    help="Measure what language-model agents value from what they do.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunPath = Annotated[Path, typer.Argument(help="A run directory.")]
EnvOptions = Annotated[
    list[str] | None, typer.Option("--env-option", metavar="NAME=VALUE", help="An option of the env; may be repeated.")
]
Primary = Annotated[str | None, typer.Option(help="The one axis named before looking; tested alone.")]


_TWO_SIDES = "Two runs; of training seeds those of the first policy, then as many of the second."


def main() -> None:
    """Run the command line: bad input is one line and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("valueagents").setLevel(logging.INFO)
    known = {command.name for command in app.registered_commands}
    for point in sorted(entry_points(group="valueagents.commands"), key=lambda point: point.name):
        if point.name not in known:
            _plug_in(point.name, point.load())
    try:
        app()
    except ValueAgentsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {str(error.filename2 or error.filename)!r}: {error.strerror}", file=sys.stderr)
        sys.exit(2)


def _plug_in(name: str, command: Any) -> None:
    """Add a command that came by entry point: a function, or a typer app with commands of its own."""
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


@app.callback(invoke_without_command=True)
def _top(show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show_version:
        print(version("valueagents"))
        raise typer.Exit


@app.command()
def run(
    env: Annotated[str | None, typer.Option(help="Env id, e.g. valueagents/Dilemma-v0.")] = None,
    policy: Annotated[str | None, typer.Option(help="Policy spec, e.g. transformers:smollm2-135m.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; an existing one is continued.")] = None,
    env_option: EnvOptions = None,
    episodes: Annotated[int | None, typer.Option(help="Episodes to play; default: every situation once.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run; default 0.")] = None,
    live: Annotated[int | None, typer.Option(help="Episodes in flight; default: the policy's.")] = None,
    timeout_s: Annotated[float | None, typer.Option(help="Seconds for a decision; default 600.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with these options; the command line wins.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Print the plan with an estimate; play nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Let a policy act in an env, or go on with a run."""
    given = {"env": env, "policy": policy, "out": out, "episodes": episodes, "seed": seed, "live": live}
    settings = _settings(config, {**given, "timeout_s": timeout_s}, env_option)
    target = settings.pop("out", None)
    run_config = _run_config(settings)
    if dry_run:
        _print_plan(run_config, target, as_json=as_json)
        return
    if target is None:
        raise ConfigError("run needs --out DIR: the run directory to make or to continue")
    from valueagents.running.progress import show_progress
    from valueagents.running.runs import run as play

    with show_progress(f"{run_config.policy} in {run_config.env}") as progress:
        done = play(run_config, target, progress=progress)
    failed = done.failed()
    summary = {"run": str(done.path), "decisions": done.decisions(["step"]).num_rows, "failed_episodes": len(failed)}
    if as_json:
        print_json(summary)
    else:
        print(f"{done.path}: {summary['decisions']} decisions. Next: valueagents score {done.path}")
    if failed:
        print(f"{len(failed)} episodes failed, the last: {failed[-1].error}: {failed[-1].message}", file=sys.stderr)
        raise typer.Exit(3)


@app.command()
def score(
    path: RunPath,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    annotations: Annotated[Path | None, typer.Option(help="Item file with other values for what was offered.")] = None,
    grouping: Annotated[str | None, typer.Option(help="Score groups of axes, e.g. higher-order or schwartz10.")] = None,
    as_json: Json = False,
) -> None:
    """Print E1-E5 of a run with intervals and counts."""
    from valueagents.cli.terminal import print_scores
    from valueagents.measuring.scores import score as score_run

    scores = score_run(path, seed=seed, annotations=annotations, grouping=grouping)
    if as_json:
        print_json(scores)
        return
    print_scores(scores)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help=_TWO_SIDES)],
    primary: Primary = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and of drawn flips.")] = 0,
    as_json: Json = False,
) -> None:
    """Print paired differences, first minus second policy."""
    from valueagents.cli.terminal import print_comparison
    from valueagents.measuring.comparison import compare as compare_runs
    from valueagents.measuring.comparison import two_sides

    first, second = two_sides(runs)
    comparison = compare_runs(first, second, primary=primary, seed=seed)
    if as_json:
        print_json(comparison)
        return
    print_comparison(comparison)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help=f"One run directory; or to compare: {_TWO_SIDES}")],
    out: Annotated[Path | None, typer.Option(help="HTML file; default: report.html in the first run.")] = None,
    primary: Primary = None,
) -> None:
    """Write an HTML report on one run, or on two policies compared."""
    from valueagents.report import write_report

    print(write_report(runs, out or runs[0] / "report.html", primary=primary))


@app.command()
def envs(as_json: Json = False) -> None:
    """List the worlds and their options."""
    _list_plugins("valueagents.envs", as_json=as_json)


@app.command()
def policies(as_json: Json = False) -> None:
    """List the minds and their options."""
    _list_plugins("valueagents.policies", as_json=as_json)


@app.command()
def taxonomies(
    taxonomy: Annotated[str | None, typer.Argument(help="Show the axes of this one.")] = None, as_json: Json = False
) -> None:
    """List the taxonomies, or the axes of one."""
    from valueagents.cli.terminal import print_table, table
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


@app.command()
def check(env: str, env_option: EnvOptions = None, as_json: Json = False) -> None:
    """Put an env to the promises of ValueEnv."""
    from valueagents.contracts.conformance import check_other_process, check_value_env
    from valueagents.contracts.plugins import make_env

    options = _pairs(env_option)
    make_env(env, **options)
    checks = [*check_value_env(lambda: make_env(env, **options)), check_other_process(env, options)]
    if as_json:
        print_json(checks)
    else:
        for each in checks:
            print(f"ok    {each.promise}" if each.problem is None else f"FAIL  {each.promise}: {each.problem}")
    if any(each.problem is not None for each in checks):
        raise typer.Exit(1)


@app.command()
def play(
    env: str,
    env_option: EnvOptions = None,
    seed: Annotated[int, typer.Option(help="Seed of the episode.")] = 0,
    menu: Annotated[bool, typer.Option(help="Show the options.")] = True,
    ledger: Annotated[bool, typer.Option(help="Show at the end what the choices did to the values.")] = False,
) -> None:
    """Play an env by hand in the terminal."""
    from valueagents.cli.by_hand import play as play_by_hand
    from valueagents.contracts.plugins import make_env

    world = make_env(env, **_pairs(env_option))
    try:
        play_by_hand(world, seed=seed, ask=input, say=print, menu=menu, ledger=ledger)
    except EOFError:
        print("\n(stopped)")
    finally:
        world.close()


def _settings(config: Path | None, given: dict[str, Any], env_option: list[str] | None) -> dict[str, Any]:
    """The options of a run: the TOML file's, overridden by those given on the command line."""
    settings: dict[str, Any] = {}
    if config is not None:
        try:
            settings = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"config file {str(config)!r} cannot be read: {error}") from error
        for name in settings:
            if name not in {*given, "env_options"}:
                raise ConfigError(f"{config}: " + unknown_name("setting", name, [*given, "env_options"]))
    settings.update({name: value for name, value in given.items() if value is not None})
    if env_option:
        settings["env_options"] = {**settings.get("env_options", {}), **_pairs(env_option)}
    for name in ("env", "policy"):
        if name not in settings:
            raise ConfigError(f"run needs --{name}; `valueagents {'envs' if name == 'env' else 'policies'}` lists them")
    return settings


def _run_config(settings: dict[str, Any]) -> "RunConfig":
    import msgspec

    from valueagents.running.runs import RunConfig

    try:
        return msgspec.convert(settings, RunConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"bad setting: {error}") from error


def _pairs(options: list[str] | None) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise ConfigError(f"--env-option {option!r}: write NAME=VALUE")
        pairs[name] = value
    return pairs


def _print_plan(config: "RunConfig", out: Path | None, *, as_json: bool) -> None:
    from valueagents.running.runs import plan

    planned = plan(config, out)
    if as_json:
        print_json(planned)
        return
    print(f"{config.policy} in {config.env}")
    print(f"plan: {planned.episodes} episodes over {planned.situations or 'unlisted'} situations")
    print(f"owed: {planned.owed} episodes ({planned.episodes - planned.owed} are finished)")
    if planned.characters is not None:
        print(f"text to read: about {planned.characters / 4:,.0f} tokens")
    time = f"about {planned.estimate_s:,.0f} s" if planned.estimate_s is not None else "unknown; try --episodes 5 first"
    print(f"time: {time}")


def _list_plugins(group: str, *, as_json: bool) -> None:
    import inspect

    from valueagents.cli.terminal import print_table, table
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
