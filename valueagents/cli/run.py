"""`valueagents run`: let a policy act in an env, or go on with a run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from valueagents.cli.options import MAX_SEED, EnvOptions, Json, pairs
from valueagents.cli.tables import print_json
from valueagents.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from valueagents.running.execution import RunConfig


def run(
    env: Annotated[
        str | None, typer.Option(help="Env id, e.g. valueagents/Dilemma-v0, or FILE.py:CLASS.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="Policy spec, e.g. transformers:smollm2-135m, or FILE.py:NAME."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory; an existing one is continued.")
    ] = None,
    env_option: EnvOptions = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Episodes to play; default: every situation once.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_SEED, help="Seed of the run; default 0.")
    ] = None,
    live: Annotated[
        int | None, typer.Option(min=1, help="Episodes in flight; default: the policy's.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Play the K-th of N parts, in a folder of its own in --out; auto: as SLURM,"
            " SkyPilot or torchrun say.",
        ),
    ] = None,
    timeout_s: Annotated[
        float | None, typer.Option(min=0, help="Seconds for a decision; default 600.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with these options; the command line wins.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Print the plan with an estimate; play nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let a policy act in an env, or go on with a run."""
    given = {
        "env": env,
        "policy": policy,
        "out": out,
        "episodes": episodes,
        "seed": seed,
        "live": live,
        "shard": shard,
    }
    settings = _settings(config, {**given, "timeout_s": timeout_s}, env_option)
    target = settings.pop("out", None)
    run_config = _run_config(settings)
    if dry_run:
        with _of_file(config):
            _print_plan(run_config, target, as_json=as_json)
        return
    if target is None:
        raise ConfigError("run needs --out DIR: the run directory to make or to continue")
    from valueagents.measuring.counts import count
    from valueagents.measuring.wholly import told_of_all
    from valueagents.running.progress import show_progress
    from valueagents.running.start import run as start

    what = f"{run_config.policy} in {run_config.env}"
    with _of_file(config), show_progress(what) as progress:
        done = start(
            run_config.env,
            run_config.policy,
            target,
            episodes=run_config.episodes,
            seed=run_config.seed,
            env_options=run_config.env_options,
            live=run_config.live,
            shard=run_config.shard,
            timeout_s=run_config.timeout_s,
            progress=progress,
        )
    failed = done.failed()
    summary = {
        "run": str(done.path),
        "decisions": done.decisions(["step"]).num_rows,
        "failed_episodes": len(failed),
    }
    if as_json:
        print_json(summary)
    else:
        whole = done.path if run_config.shard is None else target
        print(f"{done.path}: {summary['decisions']} decisions. Next: valueagents score {whole}")
    if failed:
        print(
            f"{len(failed)} episodes failed, the last: {failed[-1].error}: {failed[-1].message}",
            file=sys.stderr,
        )
    for problem in done.problems():
        print(f"warning: {problem}", file=sys.stderr)
    for remark in done.remarks():
        print(f"note: {remark}", file=sys.stderr)
    counts = count(done)
    told = told_of_all(counts)
    if told is not None:
        print(f"warning: {told}", file=sys.stderr)
    unread = 0 < counts.decisions == counts.unread
    if failed or unread:
        raise typer.Exit(3)


@contextmanager
def _of_file(config: Path | None) -> Iterator[None]:
    """A wrong setting is said with the file that it may come from."""
    try:
        yield
    except ConfigError as error:
        if config is None:
            raise
        raise ConfigError(f"config file {str(config)!r}: {error}") from error


def _settings(
    config: Path | None, given: dict[str, Any], env_option: list[str] | None
) -> dict[str, Any]:
    """The options of a run: the TOML file's, overridden by those given on the command line."""
    settings: dict[str, Any] = {}
    if config is not None:
        from valueagents.files.text import decode_toml, read_text

        name = f"config file {str(config)!r}"
        try:
            settings = decode_toml(name, read_text(config))
        except OSError as error:
            raise ConfigError(f"{name} cannot be read: {error.strerror}") from error
        _check_types(name, settings)
        for name in settings:
            if name not in {*given, "env_options"}:
                raise ConfigError(
                    f"{config}: " + unknown_name("setting", name, [*given, "env_options"])
                )
    settings.update({name: value for name, value in given.items() if value is not None})
    if env_option:
        settings["env_options"] = {**settings.get("env_options", {}), **pairs(env_option)}
    for name in ("env", "policy"):
        if name not in settings:
            raise ConfigError(
                f"run needs --{name}; `valueagents {'envs' if name == 'env' else 'policies'}` lists"
                " them"
            )
    return settings


def _check_types(name: str, settings: dict[str, Any]) -> None:
    """Raise ConfigError for a setting of a file that has another type than it should."""
    import msgspec

    from valueagents.running.execution import RunConfig

    fields = {field.name: field.type for field in msgspec.structs.fields(RunConfig)} | {"out": str}
    for setting, value in settings.items():
        try:
            msgspec.convert(value, fields.get(setting, Any))
        except msgspec.ValidationError as error:
            raise ConfigError(f"{name}: {setting} = {value!r:.80}: {error}") from error


def _run_config(settings: dict[str, Any]) -> "RunConfig":
    import msgspec

    from valueagents.running.execution import RunConfig

    try:
        return msgspec.convert(settings, RunConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"bad setting: {error}") from error


def _print_plan(config: "RunConfig", out: Path | None, *, as_json: bool) -> None:
    from valueagents.running.execution import plan

    planned = plan(config, out)
    if as_json:
        print_json(planned)
        return
    print(f"{config.policy} in {config.env}")
    print(f"plan: {planned.episodes} episodes over {planned.situations or 'unlisted'} situations")
    print(f"owed: {planned.owed} episodes ({planned.episodes - planned.owed} are finished)")
    if planned.characters is not None:
        print(f"text to read: about {planned.characters / 4:,.0f} tokens")
    time = (
        f"about {planned.estimate_s:,.0f} s"
        if planned.estimate_s is not None
        else "unknown; try --episodes 5 first"
    )
    print(f"time: {time}")
