"""The embedded SmolLM2-135M from spec to scores: a real run, killed and repeated, and its
likelihoods by hand.
"""

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from string import ascii_letters, digits

import msgspec
import pytest

from valueagents.contracts.decision import Choice
from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import View
from valueagents.policies.engines import Message, ScoreReply, ScoreRequest, TopReply, TopRequest
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.models import EMBEDDED, find_model
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import LabelReading, Question, TopReading
from valueagents.running.execution import RunConfig, execute, plan
from valueagents.running.runs import Run
from valueagents.running.store import RunStore

pytestmark = pytest.mark.slow

SPEC = f"transformers:{EMBEDDED}"
ITEMS = 6
DEADLINE_S = 180.0


@pytest.fixture(scope="module", autouse=True)
def _two_threads() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _config(spec: str = SPEC, live: int | None = None) -> RunConfig:
    return RunConfig(env="valueagents/Dilemma-v0", policy=spec, episodes=ITEMS, seed=3, live=live)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six dilemmas by label, undisturbed."""
    return execute(_config(), tmp_path_factory.mktemp("embedded") / "labels")


@pytest.fixture(scope="module")
def likelihoods(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same six by likelihood."""
    return execute(
        _config(SPEC + "?reading=likelihood"), tmp_path_factory.mktemp("embedded") / "likelihoods"
    )


def _propensities(run_: Run) -> dict[str, float]:
    """E3p by axis, straight from the records: mean of Σ p x - mean x over the decisions where x
    differs.
    """
    terms = defaultdict(list)
    for episode in run_.episodes():
        for decision in episode.decisions:
            values = decision.annotation.values
            for axis in sorted({axis for option in values for axis in option}):
                x = [option.get(axis, 0.0) for option in values]
                if None not in x and len(set(x)) > 1:
                    expected = math.fsum(
                        p * v for p, v in zip(decision.choice.probabilities, x, strict=True)
                    )
                    terms[axis].append(expected - math.fsum(x) / len(x))
    return {axis: math.fsum(t) / len(t) for axis, t in terms.items()}


def test_the_run_in_shards_scores_as_in_one_process(labels: Run, out: Path):
    for shard in ("1/2", "2/2"):
        execute(msgspec.structs.replace(_config(), shard=shard), out)
    sharded = Run(out)
    assert [each.identity for each in sharded.episodes()] == [e.identity for e in labels.episodes()]
    assert all(folder.name.startswith("shard-") for folder in sharded.store.folders)
    assert _propensities(sharded) == pytest.approx(_propensities(labels), abs=1e-3)


class Truncated(TransformersEngine):
    """The model, showing the most probable of some 60 first tokens, all letters among them."""

    can = frozenset({"score", "top"})

    async def top(self, request: TopRequest) -> TopReply:
        tokens = (*ascii_letters, *digits, ".", "The")
        reply = await self.score(ScoreRequest(request.chats, tokens, request.adapter))
        rows = [
            sorted(zip(tokens, row, strict=True), key=lambda each: -each[1])
            for row in reply.logprobs
        ]
        return TopReply(tuple(tuple(row[: request.count]) for row in rows), reply.prompt_tokens, 0)


def test_letters_among_its_most_probable_tokens_agree_with_the_full_reading_within_the_bound(
    dilemma: View,
):
    prompt = load_prompt("choose-1")

    async def go() -> list[Choice]:
        async with Truncated(EMBEDDED) as engine:
            readings = [LabelReading()]
            readings += [TopReading(TopReading.Options(count=count)) for count in (2, 3, 5, 20)]
            return [await each.choose(engine, Question(dilemma, prompt)) for each in readings]

    full, *truncated = asyncio.run(go())
    bounds = [read.unseen for read in truncated if read.probabilities is not None]
    assert bounds == sorted(bounds, reverse=True)
    assert len(bounds) >= 2
    for read in truncated:
        if read.probabilities is not None:
            apart = sum(
                abs(p - q) for p, q in zip(full.probabilities, read.probabilities, strict=True)
            )
            assert apart / 2 <= read.unseen + 1e-5
    assert truncated[-1].probabilities == pytest.approx(full.probabilities, abs=1e-5)


@pytest.mark.parametrize("reading", ["labels", "likelihoods"])
def test_every_dilemma_gets_probabilities_and_a_choice(
    reading: str, request: pytest.FixtureRequest
):
    played: Run = request.getfixturevalue(reading)
    assert played.failed() == []
    assert len({episode.situation for episode in played.episodes()}) == ITEMS
    for episode in played.episodes():
        [decision] = episode.decisions
        assert decision.chosen is not None
        assert math.fsum(decision.choice.probabilities) == pytest.approx(1, abs=1e-9)
        assert (decision.choice.mass is None) == (reading == "likelihoods")  # of free texts: none
        assert decision.choice.prompt_tokens > decision.choice.cached_tokens > 0


def test_by_label_the_model_answers_with_letters_more_often_than_by_accident(labels: Run):
    masses = [episode.decisions[0].choice.mass for episode in labels.episodes()]
    assert min(masses) > 0.01  # of 49,152 tokens two to four are labels


def test_a_killed_run_repeated_scores_as_an_undisturbed_one(labels: Run, out: Path):
    config = _config(live=1)
    program = (
        "import sys, msgspec, torch; from valueagents.running.execution import RunConfig, execute; "
        "torch.set_num_threads(2);"
        "execute(msgspec.json.decode(sys.argv[1], type=RunConfig), sys.argv[2])"
    )
    command = [sys.executable, "-c", program, msgspec.json.encode(config).decode(), str(out)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not (out / "run.json").exists() or not list(RunStore.open(out).episodes()):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline, "no episode finished"
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    survived = [episode.identity for episode in RunStore.open(out).episodes()]
    assert 1 <= len(survived) < ITEMS
    assert plan(config, out).owed == ITEMS - len(survived)

    repeated = execute(_config(), out)
    written = [episode.identity for episode in repeated.store.episodes()]
    assert set(survived) <= set(written)
    assert len(written) == repeated.decisions().num_rows == ITEMS
    assert sorted(written) == [episode.identity for episode in labels.episodes()]
    undisturbed = _propensities(labels)
    assert len(undisturbed) >= 5
    assert _propensities(repeated) == pytest.approx(undisturbed, abs=1e-3)


def test_number_format_and_reading_enter_the_identity(labels: Run, likelihoods: Run):
    by_label, by_likelihood = labels.header.policy_identity, likelihoods.header.policy_identity
    assert (by_label["dtype"], by_label["reading"]) == ("float32", "label/1")
    assert by_likelihood["reading"] == "likelihood/2"
    coarse = make_policy(SPEC + "?dtype=bfloat16").identity()
    assert {key for key in by_label if by_label[key] != coarse[key]} == {"dtype"}
    identities = [
        {episode.identity for episode in run_.episodes()} for run_ in (labels, likelihoods)
    ]
    assert identities[0].isdisjoint(identities[1])


def test_likelihoods_equal_six_full_passes():
    import torch
    import transformers

    task, question = "Decide what you do.", "You find a coat on your chair.\n\nWhat do you do?"
    options = (
        "Give it back.",
        "Keep it",
        "Ask the neighbour whose coat it is.",
        "Nothing.",
        "Hang it up by the door, with a note.",
        "Wear it – it is cold.",
    )
    chat = (Message("system", task), Message("user", question))

    async def ask() -> ScoreReply:
        async with TransformersEngine(EMBEDDED) as engine:
            return await engine.score(ScoreRequest((chat,), options))

    reply = asyncio.run(ask())
    folder = find_model(EMBEDDED).folder
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    text = f"<|im_start|>system\n{task}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    before = tokenizer(text).input_ids
    for option, logprob, count in zip(options, reply.logprobs[0], reply.tokens, strict=True):
        ids = tokenizer(option).input_ids
        with torch.inference_mode():
            logprobs = model(torch.tensor([before + ids])).logits[0].double().log_softmax(dim=-1)
        expected = math.fsum(
            float(logprobs[len(before) + i - 1, token]) for i, token in enumerate(ids)
        )
        assert logprob == pytest.approx(expected, abs=1e-3)
        assert count == len(ids)


def test_the_template_adds_no_system_prompt_of_its_own():
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(find_model(EMBEDDED).folder)
    chat = [{"role": "system", "content": "Decide."}, {"role": "user", "content": "Now?"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert (
        text
        == "<|im_start|>system\nDecide.<|im_end|>\n<|im_start|>user\nNow?<|im_end|>\n<|im_start|>assistant\n"
    )
