"""Workers of the parser games: what a machine does to them changes no menu and no transcript, and
they end with whoever started them.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valueagents.envs.parser_game import env as env_module
from valueagents.envs.parser_game.env import JerichoEnv, JerichoTextEnv
from valueagents.envs.parser_game.game import OWN, Consider, GameReply, Start, Take
from valueagents.envs.parser_game.play import GameSettings
from valueagents.envs.parser_game.pool import WorkerPool, shared_pool
from valueagents.envs.parser_game.worker_process import Lost, WorkerProcess
from valueagents.errors import EnvError
from valueagents.experiments.validity.processes import child_processes, lives

pytest.importorskip("jericho")
STORIES = Path(__file__).parents[1] / "stories"
ORCHARD, SPIN = str(STORIES / "orchard.z5"), str(STORIES / "spin.z3")


def play(env: JerichoEnv, seed: int, steps: int) -> list[object]:
    """All that is shown and said in an episode of random choices."""
    rng = np.random.default_rng(seed)
    text, info = env.reset(seed=seed)
    shown: list[object] = [(text, info["menu"], info["annotation"])]
    for _ in range(steps):
        text, reward, over, cut, info = env.step(int(rng.integers(len(info["menu"]))))
        shown.append((text, reward, over, cut, info["menu"], info["annotation"], info["events"]))
        shown.append((info["invalid"], env.status))
        if over or cut:
            break
    return shown


@contextmanager
def workers_that_are_hit(seed: int) -> Iterator[list[int]]:
    """At random moments of their lives workers are killed or stopped; the list has their ids."""
    rng, hit, over = random.Random(seed), [], threading.Event()
    seen: dict[int, float] = {}

    def hit_some() -> None:
        while not over.wait(0.01):
            for worker in shared_pool().workers:
                pid, now = worker.pid, time.monotonic()
                if pid is None or pid in hit:
                    continue
                if now > seen.setdefault(pid, now + rng.expovariate(1 / 1.5)):
                    os.kill(pid, rng.choice([signal.SIGKILL, signal.SIGSTOP]))
                    hit.append(pid)

    thread = threading.Thread(target=hit_some)
    thread.start()
    try:
        yield hit
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_workers_killed_and_stopped_at_random_change_no_menu_and_no_transcript() -> None:
    inline = JerichoEnv(story=ORCHARD, mode="inline", tries=1, max_steps=6)
    env = JerichoEnv(story=ORCHARD, tries=1, max_steps=6, hang_s=0.7)
    seed = lost = 0
    with workers_that_are_hit(seed=1) as hit:
        while seed < 4 or lost < 2:  # some are hit when they have nothing more to do
            assert play(env, seed, 6) == play(inline, seed, 6)
            lost += env.lost_workers
            seed += 1
    assert len(hit) >= 2


@pytest.mark.slow
def test_a_worker_that_is_stopped_costs_its_command_nothing() -> None:
    env = JerichoTextEnv(story=SPIN, menus=False, hang_s=2.0)
    env.reset(seed=1)
    for worker in shared_pool().workers:
        if worker.pid is not None:
            os.kill(worker.pid, signal.SIGSTOP)
    *_, info = env.step("take sack")
    assert info["invalid"] is None
    assert env.status.score == 3
    assert env.lost_workers >= 1  # on a busy machine the next one, too, may be taken for stopped


class Losing:
    """Stands in for `WorkerProcess.ask`: raises what it is given, one a request, then answers."""

    def __init__(self, losses: list[Lost]) -> None:
        self.losses, self.told, self.asked = losses, [], 0

    def __call__(
        self, worker: object, request: Any, folder: str, faults: list[Any], hang_s: float
    ) -> GameReply:
        self.asked += 1
        self.told = [(fault.place, fault.command) for fault in faults]
        if self.losses:
            raise self.losses.pop(0)
        return GameReply(b"after", "done")


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(2)
    yield made
    made.close()


SETTINGS = GameSettings(SPIN)
TAKE = Take(SETTINGS, b"before", command="spin")


def lost(place: str, command: str) -> Lost:
    return Lost("crashed", place, command)


def answer_of(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, losses: list[Lost], request: Any = TAKE
) -> tuple[GameReply, Losing]:
    losing = Losing(losses)
    monkeypatch.setattr(WorkerProcess, "ask", lambda *args: losing(*args))
    return pool.ask(request, "", hang_s=1.0), losing


def test_a_command_that_lost_one_worker_is_sent_again(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [lost(OWN, "spin"), lost("a", "jump"), lost("", ""), lost("b", "jump")]
    reply, losing = answer_of(pool, monkeypatch, losses)
    assert (reply.text, reply.refused, reply.lost_workers) == ("done", None, 4)
    assert losing.told == []


def test_a_typed_command_that_lost_two_workers_is_refused_from_then_on_in_that_state(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply, _ = answer_of(pool, monkeypatch, [lost(OWN, "spin"), lost(OWN, "spin")])
    assert reply.state == b"before"
    assert reply.refused == "the game crashed at 'spin' and was put back"
    again, losing = answer_of(pool, monkeypatch, [])
    assert (again.refused, losing.asked) == (reply.refused, 0)
    elsewhere, _ = answer_of(pool, monkeypatch, [], Take(SETTINGS, b"other", command="spin"))
    assert elsewhere.refused is None


def test_a_tried_command_that_lost_two_workers_at_one_place_is_told_to_all_of_them(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [lost("a", "jump"), lost("b", "jump"), lost("a", "jump")]
    _, losing = answer_of(pool, monkeypatch, losses, Consider(SETTINGS, b"", command="look"))
    assert losing.told == [("a", "jump")]


def test_a_story_that_loses_two_workers_at_its_start_cannot_be_played(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = [lost(OWN, ""), lost(OWN, "")]
    with pytest.raises(EnvError, match="crashed at its very start"):
        answer_of(pool, monkeypatch, losses, Start(SETTINGS, seed=1))


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([lost("", "")] * 9, "5 workers were lost.* before they began"),
        ([lost("a", f"take {n}") for n in range(99)], "40 workers were lost.*at 'take 39'"),
    ],
)
def test_workers_that_are_lost_on_and_on_fail_the_episode(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, losses: list[Lost], told: str
) -> None:
    with pytest.raises(EnvError, match=told):
        answer_of(pool, monkeypatch, list(losses))


@pytest.mark.slow
def test_a_command_that_hangs_is_left_out_of_its_menu_in_every_worker_after_two_losses(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env_module, "shared_pool", lambda: pool)  # it has not met the command
    env = JerichoEnv(story=SPIN, hang_s=2.0)
    _, info = env.reset(seed=1)
    menu = [option.text for option in info["menu"]]
    assert menu == ["up", "take sack", "wait"]
    found = env.lost_workers
    assert found % 2 == 0
    assert found > 0
    for worker in pool.workers:
        worker.stop()  # the next ones are told what is at fault
    for seed in range(2, 5):
        _, info = env.reset(seed=seed)
        assert [option.text for option in info["menu"]] == menu
        assert env.lost_workers == 0


HALF = ["\ud800", "take \udfff", "\udc80" * 300]


@pytest.mark.parametrize("mode", ["inline", "worker"])
@pytest.mark.parametrize("menus", [True, False])
@pytest.mark.parametrize(
    "make", [lambda: HALF[0], lambda: HALF[1], lambda: HALF[2], lambda: np.str_("\ud800")]
)
def test_half_a_character_is_refused_and_never_raises(
    mode: Any, menus: bool, make: Callable[[], str]
) -> None:
    env = JerichoTextEnv(story=ORCHARD, mode=mode, menus=menus, tries=1)
    env.reset(seed=1)
    *_, info = env.step(make())
    assert "half a character" in info["invalid"]


@pytest.mark.parametrize("mode", ["inline", "worker"])
@pytest.mark.parametrize("menus", [True, False])
def test_a_string_of_numpy_is_the_text_that_it_holds(mode: Any, menus: bool) -> None:
    env = JerichoTextEnv(story=ORCHARD, mode=mode, menus=menus, tries=1)
    env.reset(seed=1)
    text, *_, info = env.step(np.str_("north"))
    other = JerichoTextEnv(story=ORCHARD, mode="inline", menus=False)
    other.reset(seed=1)
    assert (text, info["invalid"]) == (other.step("north")[0], None)
    assert env.decided is not None
    assert {type(option.text) for option in env.decided[0]} == {str}


HANGING = """
import sys
from valueagents.envs.parser_game.env import JerichoTextEnv
env = JerichoTextEnv(story=sys.argv[1], menus=False, hang_s=600)
env.reset(seed=1)
print("begun", flush=True)
env.step("spin")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "stopped"),
    [
        (signal.SIGTERM, False),
        (signal.SIGHUP, False),
        (signal.SIGKILL, False),
        pytest.param(
            signal.SIGKILL,
            True,
            marks=pytest.mark.skipif(sys.platform != "linux", reason="nobody wakes them"),
        ),
    ],
)
def test_workers_whose_game_hangs_end_with_their_parent_and_leave_no_folder(
    number: signal.Signals, stopped: bool, tmp_path: Path
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", HANGING, SPIN],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    workers = child_processes(parent.pid)
    assert workers
    time.sleep(0.5)
    for pid in workers if stopped else ():
        os.kill(pid, signal.SIGSTOP)
    parent.send_signal(number)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(lives, workers))
    assert list(tmp_path.iterdir()) == []
    parent.stdout.close()
