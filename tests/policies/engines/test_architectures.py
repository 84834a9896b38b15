"""Tiny models of many architectures against plain full passes: below and above every window, alone
and together.

The quick matrix asks every architecture once. The full one (every length and batch by itself, every
adapter) is run by `make nightly`, which sets $VALUEAGENTS_FULL_MATRIX.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from valueagents.errors import PolicyError
from valueagents.policies.engines import (
    Chat,
    GenerateRequest,
    Message,
    Sampling,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.transformers.engine import TransformersEngine

pytestmark = pytest.mark.slow

FULL = bool(os.environ.get("VALUEAGENTS_FULL_MATRIX"))
WINDOW = 24
LETTERS = ("A", "B", "C")
SENTENCES = ("Give it back.", "Keep it", "Ask the neighbour whose it is.")
LENGTHS = {"below": 0, "above": 60}  # letters, each a token; the template alone has about 15
SAID = 4

USUAL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
GPT: dict[str, Any] = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}
WINDOWED: dict[str, Any] = USUAL | {"sliding_window": WINDOW}
MIXED: dict[str, Any] = WINDOWED | {"layer_types": ["sliding_attention", "full_attention"]}
EXPERTS: dict[str, Any] = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}
QWEN: dict[str, Any] = WINDOWED | {"use_sliding_window": True, "max_window_layers": 1}
LLAMA4: dict[str, Any] = USUAL | {
    "attention_chunk_size": WINDOW,
    "num_local_experts": 2,
    "intermediate_size_mlp": 64,
    "interleave_moe_layer_step": 1,
    "no_rope_layers": [1, 0],
    "layer_types": ["chunked_attention", "full_attention"],
}
GPT_NEO: dict[str, Any] = {
    "hidden_size": 64,
    "num_layers": 2,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 1]],
    "window_size": WINDOW,
    "max_position_embeddings": 512,
}
GEMMA3N: dict[str, Any] = MIXED | {
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
    "hidden_size_per_layer_input": 16,
    "vocab_size_per_layer_input": 400,
    "altup_num_inputs": 2,
    "laurel_rank": 8,
    "activation_sparsity_pattern": [0.0] * 4,
    "intermediate_size": [128] * 4,
}
JAMBA: dict[str, Any] = USUAL | {
    "mamba_d_state": 8,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "num_experts": 2,
    "num_experts_per_tok": 1,
    "use_mamba_kernels": False,
}
DEEPSEEK: dict[str, Any] = USUAL | {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "n_shared_experts": 1,
    "num_key_value_heads": 4,
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": USUAL,
    "mistral": WINDOWED,
    "mixtral": WINDOWED | EXPERTS,
    "qwen2": QWEN,
    "qwen3": QWEN,
    "qwen3_moe": USUAL | EXPERTS | {"moe_intermediate_size": 32},
    "gemma": USUAL,
    "gemma2": WINDOWED | {"query_pre_attn_scalar": 16},
    "gemma3_text": MIXED | {"query_pre_attn_scalar": 16},
    "gemma3n_text": GEMMA3N,
    "phi": USUAL | {"partial_rotary_factor": 0.5},
    "phi3": WINDOWED,
    "phimoe": WINDOWED | EXPERTS,
    "gpt_oss": WINDOWED | EXPERTS,
    "cohere": USUAL,
    "cohere2": MIXED,
    "starcoder2": WINDOWED,
    "llama4_text": LLAMA4,
    "gpt_neo": GPT_NEO,
    "gpt2": GPT,
    "gpt_bigcode": GPT,
    "gptj": GPT | {"rotary_dim": 8},
    "codegen": GPT | {"rotary_dim": 8},
    "gpt_neox": USUAL,
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4},
    "mpt": {"d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 512},
    "falcon": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True},
    "opt": USUAL | {"ffn_dim": 128, "word_embed_proj_dim": 64, "init_std": 0.2},
    "xglm": {"d_model": 64, "num_layers": 2, "attention_heads": 4, "ffn_dim": 128, "init_std": 0.2},
    "stablelm": USUAL,
    "olmo2": USUAL,
    "olmo3": MIXED,
    "olmoe": USUAL | EXPERTS,
    "granite": USUAL,
    "smollm3": USUAL,
    "exaone4": MIXED,
    "glm4": USUAL | {"partial_rotary_factor": 0.5},
    "deepseek_v2": DEEPSEEK,
    "openai-gpt": GPT,
    "mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
    "jamba": JAMBA,
    "recurrent_gemma": USUAL | {"block_types": ["recurrent", "attention"], "lru_width": 64},
    "lfm2": USUAL | {"layer_types": ["conv", "full_attention"]},
}
BART: dict[str, Any] = {
    "d_model": 64,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "init_std": 0.2,
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "bert": (USUAL, "depends on later ones"),
    "roberta": (USUAL | {"is_decoder": True}, "off a plain pass"),
    "bart": (BART, "off a plain pass"),
    "rwkv": (
        {"hidden_size": 64, "num_hidden_layers": 2, "context_length": 512},
        "off a plain pass",
    ),
}
ADAPTED = tuple(ARCHITECTURES) if FULL else ("llama", "gemma3_text", "phi3", "llama4_text")
# of the first four all plain passes agree to the last bit, and pieces do not
SHORT_FORMATS = tuple(ARCHITECTURES) if FULL else ("mpt", "gptj", "falcon", "gpt_oss", "phimoe")
Made = Callable[[str], Path]
PromptIds = Callable[[Path, Chat], list[int]]


@pytest.fixture(scope="module")
def made(tiny_model: Path, copy_model: Callable[[Path], Path]) -> Made:
    """Makes the folder of a model of an architecture, random weights, the tokenizer of the tiny
    model.
    """
    import torch
    import transformers

    size = len(transformers.AutoTokenizer.from_pretrained(tiny_model))
    common = {"vocab_size": size, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.2}

    @cache
    def make(name: str) -> Path:
        folder = copy_model(tiny_model)
        sizes = ARCHITECTURES.get(name) or REFUSED[name][0]
        config = transformers.AutoConfig.for_model(name, **(common | sizes))
        with torch.random.fork_rng():
            torch.manual_seed(7)
            transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        return folder

    return make


def _model(folder: Path, adapter: Path | None = None) -> Any:
    import transformers

    from valueagents.policies.adapters import quiet_peft

    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    if adapter is not None:
        import peft

        with quiet_peft():
            model = peft.PeftModel.from_pretrained(model, str(adapter))
    return model.eval()


def _requests(length: int) -> list[ScoreRequest]:
    """Of several lengths, with letters or sentences as answers, with one listing or two."""
    texts = [
        "".join(chr(97 + (7 * i + k * k) % 26) for k in range(length + 9 * i)) for i in range(4)
    ]
    chats = [
        tuple((Message("system", "Decide."), Message("user", text + end)) for end in ("", " or"))
        for text in texts
    ]
    return [
        ScoreRequest(pair[: 1 + i % 2], SENTENCES if i % 2 else LETTERS)
        for i, pair in enumerate(chats)
    ]


def _plain(model: Any, tokenizer: Any, before: list[int], answer: str) -> float:
    """Log P of an answer from one pass over the whole text."""
    import torch

    ids = tokenizer(answer, add_special_tokens=False).input_ids
    with torch.inference_mode():
        logprobs = model(torch.tensor([before + ids])).logits[0].double().log_softmax(dim=-1)
    return sum(float(logprobs[len(before) + i - 1, token]) for i, token in enumerate(ids))


def _greedy(model: Any, before: list[int]) -> list[int]:
    """The most probable token again and again, the whole text read each time; up to an end."""
    import torch

    said: list[int] = []
    while len(said) < SAID and 2 not in said:
        with torch.inference_mode():
            said.append(int(model(torch.tensor([before + said])).logits[0, -1].argmax()))
    return said


async def _ask(
    folder: Path, requests: Sequence[ScoreRequest], *, together: bool, adapter: Path | None
) -> tuple[list[ScoreReply], str]:
    """The scores, and what is said greedily to the first chat."""
    adapters = (str(adapter),) if adapter is not None else ()
    async with TransformersEngine(str(folder), None, adapters) as engine:
        name = engine.adapters[0].name if adapters else None
        named = [ScoreRequest(request.chats, request.continuations, name) for request in requests]
        if together:  # the base in company, too
            asked = await asyncio.gather(
                *(engine.score(request) for request in (*named, *requests))
            )
        else:
            asked = [await engine.score(request) for request in named]
        greedy = Sampling(temperature=0, max_tokens=SAID)
        said = await engine.generate(
            GenerateRequest(requests[0].chats[0], greedy, seed=0, adapter=name)
        )
    return list(asked[: len(requests)]), said.text


def _check(
    folder: Path, prompt_ids: PromptIds, *, where: str, together: bool, adapter: Path | None = None
) -> None:
    import transformers

    requests = _requests(LENGTHS[where])
    replies, said = asyncio.run(_ask(folder, requests, together=together, adapter=adapter))
    model, tokenizer = _model(folder, adapter), transformers.AutoTokenizer.from_pretrained(folder)
    for request, reply in zip(requests, replies, strict=True):
        for chat, row in zip(request.chats, reply.logprobs, strict=True):
            before = prompt_ids(folder, chat)
            wanted = [_plain(model, tokenizer, before, answer) for answer in request.continuations]
            assert row == pytest.approx(wanted, abs=2e-4, rel=1e-5)
    wanted_ids = [
        token for token in _greedy(model, prompt_ids(folder, requests[0].chats[0])) if token != 2
    ]
    assert said == tokenizer.decode(wanted_ids, skip_special_tokens=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_answers_as_plain_passes_above_its_window_in_company(
    name: str, made: Made, prompt_ids: PromptIds
):
    _check(made(name), prompt_ids, where="above", together=True)


@pytest.mark.skipif(not FULL, reason="part of the full matrix: make nightly")
@pytest.mark.parametrize(
    ("where", "together"), [("below", False), ("below", True), ("above", False)]
)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_answers_as_plain_passes(
    name: str, where: str, together: bool, made: Made, prompt_ids: PromptIds
):
    _check(made(name), prompt_ids, where=where, together=together)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", SHORT_FORMATS)
def test_an_architecture_passes_its_check_in_a_short_format(name: str, dtype: str, made: Made):
    async def load() -> None:
        async with TransformersEngine(str(made(name)), TransformersEngine.Options(dtype=dtype)):
            pass

    asyncio.run(load())


@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing` is deprecated")
@pytest.mark.parametrize("name", ADAPTED)
def test_an_adapter_answers_as_plain_passes_with_it_beside_the_base(
    name: str, made: Made, prompt_ids: PromptIds, make_adapter: Callable[..., Path]
):
    folder = made(name)
    modules = _projections(folder)
    if not modules:
        pytest.skip("it has no linear layers of its own to adapt")
    adapter = make_adapter(folder, seed=3, modules=modules)
    _check(folder, prompt_ids, where="above", together=True, adapter=adapter)


def _projections(folder: Path) -> list[str]:
    """Names of linear layers of the blocks, but for those that peft takes together only, or not in
    every model.
    """
    import torch

    layers = [
        name for name, module in _model(folder).named_modules() if type(module) is torch.nn.Linear
    ]
    names = {
        name.rsplit(".", 1)[-1] for name in layers if "head" not in name and "router" not in name
    }
    unfit = {"gate_proj", "up_proj", "down_proj", "out_proj"}
    return sorted(name for name in names - unfit if not name.isdecimal())[:4]


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_engine_does_not_carry_is_refused_by_name_at_load(name: str, made: Made):
    with pytest.raises(PolicyError, match=f"{name!r} is refused: .*{REFUSED[name][1]}"):
        asyncio.run(_ask(made(name), _requests(0), together=False, adapter=None))
