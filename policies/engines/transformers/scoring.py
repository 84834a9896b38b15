"""Scoring on a transformers model: every batch is one walk down a tree of shared beginnings.

What was read before (an earlier turn, the task) is not computed again, and what all requests of the
batch share only once (`reader.py`); then comes what the sequences of one request share (the
situation), one row a request; then the tails that differ (the orders of a listing, the option
texts), one row each. The logits that are needed are at the end of every row, and no others are
computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.engines.engine import ScoreReply, ScoreRequest
from valueagents.policies.engines.transformers.prefix import common_length
from valueagents.policies.engines.transformers.reader import Reader

if TYPE_CHECKING:
    import torch

_FLOAT32_BYTES = 4
_LOGITS_A_PASS = 100_000_000  # rows × positions × vocabulary: 400 MB in float32


@dataclass(frozen=True, slots=True)
class AnswerPlace:
    """Where an answer is: continuation `k` after chat `r` is `ids`, predicted by the last places of
    `row`.
    """

    r: int
    k: int
    row: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """A request as tokens: the distinct sequences, the length of their common beginning, the
    targets.

    `shape` is (chats, continuations).
    """

    rows: tuple[tuple[int, ...], ...]
    shared: int
    targets: tuple[AnswerPlace, ...]
    shape: tuple[int, int]
    adapter: str | None

    @property
    def size(self) -> int:
        """Tokens, shared ones counted in every row."""
        return sum(len(row) for row in self.rows)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(len(row) for row in self.rows)


def score_job(chats: ChatTokenizer, request: ScoreRequest) -> ScoreJob:
    """The request's distinct sequences and where its answers are in them.

    Raises PolicyError if it does not fit.
    """
    prompts, answers = chats.encode(request)
    rows: dict[tuple[int, ...], int] = {}
    targets = []
    for r, prompt in enumerate(prompts):
        for k, ids in enumerate(answers):
            sequence = prompt + ids[:-1]
            targets.append(AnswerPlace(r, k, rows.setdefault(sequence, len(rows)), ids))
    sequences = tuple(rows)
    needed = [max(len(t.ids) for t in targets if t.row == row) for row in range(len(sequences))]
    tails = min(len(sequence) - n for sequence, n in zip(sequences, needed, strict=True))
    shared = min(common_length(sequences), tails)
    return ScoreJob(
        sequences, shared, tuple(targets), (len(prompts), len(answers)), request.adapter
    )


def score_jobs(reader: Reader, jobs: Sequence[ScoreJob]) -> list[ScoreReply]:
    """Answer a batch of one adapter; of equal jobs (every episode of a game begins alike) one is
    computed.
    """
    again = {job: reply for job in jobs if (reply := reader.answer(job)) is not None}
    new = [job for job in dict.fromkeys(jobs) if job not in again]
    fresh = dict(zip(new, _compute(reader, new), strict=True)) if new else {}
    replies = []
    for job in jobs:
        replies.append(fresh.pop(job) if job in fresh else again[job])
        again[job] = msgspec.structs.replace(replies[-1], cached_tokens=job.size)
        reader.remember(job, again[job])
    return replies


def _compute(reader: Reader, jobs: Sequence[ScoreJob]) -> list[ScoreReply]:
    """One row a job, then one row a sequence."""
    import torch

    beginnings = [job.rows[0][: job.shared] for job in jobs]
    with torch.inference_mode():
        begun, read, known = reader.begin(jobs[0].adapter, beginnings)
        if any(len(beginning) > n for beginning, n in zip(beginnings, read, strict=True)):
            pieces = [beginning[n:] for beginning, n in zip(beginnings, read, strict=True)]
            begun = begun.read(range(len(jobs)), pieces)
        replies: list[ScoreReply] = []
        for first, last in _passes(reader.model, jobs):
            owners = [j for j in range(first, last) for _ in jobs[j].rows]
            tails = [row[job.shared :] for job in jobs[first:last] for row in job.rows]
            keep = max(len(target.ids) for job in jobs[first:last] for target in job.targets)
            ended, logits = begun.predict(owners, tails, keep=keep)
            row = 0
            for j, job in enumerate(jobs[first:last], first):
                again = (len(job.rows) - 1) * job.shared if reader.forward.keeps else 0
                replies.append(
                    _reply(
                        job, at_least_float32(logits[row : row + len(job.rows)]), known[j] + again
                    )
                )
                reader.keep(
                    job.adapter, job.rows[0], ended, row
                )  # the menu in its own order: what a transcript shows
                row += len(job.rows)
    return replies


def at_least_float32(logits: "torch.Tensor") -> "torch.Tensor":
    """The logits in a format in which they can be summed: float32 unless they are longer."""
    return logits if logits.dtype.itemsize >= _FLOAT32_BYTES else logits.float()


def _passes(model: Any, jobs: Sequence[ScoreJob]) -> list[tuple[int, int]]:
    """Spans of jobs whose logits fit in memory together."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    spans, first, cells = [], 0, 0
    for j, job in enumerate(jobs):
        need = len(job.rows) * max(len(target.ids) for target in job.targets) * vocabulary
        if j > first and cells + need > _LOGITS_A_PASS:
            spans.append((first, j))
            first, cells = j, 0
        cells += need
    return [*spans, (first, len(jobs))]


def _reply(job: ScoreJob, logits: "torch.Tensor", cached: int) -> ScoreReply:
    """The answers of one job from its rows' (rows, keep, vocabulary) logits."""
    import torch

    total = logits.logsumexp(dim=-1)
    chats, continuations = job.shape
    table = [[0.0] * continuations for _ in range(chats)]
    lengths = [0] * continuations
    for target in job.targets:
        n = len(target.ids)
        picked = logits[target.row, -n:].gather(
            1, logits.new_tensor(target.ids, dtype=torch.long)[:, None]
        )[:, 0]
        table[target.r][target.k] = float((picked - total[target.row, -n:]).double().sum())
        lengths[target.k] = n
    return ScoreReply(
        logprobs=tuple(tuple(row) for row in table),
        tokens=tuple(lengths),
        prompt_tokens=job.size,
        cached_tokens=cached,
    )
