"""Value adapters: PEFT folders with LoRA weights, checked before use and called by the hash of what they hold.

A name can be given to other weights tomorrow, so nothing here goes by names: the hash covers the tensors and the LoRA
fields that decide what is computed, and neither the folder's path nor its manifest. What engines cannot share – DoRA,
biases, whole modules saved beside the matrices, pickled weights – is refused with the reason.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from valueagents.errors import ConfigError, first_line
from valueagents.identity import content_hash
from valueagents.policies.models import ModelFiles, fetch_from_hub

WEIGHTS, CONFIG, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "manifest.json"
_PICKLED = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")
_DECIDING = (
    "alpha_pattern",
    "fan_in_fan_out",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "r",
    "rank_pattern",
    "target_modules",
    "use_rslora",
)
_REFUSED = {
    "use_dora": "DoRA",
    "lora_bias": "LoRA biases",
    "modules_to_save": "whole modules beside the matrices (modules_to_save)",
    "trainable_token_indices": "trained token embeddings",
    "target_parameters": "adapted bare parameters (target_parameters)",
    "layer_replication": "repeated layers (layer_replication)",
    "alora_invocation_tokens": "a text that switches it on (aLoRA)",
}


class _Manifest(msgspec.Struct, frozen=True):
    """What a manifest says of the base model: hashes as in `ModelFiles.hashes`."""

    base: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Adapter:
    """A checked adapter. `name` is its content hash, `rank` the largest rank of any of its matrices."""

    name: str
    folder: Path
    rank: int
    target_modules: tuple[str, ...]


def read_adapter(where: str, base: ModelFiles) -> Adapter:
    """The adapter in a PEFT folder or under a hub id.

    Raises ConfigError if it is none, is of a kind that engines cannot share, holds numbers that are not finite, or was
    made for another base model than `base`.
    """
    folder = Path(where) if Path(where).is_dir() else fetch_from_hub(where, None, "adapter")
    config = _config(folder, where)
    _refuse_kinds(config, folder, where)
    tensors = list(_tensors(folder, where))
    _check_base(folder, tensors, base, where)
    rank = max(shape[0] for name, shape, _ in tensors if ".lora_A." in name)
    deciding = {key: _canonical(config.get(key)) for key in _DECIDING}
    name = content_hash(deciding, [[tensor, list(shape), digest] for tensor, shape, digest in tensors])
    modules = sorted({tensor.split(".lora_")[0].rsplit(".", 1)[-1] for tensor, _, _ in tensors})
    return Adapter(name, folder, rank, tuple(modules))


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Around what makes or trains a `PeftModel`: peft and trl use names that transformers 5.23 warns about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated")
        yield


def _config(folder: Path, where: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode((folder / CONFIG).read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        raise ConfigError(
            f"adapter {where!r} has no {CONFIG}; give the folder that peft's save_pretrained wrote"
        ) from None
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise ConfigError(f"adapter {where!r}: {CONFIG} is damaged ({error}); save the adapter again") from error


def _refuse_kinds(config: dict[str, Any], folder: Path, where: str) -> None:
    if config.get("peft_type") != "LORA":
        raise ConfigError(
            f"adapter {where!r} is of kind {config.get('peft_type')!r}; only LORA can be shared by engines"
        )
    for field, what in _REFUSED.items():
        if config.get(field):
            raise ConfigError(f"adapter {where!r} has {what}, which engines cannot serve; train a plain LoRA")
    if config.get("bias", "none") != "none":
        raise ConfigError(
            f"adapter {where!r} trains biases ({config['bias']!r}), which engines cannot serve; use bias='none'"
        )
    if not (folder / WEIGHTS).is_file():
        pickled = [name for name in _PICKLED if (folder / name).is_file()]
        remedy = f"{pickled[0]} can run code and is not read; " if pickled else ""
        raise ConfigError(f"adapter {where!r} has no {WEIGHTS}; {remedy}save it with safe_serialization=True")


def _tensors(folder: Path, where: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Name, shape and content hash of every tensor, sorted by name. Raises ConfigError for one that is not finite."""
    import hashlib

    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            names = sorted(file.keys())
            if not any(".lora_A." in name for name in names):
                raise ConfigError(f"adapter {where!r} holds no LoRA matrices; its training saved nothing")
            for name in names:
                tensor = file.get_tensor(name)
                if not torch.isfinite(tensor).all():
                    raise ConfigError(f"adapter {where!r}: {name} holds numbers that are not finite; train it again")
                data = tensor.contiguous().view(torch.uint8).numpy().tobytes()
                yield name, tuple(tensor.shape), hashlib.sha256(str(tensor.dtype).encode() + data).hexdigest()
    except SafetensorError as error:
        raise ConfigError(f"adapter {where!r}: {WEIGHTS} is damaged ({first_line(error)}); save it again") from error


def _check_base(folder: Path, tensors: list[tuple[str, tuple[int, ...], str]], base: ModelFiles, where: str) -> None:
    """By the manifest where there is one, else by the shapes of the matrices that the base model has."""
    manifest = folder / MANIFEST
    if manifest.is_file():
        try:
            told = msgspec.json.decode(manifest.read_bytes(), type=_Manifest).base.get("weights")
        except (UnicodeDecodeError, msgspec.MsgspecError) as error:
            raise ConfigError(f"adapter {where!r}: {MANIFEST} is damaged ({error}); train or copy it again") from error
        if told is not None and told != base.hashes()["weights"]:
            raise ConfigError(
                f"adapter {where!r} was trained on a model with other weights than {base.name!r}; use its own"
            )
    shapes = base.shapes()
    for name, shape, _ in tensors:
        module, _, kind = name.removeprefix("base_model.model.").partition(".lora_")
        weight = shapes.get(f"{module}.weight")
        if weight is None:
            raise ConfigError(
                f"adapter {where!r} adapts {module}, which {base.name!r} does not have; use its own base model"
            )
        side = 1 if kind.startswith("A") else 0
        if shape[side] != weight[side]:
            raise ConfigError(
                f"adapter {where!r}: {module} has shape {shape}, the base model {base.name!r} has {weight}; use its own"
            )


def _canonical(value: object) -> object:
    """The same for the same meaning: names in order, numbers without needless fractions, nothing for empty."""
    if isinstance(value, list):
        return sorted(map(str, value))
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value or None
