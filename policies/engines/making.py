"""Engines by name: registered under `valueagents.engines`, ours exactly as anybody's, made from
options in any form.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from valueagents.contracts.options import make_options
from valueagents.contracts.plugins import load
from valueagents.policies.engines.engine import Engine

ENGINES = "valueagents.engines"


def load_engine(name: str) -> type[Engine]:
    """The engine class of that name.

    Raises ConfigError if it is unknown, broken or not an engine.
    """
    return cast(type[Engine], load(ENGINES, name, Engine))


def make_engine(
    name: str,
    target: str,
    options: Mapping[str, object] | None = None,
    adapters: Sequence[str] = (),
) -> Engine:
    """An engine of that name, nothing loaded. Option values may be texts, as in a spec.

    `target` is the model in the engine's own terms, `adapters` what the user calls them;
    `engine.adapters` has them in this order, each with the name that requests use.

    Raises ConfigError for an unknown engine or option (with the nearest), an ill-typed one, or an
    engine that cannot do what is asked.
    """
    kind = load_engine(name)
    made_options = make_options(kind.Options, name, options or {})
    make = cast(Callable[[str, msgspec.Struct, Sequence[str]], Engine], kind)
    engine = make(target, made_options, tuple(adapters))
    if adapters:
        engine.require("adapters")
    return engine
