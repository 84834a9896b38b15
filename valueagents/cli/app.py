"""The commands, and what becomes of their errors."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from valueagents.cli.agreement import agreement
from valueagents.cli.annotate import annotate
from valueagents.cli.check import check
from valueagents.cli.circle import circle
from valueagents.cli.compare import compare
from valueagents.cli.export import export
from valueagents.cli.intervention import intervention
from valueagents.cli.listings import envs, estimators, policies, taxonomies
from valueagents.cli.merge import merge
from valueagents.cli.metric import metric
from valueagents.cli.play import play
from valueagents.cli.report import report
from valueagents.cli.run import run
from valueagents.cli.runs import runs
from valueagents.cli.score import score
from valueagents.cli.validity import validity
from valueagents.cli.view import view
from valueagents.contracts.plugins import commands
from valueagents.errors import ConfigError, ValueAgentsError

COMMANDS = (
    run,
    runs,
    merge,
    score,
    compare,
    agreement,
    report,
    view,
    export,
    intervention,
    metric,
    circle,
    validity,
    envs,
    policies,
    taxonomies,
    estimators,
    check,
    play,
    annotate,
)

_UsageError: Any = typer.BadParameter.__base__  # wherever this version of typer has it
_LONGEST = 400


class _Commands(TyperGroup):
    """The commands: what is wrong with the words of one is told as all other errors are."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _told_as_ours():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        with _told_as_ours():
            return super().invoke(ctx)


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """Raises ConfigError, of one line, for an option or argument that is missing, unknown or out of
    range.
    """
    try:
        yield
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # no error: help was asked for
            raise
        said = " ".join(error.format_message().split()).removesuffix(".")
        if len(said) > _LONGEST:
            said = f"{said[:_LONGEST]}…"
        command = error.ctx.command_path if error.ctx is not None else "valueagents"
        end = "" if said.endswith("?") else ";"
        raise ConfigError(f"{said}{end} see {command} --help") from None


app = typer.Typer(
    name="valueagents",
    cls=_Commands,
    help="Measure what language-model agents value from what they do.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
for command in COMMANDS:
    app.command()(command)


def run_command() -> None:
    """Do what the words of the command line say. Raises SystemExit with the code, always."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("valueagents").setLevel(logging.INFO)
    known = {command.__name__ for command in COMMANDS}
    for name, plugged_in in commands().items():
        if name not in known:
            _plug_in(name, plugged_in)
    try:
        _require_utf8(sys.argv[1:])
        app()
    except ValueAgentsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        place = str(error.filename2 or error.filename)
        print(f"error: {place!r}: {error.strerror}", file=sys.stderr)
        sys.exit(2)


def _require_utf8(words: list[str]) -> None:
    """Raise ConfigError for a word that is not UTF-8: names stand in files that are."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"{word!r} is not UTF-8; rename the file, or set LANG to UTF-8"
            ) from None


def _plug_in(name: str, command: Any) -> None:
    """Add a command that came by entry point: a function, or a typer app with commands of its
    own.
    """
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name)
    else:
        app.command(name)(command)


@app.callback(invoke_without_command=True)
def _top(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(help="Which messages go to standard error and into a run's log."),
    ] = "info",
) -> None:
    logging.getLogger("valueagents").setLevel(log_level.upper())
    if show_version:
        print(version("valueagents"))
        raise typer.Exit
