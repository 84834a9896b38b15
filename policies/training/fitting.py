"""How a training goes once its rows are made: the adapter is fitted, saved, and told of in its
manifest.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from valueagents.identity import content_hash
from valueagents.policies.models import ModelFiles
from valueagents.policies.training.folder import CHECKPOINT, Show
from valueagents.policies.training.loop import Data, Loss, RowT, fit
from valueagents.policies.training.lora import load_trainable, save_adapter
from valueagents.policies.training.manifest import (
    SOFTWARE,
    Losses,
    Manifest,
    MenuSplit,
    TrainingData,
    peak_memory_bytes,
    write_manifest,
)
from valueagents.policies.training.settings import Settings
from valueagents.running.machine import software


class Place(msgspec.Struct, frozen=True):
    """Where a training is computed: `cpu` or `cuda`, and the number format of the base model."""

    device: str
    dtype: str


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """How a training went."""

    data: TrainingData
    losses: Losses
    best_epoch: int | None
    wall_s: float


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What every training is asked for, for its manifest; `all` is the whole of it, as
    `training.json` has it.
    """

    base: str
    method: str
    target: str
    direction: str
    seed: int
    all: Mapping[str, Any]
    split: MenuSplit | None = None


def fit_rows(
    files: ModelFiles,
    rows: Data[RowT],
    loss: Loss[RowT],
    settings: Settings,
    *,
    seed: int,
    out: Path,
    place: Place,
    data: TrainingData,
    what: str,
    show: Show,
) -> tuple[Any, Fitted]:
    """The adapted model at its best epoch, and how it went; goes on from the folder's
    checkpoint.
    """
    adapted = load_trainable(files, settings, device=place.device, dtype=place.dtype, seed=seed)
    with show(f"training {what}", "steps") as progress:
        state = fit(
            adapted.get_base_model(),
            rows,
            settings,
            loss=loss,
            seed=seed,
            checkpoint=out / CHECKPOINT,
            progress=progress,
        )
    losses = Losses(train=state.train_losses, eval=state.eval_losses)
    return adapted, Fitted(
        data=data, losses=losses, best_epoch=state.kept_epoch(settings.keep), wall_s=state.wall_s
    )


def finish(
    adapted: Any, request: Request, fitted: Fitted, files: ModelFiles, *, place: Place, out: Path
) -> Manifest:
    """Save the adapter and its manifest; the training is finished and its checkpoint gone."""
    import torch

    adapter = save_adapter(adapted, out, files)
    manifest = Manifest(
        adapter=adapter.name,
        training=content_hash(request.all),
        base={"name": request.base, **files.hashes()},
        method=request.method,
        target=request.target,
        direction=request.direction,
        seed=request.seed,
        settings=request.all["settings"],
        data=fitted.data,
        split=request.split,
        losses=fitted.losses,
        best_epoch=fitted.best_epoch,
        software=software(SOFTWARE),
        device=place.device,
        dtype=place.dtype,
        threads=torch.get_num_threads(),
        wall_s=fitted.wall_s,
        peak_memory_bytes=peak_memory_bytes(place.device),
    )
    write_manifest(out, manifest)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return manifest
