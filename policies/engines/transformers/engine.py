"""The in-process engine: any causal language model that `transformers` loads, on CPU or GPU, with
LoRA adapters.

One thread owns the model (`core.py`) and answers batch after batch (`scoring.py`, `generation.py`);
a batch is of one call and one adapter, so no row ever meets another adapter's matrices.
"""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, cast

import msgspec

from valueagents.errors import ConfigError, PolicyError
from valueagents.policies.engines.batcher import MicroBatcher, Work
from valueagents.policies.engines.engine import (
    Capability,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.local import LocalEngine
from valueagents.policies.engines.selfcheck import check_adapters
from valueagents.policies.engines.transformers.core import Job, ModelCore, kind_of
from valueagents.policies.models import EMBEDDED
from valueagents.running.threads import OwnerThread

DType = Literal["auto", "float64", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]

_BATCH_TOKENS = {"cpu": 8_192, "cuda": 65_536}
_LIVE = {"cpu": 64, "cuda": 256}
_KEPT_A_LIVE = 1.5  # texts kept for each request that may be live: they do not ask quite in turn
_EMBEDDED_TOKENS_PER_S = 700.0  # prefill in float32 on 2 cores (Zen 4)
_TOLERANCE = {"float64": 1e-6, "float32": 1e-2, "bfloat16": 0.5, "float16": 0.1}
"""Nats by which batching alone may move the sum over a short answer (bfloat16: up to 0.31
measured).
"""

_Work = Work[ScoreRequest | GenerateRequest, Job, ScoreReply | GenerateReply]
_Batcher = MicroBatcher[ScoreRequest | GenerateRequest, Job, ScoreReply | GenerateReply]


class TransformersEngine(LocalEngine):
    """A language model in this process, on transformers.

    Args:
        target: `smollm2-135m` (embedded), a folder, or a hub id.
        adapters: PEFT folders or hub ids; a request names one by its content hash
            (`self.adapters`).
    """

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """How the model is loaded.

        Args:
            revision: branch, tag or commit of a hub id.
            dtype: number format of the weights; auto = float32 on a CPU, bfloat16 on a GPU. Compare
                scores in float32; float64 is for checks to the last digit.
            device: auto = a GPU if torch finds one.
            batch_tokens: tokens in one forward pass; less needs less memory.
            kv_cache_gib: memory for what was read lately, 0 = none; by default 2 on a CPU, a
                quarter of what is free on a GPU.
            template: the model's own chat template, or plain texts, one after another.
        """

        revision: str | None = None
        dtype: DType = "auto"
        device: Device = "auto"
        batch_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
        kv_cache_gib: Annotated[float, msgspec.Meta(ge=0)] | None = None
        template: Literal["model", "plain"] = "model"

    can = frozenset[Capability](("score", "generate", "adapters", "choices", "seeds"))

    def __init__(
        self, target: str, options: Options | None = None, adapters: Sequence[str] = ()
    ) -> None:
        options = options or self.Options()
        super().__init__(target, options.revision, adapters)
        torch = _import_torch()
        if options.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError(
                "device=cuda, but torch finds no GPU; use device=cpu or install a CUDA build of"
                " torch"
            )
        found = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = found if options.device == "auto" else options.device
        usual = "float32" if self.device == "cpu" else "bfloat16"
        self.dtype = usual if options.dtype == "auto" else options.dtype
        self.live = _LIVE[self.device]
        self._batch_tokens = options.batch_tokens or _BATCH_TOKENS[self.device]
        if target == EMBEDDED and self.device == "cpu":
            self.tokens_per_s = _EMBEDDED_TOKENS_PER_S
        self._kv_cache_gib = options.kv_cache_gib
        self._template = options.template
        self._thread: OwnerThread | None = None
        self._batcher: _Batcher | None = None

    def identity(self) -> dict[str, str]:
        """Hashes of weights, tokenizer and chat template, and the number format."""
        plain = {"template": self._template} if self._template == "plain" else {}
        return {"engine": "transformers/2", "dtype": self.dtype, **self.files.hashes(), **plain}

    async def __aenter__(self) -> Self:
        """Load the model on its own thread."""
        core = ModelCore(self.files, self.adapters, self.dtype, self.device, self._template)
        work: _Work = Work(
            core.prepare, lambda job: job.size, core.run, self._batch_tokens, kind=kind_of
        )
        thread = self._thread = OwnerThread("transformers engine")
        try:
            await thread.call(core.load)
            await thread.call(core.check, self.identity())
            self._batcher = MicroBatcher(thread, work)
            if self.adapters:
                names = tuple(adapter.name for adapter in self.adapters)
                await check_adapters(self, names, tolerance=_TOLERANCE[self.dtype])
            await thread.call(
                core.remember, self._kv_cache_gib, most_texts=int(_KEPT_A_LIVE * self.live)
            )
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the batcher and let the model go."""
        if self._batcher is not None:
            await self._batcher.close()
        if self._thread is not None:
            self._thread.close()
        self._batcher = self._thread = None

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """The log-probabilities asked for, batched with whatever else is asked at the time."""
        return cast(ScoreReply, await self._answer(request))

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """The text asked for, in a batch that others leave earlier or later."""
        return cast(GenerateReply, await self._answer(request))

    async def _answer(self, request: ScoreRequest | GenerateRequest) -> ScoreReply | GenerateReply:
        if self._batcher is None:
            raise PolicyError("the engine is not loaded: use `async with`")
        asked = began = time.monotonic()

        def begin() -> None:
            nonlocal began
            began = time.monotonic()

        reply = await self._batcher.submit(request, on_start=begin)
        return msgspec.structs.replace(reply, queue_s=round(began - asked, 6))


def _import_torch() -> Any:
    try:
        import torch
        import transformers  # noqa: F401 – found missing now, not in the middle of a run
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed: pip install 'valueagents[transformers]'"
        ) from error
    return torch
