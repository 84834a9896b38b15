"""vLLM in this process: many episodes and many adapters on one engine, on a GPU or on a CPU.

The thread that owns vLLM is in `thread.py`, what it is asked in `asks.py`, its settings in
`settings.py`. Chats become tokens here, on another thread, while vLLM computes.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from valueagents.errors import PolicyError
from valueagents.identity import content_hash
from valueagents.policies.engines.chats import ANY_CHAT, ChatTokenizer
from valueagents.policies.engines.engine import (
    Capability,
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.local import LocalEngine
from valueagents.policies.engines.selfcheck import check_adapters
from valueagents.policies.engines.spoken import SpokenCheck
from valueagents.policies.engines.vllm.asks import SequenceAsk, SequenceScoreJob
from valueagents.policies.engines.vllm.options import VllmOptions
from valueagents.policies.engines.vllm.settings import (
    find_vllm,
    vllm_arguments,
    vllm_dtype,
    vllm_environment,
)
from valueagents.policies.engines.vllm.speaker import VllmSpeaker
from valueagents.policies.engines.vllm.thread import VllmThread
from valueagents.policies.models import EMBEDDED, cache_folder
from valueagents.running.threads import OwnerThread

log = logging.getLogger("valueagents")

_LIVE = {"cpu": 64, "cuda": 256}
_EMBEDDED_TOKENS_PER_S = 900.0  # prefill in float32 on 2 cores (Zen 4)
_NOT_OF_ANSWERS = ("revision", "gpu_memory", "kv_cache_gib", "dtype", "quantization")
_TOLERANCE = {"float32": 1e-2, "bfloat16": 0.5, "float16": 0.1}
"""Nats by which batching alone may move the sum over a short answer."""


class VllmEngine(LocalEngine):
    """A language model in this process, on vLLM: many episodes and many adapters at once.

    Args:
        target: `smollm2-135m` (embedded), a folder, or a hub id.
        adapters: PEFT folders or hub ids; a request names one by its content hash
            (`self.adapters`).
    """

    Options = VllmOptions
    can = frozenset[Capability](("score", "generate", "adapters", "choices", "seeds"))

    def __init__(
        self, target: str, options: VllmOptions | None = None, adapters: Sequence[str] = ()
    ) -> None:
        self.options = options or VllmOptions()
        super().__init__(target, self.options.revision, adapters)
        self.device, self.version = find_vllm()
        self.dtype = vllm_dtype(self.options.dtype, self.device)
        self.live = _LIVE[self.device]
        if target == EMBEDDED and self.device == "cpu":
            self.tokens_per_s = _EMBEDDED_TOKENS_PER_S
        self._chats: ChatTokenizer | None = None
        self._thread: VllmThread | None = None
        self._encoder: OwnerThread | None = None
        self._truth: SpokenCheck | None = None

    def identity(self) -> dict[str, str]:
        """Hashes of weights, tokenizer and chat template, number format and vLLM's version."""
        quantised = {"quantization": self.options.quantization} if self.options.quantization else {}
        return {
            "engine": f"vllm/1 {self.version}",
            "dtype": self.dtype,
            **quantised,
            **self.files.hashes(),
        }

    async def __aenter__(self) -> Self:
        """Load, and prove that base and adapters answer alike alone and side by side.

        If they do not, load again with the verified remedy, a spare adapter slot, and say so; if
        that does not help either, raise PolicyError.
        """
        spare = self.options.spare_adapter_slot == "yes"
        arguments = self._arguments(
            spare=spare
        )  # whatever cannot work is said before anything is loaded
        self._chats = ChatTokenizer(self.files)
        self._encoder = OwnerThread("vllm encoder")
        try:
            await self._load(arguments)
            if self.adapters:
                await self._check(retry=self.options.spare_adapter_slot == "auto")
            self._truth = self._spoken_check()
            for adapter in (None, *(adapter.name for adapter in self.adapters)):
                await self._truth.require(1, adapter)
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
        self._thread = self._encoder = self._chats = self._truth = None

    async def score(self, request: ScoreRequest) -> ScoreReply:
        """The log-probabilities asked for."""
        job: SequenceScoreJob = await self._encode(self._score_job, request)
        await self._require(max(len(ask.tokens) for ask in job.asks), request.adapter)
        return job.reply(await self._running().answer(job.asks))

    async def generate(self, request: GenerateRequest) -> GenerateReply:
        """The text asked for. `choices` are held to by their characters, in whatever tokens."""
        ask: SequenceAsk = await self._encode(self._generate_ask, request)
        await self._require(len(ask.tokens), request.adapter)
        (answer,) = await self._running().answer([ask])
        return GenerateReply(
            text=await self._encode(ChatTokenizer.text, answer.said),
            finish_reason=answer.finish_reason,
            prompt_tokens=len(ask.tokens),
            cached_tokens=answer.cached_tokens,
            output_tokens=len(answer.said),
            queue_s=answer.queue_s,
        )

    def _arguments(self, *, spare: bool) -> dict[str, object]:
        arguments = vllm_arguments(
            self.files,
            self.options,
            device=self.device,
            adapters=self.adapters,
            spare_adapter_slot=spare,
        )
        return {**arguments, "use_tqdm_on_load": False}

    async def _load(self, arguments: dict[str, object]) -> None:
        log.info(
            "loading %s into vLLM %s (%s, %s)",
            self.files.name,
            self.version,
            self.dtype,
            self.device,
        )
        os.environ.update(vllm_environment(self.device, self.options.kv_cache_gib))
        if self.device == "cpu":  # the engine's core in this process: it loads in 4 s instead of 20
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

        def make_engine() -> Any:
            from vllm import EngineArgs
            from vllm.v1.engine.llm_engine import LLMEngine

            return LLMEngine.from_engine_args(EngineArgs(**arguments))

        self._thread = VllmThread(make_engine, self.adapters)
        window = await self._thread.load()
        if self._chats is not None:
            self._chats.window = min(window, self._chats.window or window)

    async def _check(self, *, retry: bool) -> None:
        names = tuple(adapter.name for adapter in self.adapters)
        try:
            await self._check_adapters(names)
        except PolicyError as error:
            if not retry:
                raise
            log.warning("%s. Loading again with a spare adapter slot, the known remedy.", error)
            await self._running().close()
            await self._load(self._arguments(spare=True))
            await self._check_adapters(names)
            log.warning(
                "with a spare adapter slot base and adapters answer alike alone and mixed; going on"
            )

    async def _check_adapters(self, names: tuple[str, ...]) -> None:
        tolerance, forget = _TOLERANCE[self.dtype], self._running().forget
        await check_adapters(self, names, tolerance=tolerance, forget=forget)

    def _spoken_check(self) -> SpokenCheck:
        """The truth check of what is loaded, whose passes are kept by content hash."""
        import torch

        if self._chats is None:
            raise PolicyError("the engine is not loaded: use `async with`")
        set_by_user = {
            name: value
            for name, value in msgspec.structs.asdict(self.options).items()
            if name not in _NOT_OF_ANSWERS and value is not None
        }
        identity, device = self.identity(), self.device

        def kept(length: int, adapter: str | None) -> Path:
            name = content_hash("spoken/1", identity, device, set_by_user, adapter, length)
            return cache_folder() / "checked" / name

        settings = f"dtype={self.dtype}"
        if self.options.quantization is not None:
            settings += f", quantization={self.options.quantization}"
        return SpokenCheck(
            VllmSpeaker(self._running()),
            f"vLLM {self.version} ({settings})",
            tokens=self._chats.prompt(ANY_CHAT),
            window=self._chats.window,
            unit=torch.finfo(getattr(torch, self.dtype)).eps,
            kept=kept,
        )

    async def _require(self, length: int, adapter: str | None) -> None:
        """The truth check has passed at this length; before there is one, nothing is required."""
        if self._truth is not None:
            await self._truth.require(length, adapter)

    def _running(self) -> VllmThread:
        if self._thread is None:
            raise PolicyError("the engine is not loaded: use `async with`")
        return self._thread

    async def _encode(self, make: Any, argument: object) -> Any:
        """What `make` makes of the tokenizer and the argument, off the event loop."""
        if self._encoder is None or self._chats is None:
            raise PolicyError("the engine is not loaded: use `async with`")
        return await self._encoder.call(make, self._chats, argument)

    def _score_job(self, chats: ChatTokenizer, request: ScoreRequest) -> SequenceScoreJob:
        self._know(request.adapter)
        prompts, answers = chats.encode(request)
        return SequenceScoreJob(prompts, answers, request.adapter)

    def _generate_ask(self, chats: ChatTokenizer, request: GenerateRequest) -> SequenceAsk:
        self._know(request.adapter)
        prompt = chats.prompt(request.chat)
        longest = max((len(chats.answer(text)) for text in request.choices), default=0)
        if longest + 1 > request.sampling.max_tokens and request.choices:
            raise PolicyError(
                f"an allowed answer has {longest} tokens, max_tokens={request.sampling.max_tokens}"
            )
        chats.fit(len(prompt) + request.sampling.max_tokens)
        return SequenceAsk(
            prompt,
            request.adapter,
            sampling=request.sampling,
            seed=request.seed,
            choices=tuple(request.choices),
            ends=tuple(sorted(chats.end_tokens)),
        )

    def _know(self, adapter: str | None) -> None:
        if adapter is not None and adapter not in {known.name for known in self.adapters}:
            raise PolicyError(
                f"adapter {adapter!r} is not loaded; name its folder when the engine is made"
            )
