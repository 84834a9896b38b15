"""vLLM in this process: many episodes and many adapters on one engine, on a GPU or on a CPU.

The thread that owns vLLM is in `vllm_thread.py`, what it is asked in `vllm_asks.py`, its settings in
`policies/vllm_settings.py`. Chats become tokens here, on another thread, while vLLM computes.
"""

import logging
import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import msgspec

from valueagents.errors import PolicyError
from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.engines.engine import (
    Capability,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.local import LocalEngine
from valueagents.policies.engines.selfcheck import check_adapters
from valueagents.policies.engines.vllm.asks import Ask, ScoreJob
from valueagents.policies.engines.vllm.settings import (
    VllmDType,
    find_vllm,
    vllm_dtype,
    vllm_environment,
    vllm_options,
)
from valueagents.policies.engines.vllm.thread import VllmThread
from valueagents.policies.models import EMBEDDED
from valueagents.running.threads import OwnerThread

log = logging.getLogger("valueagents")

SpareSlot = Literal["auto", "yes", "no"]
Count = Annotated[int, msgspec.Meta(ge=1)]

_LIVE = {"cpu": 64, "cuda": 256}
_EMBEDDED_TOKENS_PER_S = 900.0  # prefill in float32 on 2 cores (Zen 4)
_TOLERANCE = {"float32": 1e-2, "bfloat16": 0.5, "float16": 0.1}
"""Nats by which batching alone may move the sum over a short answer."""


class VllmEngine(LocalEngine):
    """A causal language model on vLLM in this process.

    Args:
        model: `smollm2-135m` (embedded), a folder, or a hub id.
        revision: branch, tag or commit of a hub id.
        dtype: number format of the weights; auto = float32 on a CPU, bfloat16 on a GPU. Compare scores in float32.
        adapters: PEFT folders or hub ids; a request names one by its content hash (`self.adapters`).
        tensor_parallel: GPUs that share the model.
        max_model_len: tokens of the window; less than the model's own needs less memory.
        quantization: vLLM's name of a quantisation method.
        gpu_memory: share of a GPU's memory that vLLM takes.
        kv_cache_gib: on a CPU, memory for what sequences share.
        spare_adapter_slot: keep one adapter slot empty, without which vllm 0.32.0 gives base-model rows beside adapters
            wrong answers on a CPU; auto = if the self-check finds that it is needed.
    """

    can = frozenset[Capability](("score", "generate", "adapters", "choices", "seeds"))

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: VllmDType = "auto",
        adapters: Sequence[str] = (),
        tensor_parallel: Count = 1,
        max_model_len: Count | None = None,
        quantization: str | None = None,
        gpu_memory: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.9,
        kv_cache_gib: Count = 1,
        spare_adapter_slot: SpareSlot = "auto",
    ) -> None:
        super().__init__(model, revision, adapters)
        self.device, self.version = find_vllm()
        self.dtype = vllm_dtype(dtype, self.device)
        self.live = _LIVE[self.device]
        if model == EMBEDDED and self.device == "cpu":
            self.tokens_per_s = _EMBEDDED_TOKENS_PER_S
        self.spare_adapter_slot = spare_adapter_slot
        self._quantization, self._kv_cache_gib = quantization, kv_cache_gib
        self._settings: dict[str, Any] = {
            "tensor_parallel": tensor_parallel,
            "max_model_len": max_model_len,
            "quantization": quantization,
            "gpu_memory": gpu_memory,
        }
        self._chats: ChatTokenizer | None = None
        self._thread: VllmThread | None = None
        self._encoder: OwnerThread | None = None

    def identity(self) -> dict[str, str]:
        """Hashes of weights, tokenizer and chat template, number format and vLLM's version."""
        quantised = {"quantization": self._quantization} if self._quantization else {}
        return {"engine": f"vllm/1 {self.version}", "dtype": self.dtype, **quantised, **self.files.hashes()}

    async def __aenter__(self) -> Self:
        """Load, and prove that base and adapters answer alike alone and side by side.

        If they do not, load again with the verified remedy, a spare adapter slot, and say so; if that does not help
        either, raise PolicyError.
        """
        spare = self.spare_adapter_slot == "yes"
        options = self._options(spare=spare)  # whatever cannot work is said before anything is loaded
        self._chats = ChatTokenizer(self.files)
        self._encoder = OwnerThread("vllm encoder")
        try:
            await self._load(options)
            if self.adapters:
                await self._check(retry=self.spare_adapter_slot == "auto")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Fail whoever still waits and let the model go."""
        if self._thread is not None:
            await self._thread.close()
        if self._encoder is not None:
            self._encoder.close()
        self._thread = self._encoder = self._chats = None

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """The log-probabilities asked for."""
        job: ScoreJob = await self._encode(self._score_job, request)
        return job.reply(await self._running().answer(job.asks))

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """The text asked for. `choices` are held to by their characters, in whatever tokens."""
        ask: Ask = await self._encode(self._generate_ask, request)
        (answer,) = await self._running().answer([ask])
        return GenerateReply(
            text=await self._encode(ChatTokenizer.text, answer.said),
            finish_reason=answer.finish_reason,
            prompt_tokens=len(ask.tokens),
            cached_tokens=answer.cached_tokens,
            output_tokens=len(answer.said),
            queue_s=answer.queue_s,
        )

    def _options(self, *, spare: bool) -> dict[str, object]:
        options = vllm_options(
            self.files,
            device=self.device,
            dtype=self.dtype,
            adapters=self.adapters,
            spare_adapter_slot=spare,
            **self._settings,
        )
        return {**options, "use_tqdm_on_load": False}

    async def _load(self, options: dict[str, object]) -> None:
        log.info("loading %s into vLLM %s (%s, %s)", self.files.name, self.version, self.dtype, self.device)
        os.environ.update(vllm_environment(self.device, self._kv_cache_gib))
        if self.device == "cpu":  # the engine's core in this process: it loads in 4 s instead of 20
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

        def make_engine() -> Any:
            from vllm import EngineArgs
            from vllm.v1.engine.llm_engine import LLMEngine

            return LLMEngine.from_engine_args(EngineArgs(**options))

        self._thread = VllmThread(make_engine, self.adapters)
        window = await self._thread.load()
        if self._chats is not None:
            self._chats.window = min(window, self._chats.window or window)

    async def _check(self, *, retry: bool) -> None:
        names = tuple(adapter.name for adapter in self.adapters)
        try:
            await check_adapters(self, names, tolerance=_TOLERANCE[self.dtype])
        except PolicyError as error:
            if not retry:
                raise
            log.warning("%s. Loading again with a spare adapter slot, the known remedy.", error)
            await self._running().close()
            await self._load(self._options(spare=True))
            await check_adapters(self, names, tolerance=_TOLERANCE[self.dtype])
            log.warning("with a spare adapter slot base and adapters answer alike alone and mixed; going on")

    def _running(self) -> VllmThread:
        if self._thread is None:
            raise PolicyError("the engine is not loaded: use `async with`")
        return self._thread

    async def _encode(self, make: Any, argument: object) -> Any:
        """What `make` makes of the tokenizer and the argument, off the event loop."""
        if self._encoder is None or self._chats is None:
            raise PolicyError("the engine is not loaded: use `async with`")
        return await self._encoder.call(make, self._chats, argument)

    def _score_job(self, chats: ChatTokenizer, request: ScoreRequest) -> ScoreJob:
        self._know(request.adapter)
        prompts, answers = chats.encode(request)
        return ScoreJob(prompts, answers, request.adapter)

    def _generate_ask(self, chats: ChatTokenizer, request: GenerateRequest) -> Ask:
        self._know(request.adapter)
        prompt = chats.prompt(request.chat)
        longest = max((len(chats.answer(text)) for text in request.choices), default=0)
        if longest + 1 > request.sampling.max_tokens and request.choices:
            raise PolicyError(f"an allowed answer has {longest} tokens, max_tokens={request.sampling.max_tokens}")
        chats.fit(len(prompt) + request.sampling.max_tokens)
        return Ask(
            prompt, request.adapter, sampling=request.sampling, seed=request.seed, choices=tuple(request.choices)
        )

    def _know(self, adapter: str | None) -> None:
        if adapter is not None and adapter not in {known.name for known in self.adapters}:
            raise PolicyError(f"adapter {adapter!r} is not loaded; name its folder when the engine is made")
