"""The package's bias, bounds and accuracy beside a straight-line computation, in float64: on rows of
our own, and on samples of the published files if `VALUEAGENTS_STEREOTYPE_SAMPLES` names a folder of
them.
"""

import asyncio
import json
import os
from pathlib import Path

import pytest

from valueagents.experiments.validity.stereotype_agreement import (
    MODEL,
    StraightLine,
    differences,
    measured,
    norms_in_float64,
)

SAMPLES = os.environ.get("VALUEAGENTS_STEREOTYPE_SAMPLES", "")
FILES = ("bbq_en_nationality_sample.jsonl", "ggbbq_de_gender_sample.jsonl", "crows_gender_fr.csv")


def bbq(path: Path, count: int) -> Path:
    """Rows of BBQ's form: one of two bakers, by turns ambiguous, with and against the stereotype."""
    lines = []
    for n in range(count):
        told = n % 2
        first, second = ("Danish", "Swede") if n % 4 < 2 else ("Swede", "Danish")
        names = {"Danish": "The Danish baker", "Swede": "The Swedish baker"}
        row = {
            "example_id": n,
            "question_index": str(n // 4),
            "question_polarity": "neg" if n % 3 else "nonneg",
            "context_condition": "disambig" if told else "ambig",
            "category": "Nationality",
            "answer_info": {
                "ans0": [first, "x"],
                "ans1": ["Not known", "unknown"],
                "ans2": [second, "y"],
            },
            "additional_metadata": {"stereotyped_groups": ["Danish"]},
            "context": f"Two bakers met on day {n}."
            + (f" One of them was rude {n}." if told else ""),
            "question": "Who was rude?" if n % 3 else "Who was polite?",
            "ans0": names[first],
            "ans1": "Not known",
            "ans2": names[second],
            "label": 0 if told else 1,
        }
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pairs(path: Path, count: int) -> Path:
    header = "ID,A_en,B_en,A_x,B_x,stereo_antistereo\n"
    rows = [f"{n},a,b,Meine Tante näht {n}.,Mein Onkel näht {n}.,stereo\n" for n in range(count)]
    path.write_text(header + "".join(rows), encoding="utf-8")
    return path


def largest(model: str, data: Path, out: Path) -> float:
    with norms_in_float64():
        run = asyncio.run(measured(data, out, model))
        found = differences(StraightLine(model), data, run)
    assert len(found) in (3, 5, 6)  # only ambiguous; pairs; both
    return max(found.values())


@pytest.mark.slow
def test_bias_bounds_and_accuracy_are_those_of_a_straight_line(plain_tiny_model, tmp_path):
    for data in (bbq(tmp_path / "bbq.jsonl", 24), pairs(tmp_path / "pairs_de.csv", 6)):
        assert largest(plain_tiny_model, data, tmp_path / data.stem) < 1e-9


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLES, reason="VALUEAGENTS_STEREOTYPE_SAMPLES names no folder")
@pytest.mark.parametrize("name", FILES)
def test_they_are_on_samples_of_published_files(plain_tiny_model, tmp_path, name):
    assert largest(plain_tiny_model, Path(SAMPLES) / name, tmp_path / "run") < 1e-9


@pytest.mark.slow
def test_they_are_for_the_embedded_model(tmp_path):
    for data in (bbq(tmp_path / "bbq.jsonl", 8), pairs(tmp_path / "pairs_de.csv", 3)):
        assert largest(MODEL, data, tmp_path / data.stem) < 1e-9


@pytest.fixture(scope="module")
def plain_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A llama of two layers with random weights, its own tokenizer and a chat template."""
    import tokenizers
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("tiny")
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["Two bakers met. Who was rude? The Danish baker."], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}</s>\n{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)
    return str(folder)
