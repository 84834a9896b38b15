"""Runs, trainings and studies are killed at random moments, again and again, until they end."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from valueagents.experiments.validity.durability_count import (
    Wrong,
    answers,
    compare_with_truth,
    count_drafts,
)
from valueagents.experiments.validity.processes import Player, count_orphans, descendants
from valueagents.policies.models import EMBEDDED
from valueagents.policies.training.manifest import read_manifest
from valueagents.running.execution import RunConfig, execute
from valueagents.running.runs import Run

Outcome = dict[str, object]
_CLI = [sys.executable, "-c", "from valueagents.cli import main; main()"]
_VALUES, _PAIRS = ("HED", "TRA"), (("train", 2), ("eval", 1))
_TRAINED = ("epochs=3", "others=1", "batch_rows=4", "rank=2")
_LITTLE = ("variants=1", "label_variants=1", "rotate=false")
_STUDY = f"""
base = "{EMBEDDED}"
preset = "quick"
overrides = {{ epochs = 1, others = 0.02, variants = 1, label_variants = 1, rotate = false }}
targets = ["HED"]
seeds = [1]
primary = "dilemmas"

[[envs]]
name = "survey"
role = "survey"
env = "valueagents/Survey-v0"
env_options = {{ split = "test", poles = "affirm" }}
elicitation = {{ reading = "likelihood", normaliser = "sum", prompt = "rate-1" }}
episodes = 8

[[envs]]
name = "dilemmas"
role = "behaviour"
env = "valueagents/Dilemma-v0"
elicitation = {{ reading = "label" }}
episodes = 8
"""


def killed_runs(
    folder: Path, config: RunConfig, kills: int, wrong: Wrong, rng: random.Random
) -> None:
    """A run is killed at random until that many kills were survived; ended runs begin anew."""
    truth, part = execute(config, folder / "truth"), config.env.split("/")[1].removesuffix("-v0")
    part = "embedded" if config.policy.startswith("transformers") else part
    out, number = folder / "0", 0
    planned = config.episodes or 0
    for _ in range(kills):
        player = Player(folder)
        player.start(config, out)
        after = rng.choice(["start", *map(str, range(1, max(2, planned // 8)))])
        last = player.until(after)
        time.sleep(rng.random() * (0.1 if after == "start" else 0.004))
        player.kill()
        if last == "end":
            compare_with_truth(part, out, truth, wrong)
            number += 1
            out = folder / str(number)
    compare_with_truth(part, execute(config, out).path, truth, wrong)
    wrong.print_row(part, f"{kills} kills, {number + 1} runs")


def killed_trainings(folder: Path, kills: int, wrong: Wrong, rng: random.Random) -> None:
    """A training of the embedded model on a few statements is killed at random; in the end its
    adapter is the one of a training that nothing happened to.
    """
    survey = folder / "survey.jsonl"
    survey.write_text(_little_survey(), encoding="utf-8")
    words = ["train", "survey", "--base", EMBEDDED, "--target", "HED", "--direction", "down"]
    words += [
        "--items",
        str(survey),
        *(word for each in _TRAINED + _LITTLE for word in ("--set", each)),
    ]
    _killed_commands("trainings", folder, words, _adapters, kills, wrong, rng)


def killed_studies(folder: Path, kills: int, wrong: Wrong, rng: random.Random) -> None:
    """A study with the embedded model is killed at random; in the end its adapters and the answers
    of its runs are those of a study that nothing happened to.
    """
    design = folder / "little.toml"
    design.write_text(_STUDY, encoding="utf-8")
    words = ["study", str(design)]
    _killed_commands("studies", folder, words, _adapters_and_answers, kills, wrong, rng)


def _little_survey() -> str:
    """Two values of the bundled survey, two pairs to train and one to hold out of each."""
    bank = files("valueagents.envs").joinpath("data", "survey.jsonl")
    header, *lines = bank.read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(line) for line in lines]
    kept = []
    for value in _VALUES:
        for split, count in _PAIRS:
            kept += [p for p in pairs if (p["value"], p["split"]) == (value, split)][:count]
    return "\n".join([header, *map(json.dumps, kept)])


def _killed_commands(
    part: str,
    folder: Path,
    words: list[str],
    result: Callable[[Path], Outcome],
    kills: int,
    wrong: Wrong,
    rng: random.Random,
) -> None:
    scratch = folder / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch)}

    def start(out: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*_CLI, *words, "--out", str(out)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    began = time.monotonic()
    if start(folder / "truth").wait():
        raise RuntimeError(f"{' '.join(words)} failed, though nothing was killed")
    lasts_s, truth, ended = time.monotonic() - began, result(folder / "truth"), 0
    always = set(scratch.iterdir())  # torch makes a folder for itself
    out = folder / "out"
    for _ in range(kills):
        process = start(out)
        try:
            process.wait(rng.random() * lasts_s)
        except subprocess.TimeoutExpired:
            family = descendants(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait()
            wrong.orphans[part] += count_orphans(family)
        else:
            ended += 1
            _compare(part, out, truth, result, wrong)
            shutil.rmtree(out)
    start(out).wait()
    _compare(part, out, truth, result, wrong)
    wrong.folders[part] += len(set(scratch.iterdir()) - always)
    wrong.print_row(part, f"{kills - ended} kills, {ended + 1} ended, {lasts_s:.0f} s each")


def _compare(
    part: str, out: Path, truth: Outcome, result: Callable[[Path], Outcome], wrong: Wrong
) -> None:
    there = result(out)
    wrong.lost[part] += len(truth.keys() - there.keys())
    wrong.double[part] += len(there.keys() - truth.keys())
    wrong.silent[part] += sum(there[one] != truth[one] for one in there.keys() & truth.keys())
    wrong.folders[part] += count_drafts(out.rglob("*"))


def _adapters(out: Path) -> Outcome:
    """The content hash of each finished adapter, by its folder."""
    manifests = {file.parent: read_manifest(file.parent) for file in out.rglob("training.json")}
    return {
        str(folder.relative_to(out)): (manifest.adapter, manifest.losses)
        for folder, manifest in manifests.items()
        if manifest is not None
    }


def _adapters_and_answers(out: Path) -> Outcome:
    runs = {file.parent: answers(Run(file.parent)) for file in out.rglob("run.json")}
    return _adapters(out) | {str(run.relative_to(out)): said for run, said in runs.items()}
