"""While a run is played its throughput is told, what a slot waits for, and each failure: in its log, on a
display, and as plain lines.
"""

import asyncio
import logging
import re
from pathlib import Path

import pytest

import valueagents as va
from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import Policy
from valueagents.running import progress, recorder, throughput
from valueagents.running.execution import RunConfig, execute
from valueagents.running.run_log import RunLog, run_log

DILEMMAS = "valueagents/Dilemma-v0"
FULL = Path("/dev/full")


class Slow(Policy):
    """Takes its time over the first answer, and fails some."""

    def __init__(self, first_s=0.0, fails=()):
        self.first_s, self.fails, self.count = first_s, fails, 0

    def identity(self):
        return {"policy": "slow"}

    async def decide(self, view):
        self.count += 1
        if self.count == 1:
            await asyncio.sleep(self.first_s)
        if self.count in self.fails:
            raise RuntimeError("gone\nastray \x1b[2J\u202e")
        return Choice(
            view.menu[0].id, "drawn", prompt_tokens=100, cached_tokens=25, output_tokens=5
        )


class Shown:
    """A display that keeps what it is told."""

    def __init__(self):
        self.lines, self.counts = [], []

    def __call__(self, finished, failed, owed):
        self.counts.append((finished, failed, owed))

    def throughput(self, line):
        self.lines.append(line)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(recorder, "TELL_EVERY_S", 0.02)
    monkeypatch.setattr(throughput, "STUCK_S", 0.05)


def log_of(run):
    return (run.path / "run.log").read_text(encoding="utf-8").splitlines()


def played(out, policy, episodes=4, shown=None):
    config = RunConfig(env=DILEMMAS, policy="slow", episodes=episodes, seed=1)
    return execute(config, out, policy=policy, progress=shown)


def test_a_log_tells_the_beginning_each_failure_and_the_end_with_the_throughput(out):
    lines = log_of(played(out, Slow(fails=(2,))))
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "
    assert re.fullmatch(stamp + "INFO begun: 4 episodes are owed", lines[0])
    (failed,) = [line for line in lines if "WARNING" in line]
    place = r"WARNING episode \S+, step 0, attempt 1: RuntimeError: gone astray "
    assert re.search(place + r"\[U\+001B\]\[2J\[U\+202E\]$", failed)
    ended = r"INFO ended: \S+ decisions/s, [\d,]+ tokens/s, 25% of prompts cached, 1 failed"
    assert re.search(ended, lines[-1])
    assert len(lines) == 3


def test_a_run_that_goes_on_appends_to_its_log(out):
    played(out, Slow(fails=(1, 2)))
    first = log_of(va.Run(out))
    assert log_of(played(out, Slow()))[: len(first)] == first
    assert "begun: 2 episodes are owed" in log_of(va.Run(out))[len(first)]


def test_our_messages_of_meanwhile_are_in_the_log_with_their_level_and_no_later_ones(out, caplog):
    class Talking(Slow):
        async def decide(self, view):
            logging.getLogger("valueagents").warning("a word")
            return await super().decide(view)

    lines = log_of(played(out, Talking(), 1))
    assert any(line.endswith("WARNING a word") for line in lines)
    logging.getLogger("valueagents").warning("too late")
    assert log_of(va.Run(out)) == lines
    assert logging.getLogger("valueagents").handlers == []


@pytest.mark.usefixtures("quick")
def test_a_slot_that_is_stuck_says_what_it_waits_for(out):
    shown = Shown()
    run = played(out, Slow(first_s=0.4), 2, shown)
    stuck = [line for line in shown.lines if "waits for the policy" in line]
    assert stuck
    assert re.search(r"for \d+ s: episode \S+, step 0, waits for the policy$", stuck[0])
    assert any("DEBUG 0 of 2 episodes: " in line and stuck[0] in line for line in log_of(run))
    assert shown.counts == [(0, 0, 2), (1, 0, 2), (2, 0, 2)]


@pytest.mark.usefixtures("quick")
def test_plain_lines_are_printed_while_no_episode_ends(out, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_QUIET_S", 0.0)
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.1)
    with progress.show_progress("slow") as shown:
        played(out, Slow(first_s=0.5, fails=(2,)), 2, shown)
    lines = capsys.readouterr().err.splitlines()
    stuck = r"slow: 0/2 episodes; \S+ decisions/s, for \d+ s: episode .* waits for the policy"
    assert any(re.fullmatch(stuck, line) for line in lines[:-1])
    assert lines[-1].startswith("slow: 2/2 episodes, 1 failed")


def test_a_callback_of_three_numbers_is_enough(out):
    counts = []
    va.run(DILEMMAS, "random", out, episodes=2, progress=lambda *each: counts.append(each))
    assert counts == [(1, 0, 2), (2, 0, 2)]


def test_a_log_that_cannot_be_written_costs_nothing_but_itself(out):
    played(out, Slow(), 1)
    (out / "run.log").unlink()
    (out / "run.log").mkdir()
    run = played(out, Slow(fails=(1,)), 3)
    assert run.decisions(["step"]).num_rows == 2
    assert len(run.failed()) == 1


@pytest.mark.skipif(not FULL.exists(), reason="no disk that is always full")
def test_a_log_on_a_full_disk_costs_nothing_but_itself(out, tmp_path):
    (tmp_path / "run.log").symlink_to(FULL)
    with run_log(tmp_path) as log:
        log.tell(logging.ERROR, "nobody reads this")
    played(out, Slow(), 1)
    (out / "run.log").unlink()
    (out / "run.log").symlink_to(FULL)
    assert played(out, Slow(), 3).decisions(["step"]).num_rows == 3


def test_a_log_is_one_line_a_message_whatever_it_holds(tmp_path):
    with run_log(tmp_path) as log:
        assert isinstance(log, RunLog)
        log.tell(logging.ERROR, "half \ud800 a character\r\nand two\nlines")
    (line,) = log_of(type("Folder", (), {"path": tmp_path}))
    assert "ERROR half [U+D800] a character[U+000D] and two lines" in line
