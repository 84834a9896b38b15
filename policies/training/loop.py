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
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from valueagents.errors import PolicyError
from valueagents.identity import seed_from
from valueagents.policies.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from valueagents.policies.training.settings import Settings
from valueagents.running.execution import Progress

if TYPE_CHECKING:
    import torch

_CHECKPOINT_STEPS = 10


class Trainable(Protocol):
    """A row as the loop sees it: its place in the data, its prompt variant (from 1), whether it is
    of the target, and what it weighs in the mean of a batch.
    """

    @property
    def statement(self) -> int:
        """The place of its statement or menu in the data."""

    @property
    def variant(self) -> int:
        """The prompt variant, from 1."""

    @property
    def target(self) -> bool:
        """Whether every epoch has it."""

    @property
    def weight(self) -> int:
        """What the loss of a batch is divided by, summed over its rows."""


RowT = TypeVar("RowT", bound=Trainable)
_LossRowT = TypeVar("_LossRowT", bound=Trainable, contravariant=True)


class Loss(Protocol[_LossRowT]):
    """The loss of rows, summed; differentiable."""

    def __call__(self, model: Any, device: str, rows: Sequence[_LossRowT]) -> "torch.Tensor":
        """The sum over the rows."""


@dataclass(frozen=True, slots=True)
class Data(Generic[RowT]):
    """What is fitted and what decides when to stop: the same mixture of target and others, the same
    in each epoch.
    """

    train: Sequence[RowT]
    held_out: Sequence[RowT]


def fit(
    model: Any,
    data: Data[RowT],
    settings: Settings,
    *,
    loss: Loss[RowT],
    seed: int,
    checkpoint: Path,
    progress: Progress,
) -> TrainingState:
    """Train the model's trainable weights, from the checkpoint if there is one; they end as those
    of the epoch that is kept.

    Returns losses (means over the weights of rows) and times. Raises PolicyError if a loss
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
                mean = _step(
                    model, device, steps[place], loss, settings, optimiser, list(weights.values())
                )
            state = state.after_step(mean, place + 1, time.monotonic() - began)
            progress(state.step, 0, total)
            if state.step % _CHECKPOINT_STEPS == 0:
                save_checkpoint(checkpoint, weights, optimiser, best, state)
        held_out = evaluate(model, device, data.held_out, loss, settings.pass_rows)
        state = state.after_epoch(held_out, time.monotonic() - began)
        if state.kept_epoch(settings.keep) == state.epoch - 1:
            best = {name: weight.detach().clone() for name, weight in weights.items()}
        save_checkpoint(checkpoint, weights, optimiser, best, state)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(best[name])
    return state


def batches(
    rows: Sequence[RowT], settings: Settings, *, seed: int, epoch: int
) -> list[tuple[RowT, ...]]:
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


def rows_of_epoch(rows: Sequence[RowT], settings: Settings, *, seed: int, epoch: int) -> list[RowT]:
    """All rows of the target and the share `others` of the rest, drawn from seed and epoch.

    Whether a row of the rest is drawn depends on its statement, seed and epoch alone, so trainings
    of a seed with other targets share what they draw.

    With `rotate` each statement in one variant, the next one in the next epoch.
    """
    in_turn = [
        row
        for row in rows
        if not settings.rotate or row.variant == 1 + (row.statement + epoch) % settings.variants
    ]
    others = [i for i, row in enumerate(in_turn) if not row.target]
    rng = np.random.default_rng(seed_from("share of the others", seed, epoch))
    ticket = rng.random(1 + max(row.statement for row in in_turn))  # (statements,)
    drawn = sorted(others, key=lambda i: (ticket[in_turn[i].statement], in_turn[i].variant))
    left_out = set(drawn[round(len(others) * settings.others) :])
    return [row for i, row in enumerate(in_turn) if i not in left_out]


def evaluate(
    model: Any, device: str, rows: Sequence[RowT], loss: Loss[RowT], pass_rows: int
) -> float:
    """The mean loss over the weights of all rows; nothing is trained."""
    import torch

    model.eval()
    total = 0.0
    with torch.no_grad():
        for part in _parts(rows, pass_rows):
            total += loss(model, device, part).item()
    return total / sum(row.weight for row in rows)


def _step(
    model: Any,
    device: str,
    batch: Sequence[RowT],
    loss: Loss[RowT],
    settings: Settings,
    optimiser: "torch.optim.Optimizer",
    weights: "list[torch.nn.Parameter]",
) -> float:
    """One step on the mean over the weights of the batch, however many passes that takes; returns
    the loss.
    """
    import torch

    model.train()
    optimiser.zero_grad(set_to_none=True)
    weight = sum(row.weight for row in batch)
    total = 0.0
    for part in _parts(batch, settings.pass_rows):
        summed = loss(model, device, part)
        (summed / weight).backward()
        total += summed.item()
    if not np.isfinite(total):
        raise PolicyError(
            f"the loss became {total}; try a smaller learning_rate than {settings.learning_rate:g}"
        )
    torch.nn.utils.clip_grad_norm_(weights, settings.clip)
    optimiser.step()
    return total / weight


@contextmanager
def _repeatable(device: str) -> Iterator[None]:
    """On a CPU sums are added up in one order: if not, the gradient of a row that many share
    differs in each run. New tensors are not filled before they are written, which torch would do.
    """
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(before or device == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled


def _schedule(settings: Settings, total: int) -> Callable[[int], float]:
    """The learning rate of step 0, 1, …: up in a straight line over the warm-up, then down to 0
    after the last.
    """
    warm = int(settings.warmup * total)

    def rate(step: int) -> float:
        share = (step + 1) / (warm + 1) if step < warm else (total - step) / (total - warm)
        return settings.learning_rate * share

    return rate


def _parts(rows: Sequence[RowT], size: int) -> Iterator[Sequence[RowT]]:
    """Rows of one forward pass; those of one variant together, because they share more."""
    ordered = sorted(rows, key=lambda row: row.variant)
    for first in range(0, len(ordered), size):
        yield ordered[first : first + size]
