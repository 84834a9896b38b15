"""The places of an adapter's matrices in a base model, and whether a file fills each of them and no
other.

The base model is made without weights (on torch's meta device), and peft itself puts the adapter
into it: the places are those that peft will look for, with the scales that it will use.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valueagents.errors import ConfigError, first_line
from valueagents.policies.adapter_config import CONFIG
from valueagents.policies.models import ModelFiles

PEFT_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,
    RuntimeError,
    OSError,
)
"""What peft, torch and transformers were seen to raise for what does not fit."""

_PREFIX = "base_model.model."  # of every tensor's name in a file

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slots:
    """What an adapter's configuration asks of a base model.

    `shapes`: of every tensor, by its name in the file. `scales`: of every adapted module, by its
    name in the base model. `embeddings`: those of them that are the input or the output embedding.
    `modules`: all of the base model's.
    """

    shapes: Mapping[str, Shape]
    scales: Mapping[str, float]
    embeddings: tuple[str, ...]
    modules: frozenset[str]


def find_slots(folder: Path, base: ModelFiles, where: str) -> Slots:
    """The places that peft makes for the adapter in a folder, whose configuration is known to be a
    plain LoRA's.

    Raises ConfigError if peft is not installed, or makes none.
    """
    try:
        import peft
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed: pip install 'valueagents[transformers]'"
        ) from error
    model = _without_weights(base)
    modules = frozenset(name for name, _ in model.named_modules())
    outer = (model.get_input_embeddings(), model.get_output_embeddings())
    embeddings = frozenset(
        name for name, module in model.named_modules() if any(module is each for each in outer)
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever peft doubts is compared with the file
            config = peft.LoraConfig.from_pretrained(str(folder), inference_mode=True)
            adapted = peft.get_peft_model(model, config, low_cpu_mem_usage=True)
            state = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    except PEFT_ERRORS as error:
        raise ConfigError(
            f"adapter {where!r} does not fit {base.name!r}: {first_line(error)}"
        ) from error
    scales = scales_of(adapted, "default")
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return Slots(shapes, scales, tuple(sorted(embeddings & scales.keys())), modules)


def scales_of(adapted: Any, adapter: str) -> dict[str, float]:
    """What the product of two matrices is multiplied by, by the adapted module's name in the base
    model.
    """
    from peft.tuners.lora import LoraLayer

    layers = (
        (name, module) for name, module in adapted.named_modules() if isinstance(module, LoraLayer)
    )
    return {
        name.removeprefix(_PREFIX): float(layer.scaling[adapter])
        for name, layer in layers
        if adapter in layer.scaling
    }


def check_filled(shapes: Mapping[str, Shape], slots: Slots, base: ModelFiles, where: str) -> None:
    """Every tensor of the file has its place, and every place its tensor.

    Raises ConfigError naming the first that has not. Wrong shapes come before missing tensors: an
    adapter of a smaller model has both, and the shape says why.
    """
    without_place = sorted(shapes.keys() - slots.shapes.keys())
    if without_place:
        raise ConfigError(_without_place(without_place, slots, base, where))
    for name, shape in sorted(shapes.items()):
        wanted = slots.shapes[name]
        if shape != wanted:
            raise ConfigError(
                f"adapter {where!r}: {module_of(name)} has shape {shape}, the base model"
                f" {base.name!r} and {CONFIG} need {wanted}; use its own base model, or save it"
                " again"
            )
    lacking = sorted(slots.shapes.keys() - shapes.keys())
    if lacking:
        raise ConfigError(
            f"adapter {where!r} lacks {len(lacking)} of the {len(slots.shapes)} tensors that its"
            f" {CONFIG} asks for in {base.name!r}, first {lacking[0]}; use its own base model, or"
            " save it again"
        )


def module_of(tensor: str) -> str:
    """The adapted module's name in the base model, from a tensor's name in the file."""
    return tensor.removeprefix(_PREFIX).split(".lora_")[0]


def _without_place(names: list[str], slots: Slots, base: ModelFiles, where: str) -> str:
    """What is said of tensors without a place."""
    for name in names:
        if (
            ".lora_" not in name
        ):  # peft saves the embeddings, too, where an adapter has matrices for them
            return (
                f"adapter {where!r} holds {name}, which is not one of LoRA's matrices and would"
                " change the base model for all; save it with save_pretrained(…,"
                " save_embedding_layers=False)"
            )
        module = module_of(name)
        if name.startswith(_PREFIX) and module not in slots.modules:
            return (
                f"adapter {where!r} adapts {module}, which {base.name!r} does not have; use its own"
                " base model"
            )
    return (
        f"adapter {where!r} holds {len(names)} tensors for which its {CONFIG} has no place in"
        f" {base.name!r}, first {names[0]!r}; save it with peft's save_pretrained"
    )


def _without_weights(base: ModelFiles) -> Any:
    """The base model on the meta device. Raises PolicyError if transformers cannot make it."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed: pip install 'valueagents[transformers]'"
        ) from error
    with base.loading(), torch.device("meta"):
        config = transformers.AutoConfig.from_pretrained(base.folder)
        return transformers.AutoModelForCausalLM.from_config(config)
