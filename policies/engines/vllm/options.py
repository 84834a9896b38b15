"""VllmOptions: how vLLM is started, for an engine in this process as for `valueagents serve`."""

from typing import Annotated, Literal

import msgspec

VllmDType = Literal["auto", "float32", "bfloat16", "float16"]
SpareSlot = Literal["auto", "yes", "no"]
Count = Annotated[int, msgspec.Meta(ge=1)]


class VllmOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model is loaded.

    Args:
        revision: branch, tag or commit of a hub id.
        dtype: number format of the weights; auto = float32 on a CPU, bfloat16 on a GPU. Compare
            scores in float32.
        max_model_len: tokens of the window; by default the model's own. Less needs less memory.
        tensor_parallel: GPUs that share the model.
        quantization: vLLM's name of a quantisation method.
        gpu_memory: share of a GPU's memory that vLLM takes.
        kv_cache_gib: on a CPU, memory for what sequences share.
        spare_adapter_slot: keep one adapter slot empty, without which vllm 0.32.0 gives base-model
            rows beside adapters wrong answers on a CPU; auto = if the self-check finds that it is
            needed.
    """

    revision: str | None = None
    dtype: VllmDType = "auto"
    max_model_len: Count | None = None
    tensor_parallel: Count = 1
    quantization: str | None = None
    gpu_memory: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.9
    kv_cache_gib: Count = 1
    spare_adapter_slot: SpareSlot = "auto"
