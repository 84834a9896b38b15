"""The command line: one file a command, thin, each imports what it needs when it runs, so that
`--help` stays instant.

Exit codes: 0 done; 1 a check failed; 2 bad input, said in one line; 3 a run ended with failed
episodes (repeat the command to try those again); 130 stopped by the keyboard.
"""

import logging
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer

from valueagents.cli.check import check
from valueagents.cli.circle import circle
from valueagents.cli.compare import compare
from valueagents.cli.intervention import intervention
from valueagents.cli.listings import envs, estimators, policies, taxonomies
from valueagents.cli.metric import metric
from valueagents.cli.play import play
from valueagents.cli.report import report
from valueagents.cli.run import run
from valueagents.cli.score import score
from valueagents.cli.validity import validity
from valueagents.contracts.plugins import commands
from valueagents.errors import ValueAgentsError

COMMANDS = (
    run,
    score,
    compare,
    report,
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
)

app = typer.Typer(
    name="valueagents",
    help="Measure what language-model agents value from what they do.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run the command line: bad input is one line and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("valueagents").setLevel(logging.INFO)
    known = {command.__name__ for command in COMMANDS}
    for name, plugged_in in commands().items():
        if name not in known:
            _plug_in(name, plugged_in)
    try:
        app()
    except ValueAgentsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(
            f"error: {str(error.filename2 or error.filename)!r}: {error.strerror}", file=sys.stderr
        )
        sys.exit(2)


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
) -> None:
    if show_version:
        print(version("valueagents"))
        raise typer.Exit
