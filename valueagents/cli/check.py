"""`valueagents check`: does an env keep the contract, and is its material whole?"""

import typer

from valueagents.cli.options import EnvOptions, Json, pairs
from valueagents.cli.tables import print_json


def check(env: str, env_option: EnvOptions = None, as_json: Json = False) -> None:
    """Put an env to the promises of ValueEnv, and list what is wrong with its material."""
    from valueagents.contracts.conformance import Check, check_other_process, check_value_env
    from valueagents.contracts.plugins import make_env

    options = pairs(env_option)
    mistakes = make_env(env, **options).mistakes()
    checks = [
        *check_value_env(lambda: make_env(env, **options)),
        check_other_process(env, options),
        *(Check(place, problem) for place, problem in mistakes),
    ]
    if as_json:
        print_json(checks)
    else:
        for each in checks:
            print(
                f"ok    {each.promise}"
                if each.problem is None
                else f"FAIL  {each.promise}: {each.problem}"
            )
    if any(each.problem is not None for each in checks):
        raise typer.Exit(1)
