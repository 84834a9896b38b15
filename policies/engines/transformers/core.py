"""ModelCore: the model, its tokenizer and its adapters, as the thread that owns them sees them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from valueagents.errors import PolicyError
from valueagents.policies.adapters import Adapter, load_adapter
from valueagents.policies.engines.chats import ANY_CHAT, ChatTokenizer
from valueagents.policies.engines.engine import (
    GenerateReply,
    GenerateRequest,
    ScoreReply,
    ScoreRequest,
)
from valueagents.policies.engines.transformers.generation import (
    GenerateJob,
    generate_job,
    generate_jobs,
)
from valueagents.policies.engines.transformers.reader import Reader
from valueagents.policies.engines.transformers.scoring import ScoreJob, score_job, score_jobs
from valueagents.policies.engines.transformers.truth import TruthCheck
from valueagents.policies.models import ModelFiles

log = logging.getLogger("valueagents")

Job = ScoreJob | GenerateJob

_KEPT_BYTES_ON_A_CPU = 2 * 2**30


class ModelCore:
    """Model, tokenizer and adapters; every method runs on the owner's thread."""

    def __init__(
        self, files: ModelFiles, adapters: Sequence[Adapter], dtype: str, device: str, template: str
    ) -> None:
        self._files, self._adapters, self._dtype, self._device = files, adapters, dtype, device
        self._template = template
        self._model: Any = None
        self._peft: Any = None

    def load(self) -> None:
        """Load from safetensors only; no code from a model's folder is run."""
        import torch
        import transformers

        log.info("loading %s (%s, %s)", self._files.name, self._dtype, self._device)
        transformers.logging.disable_progress_bar()  # it is a second or two, and said above
        self._chats = ChatTokenizer(self._files, plain=self._template == "plain")
        with self._files.loading():
            self._model, report = transformers.AutoModelForCausalLM.from_pretrained(
                self._files.folder,
                dtype=getattr(torch, self._dtype),
                use_safetensors=True,
                output_loading_info=True,
            )
        if report["missing_keys"]:  # transformers would go on with random numbers in their place
            missing = sorted(report["missing_keys"])
            raise PolicyError(
                f"model {self._files.name!r} cannot be loaded: it lacks {len(missing)} tensors,"
                f" {missing[0]} …"
            )
        for adapter in self._adapters:
            self._load_adapter(adapter)
        self._model.to(self._device).eval()
        self._reader = Reader(self._model, self._device)

    def check(self, identity: Mapping[str, str]) -> None:
        """Base and adapters answer as plain passes do.

        Raises PolicyError if the architecture is not carried.
        """
        self._truth = TruthCheck(
            self._model,
            self._device,
            tokens=self._chats.prompt(ANY_CHAT),
            window=self._chats.window,
            identity=identity,
            folders={adapter.name: adapter.folder for adapter in self._adapters},
        )
        for adapter in (None, *(adapter.name for adapter in self._adapters)):
            with self._adapted(adapter):
                self._truth.require(1, adapter)

    def remember(self, kv_cache_gib: float | None, *, most_texts: int) -> None:
        """Keep what is read, in this much memory; None = a little on a CPU, a quarter of what a GPU
        has left.
        """
        import torch

        if kv_cache_gib is not None:
            most_bytes = kv_cache_gib * 2**30
        elif self._device == "cuda":
            most_bytes = torch.cuda.mem_get_info()[0] / 4
        else:
            most_bytes = _KEPT_BYTES_ON_A_CPU
        self._reader.remember_up_to(most_bytes=most_bytes, most_texts=most_texts)

    def _load_adapter(self, adapter: Adapter) -> None:
        """The matrices go into the model itself, `_peft` only says which of them take part."""
        log.info("loading adapter %s (rank %d)", adapter.name, adapter.rank)
        self._peft = load_adapter(self._model, self._peft, adapter, name=adapter.name)

    def prepare(self, request: ScoreRequest | GenerateRequest) -> Job:
        """The request as tokens. Raises PolicyError if it does not fit or names an adapter that is
        not loaded.
        """
        if request.adapter is not None and request.adapter not in {
            adapter.name for adapter in self._adapters
        }:
            raise PolicyError(
                f"adapter {request.adapter!r} is not loaded; name its folder when the engine is"
                " made"
            )
        if isinstance(request, ScoreRequest):
            return score_job(self._chats, request)
        return generate_job(self._chats, request)

    def run(self, jobs: Sequence[Job]) -> list[ScoreReply] | list[GenerateReply]:
        """Answer a batch of one kind: one call, one adapter."""
        adapter = jobs[0].adapter
        with self._adapted(adapter):
            self._truth.require(max(job.longest for job in jobs), adapter)
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


def kind_of(job: Job) -> tuple[type, str | None]:
    """What can be answered in one batch; an adapter's requests come together, so a switch is
    rare.
    """
    return type(job), job.adapter
