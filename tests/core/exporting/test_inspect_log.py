"""A run as a log of Inspect: read by Inspect's own readers and viewer, and back again.

Inspect has an environment of its own (`make inspect-test`); elsewhere this is skipped.
"""

import math
import socket
import subprocess
import sys
import zipfile
from contextlib import contextmanager

import msgspec
import pytest

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed: make inspect-test")

from inspect_ai.analysis import (
    EvalColumn,
    ModelEventColumns,
    evals_df,
    events_df,
    messages_df,
    samples_df,
)
from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalSpec,
    read_eval_log,
    write_eval_log,
)
from inspect_ai.model import ModelAPI, ModelOutput, modelapi

from chromium import browser, needs_chromium
from exported_runs import numbers, odd_run, rows
from valueagents.errors import ConfigError, DataError
from valueagents.exporting.inspect_log import export_inspect
from valueagents.measuring.comparison import compare
from valueagents.measuring.scores import score
from valueagents.running.opened import open_run
from valueagents.running.runs import Run
from valueagents.running.store import RunStore
from viewed import DILEMMAS, GAME, hostile_run, play

pytestmark = [
    # Inspect's own: it calls a newer tenacity by an older name
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
    # its data frames ask pandas for what pandas no longer recommends
    pytest.mark.filterwarnings("ignore::DeprecationWarning:inspect_ai"),
    pytest.mark.filterwarnings("ignore::FutureWarning:inspect_ai"),
]
EPISODES = 250  # of 192 dilemmas: some are met twice
HEARD = []


@modelapi(name="echo")
def echo():
    return EchoAPI


class EchoAPI(ModelAPI):
    """Says B, after a thought, and keeps what it was asked."""

    async def generate(self, input, tools, tool_choice, config):  # noqa: A002 – Inspect's name
        HEARD.append([(message.role, message.text) for message in input])
        return ModelOutput.from_content(self.model_name, "<think>\nHm.\n</think>\nAnswer: B")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def known(folder):
    return play(folder / "known", DILEMMAS, "known:BEC=1.5", EPISODES)


@pytest.fixture(scope="module")
def log(known, folder):
    return export_inspect(known, folder / "known.eval")


@pytest.fixture(scope="module")
def frame(log):
    """Inspect's own data frame of the samples."""
    return samples_df(str(log), strict=True)


def samples_of(log):
    """The samples by the identity of their episode, long texts in their places."""
    read = read_eval_log(str(log), resolve_attachments=True).samples
    return {sample.uuid: sample for sample in read}


def test_a_log_scores_and_compares_as_its_run(known, log, folder):
    assert numbers(score(log)) == numbers(score(known))
    other = play(folder / "first", DILEMMAS, "first", EPISODES)
    second = export_inspect(other, folder / "first.eval")
    assert numbers(compare(log, second)) == numbers(compare(known, other))
    assert score(log).run == str(log)


def test_a_game_is_read_back_whole(folder):
    run = play(folder / "game", GAME, "random", 2)
    again = open_run(export_inspect(run, folder / "game.eval"))
    assert again.episodes() == run.episodes()
    assert numbers(score(again)) == numbers(score(run))


def test_a_value_is_a_column_of_the_data_frame_and_unscored_is_nan(known, frame):
    assert len(frame) == EPISODES
    scores = score(known)
    for axis in scores.axes:
        column = frame[f"score_{axis.axis}"].astype(float)
        assert column.count() == axis.contested < EPISODES
        if axis["E3p"].value is not None:  # one decision a sample: the two means are one
            assert column.mean() == pytest.approx(axis["E3p"].value, abs=1e-12)


def test_the_log_tells_the_runs_estimates_and_what_was_run(known, log):
    [status] = evals_df(str(log), [EvalColumn("status", path="status")])["status"]
    assert status == "success"
    told = read_eval_log(str(log), header_only=True)
    about = told.eval.metadata
    assert (about["env"], about["policy"], about["seed"]) == (DILEMMAS, "known:BEC=1.5", 1)
    assert about["taxonomy"] == "schwartz20/1"
    assert about["bank"] == known.header.env_identity["content"]
    assert about["annotation"] == ["AI-annotated: by the author of each item (first annotator)"]
    results = {each.name: each for each in told.results.scores}
    for axis in score(known).axes:
        metrics = results[axis.axis].metrics
        assert results[axis.axis].scored_samples == metrics["contested"].value == axis.contested
        shown = {name: metrics[name].value for name in metrics if name != "contested"}
        estimate = axis["E3p"]
        named = {"propensity": estimate.value, "low": estimate.low, "high": estimate.high}
        assert shown == {name: value for name, value in named.items() if value is not None}


def test_each_decision_is_a_call_with_what_was_shown_and_chosen(known, log):
    calls = events_df(str(log), ModelEventColumns, filter=lambda event: event.event == "model")
    assert len(calls) == EPISODES
    messages = messages_df(str(log))
    assert set(messages["role"]) == {"system", "user", "assistant"}
    episode = known.episodes()[0]
    sample = samples_of(log)[episode.identity]
    offer = sample.events[0].data["options"]
    assert [each["text"] for each in offer] == [each.text for each in episode.decisions[0].menu]
    assert sample.events[1].metadata["asked"] == "what was shown; no language model was asked"
    assert sample.messages[1].text.startswith(episode.decisions[0].observation)
    assert sample.metadata["identity"] == episode.identity


def test_a_model_is_shown_as_it_was_asked_and_as_it_replied(folder):
    HEARD.clear()
    run = play(folder / "echo", DILEMMAS, "inspect:echo/b", 4)
    samples = samples_of(export_inspect(run, folder / "echo.eval")).values()
    shown = [[(m.role, m.text) for m in sample.events[1].input] for sample in samples]
    assert sorted(shown) == sorted(HEARD)
    for sample in samples:
        assert sample.events[1].metadata["asked"] == "as the model was asked"
        assert sample.messages[-1].text == "<think>\nHm.\n</think>\nAnswer: B"


def test_two_exports_of_a_run_are_the_same_bytes_and_nothing_is_written_over(known, log, folder):
    again = export_inspect(known, folder / "again.eval")
    assert again.read_bytes() == log.read_bytes()
    with pytest.raises(ConfigError, match="exists; give a path where nothing is"):
        export_inspect(known, again)
    with pytest.raises(ConfigError, match=r"ends in \.eval"):
        export_inspect(known, folder / "known.json")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_odd_texts_failures_and_damage_of_the_run_are_read_back(tmp_path):
    store = hostile_run(tmp_path / "hostile", "p", 0)
    odd = odd_run(tmp_path / "odd", "\r\n\"',\x00\u2028\t=1" + "é" * 300, -0.0)
    for run in (Run(store.path), odd):
        log = export_inspect(run, tmp_path / f"{run.path.name}.eval")
        again = open_run(log)
        assert again.episodes() == run.episodes()
        assert again.failed() == run.failed()
        assert again.problems() == run.problems()
        assert rows(again.decisions()) == rows(run.decisions())
        assert numbers(score(again)) == numbers(score(run))
        errors = [sample for sample in samples_of(log).values() if sample.error]
        assert len(errors) == len(run.failed()) == 1


def test_a_log_that_inspect_wrote_again_is_read(known, log, tmp_path):
    again = tmp_path / "again.eval"
    write_eval_log(read_eval_log(str(log), resolve_attachments=True), str(again))
    assert numbers(score(again)) == numbers(score(known))


def test_a_run_whose_scores_are_refused_has_none_in_the_log(known, tmp_path):
    read = {**known.header.policy_identity, "reading": "top/1"}  # one that tells the mass
    header = msgspec.structs.replace(known.header, policy_identity=read)
    store = RunStore.create(tmp_path / "low", header)
    with store.writing() as writer:
        for episode in known.episodes():
            [decision] = episode.decisions
            choice = msgspec.structs.replace(decision.choice, mass=1e-4)
            decisions = (msgspec.structs.replace(decision, choice=choice),)
            writer.episode(msgspec.structs.replace(episode, decisions=decisions))
    run = Run(store.path)
    assert score(run).mass.refusal is not None
    log = export_inspect(run, tmp_path / "low.eval")
    values = [value.value for each in samples_of(log).values() for value in each.scores.values()]
    assert values
    assert all(map(math.isnan, values))
    told = read_eval_log(str(log), header_only=True).results.scores
    assert {name for each in told for name in each.metrics} == {"contested"}


def foreign(path):
    spec = EvalSpec(
        created="2026-11-01T00:00:00+00:00", task="other", dataset=EvalDataset(name="d"),
        model="m", config=EvalConfig(),
    )  # fmt: skip
    write_eval_log(EvalLog(status="success", eval=spec, samples=[]), str(path))


def test_a_log_of_another_tool_says_what_to_do(tmp_path, known, log):
    foreign(tmp_path / "foreign.eval")
    with pytest.raises(DataError, match=r"a log of another tool.*valueagents run --policy inspect"):
        score(tmp_path / "foreign.eval")
    (tmp_path / "torn.eval").write_bytes(log.read_bytes()[:5000])
    with pytest.raises(DataError, match="no log that Inspect reads"):
        compare(log, tmp_path / "torn.eval")
    cut = tmp_path / "cut.eval"
    with zipfile.ZipFile(log) as old, zipfile.ZipFile(cut, "w") as new:
        gone = next(name for name in old.namelist() if name.startswith("samples/"))
        for name in old.namelist():
            if name != gone:
                new.writestr(name, old.read(name))
    with pytest.raises(DataError, match=r"not found in log .*export the run again"):
        score(cut)


def test_a_log_of_which_samples_were_taken_out_says_how_many(log, tmp_path):
    read = read_eval_log(str(log), resolve_attachments=True)
    read.samples = read.samples[1:]
    write_eval_log(read, str(tmp_path / "fewer.eval"))
    with pytest.raises(DataError, match=f"{EPISODES - 1} episodes are there, {EPISODES} were"):
        score(tmp_path / "fewer.eval")


@contextmanager
def inspect_view(folder):
    """The address of `inspect view`, which serves a folder on this machine alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["view", "start", "--log-dir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-c", "from inspect_ai._cli.main import main; main()", *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in server.stdout:
            if "Running on" in line:
                break
        else:
            pytest.fail("inspect view did not start")
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.communicate(timeout=30)


GRID = """(() => {
    const grid = document.querySelector('[data-col-id=sampleId]').closest('[role=grid]');
    const at = cell => cell.getAttribute('aria-colindex');
    const heads = {};
    grid.querySelectorAll('[role=columnheader]').forEach(e => heads[at(e)] = e.title);
    const cells = row => [...row.querySelectorAll('[role=gridcell]')];
    return [...grid.querySelectorAll('[role=row]:has([role=gridcell])')].map(
        row => Object.fromEntries(cells(row).map(e => [heads[at(e)], e.innerText])));
})()"""
"""The rows of the grid that is shown, by the titles of its columns."""


@needs_chromium
def test_inspect_view_shows_the_samples_the_values_and_a_transcript(known, log, frame, tmp_path):
    shown = tmp_path / "logs"
    shown.mkdir()
    (shown / "known.eval").write_bytes(log.read_bytes())
    (tmp_path / "profile").mkdir()
    frame = frame.set_index("id")
    with inspect_view(shown) as address, browser(tmp_path / "profile") as tab:
        with tab.screen(3200, 1200):
            tab.go(f"{address}#/logs/known.eval/samples/")
            tab.settle("document.querySelector('[data-col-id=sampleId]')")
            met = tab.script(GRID)
        assert len(met) > 5
        for row in met:
            for axis in score(known).axes:
                told = frame[f"score_{axis.axis}"].astype(float)[row["Id"]]
                assert (row[axis.axis] == "") == math.isnan(told)
                if row[axis.axis]:
                    assert float(row[axis.axis]) == pytest.approx(told, abs=1e-12)
        tab.go(f"{address}#/logs/known.eval/samples/sample/{met[0]['Id']}/1/transcript")
        tab.settle("document.body.innerText.includes('MODEL CALL')")
        [sample] = [each for each in samples_of(log).values() if each.id == met[0]["Id"]]
        for said in (sample.events[0].data["options"][0]["text"], sample.output.completion):
            assert said in tab.text()
