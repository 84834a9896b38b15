"""`valueagents check`: does an env keep the contract, and is its material whole?"""

from typing import TYPE_CHECKING

import typer

from valueagents.cli.options import EnvOptions, Json, pairs
from valueagents.cli.tables import print_json

if TYPE_CHECKING:
    from valueagents.contracts.conformance import Check


def check(env: str, env_option: EnvOptions = None, as_json: Json = False) -> None:
    """Put an env to the promises of ValueEnv, and list what is wrong with its material.

    Each is told as it is known.
    """
    from valueagents.contracts.conformance import Check, check_other_process, checks_of_value_env
    from valueagents.contracts.plugins import make_env

    options = pairs(env_option)
    mistakes = make_env(env, **options).mistakes()
    checks = []

    def tell(each: Check) -> None:
        checks.append(each)
        if not as_json:
            print(_line(each), flush=True)

    for each in checks_of_value_env(lambda: make_env(env, **options)):
        tell(each)
    tell(check_other_process(env, options))
    for place, problem in mistakes:
        tell(Check(place, problem))
    if as_json:
        print_json(checks)
    if any(each.problem is not None for each in checks):
        raise typer.Exit(1)


def _line(check: "Check") -> str:
    """A check as it is printed; what a slow env was spared stands behind it."""
    spared = "" if check.shortened is None else f" ({check.shortened}: the env is slow)"
    if check.problem is None:
        return f"ok    {check.promise}{spared}"
    return f"FAIL  {check.promise}: {check.problem}{spared}"
