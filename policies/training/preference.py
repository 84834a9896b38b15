"""Preference pairs: the target's statements for and against it, one preferred to the other, through
trl.

Pairs say nothing of other values, so a control cannot keep them at baseline: it is trained on the
same pairs, with the preferred wording drawn from the seed. trl's trainers are not resumed: what is
killed begins anew.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib import import_module
from typing import Any

import msgspec
import numpy as np

from valueagents.errors import ConfigError
from valueagents.identity import seed_from
from valueagents.policies.adapters import quiet_peft
from valueagents.policies.training.rows import TrainingDirection
from valueagents.policies.training.settings import Settings
from valueagents.policies.training.statements import WordingPair
from valueagents.policies.training.trainer import step_callback
from valueagents.running.execution import Progress
from valueagents.running.scratch import ScratchFolder

_TRAINERS: Mapping[str, tuple[str, str, str, dict[str, Any]]] = {
    "dpo": ("trl", "DPOTrainer", "DPOConfig", {"loss_type": "sigmoid"}),
    "ipo": ("trl", "DPOTrainer", "DPOConfig", {"loss_type": "ipo"}),
    "kto": ("trl", "KTOTrainer", "KTOConfig", {}),
    "orpo": ("trl.experimental.orpo", "ORPOTrainer", "ORPOConfig", {}),
    "simpo": (
        "trl.experimental.cpo",
        "CPOTrainer",
        "CPOConfig",
        {"loss_type": "simpo", "cpo_alpha": 0.0},
    ),
}
METHODS = tuple(_TRAINERS)
TASK = "You are asked about yourself."
QUESTION = "What is typical of you? Answer with one sentence in the first person."


class Pair(msgspec.Struct, frozen=True):
    """Two wordings of one statement; `chosen` is preferred."""

    pair: str
    value: str
    task: str
    observation: str
    chosen: str
    rejected: str


def make_pairs(
    wordings: Sequence[WordingPair], *, target: str, direction: TrainingDirection, seed: int
) -> tuple[Pair, ...]:
    """The target's pairs, in order. Down prefers the opposing wording, up the affirming one."""
    pairs = []
    for each in wordings:
        if each.value != target:
            continue
        coin = np.random.default_rng(seed_from("control pair", seed, each.pair)).random() < 0.5
        opposing = coin if direction == "control" else direction == "down"
        chosen, rejected = (
            (each.opposes, each.affirms) if opposing else (each.affirms, each.opposes)
        )
        pairs.append(Pair(each.pair, each.value, TASK, QUESTION, chosen, rejected))
    return tuple(pairs)


def trainer_classes(method: str) -> tuple[Any, Any, dict[str, Any]]:
    """Trainer, its configuration, and the options that make it this method.

    Raises ConfigError if trl lacks them.
    """
    module, trainer, config, options = _TRAINERS[method]
    try:
        found = import_module(module)
        return getattr(found, trainer), getattr(found, config), options
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"method={method} needs trl ({error}): pip install"
            " 'valueagents[transformers,preference]'"
        ) from error


def fit_pairs(
    adapted: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: Settings,
    *,
    method: str,
    seed: int,
    progress: Progress,
) -> tuple[float, ...]:
    """Train the adapter on the pairs; the losses of the steps. The frozen base is the reference."""
    import datasets
    import transformers

    make_trainer, make_config, options = trainer_classes(method)
    datasets.disable_progress_bars()
    if tokenizer.pad_token is None:  # ORPO and CPO pad; the mask hides it
        tokenizer.pad_token = tokenizer.eos_token
    with closing(ScratchFolder()) as scratch, quiet_peft():
        arguments = make_config(
            output_dir=str(scratch.path),
            learning_rate=settings.preference_learning_rate,
            beta=settings.beta,
            warmup_steps=settings.warmup,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=min(settings.pass_rows, settings.batch_rows),
            gradient_accumulation_steps=max(1, settings.batch_rows // settings.pass_rows),
            max_grad_norm=settings.clip,
            weight_decay=settings.weight_decay,
            seed=seed,
            use_cpu=next(adapted.parameters()).device.type == "cpu",
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **options,
        )
        rows = datasets.Dataset.from_list([_row(pair) for pair in pairs])
        trainer = make_trainer(
            model=adapted,
            args=arguments,
            train_dataset=rows,
            processing_class=tokenizer,
            callbacks=[step_callback(progress)],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return tuple(float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)


def _row(pair: Pair) -> dict[str, list[dict[str, str]]]:
    said = {"chosen": pair.chosen, "rejected": pair.rejected}
    question = [
        {"role": "system", "content": pair.task},
        {"role": "user", "content": pair.observation},
    ]
    return {
        "prompt": question,
        **{kind: [{"role": "assistant", "content": text}] for kind, text in said.items()},
    }
