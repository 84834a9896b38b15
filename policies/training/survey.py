"""`train_survey`: an adapter that moves one value's survey answers, or its control, from a frozen
model's own ratings.

Everything that can be wrong is found before a model is loaded. The folder is the adapter in the
end; until then it holds `training.json` (what was asked for), `rows.jsonl` (every row that is
trained or selected on) and a checkpoint.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec

from valueagents.errors import ConfigError, unknown_name
from valueagents.identity import content_hash
from valueagents.policies.engines.chats import ChatTokenizer
from valueagents.policies.models import ModelFiles, find_model
from valueagents.policies.prompts import load_prompt
from valueagents.policies.training.fitting import Fitted, Place, Request, finish, fit_rows
from valueagents.policies.training.folder import Show, claim, quiet, write_rows
from valueagents.policies.training.labels import PROMPT, READING, baseline_labels, survey_policy
from valueagents.policies.training.loop import Data, rows_of_epoch
from valueagents.policies.training.lora import load_trainable, where_to_train
from valueagents.policies.training.losses import answer_loss
from valueagents.policies.training.manifest import Losses, Manifest
from valueagents.policies.training.preference import METHODS as PREFERENCE_METHODS
from valueagents.policies.training.preference import fit_pairs, make_pairs, trainer_classes
from valueagents.policies.training.rows import (
    ALL,
    TrainingDirection,
    TrainingRow,
    examples,
    make_rows,
)
from valueagents.policies.training.settings import Settings, load_settings
from valueagents.policies.training.statements import (
    TrainingSplit,
    check_target,
    read_statements,
    read_wordings,
)

log = logging.getLogger("valueagents")

METHODS = ("sft", *PREFERENCE_METHODS)
_SPLITS: tuple[TrainingSplit, ...] = get_args(TrainingSplit)


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """What to train. `items`: a survey file of the user's; None = the bundled one.

    `base` as in a policy's spec. `target` is an axis; of a control also `all`: an epoch then has
    the share `others` of every value's statements.
    """

    base: str
    target: str
    direction: TrainingDirection
    seed: int
    settings: Settings
    method: str = "sft"
    items: str | None = None


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
    if method != "sft" and direction.startswith("placebo"):
        raise ConfigError(f"direction={direction} is for sft: pairs say nothing of other values")
    if seed < 0:
        raise ConfigError(f"seed={seed}: give 0 or more")
    settings = load_settings(preset, overrides)
    if target != ALL:
        check_target(target, read_statements("train", variants=1, items=items))
    elif direction != "control" or method != "sft":
        raise ConfigError(f"target={ALL} is for a control by sft, which every value can be held to")
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
    place, files = Place(*where_to_train(training.settings)), find_model(training.base)
    job = _RowJob(training, files) if training.method == "sft" else _PairJob(training, files)
    request = {
        **{name: getattr(training, name) for name in ("target", "direction", "seed", "method")},
        "settings": msgspec.structs.asdict(training.settings),
        "base": survey_policy(training.base).identity(),
        "survey": content_hash(msgspec.to_builtins(job.survey)),
    }
    done = claim(out, request)
    if done is not None:
        return done
    what = f"{training.target} {training.direction}"
    log.info("%s on %s (%s, %s) in %s", what, files.name, place.device, place.dtype, out)
    adapted, fitted = job.fit(out, place, show)
    told = Request(
        base=training.base,
        method=training.method,
        target=training.target,
        direction=training.direction,
        seed=training.seed,
        all=request,
    )
    return finish(adapted, told, fitted, files, place=place, out=out)


class _RowJob:
    """Ratings as rows (sft)."""

    def __init__(self, training: Training, files: ModelFiles) -> None:
        self.training, self.files, settings = training, files, training.settings
        self.survey = {
            split: read_statements(
                split,
                variants=settings.variants,
                items=training.items,
                poles=settings.poles,
            )
            for split in _SPLITS
        }

    def fit(self, out: Path, place: Place, show: Show) -> tuple[Any, Fitted]:
        """Label, train, and give the adapted model."""
        training, settings = self.training, self.training.settings
        rows = self._rows(show)
        source = f"{settings.labels} of the frozen base, {READING}"
        data = write_rows(out, rows["train"], rows["eval"], source=source)
        prompt, chats = load_prompt(PROMPT), ChatTokenizer(self.files)
        made = {
            split: examples(rows[split], self.survey[split], chats, prompt=prompt)
            for split in _SPLITS
        }
        held_out = rows_of_epoch(made["eval"], settings, seed=training.seed, epoch=0)
        return fit_rows(
            self.files,
            Data(made["train"], held_out),
            answer_loss,
            settings,
            seed=training.seed,
            out=out,
            place=place,
            data=data,
            what=f"{training.target} {training.direction}",
            show=show,
        )

    def _rows(self, show: Show) -> dict[TrainingSplit, tuple[TrainingRow, ...]]:
        """The statements with the ratings that are trained; the frozen model gives the others."""
        training, settings = self.training, self.training.settings
        with show("baseline labels", "questions") as progress:
            everything = [
                each
                for split in _SPLITS
                for each in self.survey[split]
                if each.variant <= settings.label_variants
            ]
            labels = baseline_labels(survey_policy(training.base), everything, settings, progress)
        return {
            split: make_rows(
                asked,
                split,
                labels,
                target=training.target,
                direction=training.direction,
                seed=training.seed,
            )
            for split, asked in self.survey.items()
        }


class _PairJob:
    """Wordings for and against as pairs (dpo and friends)."""

    def __init__(self, training: Training, files: ModelFiles) -> None:
        trainer_classes(training.method)
        self.training, self.files = training, files
        self.survey = {split: read_wordings(split, items=training.items) for split in _SPLITS}

    def fit(self, out: Path, place: Place, show: Show) -> tuple[Any, Fitted]:
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
        data = write_rows(out, pairs, (), source="pairs of wordings")
        adapted = load_trainable(
            self.files, settings, device=place.device, dtype=place.dtype, seed=training.seed
        )
        began = time.monotonic()
        with show(f"{training.method} {training.target} {training.direction}", "steps") as progress:
            with self.files.loading("the tokenizer of"):
                tokenizer = transformers.AutoTokenizer.from_pretrained(self.files.folder)
            losses = fit_pairs(
                adapted,
                tokenizer,
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
