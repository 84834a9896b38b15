"""Flags of the command line made from an engine's declared options, so that a command need not
repeat them.
"""

import inspect
from collections.abc import Callable, Collection
from typing import Annotated, TypeVar

import msgspec
import typer

from valueagents.contracts.options import Declared, declared, option_doc

Command = TypeVar("Command", bound=Callable[..., None])


def with_option_flags(
    options: type[msgspec.Struct], *, without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """A decorator: the command's `**given` becomes a flag for each declared option, named, typed
    and explained there.

    The command gets the texts of those that were given, to be converted by `make_options` as
    everywhere else.
    """
    flags = [_flag(each) for each in declared(options) if each.name not in without]

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        command.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
        command.__annotations__ |= {flag.name: flag.annotation for flag in flags}
        return command

    return decorate


def _flag(option: Declared) -> inspect.Parameter:
    """A keyword parameter as typer reads one; None = not given."""
    doc = option_doc(option)
    help_text = doc.does if option.default is None else f"{doc.does} [default: {doc.default}]"
    annotation = Annotated[str | None, typer.Option(metavar=doc.type, help=help_text)]
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )
