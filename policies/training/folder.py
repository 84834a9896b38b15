"""The folder of a training: what was asked for, its rows, a checkpoint – in the end the adapter.

`training.json` says what was asked for, `rows.jsonl` holds every row that is trained or selected
on. The manifest is written last and ends the training.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from valueagents.errors import ConfigError
from valueagents.identity import content_hash
from valueagents.policies.training.manifest import Manifest, TrainingData, read_manifest
from valueagents.running.durable import is_draft, remove_dead_drafts
from valueagents.running.execution import Progress
from valueagents.running.sealed import read_sealed, write_sealed
from valueagents.running.store import write_atomically

CHECKPOINT = "checkpoint.safetensors"
_REQUEST, _ROWS = "training.json", "rows.jsonl"

Show = Callable[[str, str], AbstractContextManager[Progress]]
"""Opens a display of progress for (what, unit), such as
`valueagents.running.progress.show_progress`.
"""


def quiet(_what: str, _unit: str) -> AbstractContextManager[Progress]:
    """Shows nothing."""
    return nullcontext(lambda *_: None)


def claim(out: Path, request: Mapping[str, Any]) -> Manifest | None:
    """Make the folder this training's own; its manifest if it is finished.

    Raises ConfigError if it holds another training, or anything else; StoreError if what says so
    is damaged.
    """
    file = out / _REQUEST
    if file.is_file():
        there = read_sealed(file, dict[str, Any], remedy="delete the folder and train again")
        if content_hash(there) != content_hash(request):
            other = sorted(
                name for name in {*there, *request} if there.get(name) != request.get(name)
            )
            raise ConfigError(
                f"{out} holds another training (its {', '.join(other)} differs); give another --out"
            )
        return read_manifest(out)
    if out.is_file() or (out.is_dir() and not all(map(is_draft, out.iterdir()))):
        raise ConfigError(f"{out} is not empty and holds no training; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    remove_dead_drafts(out)
    write_sealed(file, request)
    return None


def write_rows(
    out: Path,
    train: Sequence[msgspec.Struct],
    held_out: Sequence[msgspec.Struct],
    *,
    source: str,
) -> TrainingData:
    """Keep the rows for the reader; their hash and counts for the manifest."""
    everything = [*train, *held_out]
    write_atomically(out / _ROWS, b"".join(msgspec.json.encode(row) + b"\n" for row in everything))
    return TrainingData(
        hash=content_hash(msgspec.to_builtins(everything)),
        train_rows=len(train),
        eval_rows=len(held_out),
        source=source,
    )
