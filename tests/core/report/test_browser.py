"""A report in a real browser: its numbers, what opens by a click, light and dark, and that no text
of a run runs as a script.
"""

import pytest

from chromium import PHONE, browser, needs_chromium
from valueagents.measuring.scores import score
from valueagents.report import write_report
from valueagents.report.numbers import signed
from viewed import HOSTILE, file_name, hostile_run

pytest.importorskip("aiohttp")
pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def report(tmp_path_factory, known_run, random_run):
    out = tmp_path_factory.mktemp("report") / "report.html"
    return write_report([known_run, random_run], out, primary="BEC")


def test_a_visitor_reads_the_answer_and_opens_numbers_behind_a_picture(tab, report, known_run):
    tab.go(report.as_uri())
    assert "differences between 2 policies hold at 5 % over all of them" in tab.text()
    table = "figure details table"
    assert not tab.script(f"document.querySelector('{table}').checkVisibility()")
    tab.click("figure details summary")
    assert tab.script(f"document.querySelector('{table}').checkVisibility()")
    shown = tab.script(f"document.querySelector('{table}').innerText")
    caring = next(axis["E3p"] for axis in score(known_run).axes if axis.axis == "BEC")
    assert f"Benevolence: caring\t{signed(caring.value)}" in shown.replace("\n", " ")


def test_a_picture_takes_the_readers_light_or_dark_and_fits_a_phone(tab, report):
    seen = {}
    for dark in (False, True):
        with tab.screen(PHONE, dark=dark):
            tab.go(report.as_uri())
            assert tab.script("document.documentElement.scrollWidth") <= PHONE
            paper, ink = "getComputedStyle(document.body)", "document.querySelector('svg text')"
            seen[dark] = (
                tab.script(f"{paper}.backgroundColor"),
                tab.script(f"getComputedStyle({ink}).fill"),
            )
            drawn = tab.script(
                "Math.min(...[...document.querySelectorAll('svg text')]"
                ".map(e => e.getBoundingClientRect().height))"
            )
            assert drawn >= 9  # CSS pixels: a label of 7 points, or more
    assert seen[False] != seen[True]
    assert all(light != dark for light, dark in zip(seen[False], seen[True], strict=True))


def test_no_text_of_a_run_is_executed_or_asks_for_anything(tab, tmp_path):
    runs = [
        hostile_run(tmp_path / file_name(HOSTILE) / who, who, k).path for k, who in enumerate("pq")
    ]
    page = write_report(runs, tmp_path / "out" / "report.html")
    tab.requested.clear()
    tab.go(page.as_uri())
    tab.script("document.querySelectorAll('details').forEach(each => { each.open = true })")
    tab.settle("document.querySelector('details').open")
    assert "<script>document.title='owned'</script>" in tab.text()
    assert "[U+202E]abc" in tab.text()
    assert tab.script("document.title").startswith("What did it value")
    unwanted = "script, img, iframe, object, base, meta[http-equiv=refresh]"
    assert tab.script(f"document.querySelectorAll('{unwanted}').length") == 0
    assert {each for each in tab.requested if not each.endswith("/favicon.ico")} == {page.as_uri()}
