"""`train_survey`: an adapter that moves one value's survey answers, or its control, from a frozen
model's own ratings.

Everything that can be wrong is found before a model is loaded. The folder is the adapter in the
end; until then it holds `training.json` (what was asked for), `rows.jsonl` (every row that is
trained or selected on) and a checkpoint.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, get_args

import msgspec

from valueagents.errors import ConfigError, unknown_name
from valueagents.identity import content_hash
from valueagents.policies.adapters import Adapter
from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.models import ModelFiles, find_model
from valueagents.policies.prompts import load_prompt
from valueagents.policies.training.labels import PROMPT, READING, baseline_labels, survey_policy
from valueagents.policies.training.loop import Data, fit, rows_of_epoch
from valueagents.policies.training.lora import load_trainable, save_adapter, where_to_train
from valueagents.policies.training.manifest import (
    SOFTWARE,
    Losses,
    Manifest,
    TrainingData,
    peak_memory_bytes,
    read_manifest,
    write_manifest,
)
from valueagents.policies.training.preference import METHODS as PREFERENCE_METHODS
from valueagents.policies.training.preference import Pair, fit_pairs, make_pairs, trainer_classes
from valueagents.policies.training.rows import TrainingDirection, TrainingRow, examples, make_rows
from valueagents.policies.training.settings import Settings, load_settings
from valueagents.policies.training.statements import (
    TrainingSplit,
    check_target,
    read_statements,
    read_wordings,
)
from valueagents.running.execution import Progress, software
from valueagents.running.store import write_atomically

log = logging.getLogger("valueagents")

Show = Callable[[str, str], AbstractContextManager[Progress]]
"""Opens a display of progress for (what, unit), such as
`valueagents.running.progress.show_progress`.
"""

METHODS = ("sft", *PREFERENCE_METHODS)
_REQUEST, _ROWS, _CHECKPOINT = "training.json", "rows.jsonl", "checkpoint.safetensors"
_SPLITS: tuple[TrainingSplit, ...] = get_args(TrainingSplit)


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What to train. `items`: a survey file of the user's; None = the bundled one.

    `base` as in a policy's spec.
    """

    base: str
    target: str
    direction: TrainingDirection
    seed: int
    settings: Settings
    method: str = "sft"
    items: str | None = None


def quiet(_what: str, _unit: str) -> AbstractContextManager[Progress]:
    """Shows nothing."""
    return nullcontext(lambda *_: None)


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """How a training went."""

    data: TrainingData
    losses: Losses
    best_epoch: int | None
    wall_s: float


def plan_training(
    *,
    base: str,
    target: str,
    direction: str,
    seed: int,
    preset: str = "quick",
    method: str = "sft",
    items: str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Training:
    """A training whose names and numbers are all known. Raises ConfigError for one that is not."""
    for kind, name, known in (
        ("direction", direction, get_args(TrainingDirection)),
        ("method", method, METHODS),
    ):
        if name not in known:
            raise ConfigError(unknown_name(kind, name, known))
    if seed < 0:
        raise ConfigError(f"seed={seed}: give 0 or more")
    settings = load_settings(preset, overrides)
    check_target(target, read_statements("train", variants=1, items=items))
    return Training(
        base=base,
        target=target,
        direction=msgspec.convert(direction, TrainingDirection),
        seed=seed,
        settings=settings,
        method=method,
        items=items,
    )


def train_survey(training: Training, out: Path | str, *, show: Show = quiet) -> Manifest:
    """Train, or go on with what a killed process left, or do nothing if it is finished.

    `out` is then the adapter.

    Raises ConfigError if `out` holds something else, or if the base model, a package or a GPU is
    missing.
    """
    out = Path(out)
    device, dtype = where_to_train(training.settings)
    files = find_model(training.base)
    job = _RowJob(training, files) if training.method == "sft" else _PairJob(training, files)
    request = {
        **{name: getattr(training, name) for name in ("target", "direction", "seed", "method")},
        "settings": msgspec.structs.asdict(training.settings),
        "base": survey_policy(training.base).identity(),
        "survey": content_hash(msgspec.to_builtins(job.survey)),
    }
    done = _claim(out, request)
    if done is not None:
        return done
    log.info(
        "%s %s on %s (%s, %s) in %s",
        training.target,
        training.direction,
        files.name,
        device,
        dtype,
        out,
    )
    adapted, fitted = job.fit(out, device=device, dtype=dtype, show=show)
    manifest = _manifest(
        training,
        request,
        fitted,
        device=device,
        dtype=dtype,
        adapter=save_adapter(adapted, out, files),
    )
    write_manifest(out, manifest)
    (out / _CHECKPOINT).unlink(missing_ok=True)
    return manifest


class _RowJob:
    """Ratings as rows (sft)."""

    def __init__(self, training: Training, files: ModelFiles) -> None:
        self.training, self.files, settings = training, files, training.settings
        self.survey = {
            split: read_statements(split, variants=settings.variants, items=training.items)
            for split in _SPLITS
        }

    def fit(self, out: Path, *, device: str, dtype: str, show: Show) -> tuple[Any, Fitted]:
        """Label, train, and give the adapted model."""
        training, settings = self.training, self.training.settings
        with show("baseline labels", "questions") as progress:
            everything = [
                each
                for split in _SPLITS
                for each in self.survey[split]
                if each.variant <= settings.label_variants
            ]
            labels = baseline_labels(survey_policy(training.base), everything, settings, progress)
        rows = {
            split: make_rows(
                asked, split, labels, target=training.target, direction=training.direction
            )
            for split, asked in self.survey.items()
        }
        data = _write_rows(out, rows, f"{settings.labels} of the frozen base, {READING}")
        prompt, chats = load_prompt(PROMPT), ChatTokenizer(self.files)
        made = {
            split: examples(
                rows[split], self.survey[split], chats, prompt=prompt, target=training.target
            )
            for split in _SPLITS
        }
        held_out = rows_of_epoch(made["eval"], settings, seed=training.seed, epoch=0)
        adapted = load_trainable(
            self.files, settings, device=device, dtype=dtype, seed=training.seed
        )
        with show(f"training {training.target} {training.direction}", "steps") as progress:
            state = fit(
                adapted.get_base_model(),
                Data(made["train"], held_out),
                settings,
                seed=training.seed,
                checkpoint=out / _CHECKPOINT,
                progress=progress,
            )
        losses = Losses(train=state.train_losses, eval=state.eval_losses)
        return adapted, Fitted(
            data=data, losses=losses, best_epoch=state.best_epoch, wall_s=state.wall_s
        )


class _PairJob:
    """Wordings for and against as pairs (dpo and friends)."""

    def __init__(self, training: Training, files: ModelFiles) -> None:
        trainer_classes(training.method)
        self.training, self.files = training, files
        self.survey = {split: read_wordings(split, items=training.items) for split in _SPLITS}

    def fit(self, out: Path, *, device: str, dtype: str, show: Show) -> tuple[Any, Fitted]:
        """Train and give the adapted model, after all epochs: trl's eval loss is of another kind in
        each method.
        """
        import transformers

        training, settings = self.training, self.training.settings
        pairs = make_pairs(
            self.survey["train"],
            target=training.target,
            direction=training.direction,
            seed=training.seed,
        )
        data = _write_rows(out, {"train": pairs, "eval": ()}, "pairs of wordings")
        adapted = load_trainable(
            self.files, settings, device=device, dtype=dtype, seed=training.seed
        )
        began = time.monotonic()
        with show(f"{training.method} {training.target} {training.direction}", "steps") as progress:
            losses = fit_pairs(
                adapted,
                transformers.AutoTokenizer.from_pretrained(self.files.folder),
                pairs,
                settings,
                method=training.method,
                seed=training.seed,
                progress=progress,
            )
        wall_s = time.monotonic() - began
        return adapted, Fitted(
            data=data, losses=Losses(train=losses, eval=()), best_epoch=None, wall_s=wall_s
        )


def _write_rows(
    out: Path, rows: Mapping[TrainingSplit, Sequence[TrainingRow | Pair]], source: str
) -> TrainingData:
    """Keep every row for the reader; its hash and counts for the manifest."""
    everything = [row for split in _SPLITS for row in rows[split]]
    write_atomically(out / _ROWS, b"".join(msgspec.json.encode(row) + b"\n" for row in everything))
    return TrainingData(
        hash=content_hash(msgspec.to_builtins(everything)),
        train_rows=len(rows["train"]),
        eval_rows=len(rows["eval"]),
        source=source,
    )


def _claim(out: Path, request: dict[str, Any]) -> Manifest | None:
    """Make the folder this training's own; its manifest if it is finished.

    Raises ConfigError if it holds another training, or anything else.
    """
    file = out / _REQUEST
    if file.is_file():
        there = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        if content_hash(there) != content_hash(request):
            other = sorted(
                name for name in {*there, *request} if there.get(name) != request.get(name)
            )
            raise ConfigError(
                f"{out} holds another training (its {', '.join(other)} differs); give another --out"
            )
        return read_manifest(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(f"{out} is not empty and holds no training; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(file, msgspec.json.format(msgspec.json.encode(request), indent=2) + b"\n")
    return None


def _manifest(
    training: Training,
    request: dict[str, Any],
    fitted: Fitted,
    *,
    device: str,
    dtype: str,
    adapter: Adapter,
) -> Manifest:
    import torch

    hashes = find_model(training.base).hashes()
    return Manifest(
        adapter=adapter.name,
        training=content_hash(request),
        base={"name": training.base, **hashes},
        method=training.method,
        target=training.target,
        direction=training.direction,
        seed=training.seed,
        settings=request["settings"],
        data=fitted.data,
        losses=fitted.losses,
        best_epoch=fitted.best_epoch,
        software=software(SOFTWARE),
        device=device,
        dtype=dtype,
        threads=torch.get_num_threads(),
        wall_s=fitted.wall_s,
        peak_memory_bytes=peak_memory_bytes(device),
    )
