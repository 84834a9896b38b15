"""Generation on a transformers model: a batch grows token by token, and a row that has ended leaves
it.

Every row draws with a generator of its own, seeded by its request, so what it says does not depend
on who else is in the batch – up to rounding, which no batched model is free of.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from valueagents.errors import PolicyError, PromptTooLong
from valueagents.policies.engines.chats import ChatTokenizer, Tokens
from valueagents.policies.engines.engine import GenerateReply, GenerateRequest, Sampling
from valueagents.policies.engines.transformers.reader import Reader

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class GenerateJob:
    """A request as tokens. `choices` are the only token sequences that the answer may be; empty =
    any.
    """

    prompt: Tokens
    choices: tuple[Tokens, ...]
    sampling: Sampling
    seed: int
    adapter: str | None

    @property
    def size(self) -> int:
        """Tokens at most."""
        return len(self.prompt) + self.sampling.max_tokens

    @property
    def longest(self) -> int:
        """The same: it is one sequence."""
        return self.size


def generate_job(chats: ChatTokenizer, request: GenerateRequest) -> GenerateJob:
    """The request as tokens. Raises PromptTooLong if prompt and answer do not fit the window."""
    prompt = chats.prompt(request.chat)
    choices = tuple(chats.answer(text) for text in request.choices)
    needed = max((_tokens_needed(choice, choices) for choice in choices), default=0)
    most = request.sampling.max_tokens
    if needed > most:
        raise PolicyError(f"an allowed answer needs {needed} tokens, max_tokens={most}; raise it")
    if chats.window and len(prompt) + most > chats.window:
        raise PromptTooLong(
            f"prompt of {len(prompt)} tokens and max_tokens={most}, the model's window is"
            f" {chats.window}; nothing is cut in silence: lower max_tokens or set history"
        )
    return GenerateJob(prompt, choices, request.sampling, request.seed, request.adapter)


def _tokens_needed(choice: Tokens, choices: Sequence[Tokens]) -> int:
    """To say it: one more than it has, where only an end tells it from a longer one."""
    return len(choice) + any(
        len(other) > len(choice) and other[: len(choice)] == choice for other in choices
    )


@dataclass(slots=True)
class _Row:
    """An answer as it grows."""

    job: GenerateJob
    end_tokens: frozenset[int]
    said: list[int] = field(default_factory=list)
    finish_reason: str = ""
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.job.seed)  # noqa: S311 – a statistic, not a secret

    def allowed(self) -> list[int] | None:
        """The tokens that may come next; None = any."""
        if not self.job.choices:
            return None
        said = tuple(self.said)
        going_on = {
            c[len(said)] for c in self.job.choices if len(c) > len(said) and c[: len(said)] == said
        }
        return sorted(going_on | (self.end_tokens if said in self.job.choices else set()))

    def take(self, token: int) -> None:
        """Append a token and see whether the answer has ended."""
        self.said.append(token)
        if token in self.end_tokens or (
            self.job.choices and not set(self.allowed() or ()) - self.end_tokens
        ):
            self.finish_reason = "stop"
        elif len(self.said) >= self.job.sampling.max_tokens:
            self.finish_reason = "length"


def generate_jobs(
    reader: Reader, chats: ChatTokenizer, jobs: Sequence[GenerateJob]
) -> list[GenerateReply]:
    """The answers of a batch of one adapter."""
    import torch

    end_tokens = _end_tokens(reader.model, chats)
    rows = [_Row(job, end_tokens) for job in jobs]
    beginnings = [job.prompt[:-1] for job in jobs]  # the logits of the last token are needed
    with torch.inference_mode():
        prefix, read, known = reader.begin(jobs[0].adapter, beginnings)
        ends = [job.prompt[n:] for job, n in zip(jobs, read, strict=True)]
        prefix, logits = prefix.predict(range(len(jobs)), ends, keep=1)
        for i, job in enumerate(jobs):
            reader.keep(job.adapter, job.prompt, prefix, i)
        going = list(rows)
        while going:
            last = logits[:, -1].float()  # (rows, vocabulary)
            for row, token in zip(going, _draw(last, going), strict=True):
                row.take(token)
            kept = [i for i, row in enumerate(going) if not row.finish_reason]
            going = [going[i] for i in kept]
            if going:
                prefix, logits = prefix.predict(kept, [(row.said[-1],) for row in going], keep=1)
    return [
        GenerateReply(
            text=chats.text([token for token in row.said if token not in end_tokens]),
            finish_reason=row.finish_reason,
            prompt_tokens=len(row.job.prompt),
            cached_tokens=known[i],
            output_tokens=len(row.said),
        )
        for i, row in enumerate(rows)
    ]


def _end_tokens(model: Any, chats: ChatTokenizer) -> frozenset[int]:
    """The tokens that end an answer, by the model's own generation settings, its template and its
    tokenizer.
    """
    told = getattr(model.generation_config, "eos_token_id", None)
    many = told if isinstance(told, list) else [told]
    return chats.end_tokens | {token for token in many if token is not None}


def _draw(logits: "torch.Tensor", rows: Sequence[_Row]) -> list[int]:
    """The next token of every row from its (vocabulary,) logits: by inverse transform, from the
    nucleus and top k.
    """
    import torch

    for i, row in enumerate(rows):
        allowed = row.allowed()
        if allowed is not None:
            only = torch.full_like(logits[i], float("-inf"))
            only[allowed] = logits[i, allowed]
            logits[i] = only
    if torch.isnan(logits).any():
        raise PolicyError("the model's logits are not numbers; try dtype=float32")
    if all(row.job.sampling.temperature == 0 for row in rows):
        return [int(token) for token in logits.argmax(dim=-1)]
    vocabulary = logits.shape[1]

    def column(values: Sequence[float]) -> "torch.Tensor":
        return torch.tensor(values, device=logits.device, dtype=torch.float32)[:, None]

    temperatures = column([max(row.job.sampling.temperature, 1e-4) for row in rows])
    ranked = (logits / temperatures).sort(dim=-1, descending=True)
    p = ranked.values.softmax(dim=-1)
    ranks = torch.arange(vocabulary, device=logits.device)[None]
    kept = (p.cumsum(dim=-1) - p < column([row.job.sampling.top_p for row in rows])) & (
        ranks < column([row.job.sampling.top_k or vocabulary for row in rows])
    )
    kept[:, 0] = True
    cumulated = (p * kept).cumsum(dim=-1)
    thresholds = column([row.dice.random() for row in rows]) * cumulated[:, -1:]
    drawn = (cumulated > thresholds).int().argmax(dim=-1, keepdim=True)
    tokens = ranked.indices.gather(1, drawn)[:, 0]
    greedy = logits.argmax(dim=-1)
    return [
        int(greedy[i] if row.job.sampling.temperature == 0 else tokens[i])
        for i, row in enumerate(rows)
    ]
