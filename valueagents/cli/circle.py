"""`valueagents circle`: do the values of many policies run round the circle of values?"""

import sys

from valueagents.cli.options import Json, Page, RunFolders
from valueagents.cli.tables import print_json


def circle(runs: RunFolders, out: Page = None, as_json: Json = False) -> None:
    """Do the values of many policies run round the circle? One run a policy."""
    from valueagents.measuring.many.circle import circle_check
    from valueagents.measuring.many.profiles import profiles
    from valueagents.report.many_page import circle_page
    from valueagents.report.numbers import p_value, sentence, signed
    from valueagents.report.template import write_page
    from valueagents.running.opened import open_run

    opened = [open_run(path) for path in runs]
    table = profiles(opened)
    check = circle_check(table.of(), table.taxonomy, menus=table.menus)
    if as_json:
        print_json(check)
    elif check.r_cos.value is None:
        print(f"no circle can be tested: {check.r_cos.reason}")
    else:
        counted = f"{check.units} policies, {len(check.axes)} values"
        print(f"r(cos) {sentence(check.r_cos)}, p {p_value(check.p)} ({counted})")
        if check.menus_alone is not None:
            print(
                f"these menus alone would give r(cos) {signed(check.menus_alone)} to policies with"
                " independent values"
            )
        for each in check.oppositions:
            print(f"{each.first} – {each.second} {sentence(each.correlation)}")
        if check.people is not None:
            r, low, high = (signed(number) for number in check.people.r_cos)
            oppositions = ", ".join(signed(number) for number in check.people.oppositions)
            print(f"people: r(cos) {r} [{low}, {high}], oppositions {oppositions}")
    if out is not None:
        page = circle_page(check, table, sorted({run.header.env for run in opened}))
        print(write_page(page, out), file=sys.stderr if as_json else sys.stdout)
