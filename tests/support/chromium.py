"""Headless Chromium over its debugging protocol, for tests of pages: what a visitor sees, clicks and
types.

Nothing waits for ever: each answer has a deadline, and the browser ends with its test.
"""

import asyncio
import base64
import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
DEADLINE_S = 60
PHONE = 390
"""Width of a telephone in CSS pixels."""
FLAGS = [
    "--headless",
    "--no-sandbox",  # a container's root has none; no page of these tests comes from elsewhere
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
        self.requested = []

    def call(self, method, **parameters):
        """The result of a method of the protocol."""
        return self._loop.run_until_complete(self._call(method, parameters))

    async def _call(self, method, parameters):
        self._number += 1
        number = self._number
        async with asyncio.timeout(DEADLINE_S):
            await self._socket.send_json({"id": number, "method": method, "params": parameters})
            while True:
                answer = json.loads((await self._socket.receive()).data)
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
        ends = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends:
            if self.script(f"document.readyState === 'complete' && Boolean({code})"):
                return
            time.sleep(0.05)
        pytest.fail(f"never came: {code}; at {self.script('location.href')}")

    def go(self, url):
        self.call("Page.navigate", url=url)
        self.settle(f"location.href.split('#')[0] === {json.dumps(url.split('#')[0])}")

    def click(self, selector):
        """Press the mouse where the element is seen, which must not be covered."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.script(f"{find}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y, there = self.script(
            f"(() => {{ const e = {find}, r = e.getClientRects()[0],"
            " x = r.x + r.width / 2, y = r.y + r.height / 2;"
            " return [x, y, e.contains(document.elementFromPoint(x, y))]; })()"
        )
        assert there, f"{selector} is covered at {x}, {y}"
        at = {"x": x, "y": y, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **at)

    def follow(self, selector):
        """Click on a link or button, and wait for the page behind it."""
        self.script("window.before = true")
        self.click(selector)
        self.settle("!window.before")

    def type(self, selector, text):
        """Click into a field and write there."""
        self.click(selector)
        self.call("Input.insertText", text=text)

    def choose(self, selector, value):
        """Take an entry of a list."""
        find = f"document.querySelector({json.dumps(selector)})"
        self.script(f"{find}.value = {json.dumps(value)}")
        assert self.script(f"{find}.value") == value

    def text(self):
        """What is seen, on one line."""
        return re.sub(r"\s+", " ", self.script("document.body.innerText"))

    @contextmanager
    def screen(self, width, height=844, *, dark=False):
        """The page at that width within the block."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2}
        self.call("Emulation.setDeviceMetricsOverride", **size, mobile=width <= PHONE)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        try:
            yield
        finally:
            self.call("Emulation.clearDeviceMetricsOverride")
            self.call("Emulation.setEmulatedMedia", features=[])

    def picture(self):
        """The whole page as PNG."""
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(taken["data"])


@contextmanager
def browser(folder):
    """A tab of a browser whose profile is in the folder."""
    process = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    loop = asyncio.new_event_loop()
    try:
        port = _listening_at(folder / "DevToolsActivePort")
        session, socket = loop.run_until_complete(_connected(port))
        try:
            tab = Tab(socket, loop)
            for domain in ("Page", "Runtime", "Network"):
                tab.call(f"{domain}.enable")
            yield tab
        finally:
            loop.run_until_complete(session.close())
    finally:
        process.kill()
        process.wait(20)
        loop.close()


def _listening_at(told):
    """The port, once the browser has written it down."""
    ends = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends:
        if told.exists() and told.read_text().count("\n"):
            return told.read_text().split()[0]
        time.sleep(0.05)
    return pytest.fail("Chromium does not begin to listen")


async def _connected(port):
    """A session, and a socket to the browser's page."""
    import aiohttp

    async with asyncio.timeout(DEADLINE_S):
        session = aiohttp.ClientSession()
        async with session.get(f"http://127.0.0.1:{port}/json") as answer:
            pages = await answer.json(content_type=None)
        page = next(each for each in pages if each["type"] == "page")
        return session, await session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
