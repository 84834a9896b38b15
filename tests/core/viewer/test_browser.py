"""The viewer in a real browser: what a visitor clicks through, and that no text of a run runs as a
script.
"""

import re
import time

import pytest

from chromium import PHONE, browser, needs_chromium
from valueagents.running.runs import Run
from valueagents.viewer.export import export
from viewed import keys, serving

pytest.importorskip("aiohttp")
pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def test_a_visitor_filters_opens_a_transcript_and_lays_two_policies_side_by_side(tab, folder):
    known, run = keys(folder), Run(folder / "caring")
    with serving(folder) as port:
        tab.go(f"http://127.0.0.1:{port}/")
        assert "Runs: 6, with 268 finished episodes" in tab.text()
        tab.follow(f'a[href="run/{known["caring"]}.html"]')
        tab.choose("[name=value]", "BEC")
        tab.choose("[name=side]", "chosen-serves")
        tab.type("[name=p_from]", "0.8")
        tab.follow("form button")
        served = [
            episode
            for episode in run.store.episodes()
            for each in episode.decisions
            if each.annotation.values[each.chosen].get("BEC", 0) > 0
            and each.choice.probabilities[each.chosen] >= 0.8
        ]
        assert f"Episodes with such a decision: {len(served)}" in tab.text()
        tab.follow(f'a[href*="{served[0].identity}"]')
        shown, decision = tab.text(), served[0].decisions[0]
        assert re.sub(r"\s+", " ", decision.observation) in shown
        assert all(option.text in shown for option in decision.menu)
        chosen = tab.script("document.querySelector('.chosen .said').innerText")
        assert chosen == decision.menu[decision.chosen].text
        tab.go(f"http://127.0.0.1:{port}/beside/{known['random']}/{known['caring']}.html")
        parted = int(re.search(r"the policies part in (\d+) of them", tab.text())[1])
        both = zip(
            *(list(Run(folder / name).store.episodes()) for name in ("random", "caring")),
            strict=True,
        )
        assert parted == sum(
            a.decisions[0].choice.option != b.decisions[0].choice.option for a, b in both
        )
        tab.follow('a[href$="#part"]')
        assert tab.script("document.querySelectorAll('#part .chosen').length") == 2
        texts = tab.script(
            "[...document.querySelectorAll('#part .chosen .said')].map(e => e.innerText)"
        )
        assert texts[0] != texts[1]


def test_no_text_of_a_run_is_executed_or_asks_for_anything(tab, hostile_folder, tmp_path):
    with serving(hostile_folder) as port:
        root = f"http://127.0.0.1:{port}/"
        visit_all(tab, root, "", most=60)
    out = export(hostile_folder, tmp_path / "out", lambda *_: None)
    visit_all(tab, f"file://{out.parent}/", "index.html", most=60)


def visit_all(tab, root, first, most):
    """Open every page that links lead to; none has asked for more than itself or changed itself."""
    todo, seen = [root + first], set()
    while todo and len(seen) < most:
        url = todo.pop(0)
        if url in seen:
            continue
        seen.add(url)
        tab.requested.clear()
        tab.go(url)
        assert tab.script("document.title").endswith(" – valueagents view"), url
        assert (
            tab.script("document.querySelectorAll('script, img, iframe, object, base').length") == 0
        )
        assert tab.script("document.querySelectorAll('meta[http-equiv=refresh]').length") == 0
        assert (
            tab.script("getComputedStyle(document.querySelector('nav')).borderBottomStyle")
            == "solid"
        )
        time.sleep(0.05)
        asked = {each for each in tab.requested if not each.endswith("/favicon.ico")}
        assert asked <= {url}, asked
        todo += [
            link.partition("#")[0] for link in tab.script("[...document.links].map(a => a.href)")
        ]
    assert len(seen) > 10


def test_a_page_that_runs_scripts_would_be_noticed(tab, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<nav></nav><script>document.title = 'owned'; new Image().src = 'owned.png'</script>"
    )
    tab.requested.clear()
    tab.go(page.as_uri())
    time.sleep(0.2)
    assert tab.script("document.title") == "owned"
    assert any(each.endswith("owned.png") for each in tab.requested)


def test_a_page_fits_a_phone(tab, folder):
    known = keys(folder)
    with serving(folder) as port, tab.screen(PHONE):
        for path in (
            "",
            f"run/{known['caring']}.html",
            f"beside/{known['random']}/{known['caring']}.html",
        ):
            tab.go(f"http://127.0.0.1:{port}/{path}")
            assert tab.script("document.documentElement.scrollWidth") <= PHONE, path
