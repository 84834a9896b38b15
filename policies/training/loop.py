"""The training loop: AdamW, linear warm-up and decay, early stopping – and a step that can be
repeated exactly.

Nothing random outlives a step: the order of an epoch and the dropout of a step are drawn from the
seed and their own number. So a checkpoint is the adapter, the optimiser's moments and a count, and
a training that was killed anywhere ends with the same bytes as one that was not (on a CPU, with as
many threads).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from valueagents.errors import PolicyError
from valueagents.identity import seed_from
from valueagents.policies.engines.transformers.forward import Forward
from valueagents.policies.engines.transformers.prefix import Prefix, common_length
from valueagents.policies.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from valueagents.policies.training.rows import Example
from valueagents.policies.training.settings import Settings
from valueagents.running.execution import Progress

if TYPE_CHECKING:
    import torch

_CHECKPOINT_STEPS = 10


@dataclass(frozen=True, slots=True)
class Data:
    """What is fitted and what decides when to stop: the same mixture of target and others, the same
    in each epoch.
    """

    train: Sequence[Example]
    held_out: Sequence[Example]


def fit(
    model: Any, data: Data, settings: Settings, *, seed: int, checkpoint: Path, progress: Progress
) -> TrainingState:
    """Train the model's trainable weights, from the checkpoint if there is one; they end as the
    best epoch's.

    Returns losses (mean of -log p over the answers' tokens) and times. Raises PolicyError if a loss
    is not finite.
    """
    import torch

    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimiser = torch.optim.AdamW(
        weights.values(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=(0.9, 0.999),
    )
    state, best = load_checkpoint(checkpoint, weights, optimiser)
    device = next(iter(weights.values())).device.type
    epochs = settings.epochs
    total = sum(
        len(batches(data.train, settings, seed=seed, epoch=epoch)) for epoch in range(epochs)
    )
    rate = _schedule(settings, total)
    began = time.monotonic() - state.wall_s
    while state.epoch < epochs and not state.stopped(settings.patience):
        steps = batches(data.train, settings, seed=seed, epoch=state.epoch)
        for place in range(state.place, len(steps)):
            torch.manual_seed(seed_from("dropout", seed, state.step))
            for group in optimiser.param_groups:
                group["lr"] = rate(state.step)
            with _repeatable(device):
                loss = _step(
                    model, device, steps[place], settings, optimiser, list(weights.values())
                )
            state = state.after_step(loss, place + 1, time.monotonic() - began)
            progress(state.step, 0, total)
            if state.step % _CHECKPOINT_STEPS == 0:
                save_checkpoint(checkpoint, weights, optimiser, best, state)
        held_out = evaluate(model, device, data.held_out, settings.pass_rows)
        state = state.after_epoch(held_out, time.monotonic() - began)
        if state.best_epoch == state.epoch - 1:
            best = {name: weight.detach().clone() for name, weight in weights.items()}
        save_checkpoint(checkpoint, weights, optimiser, best, state)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(best[name])
    return state


def batches(
    rows: Sequence[Example], settings: Settings, *, seed: int, epoch: int
) -> list[tuple[Example, ...]]:
    """The epoch's rows in batches, in an order drawn from seed and epoch.

    A batch holds one variant, whose questions share a long beginning. With `rotate` the variants
    take turns within an epoch: in epochs of one variant each unlearned the answers of the one
    before (eval loss 0.1 to 2.0, measured).
    """
    rng = np.random.default_rng(seed_from("order of rows", seed, epoch))
    chosen = rows_of_epoch(rows, settings, seed=seed, epoch=epoch)
    order = rng.permutation(len(chosen)).tolist()
    made = []
    for variant in range(1, settings.variants + 1):
        alike = [chosen[i] for i in order if chosen[i].variant == variant]
        made += [
            tuple(alike[i : i + settings.batch_rows])
            for i in range(0, len(alike), settings.batch_rows)
        ]
    return [made[i] for i in rng.permutation(len(made)).tolist()]


def rows_of_epoch(
    rows: Sequence[Example], settings: Settings, *, seed: int, epoch: int
) -> list[Example]:
    """All rows of the target and the share `others` of the rest, drawn from seed and epoch.

    With `rotate` each statement in one variant, the next one in the next epoch.
    """
    in_turn = [
        row
        for row in rows
        if not settings.rotate or row.variant == 1 + (row.statement + epoch) % settings.variants
    ]
    others = [i for i, row in enumerate(in_turn) if not row.target]
    rng = np.random.default_rng(seed_from("share of the others", seed, epoch))
    left_out = set(rng.permutation(others)[round(len(others) * settings.others) :].tolist())
    return [row for i, row in enumerate(in_turn) if i not in left_out]


def answer_loss(model: Any, device: str, rows: Sequence[Example]) -> tuple["torch.Tensor", int]:
    """Sum of -log p over the answers' tokens, and their number.

    What the questions share is computed once.

    The model sees the answer up to its last token; logits exist for the answer's places alone, so
    no token of a question can enter the loss.
    """
    sequences = [row.prompt + row.answer[:-1] for row in rows]
    shared = min(common_length(sequences), *(len(row.prompt) - 1 for row in rows))
    if shared < 1 and len(rows) > 1:  # nothing for padding to attend to: one at a time needs none
        parts = [answer_loss(model, device, [row]) for row in rows]
        return sum((loss for loss, _ in parts[1:]), parts[0][0]), sum(count for _, count in parts)
    prefix = Prefix(Forward(model, device), [()], [])
    if shared:
        prefix = prefix.read([0], [sequences[0][:shared]])
    tails, keep = (
        [sequence[shared:] for sequence in sequences],
        max(len(row.answer) for row in rows),
    )
    _, logits = prefix.predict([0] * len(rows), tails, keep=keep)  # (rows, keep, vocabulary)
    logprobs = logits.float().log_softmax(dim=-1)
    answers = [logprobs.new_tensor(row.answer).long() for row in rows]
    losses = [
        -logprobs[r, -len(answer) :].gather(1, answer[:, None]).sum()
        for r, answer in enumerate(answers)
    ]
    return sum(losses[1:], losses[0]), sum(len(row.answer) for row in rows)


def evaluate(model: Any, device: str, rows: Sequence[Example], pass_rows: int) -> float:
    """The mean of -log p over the tokens of all answers; nothing is trained."""
    import torch

    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for part in _parts(rows, pass_rows):
            loss, count = answer_loss(model, device, part)
            total, tokens = total + loss.item(), tokens + count
    return total / tokens


def _step(
    model: Any,
    device: str,
    batch: Sequence[Example],
    settings: Settings,
    optimiser: "torch.optim.Optimizer",
    weights: "list[torch.nn.Parameter]",
) -> float:
    """One step on the mean over all answer tokens of the batch, however many passes that takes;
    returns the loss.
    """
    import torch

    model.train()
    optimiser.zero_grad(set_to_none=True)
    tokens = sum(len(row.answer) for row in batch)
    total = 0.0
    for part in _parts(batch, settings.pass_rows):
        loss, _ = answer_loss(model, device, part)
        (loss / tokens).backward()
        total += loss.item()
    if not np.isfinite(total):
        raise PolicyError(
            f"the loss became {total}; try a smaller learning_rate than {settings.learning_rate:g}"
        )
    torch.nn.utils.clip_grad_norm_(weights, settings.clip)
    optimiser.step()
    return total / tokens


@contextmanager
def _repeatable(device: str) -> Iterator[None]:
    """On a CPU sums are added up in one order: if not, the gradient of a row that many share
    differs in each run.
    """
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or device == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _schedule(settings: Settings, total: int) -> Callable[[int], float]:
    """The learning rate of step 0, 1, …: up in a straight line over the warm-up, then down to 0
    after the last.
    """
    warm = int(settings.warmup * total)

    def rate(step: int) -> float:
        share = (step + 1) / (warm + 1) if step < warm else (total - step) / (total - warm)
        return settings.learning_rate * share

    return rate


def _parts(rows: Sequence[Example], size: int) -> Iterator[Sequence[Example]]:
    """Rows of one forward pass; those of one variant together, because they share more."""
    ordered = sorted(rows, key=lambda row: row.variant)
    for first in range(0, len(ordered), size):
        yield ordered[first : first + size]
