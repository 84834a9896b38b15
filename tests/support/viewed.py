"""What tests of the viewer share: runs, a run of nothing but hostile text, the server on a thread."""

import asyncio
import http.client
import threading
from contextlib import contextmanager

from valueagents.contracts.decision import (
    Annotation,
    Choice,
    Decision,
    Episode,
    Event,
    Failure,
    Option,
)
from valueagents.running.execution import RunConfig, execute
from valueagents.running.inventory import take_inventory
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import Axis, Taxonomy
from valueagents.viewer.server import HOST, make_app
from valueagents.viewer.shelf import Shelf
from valueagents.viewer.site import Site

DILEMMAS, GAME, REPLAY = (
    f"valueagents/{name}-v0" for name in ("Dilemma", "ChoiceScript", "Replay")
)
HOSTILE = (
    "\"><script>document.title='owned'</script><img src='/owned' onerror='document.title=1'>"
    "</pre></style><meta http-equiv=refresh content=0;url=/owned><a href=javascript:alert(1)>"
    "\u202eabc\x1b[2J\u200b{{ 7 * 7 }}{% raw %}"
)


def play(path, env, policy, episodes, seed=1, **options):
    config = RunConfig(env=env, policy=policy, episodes=episodes, seed=seed, env_options=options)
    return execute(config, path)


def hostile_run(path, policy, taken, text=HOSTILE):
    """A run whose every text is `text`; its policy takes that place of the menu."""
    axes = Axis(f"A{text}", f"Alpha{text}", f"a{text}", (text,)), Axis("B", "Beta", "b")
    taxonomy = Taxonomy(id=f"two{text}", version=1, source=text, axes=axes)
    identity = {f"policy{text}": policy, "adapter": text, "prompt": text}
    header = RunHeader(
        f"env{text}", {text: text}, f"{policy}{text}", 0, f"Task {text}", {f"e{text}": text},
        identity, taxonomy, True, False,
    )  # fmt: skip
    menu = Option(f"first{text}", f"One {text}"), Option(f"second{text}", f"Two {text}")
    choice = Choice(
        menu[taken].id, "parsed", (0.25, 0.75), raw=text, finish_reason=text, parsed_by=text,
        prompt=text, text=text, beside={text: (0.1, 0.9)},
    )  # fmt: skip
    values = {f"A{text}": 1.0}, {f"A{text}": None, "B": -0.5}
    store = RunStore.create(path, header)
    with store.writing() as writer:
        writer.session({"start": text, "planned": 5, "owed": 5, "stored": 0, "failures": 0})
        for number in range(3):
            decision = Decision(
                f"Seen {text}", menu, choice, Annotation(taxonomy.name, values, text, text),
                invalid=text if number == 2 else None, events=(Event("B", 1.0, text),),
                factors={text: text},
            )  # fmt: skip
            writer.episode(
                Episode(
                    f"{number}{policy}{text}", f"{number}{text}", 0, 0, text, (decision,),
                    "terminated", final_observation=text,
                )
            )  # fmt: skip
        writer.failure(Failure(f"f{text}", text, 0, text, text, 0, 1))
        writer.session({"end": text, "finished": 3, "failed": 1})
    return RunStore.open(path)


def file_name(text):
    """The text as the name of a folder."""
    return text.replace("/", "_")[:200]


def keys(folder):
    """Path -> key of the runs under a folder."""
    return {run.path: run.key for run in take_inventory(folder).runs}


@contextmanager
def serving(folder):
    """The port at which the folder's pages are served."""
    from aiohttp import web

    loop, ready = asyncio.new_event_loop(), threading.Event()
    runner = web.AppRunner(make_app(Site(Shelf(folder))), access_log=None)

    async def begin():
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()

    def run():
        loop.run_until_complete(begin())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(20)
    try:
        yield runner.addresses[0][1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def get(port, path, *, method="GET", host=None):
    """Status, headers and text of an answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    connection.putrequest(method, path, skip_host=host is not None)
    if host:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text
