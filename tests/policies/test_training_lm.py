"""Decoders from scratch: settings, texts, and a training that is killed and goes on."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import pytest

from valueagents.contracts.decision import Option
from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import View
from valueagents.errors import ConfigError
from valueagents.policies.training.lm import lm_spec, texts_in, train_lm
from valueagents.policies.training.lm_settings import lm_cost, lm_settings

SMALL = {
    "vocabulary": 320,
    "tokens": 2048,
    "width": 16,
    "layers": 1,
    "heads": 2,
    "context": 32,
    "batch_tokens": 128,
    "save_steps": 4,
}
ENGLISH = "The baker opens at six. A woman buys two loaves.\n\nThe children laugh and run home."
GERMAN = "Der Bäcker öffnet um sechs. Eine Frau kauft zwei Brote.\n\nDie Kinder lachen."


def test_the_paper_has_two_and_a_half_billion_parameters_and_its_cost_is_arithmetic():
    paper = lm_settings("paper", {})
    assert paper.parameters == pytest.approx(2.6e9, rel=0.01)
    told = lm_cost(paper, models=6)
    hours = 6 * paper.parameters * paper.tokens / (989e12 * 0.4) / 3600
    assert f"{hours:,.0f} hours on an H100" in told
    assert f"all {6 * hours:,.0f}" in told


@pytest.mark.parametrize(
    ("preset", "overrides", "message"),
    [
        ("papr", {}, "unknown preset 'papr'.*Did you mean 'paper'"),
        ("rehearsal", {"widht": 3}, "unknown setting 'widht'.*Did you mean 'width'"),
        ("rehearsal", {"tokens": 0}, "tokens"),
        ("rehearsal", {"width": 100, "heads": 3}, "width 100 does not give each of 3 heads"),
    ],
)
def test_wrong_settings_are_one_clear_error(preset, overrides, message):
    with pytest.raises(ConfigError, match=message):
        lm_settings(preset, overrides)


def test_texts_are_files_or_folders_of_them(tmp_path):
    (tmp_path / "a.txt").write_text("One.", encoding="utf-8")
    (tmp_path / "b.txt").write_text("Two.", encoding="utf-8")
    assert texts_in({"en": str(tmp_path), "x": str(tmp_path / "b.txt")}) == {
        "en": "One.\n\nTwo.",
        "x": "Two.",
    }
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        texts_in({"en": str(tmp_path / "c.txt")})
    (tmp_path / "b.txt").write_text(" \n")
    with pytest.raises(ConfigError, match="is empty"):
        texts_in({"en": str(tmp_path / "b.txt")})


@pytest.mark.slow
def test_a_model_reads_as_much_of_every_text_and_can_be_asked(tmp_path):
    texts = {"en": ENGLISH, "de": GERMAN}
    steps = []

    def show(*_):
        return nullcontext(lambda done, _failed, owed: steps.append((done, owed)))

    settings = lm_settings("rehearsal", SMALL)
    record = train_lm(texts, settings, tmp_path / "m", seed=1, show=show)
    assert steps == [(done, 16) for done in range(1, 17)]
    assert [tokens for _, tokens, _ in record.texts.values()] == [1024, 1024]
    assert all(times > 1 for _, _, times in record.texts.values())
    assert not list((tmp_path / "m").glob("checkpoint*"))
    assert (tmp_path / "m" / "model.safetensors").is_file()
    assert train_lm(texts, lm_settings("rehearsal", SMALL), tmp_path / "m", seed=1) == record
    with pytest.raises(ConfigError, match="holds another model"):
        train_lm(texts, lm_settings("rehearsal", SMALL), tmp_path / "m", seed=2)
    menu = (Option("a", "The children laugh."), Option("b", "Die Kinder lachen."))

    async def ask():
        async with make_policy(lm_spec(tmp_path / "m")).for_question("compare") as policy:
            return await policy.decide(View("", (), "x", menu, 0, asks="compare"))

    assert sum(asyncio.run(ask()).probabilities) == pytest.approx(1)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_its_end(tmp_path):
    text = tmp_path / "en.txt"
    text.write_text(ENGLISH, encoding="utf-8")
    given = {**SMALL, "tokens": 8192}
    words = [word for pair in given.items() for word in ("--set", "{}={}".format(*pair))]
    command = ["train", "lm", "--text", f"en={text}", "--out", str(tmp_path / "m"), *words]
    process = subprocess.Popen([sys.executable, "-m", "valueagents", *command])
    until = time.monotonic() + 300
    while not list((tmp_path / "m").glob("checkpoints/checkpoint-*/whole")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "m" / "lm.json").exists()
    half_written = tmp_path / "m" / "checkpoints" / "checkpoint-63"
    half_written.mkdir(exist_ok=True)
    (half_written / "whole").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "valueagents", *command, "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "m" / "lm.json").read_text())
    assert record["settings"]["tokens"] == 8192
    assert (tmp_path / "m" / "model.safetensors").is_file()
    assert not (tmp_path / "m" / "checkpoints").exists()
