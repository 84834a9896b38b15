"""The reading of whole sentences: the model's own likelihoods, with nothing before but its start."""

import asyncio
import json
import shutil

import pytest

from valueagents.contracts.decision import Option
from valueagents.contracts.plugins import make_policy
from valueagents.contracts.policy import View
from valueagents.errors import PolicyError
from valueagents.measuring.studies.stereotype import crows_metrics
from valueagents.policies.engines import ScoreReply
from valueagents.policies.prompts import load_prompt
from valueagents.policies.readings import SentencesReading
from valueagents.running.execution import RunConfig, execute

SENTENCES = ("Give the coat back, and decide.", "Keep the coat. In each, decide what you do.")


def view(asks: str = "compare") -> View:
    menu = tuple(Option(f"s{k}", text) for k, text in enumerate(SENTENCES))
    return View("Compare.", (), "Two sentences.", menu, 0, asks=asks)


def straight(folder, texts) -> list[list[float]]:
    """The log-probabilities of each text's tokens, one plain pass each."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    found = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        with torch.inference_mode():
            logits = model(torch.tensor([[tokenizer.bos_token_id, *ids]])).logits[0, :-1]
        logprobs = logits.log_softmax(-1)
        found.append([float(logprobs[place, token]) for place, token in enumerate(ids)])
    return found


async def asked(spec: str, question: View):
    async with make_policy(spec).for_question(question.asks) as policy:
        return await policy.decide(question)


@pytest.mark.parametrize("normaliser", ["sum", "token"])
def test_sentences_are_scored_after_the_start_token_alone(tiny_model, normaliser):
    import math

    spec = f"transformers:{tiny_model}?dtype=float64"
    spec += "" if normaliser == "sum" else "&reading=sentences&normaliser=token"
    choice = asyncio.run(asked(spec, view()))
    logprobs = straight(tiny_model, SENTENCES)
    sums = [math.fsum(each) for each in logprobs]
    means = [total / len(each) for total, each in zip(sums, logprobs, strict=True)]
    for found, (one, other) in (
        (choice.probabilities, sums if normaliser == "sum" else means),
        (
            choice.beside["token" if normaliser == "sum" else "sum"],
            means if normaliser == "sum" else sums,
        ),
    ):
        assert math.log(found[0] / found[1]) == pytest.approx(one - other, abs=1e-9)
    assert (choice.prompt, choice.mass) == (None, None)


def test_neither_task_nor_prompt_nor_situation_is_shown_or_part_of_the_identity():
    reading = SentencesReading()
    [request] = reading.requests(load_prompt("compare-2"), view())
    assert request.chats == ((),)
    assert request.continuations == SENTENCES
    policy = make_policy("transformers:smollm2-135m").for_question("compare")
    assert policy.reading.identity() == {
        "reading": "sentences/1",
        "normaliser": "sum",
        "pick": "draw",
    }
    assert policy.identity()["prompt"] == ""


def test_a_longer_sentence_is_not_less_likely_a_token():
    reply = ScoreReply(((-10.0, -20.0),), (5, 20), 25, 0)
    found = SentencesReading().read(view(), [reply])
    assert found.probabilities[0] == pytest.approx(1 / (1 + 2.718281828459045**-10))
    assert found.beside["token"][0] == pytest.approx(1 / (1 + 2.718281828459045**1))


def test_a_tokenizer_without_a_start_token_starts_at_the_end_of_another_text(tiny_model, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["bos_token"] = None
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    spec = f"transformers:{folder}"
    assert asyncio.run(asked(spec, view())).probabilities
    config["eos_token"] = None
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(PolicyError, match="no start token"):
        asyncio.run(asked(spec, view()))


def test_the_metric_gives_both_normalisers_of_one_run(tiny_model, tmp_path):
    data = tmp_path / "pairs_en.csv"
    header = "sent_more,sent_less,stereo_antistereo,bias_type\n"
    data.write_text(
        header + 'Keep the coat.,Give the coat back.,stereo,x\nWhat?,"Do, do.",stereo,y\n'
    )
    run = execute(
        RunConfig(
            env="valueagents/Stereotype-v0",
            env_options={"data": str(data)},
            policy=f"transformers:{tiny_model}",
        ),
        tmp_path / "run",
    )
    found = crows_metrics(run)
    assert set(found.beside) == {"share by token", "difference by token"}
    assert found.beside["difference by token"].value < found.difference.value
