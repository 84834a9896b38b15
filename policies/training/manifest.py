"""The manifest of an adapter: what it was made from and how it went.

Written last, it ends a training.

An adapter's name is a hash of its matrices; the manifest is not part of it, so wall time and
versions may differ between two equal adapters.
"""

import resource
from pathlib import Path
from typing import Any

import msgspec

from valueagents.policies.adapters import MANIFEST
from valueagents.running.sealed import read_sealed, write_sealed

SOFTWARE = ("valueagents", "torch", "transformers", "peft", "trl", "bitsandbytes", "numpy")


class TrainingData(msgspec.Struct, frozen=True, kw_only=True):
    """What was trained and selected on.

    `hash` covers every word of the rows, which lie in rows.jsonl.
    """

    hash: str
    train_rows: int
    eval_rows: int
    source: str


class MenuSplit(msgspec.Struct, frozen=True, kw_only=True):
    """How menus were parted, for what is trained on menus; `name` hashes what is in each part.

    `train`, `eval` and `test` count the menus of a part, `clusters` the units that were drawn: the
    menus of one lie in one part. The parts are pools, `menus/PART.jsonl` in the adapter's folder.
    """

    name: str
    seed: int
    shares: tuple[float, float]
    train: int
    eval: int
    test: int
    clusters: int


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """Natural logs: of each step, and of each epoch's evaluation (empty where the method has
    none).
    """

    train: tuple[float, ...]
    eval: tuple[float, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`adapter` is the content hash, `training` the hash of all that was asked for, `base` name and
    hashes,
    `best_epoch` the epoch whose adapter it is.

    `settings` are the hyper-parameters, `split` is of a training on menus. `peak_memory_bytes` is
    of the process that ended the training (on a GPU, of its memory), `wall_s` the time in the loop
    over all its processes.
    """

    adapter: str
    training: str
    base: dict[str, str]
    method: str
    target: str
    direction: str
    seed: int
    settings: dict[str, Any]
    data: TrainingData
    split: MenuSplit | None = None
    losses: Losses
    best_epoch: int | None
    software: dict[str, str]
    device: str
    dtype: str
    threads: int
    wall_s: float
    peak_memory_bytes: int
    format: str = "valueagents-adapter 1"


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished training, None where there is none.

    Raises StoreError if it is damaged.
    """
    try:
        return read_sealed(folder / MANIFEST, Manifest, remedy="delete the folder and train again")
    except FileNotFoundError:
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it; the training is finished."""
    write_sealed(folder / MANIFEST, manifest)


def peak_memory_bytes(device: str) -> int:
    """The most memory that this process has held."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
