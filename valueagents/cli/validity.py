"""`valueagents validity`: do several envs say the same of the same policies?"""

import sys

from valueagents.cli.options import Json, Page, RunFolders
from valueagents.cli.tables import print_json


def validity(runs: RunFolders, out: Page = None, as_json: Json = False) -> None:
    """Do several envs say the same of the same policies, and each the same again?"""
    from valueagents.measuring.many.multimethod import multimethod
    from valueagents.report.many_page import validity_page
    from valueagents.report.numbers import sentence
    from valueagents.report.template import write_page
    from valueagents.running.opened import open_run

    found = multimethod([open_run(path) for path in runs])
    if as_json:
        print_json(found)
    else:
        for pair in found.pairs:
            print(f"{pair.first} – {pair.second}: same value {sentence(pair.convergent)},", end=" ")
            print(
                f"other values {sentence(pair.discriminant)}, profile of a policy"
                f" {sentence(pair.profile)}"
            )
        for each in found.reliabilities:
            print(f"{each.method}, {each.kind}: {sentence(each.value)}")
    if out is not None:
        print(write_page(validity_page(found), out), file=sys.stderr if as_json else sys.stdout)
