"""The in-process engine: any causal language model that `transformers` loads, on CPU or GPU.

Every batch is one walk down a tree of shared beginnings. What all requests of the batch share (the task) is computed
once; then what the sequences of one request share (the situation), one row a request; then the tails that differ (the
orders of a listing, the option texts), one row each. Rows are padded on the left, so the logits that are needed stand
at the end of every row, and no others are computed.
"""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from valueagents.errors import ConfigError, PolicyError, first_line
from valueagents.policies.engines.batcher import MicroBatcher, Work
from valueagents.policies.engines.engine import Chat, Engine, ScoreReply, ScoreRequest
from valueagents.policies.models import EMBEDDED, ModelFiles, find_model
from valueagents.threads import OwnerThread

if TYPE_CHECKING:
    import torch

log = logging.getLogger("valueagents")

DType = Literal["auto", "float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda"]

_BATCH_TOKENS = {"cpu": 8_192, "cuda": 65_536}
_LIVE = {"cpu": 64, "cuda": 256}
_TEMPLATE_OPTIONS: dict[str, Any] = {
    "tokenize": False,
    "add_generation_prompt": True,
    "enable_thinking": False,  # Qwen3's template: the answer follows at once
    "date_string": "01 Jan 2025",  # Llama 3's template would put today's date into the prompt
}
_EMBEDDED_TOKENS_PER_S = 700.0  # prefill in float32 on 2 cores (Zen 4)
_LOGITS_A_PASS = 100_000_000  # rows × positions × vocabulary: 400 MB in float32


@dataclass(frozen=True, slots=True)
class _Target:
    """Where an answer stands: continuation `k` after chat `r` is `ids`, predicted by the last places of `row`."""

    r: int
    k: int
    row: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """A request as tokens: the distinct sequences, the length of their common beginning, the targets."""

    rows: tuple[tuple[int, ...], ...]
    shared: int
    targets: tuple[_Target, ...]
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        return sum(len(row) for row in self.rows)


class TransformersEngine(Engine):
    """A causal language model in this process, owned by one thread.

    Args:
        model: `smollm2-135m` (embedded), a folder, or a hub id.
        revision: branch, tag or commit of a hub id.
        dtype: number format of the weights; auto = float32 on a CPU, bfloat16 on a GPU. Compare scores in float32.
        device: auto = a GPU if torch finds one.
        batch_tokens: tokens in one forward pass; less needs less memory.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: DType = "auto",
        device: Device = "auto",
        batch_tokens: int | None = None,
    ) -> None:
        torch = _import_torch()
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device=cuda, but torch finds no GPU; use device=cpu or install a CUDA build of torch")
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.dtype = ("float32" if self.device == "cpu" else "bfloat16") if dtype == "auto" else dtype
        self.model_name = model
        self.live = _LIVE[self.device]
        self._batch_tokens = batch_tokens or _BATCH_TOKENS[self.device]
        if model == EMBEDDED and self.device == "cpu":
            self.tokens_per_s = _EMBEDDED_TOKENS_PER_S
        self._revision = revision
        self._files: ModelFiles | None = None
        self._thread: OwnerThread | None = None
        self._batcher: MicroBatcher[ScoreRequest, _Job, ScoreReply] | None = None

    @property
    def files(self) -> ModelFiles:
        """The model's files, found (and for a hub id fetched) when first needed."""
        self._files = self._files or find_model(self.model_name, self._revision)
        return self._files

    def identity(self) -> dict[str, str]:
        """Hashes of weights, tokenizer and chat template, and the number format."""
        return {"engine": "transformers/1", "dtype": self.dtype, **self.files.hashes()}

    async def __aenter__(self) -> Self:
        """Load the model on its own thread."""
        thread = OwnerThread("transformers engine")
        core = _Core(self.files, self.dtype, self.device)
        try:
            await thread.call(core.load)
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        self._batcher = MicroBatcher(
            self._thread, Work(core.encode, lambda job: job.size, core.run, self._batch_tokens)
        )
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
        if self._batcher is None:
            raise PolicyError("the engine is not loaded: use `async with`")
        return await self._batcher.submit(request)


class _Core:
    """Model and tokenizer; every method runs on the owner's thread."""

    def __init__(self, files: ModelFiles, dtype: str, device: str) -> None:
        self._files, self._dtype, self._device = files, dtype, device
        self._model: Any = None
        self._tokenizer: Any = None
        self._window = 0
        self._control_tokens: tuple[str, ...] = ()

    def load(self) -> None:
        """Load from safetensors only; no code from a model's folder is run."""
        import torch
        import transformers
        from safetensors import SafetensorError

        log.info("loading %s (%s, %s)", self._files.name, self._dtype, self._device)
        transformers.logging.disable_progress_bar()  # it is a second or two, and said above
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(self._files.folder)
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
        named = set(self._tokenizer.all_special_tokens)
        unnamed = {str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        self._control_tokens = tuple(sorted(named | unnamed))
        self._model.to(self._device).eval()
        self._window = int(getattr(self._model.config, "max_position_embeddings", 0) or 0)

    def encode(self, request: ScoreRequest) -> _Job:
        """The request's distinct sequences and where its answers stand in them."""
        prompts, answers = self.chats.encode(request)
        rows: dict[tuple[int, ...], int] = {}
        targets = []
        for r, prompt in enumerate(prompts):
            for k, ids in enumerate(answers):
                sequence = prompt + ids[:-1]
                targets.append(_Target(r, k, rows.setdefault(sequence, len(rows)), ids))
        sequences = tuple(rows)
        needed = [max(len(t.ids) for t in targets if t.row == row) for row in range(len(sequences))]
        tails = min(len(sequence) - n for sequence, n in zip(sequences, needed, strict=True))
        return _Job(sequences, min(_common(sequences), tails), tuple(targets), (len(prompts), len(answers)))

    def run(self, jobs: Sequence[_Job]) -> list[ScoreReply]:
        """Answer a batch: root, then one row a job, then one row a sequence."""
        import torch

        beginnings = [job.rows[0][: job.shared] for job in jobs]
        root = _common(beginnings) if len(jobs) == 1 else min(_common(beginnings), *(len(b) - 1 for b in beginnings))
        if root < 1 and len(jobs) > 1:  # nothing shared for padding to attend to: one at a time needs none
            return [reply for job in jobs for reply in self.run([job])]
        with torch.inference_mode():
            cache = _Prefix(self._model, self._device)
            if root:
                cache.extend([beginnings[0][:root]], keep=1)
            cache.select([0] * len(jobs))
            if any(len(beginning) > root for beginning in beginnings):
                cache.extend([beginning[root:] for beginning in beginnings], keep=1)
            replies: list[ScoreReply] = []
            for first, last in self._passes(jobs):
                owners = [j for j in range(first, last) for _ in jobs[j].rows]
                tails = [row[job.shared :] for job in jobs[first:last] for row in job.rows]
                keep = max(len(target.ids) for job in jobs[first:last] for target in job.targets)
                part = cache.copy() if last < len(jobs) else cache
                part.select(owners)
                logits = part.extend(tails, keep=keep).float()
                row = 0
                for job in jobs[first:last]:
                    shared = root if replies else 0  # the first job computed it
                    replies.append(_reply(job, logits[row : row + len(job.rows)], shared))
                    row += len(job.rows)
        return replies

    def _passes(self, jobs: Sequence[_Job]) -> list[tuple[int, int]]:
        """Spans of jobs whose logits fit in memory together."""
        vocabulary = int(self._model.config.get_text_config().vocab_size)
        spans, first, cells = [], 0, 0
        for j, job in enumerate(jobs):
            need = len(job.rows) * max(len(target.ids) for target in job.targets) * vocabulary
            if j > first and cells + need > _LOGITS_A_PASS:
                spans.append((first, j))
                first, cells = j, 0
            cells += need
        return [*spans, (first, len(jobs))]


class _Prefix:
    """Rows of text that the model has read: its key-value cache and which places of it are real (1) or padding (0)."""

    def __init__(self, model: Any, device: str) -> None:
        import torch
        import transformers

        self._model = model
        self._cache = transformers.DynamicCache(config=model.config)
        self._mask = torch.zeros((1, 0), dtype=torch.long, device=device)

    def copy(self) -> "_Prefix":
        """A prefix that can be extended without changing this one."""
        twin = object.__new__(_Prefix)
        twin._model, twin._cache, twin._mask = self._model, copy.deepcopy(self._cache), self._mask
        return twin

    def select(self, rows: list[int]) -> None:
        """Keep these rows, repeated where they are named more than once."""
        import torch

        index = torch.tensor(rows, device=self._mask.device)
        if self._mask.shape[1]:
            self._cache.batch_select_indices(index)
        self._mask = self._mask[index]

    def extend(self, sequences: list[tuple[int, ...]], *, keep: int) -> "torch.Tensor":
        """Read one more sequence in each row; the logits of the last `keep` places, (rows, keep, vocabulary)."""
        import torch

        width = max(len(sequence) for sequence in sequences)
        padded = [(0,) * (width - len(sequence)) + sequence for sequence in sequences]
        real = [[0] * (width - len(sequence)) + [1] * len(sequence) for sequence in sequences]
        ids = torch.tensor(padded, device=self._mask.device)
        self._mask = torch.cat([self._mask, torch.tensor(real, device=self._mask.device)], dim=1)
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)[:, -width:]
        output = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=min(keep, width),
        )
        logits: torch.Tensor = output.logits
        return logits


def _reply(job: _Job, logits: "torch.Tensor", root: int) -> ScoreReply:
    """The answers of one job from its rows' (rows, keep, vocabulary) logits."""
    import torch

    total = logits.logsumexp(dim=-1)
    chats, continuations = job.shape
    table = [[0.0] * continuations for _ in range(chats)]
    lengths = [0] * continuations
    for target in job.targets:
        n = len(target.ids)
        picked = logits[target.row, -n:].gather(1, logits.new_tensor(target.ids, dtype=torch.long)[:, None])[:, 0]
        table[target.r][target.k] = float((picked - total[target.row, -n:]).double().sum())
        lengths[target.k] = n
    return ScoreReply(
        logprobs=tuple(tuple(row) for row in table),
        tokens=tuple(lengths),
        prompt_tokens=job.size,
        cached_tokens=(len(job.rows) - 1) * job.shared + root,
    )


def _common(sequences: Sequence[tuple[int, ...]]) -> int:
    """The length of the longest common beginning."""
    first, last = min(sequences), max(sequences)
    for i, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b:
            return i
    return min(len(first), len(last))


def _import_torch() -> Any:
    try:
        import torch
        import transformers  # noqa: F401 – found missing now, not in the middle of a run
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'valueagents[transformers]'") from error
    return torch
