"""Checkpoints: one safetensors file with the adapter, the best epoch's adapter and the optimiser's
moments.

How far the training has come is in the file's header as JSON, with a checksum (CRC-32) of it and of
all tensors: a training never goes on from damaged numbers. The file is replaced as a whole, so a
kill leaves the old or the new one.
"""

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from valueagents.errors import StoreError, first_line

if TYPE_CHECKING:
    import torch

_ANEW = "delete it to begin anew"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_FORMAT = "valueagents-checkpoint 2"


class TrainingState(msgspec.Struct, frozen=True):
    """How far a training is: `place` steps of `epoch` are done, `step` in all.

    Losses are natural logs a token.
    """

    epoch: int = 0
    place: int = 0
    step: int = 0
    train_losses: tuple[float, ...] = ()
    eval_losses: tuple[float, ...] = ()
    wall_s: float = 0.0

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the smallest eval loss, the first of equals."""
        if not self.eval_losses:
            return None
        return min(range(len(self.eval_losses)), key=lambda epoch: self.eval_losses[epoch])

    def kept_epoch(self, keep: Literal["best", "last"]) -> int | None:
        """The epoch whose adapter is kept, None before the first is over."""
        return self.best_epoch if keep == "best" or not self.epoch else self.epoch - 1

    def stopped(self, patience: int) -> bool:
        """True once `patience` epochs in a row were no better."""
        return self.best_epoch is not None and self.epoch - 1 - self.best_epoch >= patience

    def after_step(self, loss: float, place: int, wall_s: float) -> "TrainingState":
        """One more step."""
        return msgspec.structs.replace(
            self,
            place=place,
            step=self.step + 1,
            train_losses=(*self.train_losses, loss),
            wall_s=wall_s,
        )

    def after_epoch(self, loss: float, wall_s: float) -> "TrainingState":
        """One more epoch, evaluated."""
        return msgspec.structs.replace(
            self,
            epoch=self.epoch + 1,
            place=0,
            eval_losses=(*self.eval_losses, loss),
            wall_s=wall_s,
        )


def save_checkpoint(
    file: Path,
    weights: "Mapping[str, torch.Tensor]",
    optimiser: "torch.optim.Optimizer",
    best: "Mapping[str, torch.Tensor]",
    state: TrainingState,
) -> None:
    """Replace the checkpoint.

    Raises StoreError if the disk does not take it: then the last one stays.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {f"weight/{name}": weight.detach().contiguous() for name, weight in weights.items()}
    tensors |= {f"best/{name}": weight.contiguous() for name, weight in best.items()}
    for name, weight in weights.items():
        for moment in _MOMENTS:
            tensors[f"{moment}/{name}"] = optimiser.state[weight][moment]
    draft = file.with_suffix(".draft")
    stated = msgspec.json.encode(state).decode()
    about = {"format": _FORMAT, "state": stated, "crc": _checksum(stated, tensors)}
    try:
        save_file(tensors, draft, metadata=about)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(file)
    except (SafetensorError, OSError) as error:
        draft.unlink(missing_ok=True)
        raise StoreError(
            f"checkpoint {file} cannot be written ({first_line(error)}); make room and give the"
            " same command again: it goes on from the last one"
        ) from error


def load_checkpoint(
    file: Path, weights: "Mapping[str, torch.Tensor]", optimiser: "torch.optim.Optimizer"
) -> "tuple[TrainingState, dict[str, torch.Tensor]]":
    """Put weights and optimiser where the checkpoint left them; its state and its best adapter, or
    a fresh start.

    Raises StoreError if the file is damaged or not of this training.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    unreadable = (
        SafetensorError,
        msgspec.MsgspecError,
        KeyError,
        ValueError,
        RuntimeError,
        OSError,
    )
    if not file.is_file():
        return TrainingState(), {}
    try:
        with safe_open(file, framework="pt") as opened, torch.no_grad():
            about = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 – no mapping
            if about["crc"] != _checksum(about["state"], tensors):
                raise StoreError(f"checkpoint {file} is damaged (a wrong checksum); {_ANEW}")
            state = msgspec.json.decode(about["state"], type=TrainingState)
            best = {name: tensors[f"best/{name}"] for name in weights if f"best/{name}" in tensors}
            for name, weight in weights.items():
                weight.copy_(tensors[f"weight/{name}"])
                moments: dict[str, Any] = {}
                for moment in _MOMENTS:
                    tensor = tensors[f"{moment}/{name}"]
                    moments[moment] = tensor if moment == "step" else tensor.to(weight.device)
                optimiser.state[weight] = moments
    except unreadable as error:
        raise StoreError(
            f"checkpoint {file} cannot be read ({first_line(error)}); {_ANEW}"
        ) from error
    return state, {name: weight.to(weights[name].device) for name, weight in best.items()}


def _checksum(state: str, tensors: "Mapping[str, torch.Tensor]") -> str:
    """Eight hex digits over the state and every tensor's name, kind, shape and bytes."""
    import torch

    crc = zlib.crc32(state.encode())
    for name, tensor in sorted(tensors.items()):
        crc = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        crc = zlib.crc32(plain.view(torch.uint8).numpy(), crc)
    return f"{crc:08x}"
