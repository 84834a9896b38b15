"""What a run says of itself: damages, missing parts, answers that say nothing – and nothing where
all is there.
"""

import gzip
import json
import re

import pytest

from valueagents.contracts.decision import Choice, Decision, Episode, Option, to_json
from valueagents.contracts.environment import Turn, ValueEnv
from valueagents.measuring.scores import score
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run
from valueagents.running.sealed import unseal
from valueagents.running.start import run as start_run
from valueagents.running.store import RunHeader, RunStore
from valueagents.taxonomy import load_taxonomy

DILEMMA = "valueagents/Dilemma-v0"
MENU = (Option("a", "Wait."), Option("b", "Go."))
SILENT = """
from valueagents.contracts.decision import Choice
from valueagents.contracts.policy import Policy

class Silent(Policy):
    def identity(self):
        return {"policy": "silent/1"}

    async def decide(self, view):
        return Choice(None, "failed", raw="Hm.")
"""


@pytest.fixture
def run(out) -> Run:
    """Two sessions of 300 episodes each."""
    for episodes in (300, 600):
        done = execute(RunConfig(env=DILEMMA, policy="random", episodes=episodes, seed=2), out)
    return done


def said(run: Run) -> str:
    return "\n".join(Run(run.path).problems())


def repeated(run: Run) -> Run:
    return execute(RunConfig(env=DILEMMA, policy="random", episodes=600, seed=2), run.path)


def test_a_run_that_ended_says_nothing(run):
    assert run.problems() == []


class LosingEnv(ValueEnv):
    """Three decisions an episode; a worker is lost at the start of each and two at its last."""

    taxonomy = load_taxonomy("jiminy")
    task = "Choose."
    version = "1"

    def __init__(self) -> None:
        super().__init__(max_menu=2)

    def start(self, situation):
        self.steps, self.lost_workers = 0, 1
        return Turn("Now?", MENU)

    def advance(self, option):
        self.steps += 1
        self.lost_workers += 2 * (self.steps == 3)
        return Turn("Now?", MENU, terminated=self.steps == 3)


def test_lost_workers_stand_in_the_record_and_beside_the_scores(out):
    run = start_run(LosingEnv, "random", out, episodes=2)
    for episode in run.episodes():
        assert [decision.lost_workers for decision in episode.decisions] == [1, 0, 2]
    assert run.decisions(["lost_workers"])["lost_workers"].to_pylist() == [1, 0, 2] * 2
    assert run.problems() == []
    (remark,) = run.remarks()
    assert remark.startswith("6 workers of the env were lost (killed, stopped, hanging or crashed)")
    assert "in 2 episodes" in remark
    assert remark in score(run).warnings


def test_a_run_that_lost_no_worker_says_nothing_of_it(run):
    assert run.remarks() == []
    assert "lost_workers" not in json.dumps(
        [json.loads(to_json(episode)) for episode in run.episodes()]
    )


def test_a_run_that_was_extended_or_repeated_with_fewer_episodes_says_nothing(run):
    assert (
        execute(RunConfig(env=DILEMMA, policy="random", episodes=20, seed=2), run.path).problems()
        == []
    )


def cut(segments):
    segments[0].write_bytes(segments[0].read_bytes()[: segments[0].stat().st_size // 2])


def deleted(segments):
    segments[1].unlink()


def joined(segments):
    segments[0].write_bytes(segments[0].read_bytes() + segments[1].read_bytes())
    segments[1].unlink()


@pytest.mark.parametrize("how", [cut, deleted])
def test_a_missing_part_is_said_with_its_number_by_score_too_and_played_again(run, how):
    expected = score(run).axes
    how(run.store.segments())
    left = len(Run(run.path).episodes())
    assert left < 600
    assert f"{600 - left} of 600 finished episodes are missing: a segment was cut, deleted" in said(
        run
    )
    assert said(run) in "\n".join(score(run.path).warnings)
    again = repeated(run)
    assert again.problems() == []
    assert score(again).axes == expected


def test_segments_that_were_joined_are_a_whole_run(run):
    joined(run.store.segments())
    assert (said(run), len(Run(run.path).episodes())) == ("", 600)


def test_a_damaged_segment_is_said_until_it_is_played_again(run):
    segment = run.store.segments()[1]
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0x20
    segment.write_bytes(content)
    (run.path / "decisions.parquet").unlink()  # else the table has what the segment lost
    words = (
        r"episodes-0002\.jsonl\.gz is damaged in the part from byte \d+ on \(.*\): what was"
        r" readable is kept, the same"
    )
    assert re.search(words, said(run))
    assert re.search(r"\d+ of 600 finished episodes are missing", said(run))
    assert repeated(run).problems() == []
    assert len(list(run.path.glob("*.damaged-1"))) == 1


def test_damaged_failures_are_said(run):
    (run.path / "failures-0001.jsonl").write_text('{"identity": \n')
    assert "failures-0001.jsonl is damaged at line 1" in said(run)


def test_failures_that_are_gone_are_said(run):
    sessions = run.path / "sessions.jsonl"
    *before, end = sessions.read_text().strip().splitlines()
    sessions.write_text(
        "\n".join([*before, json.dumps({**json.loads(unseal(end.encode())), "failed": 2})]) + "\n"
    )
    assert "2 of 2 failures are missing" in said(run)


def test_lost_or_damaged_sessions_are_said(run):
    sessions = run.path / "sessions.jsonl"
    whole = sessions.read_bytes()
    sessions.write_bytes(whole.replace(b'"finished":300', b'"finished":200'))
    assert "sessions.jsonl is damaged at line 8 (a wrong checksum)" in said(run)
    assert repeated(run).problems() == []
    sessions.unlink()
    assert (
        "sessions.jsonl is missing or damaged: whether all episodes are there cannot be told"
        in said(run)
    )


def test_no_damaged_byte_of_the_last_session_changes_it_silently(run):
    sessions = run.path / "sessions.jsonl"
    whole, written = sessions.read_bytes(), run.store.sessions()
    start = whole.rindex(b'{"start"')
    for place in range(start, len(whole) - 1, 7):
        sessions.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        found = (
            run.store.sessions()
        )  # where the name of the checksum was hit, the rest is what was written
        same = len(found) == len(written) and all(
            one.items() <= other.items() for one, other in zip(written, found, strict=True)
        )
        assert said(run) or same, f"byte {place}"


def test_a_stopped_run_says_how_many_episodes_it_owes(run):
    sessions = run.path / "sessions.jsonl"
    *before, _end = sessions.read_text().strip().splitlines()
    sessions.write_text("\n".join(before) + "\n")
    run.store.segments()[1].unlink()
    words = (
        r"the run was stopped or is still going: the same `valueagents run` command plays the"
        r" episodes that are owed"
    )
    assert re.search(rf"{words} \(300 of 600\)", said(run))


def test_a_lost_run_json_is_said_and_put_right_by_the_same_command(run):
    (run.path / "run.json").write_bytes(b"")
    assert re.search(
        r"run\.json is damaged \(.*\); its copy run\.json\.bak was read: the same `valueagents"
        r" run`",
        said(run),
    )
    assert repeated(run).problems() == []
    (run.path / "run.json.bak").write_bytes(b"")
    assert re.search(r"run\.json\.bak is damaged \(.*\); run\.json is whole", said(run))
    assert repeated(run).problems() == []


def test_sessions_of_an_older_version_are_compared_as_far_as_they_tell(run):
    sessions = run.path / "sessions.jsonl"
    old = [json.loads(unseal(line)) for line in sessions.read_bytes().split(b"\n") if line]
    for record in old:
        for name in ("planned", "stored", "failures"):
            record.pop(name, None)
    sessions.write_text("".join(f"\n{json.dumps(record)}\n" for record in old))
    assert said(run) == ""
    lines = gzip.decompress(run.store.segments()[1].read_bytes()).splitlines(keepends=True)
    run.store.segments()[1].write_bytes(gzip.compress(b"".join(lines[:100])))
    assert "200 of 600 finished episodes are missing" in said(run)


def test_a_run_in_which_nothing_was_read_says_so(out, tmp_path):
    (tmp_path / "silent.py").write_text(SILENT)
    import valueagents as va

    done = va.run(DILEMMA, f"{tmp_path / 'silent.py'}:Silent", out, episodes=5)
    words = "none of the 15 answers could be read as an option; look at their texts"
    assert done.problems() == [words]
    assert words in score(done).warnings


def test_a_run_whose_prompts_were_cut_or_its_answers_unread_says_so(out):
    cut = Decision("Now?", MENU, Choice("a", "parsed", dropped_turns=2))
    unread = Decision("Now?", MENU, Choice(None, "failed"))
    store = RunStore.create(
        out,
        RunHeader(
            "test/Env-v0",
            {},
            "test",
            0,
            "Choose.",
            {},
            {},
            load_taxonomy("gert10"),
            independent_menus=True,
            informed=False,
        ),
    )
    with store.writing() as writer:
        writer.session({"start": "then", "owed": 2})
        for number, decision in enumerate((cut, unread)):
            writer.episode(Episode(f"id-{number}", None, 0, 0, "c", (decision,), "terminated"))
        writer.session({"end": "now", "finished": 2, "failed": 0})
    assert Run(out).problems() == [
        "none of the 2 decisions can be used: 1 were unread or refused, 1 had a cut prompt"
    ]
