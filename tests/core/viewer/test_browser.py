"""The pages in a real browser, headless Chromium over its debugging protocol: what a visitor clicks
through, and that no text of a run runs as a script.
"""

import asyncio
import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

from valueagents.running.runs import Run
from valueagents.viewer.export import export
from viewed import keys, serving

aiohttp = pytest.importorskip("aiohttp")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
]


class Tab:
    """A page in the browser, driven step by step."""

    def __init__(self, socket, loop):
        self._socket, self._loop, self._number = socket, loop, 0
        self.requested, self.violations = [], []

    def call(self, method, **parameters):
        return self._loop.run_until_complete(self._call(method, parameters))

    async def _call(self, method, parameters):
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = json.loads((await asyncio.wait_for(self._socket.receive(), 30)).data)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") == "Network.requestWillBeSent":
                self.requested.append(answer["params"]["request"]["url"])

    def script(self, code):
        """What our own code gives; the page's policy does not hold for the debugger's."""
        given = self.call("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in given, given
        return given["result"].get("value")

    def settle(self, code):
        """Wait until our code gives something true."""
        for _ in range(200):
            if self.script(f"document.readyState === 'complete' && Boolean({code})"):
                return
            time.sleep(0.05)
        pytest.fail(f"never came: {code}; at {self.script('location.href')}")

    def go(self, url):
        self.call("Page.navigate", url=url)
        self.settle(f"location.href.split('#')[0] === {json.dumps(url.split('#')[0])}")

    def follow(self, selector):
        """Click on a link or button, and wait for the page behind it."""
        self.script("window.before = true")
        self.script(f"document.querySelector({json.dumps(selector)}).click()")
        self.settle("!window.before")

    def text(self):
        return re.sub(r"\s+", " ", self.script("document.body.innerText"))


@contextmanager
def browser(folder):
    process = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    loop = asyncio.new_event_loop()
    try:
        told = folder / "DevToolsActivePort"
        for _ in range(400):
            if told.exists() and told.read_text().count("\n"):
                break
            time.sleep(0.05)
        port = told.read_text().split()[0]
        session, socket = loop.run_until_complete(_connect(port))
        tab = Tab(socket, loop)
        for domain in ("Page", "Runtime", "Network"):
            tab.call(f"{domain}.enable")
        yield tab
        loop.run_until_complete(session.close())
    finally:
        process.terminate()
        process.wait(20)
        loop.close()


async def _connect(port):
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json") as answer:
        pages = await answer.json(content_type=None)
    page = next(each for each in pages if each["type"] == "page")
    return session, await session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)


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
        tab.script("document.querySelector('[name=value]').value = 'BEC'")
        tab.script("document.querySelector('[name=side]').value = 'chosen-serves'")
        tab.script("document.querySelector('[name=p_from]').value = '0.8'")
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
    tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=390,
        height=844,
        deviceScaleFactor=2,
        mobile=True,
    )
    with serving(folder) as port:
        for path in (
            "",
            f"run/{known['caring']}.html",
            f"beside/{known['random']}/{known['caring']}.html",
        ):
            tab.go(f"http://127.0.0.1:{port}/{path}")
            assert tab.script("document.documentElement.scrollWidth") <= 390, path
    tab.call("Emulation.clearDeviceMetricsOverride")
