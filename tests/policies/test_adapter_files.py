"""Adapters as files: whatever is done to one, it answers as in peft's own forward pass, or is
refused in a sentence.

Forty changed adapters are tried by default, each with a seed of its own; $VALUEAGENTS_CHANGED_ADAPTERS
says how many, and `make nightly` tries two hundred. With `pytest -s` the counts are printed.
"""

import asyncio
import dataclasses
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from valueagents.errors import ValueAgentsError
from valueagents.policies.adapter_config import CONFIG
from valueagents.policies.adapters import MANIFEST, WEIGHTS, read_adapter
from valueagents.policies.engines import Message, ScoreRequest
from valueagents.policies.engines.transformers.engine import TransformersEngine
from valueagents.policies.models import ModelFiles

CHAT = (Message("system", "Decide."), Message("user", "You find a coat. Whose is it?"))
ANSWERS = ("A", "Give it back.")
CHANGED = int(os.environ.get("VALUEAGENTS_CHANGED_ADAPTERS", "40"))
NOISE = 1e-3  # nats of a short answer, float32
EVERY_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 8},
    "every linear": {"target_modules": EVERY_LINEAR, "use_rslora": True, "task_type": "CAUSAL_LM"},
    "patterns": {
        "target_modules": ["q_proj", "o_proj"],
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"o_proj": 3},
    },
    "one layer": {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1]},
    "embeddings": {"target_modules": ["embed_tokens", "lm_head"], "r": 2},
    "transposed": {"target_modules": ["c_attn", "c_proj"], "r": 4, "fan_in_fan_out": True},
}
HANGS = "(([a-z_.0-9]*)*)*!"  # on a name of thirty letters: longer than anybody waits

Adapters = dict[str, Path]
Change = Callable[[Path, np.random.Generator], object]


@pytest.fixture(scope="session")
def transposed_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2, whose layers hold their matrices the other way round, with the same tokenizer."""
    import torch
    import transformers

    folder = Path(shutil.copytree(tiny_model, tmp_path_factory.mktemp("models") / "gpt2"))
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=512,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(21)
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bases(tiny_model: Path, transposed_model: Path) -> dict[str, Path]:
    """The base model of each kind of adapter."""
    return {kind: transposed_model if kind == "transposed" else tiny_model for kind in KINDS}


@pytest.fixture(scope="session")
def originals(bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Adapters:
    """One adapter of each kind, large enough to change answers."""
    return {
        kind: _make(bases[kind], tmp_path_factory.mktemp("adapters") / "made", **KINDS[kind])
        for kind in KINDS
    }


def _make(base: Path, folder: Path, **options: Any) -> Path:
    import peft
    import torch
    import transformers

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(5)
        model = transformers.AutoModelForCausalLM.from_pretrained(base)
        adapted = peft.get_peft_model(model, peft.LoraConfig(**options))
        for name, weight in adapted.named_parameters():
            if "lora_B" in name or "lora_embedding_" in name:
                torch.nn.init.normal_(weight, std=0.3)
        adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


def _by_peft(base: Path, folder: Path | None, prompt: list[int]) -> list[float]:
    """Log P of every answer, from a fresh base model."""
    import peft
    import tokenizers
    import torch
    import transformers

    tokenizer = tokenizers.Tokenizer.from_file(str(base / "tokenizer.json"))
    model = transformers.AutoModelForCausalLM.from_pretrained(base).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = model if folder is None else peft.PeftModel.from_pretrained(model, folder)
    found = []
    for answer in ANSWERS:
        tokens = tokenizer.encode(answer, add_special_tokens=False).ids
        with torch.inference_mode():
            logprobs = model(torch.tensor([prompt + tokens])).logits[0].double().log_softmax(dim=-1)
        found.append(
            sum(float(logprobs[len(prompt) + i - 1, token]) for i, token in enumerate(tokens))
        )
    return found


def _by_engine(base: Path, folder: Path) -> tuple[str, list[float], list[float]]:
    """The adapter's name, its answers and the base model's beside it."""

    async def ask() -> tuple[str, list[float], list[float]]:
        async with TransformersEngine(str(base), adapters=(str(folder),)) as engine:
            name = engine.adapters[0].name
            replies = [
                await engine.score(ScoreRequest((CHAT,), ANSWERS, who)) for who in (name, None)
            ]
            return name, *(list(reply.logprobs[0]) for reply in replies)

    return asyncio.run(ask())


def _set(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **fields}))


def _tensors(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    changed = change(load_file(folder / WEIGHTS))
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in changed.items()}, folder / WEIGHTS
    )


def _rename(folder: Path, old: str, new: str) -> None:
    _tensors(
        folder, lambda tensors: {name.replace(old, new): tensor for name, tensor in tensors.items()}
    )


def _drop(folder: Path, part: str) -> None:
    _tensors(
        folder,
        lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name},
    )


def _one(folder: Path, rng: np.random.Generator, change: Callable[[Any], Any]) -> None:
    """Change one of the tensors."""

    def pick(tensors: dict[str, Any]) -> dict[str, Any]:
        name = sorted(tensors)[rng.integers(len(tensors))]
        return {**tensors, name: change(tensors[name])}

    _tensors(folder, pick)


def _swap_layers(folder: Path) -> None:
    for old, new in ((".0.", ".x."), (".1.", ".0."), (".x.", ".1.")):
        _rename(folder, old, new)


def _cast(folder: Path, rng: np.random.Generator) -> None:
    import torch

    kinds = (
        "float16",
        "bfloat16",
        "float64",
        "int8",
        "int64",
        "bool",
        "float8_e4m3fn",
        "complex64",
    )
    kind = getattr(torch, str(rng.choice(kinds)))
    _tensors(folder, lambda tensors: {name: tensor.to(kind) for name, tensor in tensors.items()})


def _add(folder: Path, rng: np.random.Generator) -> None:
    import torch

    names = (
        "base_model.model.lm_head.weight",
        "base_model.model.model.embed_tokens.base_layer.weight",
        "base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias",
        "optimizer.step",
    )
    _tensors(folder, lambda tensors: {**tensors, str(rng.choice(names)): torch.ones(4, 4)})


def _spoil_bytes(folder: Path, rng: np.random.Generator, name: str) -> None:
    """Cut the file, exchange a byte in it, or add some."""
    content = bytearray((folder / name).read_bytes())
    place = int(rng.integers(len(content)))
    match rng.integers(3):
        case 0:
            del content[place:]
        case 1:
            content[place] ^= 1 << int(rng.integers(8))
        case _:
            content += bytes(rng.integers(256, size=3).tolist())
    (folder / name).write_bytes(bytes(content))


def _rewrite_config(folder: Path, rng: np.random.Generator) -> None:
    """The same text in another form, or nearly the same."""
    text = (folder / CONFIG).read_text()
    forms: list[bytes] = [
        text.encode("utf-16"),
        b"\xef\xbb\xbf" + text.encode(),
        text.replace("{", '{"r": 1, "lora_alpha": 77,', 1).encode(),  # the second of two counts
        text.replace("}", ', "lora_alpha": NaN}').encode(),
        (text.rstrip().rstrip("}") + ', "lora_alpha": 1e999}').encode(),
        (text.rstrip().rstrip("}") + ', "lora_alpha": 5.25}').encode(),
        b"[" * 100_000,
        f"[{text}]".encode(),
        b"null",
    ]
    (folder / CONFIG).write_bytes(forms[rng.integers(len(forms))])


JUNK: list[Any] = [
    *(
        None,
        0,
        -1,
        2,
        1.5,
        10**30,
        True,
        False,
        "",
        "q_proj",
        "true",
        HANGS,
        "\0",
        [],
        {},
        [1],
        [None],
        [[0, 1]],
    ),
    *(
        {"a": 1},
        {"q_proj": 2},
        {HANGS: 2},
        {"q_proj": None},
        ["q_proj", "v_proj"],
        [HANGS],
        "CAUSAL_LM",
        "default",
    ),
]
SETTINGS: list[dict[str, Any]] = [
    *(
        {"init_lora_weights": start}
        for start in ("pissa", "pissa_niter_4", "olora", "loftq", "eva", "corda", "mica")
    ),
    *(
        {"init_lora_weights": start}
        for start in ("gaussian", "orthogonal", "lora_ga", "Gaussian", False, 1)
    ),
    *(
        {"target_modules": names}
        for names in ("all-linear", ".*_proj", HANGS, ["q_proj"], EVERY_LINEAR, None)
    ),
    *({"layers_to_transform": layers} for layers in ([0], [1], 1, [0, 1], [7], ["1"])),
    *(
        {"layers_to_transform": [0, 1], "layers_pattern": name}
        for name in ("layers", ["h"], "x", HANGS)
    ),
    *(
        {"alpha_pattern": scales}
        for scales in ({"q_proj": 1, "self_attn.q_proj": 30}, {"o_proj": 1.5}, {"q.*": 3})
    ),
    {"alpha_pattern": {"self_attn.q_proj": 30, "q_proj": 1}},
    *(
        {"rank_pattern": ranks}
        for ranks in ({"^model.layers.0.self_attn.q_proj": 4}, {"q_proj": 2, "v_proj": 1})
    ),
    *(
        {"exclude_modules": names}
        for names in (["v_proj"], ["k_proj"], ["layers.0.self_attn.q_proj"], HANGS, [])
    ),
    *({"bias": which} for which in ("all", "lora_only")),
    *({"task_type": task} for task in ("SEQ_CLS", "FEATURE_EXTRACTION", None, "CAUSAL_LM")),
    *({"modules_to_save": names} for names in ([], ["lm_head"])),
    *(
        {switch: True}
        for switch in (
            "use_dora",
            "use_rslora",
            "fan_in_fan_out",
            "lora_bias",
            "ensure_weight_tying",
        )
    ),
    *({"lora_alpha": alpha} for alpha in (0, -3, 2.5, "8")),
    *({"lora_dropout": share} for share in (0.9, 1.5, "0.1")),
    *({"alora_invocation_tokens": tokens} for tokens in ([], [5])),
    *({"trainable_token_indices": tokens} for tokens in ([], [5], {})),
    *({"peft_type": kind} for kind in ("IA3", "lora", None)),
    {"qalora_group_size": 4, "peft_version": "99.0", "revision": "other"},
    {"a_field_of_tomorrow": {"strength": 2}},
    {"a_field_of_tomorrow": None},
    {"kasa_config": {}},
    {"velora_config": {"num_groups": 2}},
]
CHANGES: list[Change] = [
    lambda f, rng: _set(f, **{str(rng.choice(_field_names())): JUNK[rng.integers(len(JUNK))]}),
    lambda f, rng: _set(f, **SETTINGS[rng.integers(len(SETTINGS))]),
    lambda f, rng: _set(
        f, **SETTINGS[rng.integers(len(SETTINGS))]
    ),  # the likeliest to be met: twice
    _rewrite_config,
    lambda f, rng: _rename(f, *RENAMED[rng.integers(len(RENAMED))]),
    lambda f, rng: _drop(
        f,
        str(rng.choice(("lora_B", "lora_A", ".0.", ".1.", "q_proj", "0.self_attn.q_proj.lora_B"))),
    ),
    lambda f, rng: _swap_layers(f),
    _cast,
    _add,
    lambda f, rng: _one(f, rng, SHAPES[rng.integers(len(SHAPES))]),
    lambda f, rng: _one(f, rng, VALUES[rng.integers(len(VALUES))]),
    lambda f, rng: _spoil_bytes(f, rng, WEIGHTS),
    lambda f, rng: _spoil_bytes(f, rng, CONFIG),
    lambda f, rng: (f / MANIFEST).write_text(
        str(rng.choice(("{}", "[", '{"base": {"weights": "f00"}}')))
    ),
]
RENAMED = [
    (".weight", ".default.weight"),
    ("base_model.model.", ""),
    ("base_model.model.", "base_model.model.base_model.model."),
    ("base_model.model.model.", "base_model.model."),
    (".weight", ""),
    ("q_proj", "k_proj"),
    ("q_proj", "query"),
    (".1.", ".9."),
    ("lora_A", "lora_a"),
]
SHAPES: list[Callable[[Any], Any]] = [
    lambda tensor: tensor.T,
    lambda tensor: tensor[:-1],
    lambda tensor: tensor[:, :-1],
    lambda tensor: tensor.flatten(),
    lambda tensor: tensor[None],
    lambda tensor: tensor[:0],
    lambda tensor: tensor.sum(),
]
VALUES: list[Callable[[Any], Any]] = [
    lambda tensor: tensor * float("nan"),
    lambda tensor: tensor / 0,
    lambda tensor: tensor * 0,
    lambda tensor: tensor * -2,
    lambda tensor: tensor + 0.01,
    lambda tensor: tensor.flip(0),
    lambda tensor: tensor * 1e30,
]


def _field_names() -> list[str]:
    import peft

    return sorted(field.name for field in dataclasses.fields(peft.LoraConfig))


def test_an_adapter_of_transposed_layers_is_taken_on_its_own_base(
    originals: Adapters, transposed_model: Path
):
    adapter = read_adapter(str(originals["transposed"]), ModelFiles("gpt2", transposed_model))
    assert (adapter.rank, adapter.target_modules, adapter.one_scale) == (
        4,
        ("c_attn", "c_proj"),
        True,
    )


@pytest.mark.slow
def test_a_changed_adapter_answers_as_in_pefts_forward_pass_or_is_refused_in_a_sentence(
    originals: Adapters,
    bases: dict[str, Path],
    prompt_ids: Callable[..., list[int]],
    tmp_path: Path,
):
    prompts = {base: prompt_ids(base, CHAT) for base in set(bases.values())}
    of_base = {base: _by_peft(base, None, prompt) for base, prompt in prompts.items()}
    answers: dict[tuple[Path, str], list[float]] = {}
    counts: Counter[str] = Counter()
    refusals: list[str] = []
    for seed in range(CHANGED):
        rng = np.random.default_rng(seed)
        kind = str(rng.choice(list(KINDS)))
        folder = Path(shutil.copytree(originals[kind], tmp_path / f"seed-{seed}"))
        CHANGES[rng.integers(len(CHANGES))](folder, rng)
        base = bases[kind]
        try:
            name, found, beside = _by_engine(base, folder)
        except ValueAgentsError as error:
            counts[type(error).__name__] += 1
            refusals.append(str(error))
            continue
        counts["as peft"] += 1
        assert found == pytest.approx(_by_peft(base, folder, prompts[base]), abs=NOISE), (
            f"seed {seed} ({kind})"
        )
        assert beside == pytest.approx(of_base[base], abs=NOISE), (
            f"seed {seed} ({kind}) moved the base model"
        )
        known = answers.setdefault((base, name), found)
        assert found == pytest.approx(known, abs=NOISE), (
            f"seed {seed} ({kind}) has the name of another"
        )
    assert [refusal for refusal in refusals if "\n" in refusal] == []
    print(f"{CHANGED} changed adapters: {dict(counts)}")
    assert min(counts["as peft"], counts["ConfigError"]) >= CHANGED // 8
