"""The in-process engine: any causal language model that `transformers` loads, on CPU or GPU, with LoRA adapters.

One thread owns the model and answers batch after batch (`scoring.py`, `generation.py`); a batch is of one call and one
adapter, so no row ever meets another adapter's matrices.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Self, cast

import msgspec

from valueagents.errors import ConfigError, PolicyError, first_line
from valueagents.policies.adapters import Adapter, quiet_peft
from valueagents.policies.engines.batcher import MicroBatcher, Work
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
from valueagents.policies.engines.transformers.generation import GenerateJob, generate_job, generate_jobs
from valueagents.policies.engines.transformers.reader import Reader
from valueagents.policies.engines.transformers.scoring import ScoreJob, score_job, score_jobs
from valueagents.policies.models import EMBEDDED, ModelFiles
from valueagents.running.threads import OwnerThread

log = logging.getLogger("valueagents")

DType = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]

_BATCH_TOKENS = {"cpu": 8_192, "cuda": 65_536}
_LIVE = {"cpu": 64, "cuda": 256}
_KEPT_A_LIVE = 1.5  # texts kept for each request that may be live: they do not ask quite in turn
_KEPT_BYTES_ON_A_CPU = 2 * 2**30
_EMBEDDED_TOKENS_PER_S = 700.0  # prefill in float32 on 2 cores (Zen 4)
_TOLERANCE = {"float32": 1e-2, "bfloat16": 0.5, "float16": 0.1}
"""Nats by which batching alone may move the sum over a short answer (bfloat16: up to 0.31 measured)."""

_Job = ScoreJob | GenerateJob
_Batcher = MicroBatcher[ScoreRequest | GenerateRequest, _Job, ScoreReply | GenerateReply]


class TransformersEngine(LocalEngine):
    """A causal language model in this process, owned by one thread.

    Args:
        model: `smollm2-135m` (embedded), a folder, or a hub id.
        revision: branch, tag or commit of a hub id.
        dtype: number format of the weights; auto = float32 on a CPU, bfloat16 on a GPU. Compare scores in float32.
        device: auto = a GPU if torch finds one.
        batch_tokens: tokens in one forward pass; less needs less memory.
        kv_cache_gib: memory for what was read lately; None = 2 on a CPU, a quarter of what is free on a GPU.
        template: the model's own chat template, or plain texts, one after another.
        adapters: PEFT folders or hub ids; a request names one by its content hash (`self.adapters`).
    """

    can = frozenset[Capability](("score", "generate", "adapters", "choices", "seeds"))

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: DType = "auto",
        device: Device = "auto",
        batch_tokens: int | None = None,
        kv_cache_gib: Annotated[float, msgspec.Meta(ge=0)] | None = None,
        template: Literal["model", "plain"] = "model",
        adapters: Sequence[str] = (),
    ) -> None:
        super().__init__(model, revision, adapters)
        torch = _import_torch()
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device=cuda, but torch finds no GPU; use device=cpu or install a CUDA build of torch")
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.dtype = ("float32" if self.device == "cpu" else "bfloat16") if dtype == "auto" else dtype
        self.live = _LIVE[self.device]
        self._batch_tokens = batch_tokens or _BATCH_TOKENS[self.device]
        if model == EMBEDDED and self.device == "cpu":
            self.tokens_per_s = _EMBEDDED_TOKENS_PER_S
        self._kv_cache_gib = kv_cache_gib
        self._template = template
        self._thread: OwnerThread | None = None
        self._batcher: _Batcher | None = None

    def identity(self) -> dict[str, str]:
        """Hashes of weights, tokenizer and chat template, and the number format."""
        plain = {"template": self._template} if self._template == "plain" else {}
        return {"engine": "transformers/1", "dtype": self.dtype, **self.files.hashes(), **plain}

    async def __aenter__(self) -> Self:
        """Load the model on its own thread."""
        thread = OwnerThread("transformers engine")
        core = _Core(self.files, self.adapters, self.dtype, self.device, self._template)
        try:
            await thread.call(core.load)
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        self._batcher = MicroBatcher(
            self._thread, Work(core.prepare, lambda job: job.size, core.run, self._batch_tokens, kind=_kind)
        )
        if self.adapters:
            names = tuple(adapter.name for adapter in self.adapters)
            await check_adapters(self, names, tolerance=_TOLERANCE[self.dtype])
        await thread.call(core.remember, self._kv_cache_gib)
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


class _Core:
    """Model, tokenizer and adapters; every method runs on the owner's thread."""

    def __init__(self, files: ModelFiles, adapters: Sequence[Adapter], dtype: str, device: str, template: str) -> None:
        self._files, self._adapters, self._dtype, self._device = files, adapters, dtype, device
        self._template = template
        self._model: Any = None
        self._peft: Any = None

    def load(self) -> None:
        """Load from safetensors only; no code from a model's folder is run."""
        import torch
        import transformers
        from safetensors import SafetensorError

        log.info("loading %s (%s, %s)", self._files.name, self._dtype, self._device)
        transformers.logging.disable_progress_bar()  # it is a second or two, and said above
        self._chats = ChatTokenizer(self._files, plain=self._template == "plain")
        try:
            self._model, report = transformers.AutoModelForCausalLM.from_pretrained(
                self._files.folder,
                dtype=getattr(torch, self._dtype),
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise PolicyError(f"model {self._files.name!r} cannot be loaded: {first_line(error)}") from error
        if report["missing_keys"]:  # transformers would go on with random numbers in their place
            missing = sorted(report["missing_keys"])
            raise PolicyError(
                f"model {self._files.name!r} cannot be loaded: it lacks {len(missing)} tensors, {missing[0]} …"
            )
        for adapter in self._adapters:
            self._load_adapter(adapter)
        self._model.to(self._device).eval()
        self._reader = Reader(self._model, self._device)

    def remember(self, kv_cache_gib: float | None) -> None:
        """Keep what is read, in so much memory; None = a little on a CPU, a quarter of what a GPU has left."""
        import torch

        if kv_cache_gib is not None:
            most_bytes = kv_cache_gib * 2**30
        elif self._device == "cuda":
            most_bytes = torch.cuda.mem_get_info()[0] / 4
        else:
            most_bytes = _KEPT_BYTES_ON_A_CPU
        self._reader.remember_up_to(most_bytes=most_bytes, most_texts=int(_KEPT_A_LIVE * _LIVE[self._device]))

    def _load_adapter(self, adapter: Adapter) -> None:
        """The matrices go into the model itself, `_peft` only says which of them take part."""
        import peft

        log.info("loading adapter %s (rank %d)", adapter.name, adapter.rank)
        if self._peft is None:
            with quiet_peft():
                self._peft = peft.PeftModel.from_pretrained(
                    self._model, adapter.folder, adapter.name, use_safetensors=True
                )
        else:
            self._peft.load_adapter(adapter.folder, adapter.name, use_safetensors=True)

    def prepare(self, request: ScoreRequest | GenerateRequest) -> _Job:
        """The request as tokens. Raises PolicyError if it does not fit or names an adapter that is not loaded."""
        if request.adapter is not None and request.adapter not in {adapter.name for adapter in self._adapters}:
            raise PolicyError(f"adapter {request.adapter!r} is not loaded; name its folder when the engine is made")
        if isinstance(request, ScoreRequest):
            return score_job(self._chats, request)
        return generate_job(self._chats, request)

    def run(self, jobs: Sequence[_Job]) -> list[ScoreReply] | list[GenerateReply]:
        """Answer a batch of one kind: one call, one adapter."""
        with self._adapted(jobs[0].adapter):
            scores = [job for job in jobs if isinstance(job, ScoreJob)]
            if scores:
                return score_jobs(self._reader, scores)
            texts = [job for job in jobs if isinstance(job, GenerateJob)]
            return generate_jobs(self._reader, self._chats, texts)

    @contextmanager
    def _adapted(self, adapter: str | None) -> Iterator[None]:
        if self._peft is None:
            yield
        elif adapter is None:
            with self._peft.disable_adapter():
                yield
        else:
            self._peft.set_adapter(adapter)
            yield


def _kind(job: _Job) -> tuple[type, str | None]:
    """What can be answered in one batch; an adapter's requests come together, so a switch is rare."""
    return type(job), job.adapter


def _import_torch() -> Any:
    try:
        import torch
        import transformers  # noqa: F401 – found missing now, not in the middle of a run
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'valueagents[transformers]'") from error
    return torch
